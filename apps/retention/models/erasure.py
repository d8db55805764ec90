"""One erasure and the certificate that proves it."""

import uuid

from django.db import models

from apps.retention.alarms import Alarm as Alarm
from apps.retention.holds import Hold as Hold
from apps.stores.models import Store


class Erasure(models.Model):
    """One person's data being erased: what, when, and who still has to acknowledge it.

    `subject` is the visitor's HMAC in the ledger, never a name; the certificate is `document`.
    Where a model was retired, `pack` is the one. `template` is set when only that one template
    went, because its person is known by the model that came after it, or by another purpose; for
    the cause "purpose" they withdrew the one that it was for. `purpose` is set instead when what
    rested on the withdrawn one was no template of its own, but other stores in which it was held,
    or visits, a note, an address.
    """

    class Cause(models.TextChoices):
        WITHDRAWAL = "withdrawal"
        REQUEST = "request"
        EXPIRY = "expiry"
        REPLACED = "replaced"
        RETIRED = "retired"
        PURPOSE = "purpose"

    class State(models.TextChoices):
        PENDING = "pending"
        COMPLETE = "complete"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    consent = models.UUIDField(null=True, db_index=True)
    store = models.ForeignKey(Store, models.PROTECT, related_name="erasures")
    subject = models.CharField(max_length=64)
    template = models.UUIDField(null=True, unique=True)
    purpose = models.CharField(max_length=20, blank=True)
    pack = models.CharField(max_length=150, blank=True)
    cause = models.CharField(max_length=12, choices=Cause)
    actor = models.CharField(max_length=80)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    scope = models.JSONField()
    evictions = models.JSONField()
    generation = models.PositiveIntegerField(null=True)
    requested_at = models.DateTimeField()
    erased_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True)
    document = models.TextField(blank=True)
    # Signed when no backup opens any more; see services/supplement.py.
    supplement = models.TextField(blank=True, default="")

    class Meta:
        ordering = ("-requested_at",)
        constraints = (
            models.UniqueConstraint(
                fields=("subject",),
                condition=models.Q(template=None, purpose=""),
                name="a_person_is_erased_once",
            ),
        )

    def __str__(self) -> str:
        return f"erasure {self.id}"

    @property
    def papers(self) -> str:
        """The certificate, and on a second line what was signed later; empty without both."""
        return "\n".join(filter(None, (self.document, self.supplement)))

    @property
    def whole(self) -> bool:
        """Whether the person went, and not only a part of what was held on them."""
        return self.template is None and not self.purpose
