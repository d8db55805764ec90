"""An opted-in visitor and what is kept of them. PostgreSQL refuses a template without a consent.

There is no table for a face that matched nobody, and the schema test refuses one.
"""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from apps.consent.models import Consent
from apps.stores.models import Organization, Store


class Visitor(models.Model):
    """A person who signed. The name is what they asked to be greeted by, nothing more."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    subject = models.UUIDField(unique=True, editable=False)
    store = models.ForeignKey(Store, models.PROTECT, related_name="visitors")
    greeting_name = models.CharField(max_length=60)
    contact = models.CharField(max_length=120, blank=True)
    restricted_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"visitor {self.id}"


class DataKey(models.Model):
    """The visitor's own key, wrapped by one generation of the keyring."""

    visitor = models.OneToOneField(
        Visitor, models.CASCADE, primary_key=True, related_name="data_key"
    )
    wrapped = models.BinaryField()
    generation = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"data key of {self.visitor_id}"


class Rotation(models.Model):
    """A secret of an organization that turns its templates, wrapped by the keyring.

    New templates are turned by the one with the highest number. An earlier one stays for as long as
    a template names it, and PostgreSQL refuses to delete it before.
    """

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="rotations")
    number = models.PositiveIntegerField()
    wrapped = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(
        null=True, blank=True, help_text="When no template for a lane was left behind."
    )

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("organization", "number"), name="rotation_number_once"),
        )

    def __str__(self) -> str:
        return f"rotation {self.number} of {self.organization_id}"


def overdue() -> models.Q:
    """Templates that must go: past a deadline, withdrawn, or for a purpose no longer agreed to."""
    return (
        models.Q(delete_after__lte=Now())
        | models.Q(consent__expires_at__lte=Now())
        | models.Q(consent__withdrawn_at__isnull=False)
        | ~models.Q(consent__purposes__contains=[models.F("purpose")])
    )


class TemplateQuerySet(models.QuerySet["FaceTemplate"]):
    def live(self) -> TemplateQuerySet:
        """Readable now: not past any deadline, consent live, person not restricted."""
        return self.filter(
            delete_after__gt=Now(),
            consent__withdrawn_at=None,
            consent__expires_at__gt=Now(),
            visitor__restricted_at=None,
        )


class FaceTemplate(models.Model):
    """One sealed template. `not_after` is sealed in with it; `delete_after` can only be earlier.

    `rotation` is the number of the rotation that turned it, also sealed in; 0 for none.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    visitor = models.ForeignKey(Visitor, models.CASCADE, related_name="templates")
    consent = models.ForeignKey(Consent, models.PROTECT, related_name="templates")
    store = models.ForeignKey(Store, models.PROTECT, related_name="templates")
    purpose = models.CharField(max_length=20)
    pack = models.CharField(max_length=60)
    pack_version = models.CharField(max_length=80)
    rotation = models.PositiveIntegerField(default=0)
    sealed = models.BinaryField()
    not_after = models.DateTimeField()
    delete_after = models.DateTimeField(db_index=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TemplateQuerySet.as_manager()

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=models.Q(delete_after__lte=models.F("not_after")),
                name="template_never_outlives_consent",
            ),
            models.UniqueConstraint(
                fields=("visitor",),
                condition=models.Q(purpose="pass"),
                name="one_pass_a_visitor",
            ),
        )

    def __str__(self) -> str:
        return f"template {self.id}"


class Eviction(models.Model):
    """A template that every recognizer must forget at once. Written by the database itself."""

    id = models.BigAutoField(primary_key=True)
    template = models.UUIDField(db_index=True)
    visitor = models.UUIDField(db_index=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"eviction {self.id}"
