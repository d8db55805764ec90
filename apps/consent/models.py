"""Consent as proof: the exact text, the purposes one by one, the signature, the device, the time.

A consent names a random `subject`, not a visitor, so that the proof can outlive the template and
end on its own clock.
"""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.stores.models import Device, Organization, Store


class Purpose(models.TextChoices):
    """What can be agreed to, one control each."""

    LANE = "lane", _("Recognise me when I come back")
    PASS = "pass", _("Recognise me when I show my pass")
    HISTORY = "history", _("Remember my visits")
    CONTACT = "contact", _("Tell me before it ends")


# Each makes a template of its own; what else is agreed to rests on at least one of them.
RECOGNITION = (Purpose.LANE, Purpose.PASS)


class Notice(models.Model):
    """One version of what is told before anything is asked. Published once, then frozen."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="notices")
    version = models.PositiveIntegerField()
    published_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ("-version",)
        constraints = (
            models.UniqueConstraint(
                fields=("organization", "version"), name="one_notice_a_version"
            ),
        )

    def __str__(self) -> str:
        return f"{self.organization} v{self.version}"


class NoticeText(models.Model):
    """The notice in one language, byte for byte as shown; `digest` is its SHA-256."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    notice = models.ForeignKey(Notice, models.PROTECT, related_name="texts")
    locale = models.CharField(max_length=10)
    short = models.TextField(help_text=_("About ten lines, one a line."))
    full = models.TextField(help_text=_("Everything, paragraphs parted by an empty line."))
    digest = models.CharField(max_length=64, blank=True, editable=False)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("notice", "locale"), name="one_text_a_locale"),
        )

    def __str__(self) -> str:
        return f"{self.notice} {self.locale}"


class ConsentQuerySet(models.QuerySet["Consent"]):
    def live(self) -> ConsentQuerySet:
        """Signed, not withdrawn, not past its end."""
        return self.filter(withdrawn_at=None, expires_at__gt=Now())


class Consent(models.Model):
    """One person's signed agreement. Rows are kept as evidence; they hold no face, and no name but
    in the signature itself."""

    class SignatureMethod(models.TextChoices):
        DRAWN = "drawn", _("Drawn by finger")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    subject = models.UUIDField(default=uuid.uuid4, editable=False, db_index=True)
    store = models.ForeignKey(Store, models.PROTECT, related_name="consents")
    text = models.ForeignKey(NoticeText, models.PROTECT, related_name="consents")
    digest = models.CharField(max_length=64)
    locale = models.CharField(max_length=10)
    purposes = ArrayField(models.CharField(max_length=20, choices=Purpose))
    declined = ArrayField(models.CharField(max_length=20, choices=Purpose), default=list)
    signature = models.JSONField()
    signature_method = models.CharField(max_length=10, choices=SignatureMethod)
    device = models.ForeignKey(Device, models.PROTECT, related_name="consents")
    signed_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    delete_after = models.DateTimeField()

    objects = ConsentQuerySet.as_manager()

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(expires_at__gt=F("signed_at")), name="consent_ends"),
            models.CheckConstraint(
                condition=Q(delete_after__gte=F("expires_at"))
                | Q(delete_after__gte=F("withdrawn_at")),
                name="proof_outlives_consent",
            ),
        )

    def __str__(self) -> str:
        return f"consent {self.id}"

    @property
    def live(self) -> bool:
        return self.withdrawn_at is None and self.expires_at > timezone.now()


class Receipt(models.Model):
    """What the customer takes home. The secret is theirs; here is only its digest."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    consent = models.OneToOneField(Consent, models.CASCADE, related_name="receipt")
    secret_digest = models.CharField(max_length=64, unique=True)
    document = models.TextField(help_text=_("Signed JWS, ISO/IEC TS 27560 fields."))
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"receipt {self.id}"


class Refusal(models.Model):
    """How often a purpose was declined, per store and day. Nothing about who."""

    store = models.ForeignKey(Store, models.CASCADE, related_name="refusals")
    day = models.DateField()
    purpose = models.CharField(max_length=20, choices=Purpose)
    count = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("store", "day", "purpose"), name="one_refusal_count"),
        )

    def __str__(self) -> str:
        return f"{self.store} {self.day} {self.purpose}: {self.count}"
