"""The package that answers a request for access: made by a worker, sealed, fetched, and gone."""

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q

from apps.retention.models.request import Request


class Package(models.Model):
    """One encrypted file. Its passphrase was shown once and is kept nowhere.

    `wrapped` is the passphrase, sealed under a key of the house, from the moment it was shown until
    the worker has used it. `secret_digest` is of the link's secret, which stands in the fragment of
    an address and nowhere else. `steps` done of `STEPS` is what the portal shows meanwhile.
    """

    class State(models.TextChoices):
        ORDERED = "ordered"
        BUILDING = "building"
        READY = "ready"
        FAILED = "failed"

    # Gather, set the page, embed the machine's part, encrypt.
    STEPS: ClassVar = 4

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    request = models.OneToOneField(Request, models.CASCADE, related_name="package")
    state = models.CharField(max_length=10, choices=State, default=State.ORDERED)
    steps = models.PositiveSmallIntegerField(default=0)
    problem = models.CharField(max_length=80, blank=True)
    wrapped = models.BinaryField(null=True)
    sealed = models.BinaryField(null=True)
    secret_digest = models.CharField(max_length=64, blank=True, db_index=True)
    created_at = models.DateTimeField()
    ready_at = models.DateTimeField(null=True)
    fetched_at = models.DateTimeField(null=True)
    delete_after = models.DateTimeField(db_index=True)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(state="ready", sealed__isnull=False, wrapped=None)
                | (~Q(state="ready") & Q(sealed=None)),
                name="a_passphrase_is_forgotten_when_it_was_used",
            ),
        )

    def __str__(self) -> str:
        return f"package {self.id}"
