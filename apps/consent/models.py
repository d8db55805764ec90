"""Consent as proof: the exact text, the purposes one by one, the signature, the device, the time.

A consent names a random `subject`, not a visitor, so that the proof can outlive the template and
end on its own clock.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.stores.models import Device, Organization, Store, StoreGroup, User


class Purpose(models.TextChoices):
    """What can be agreed to, one control each, none of them resting on another but on recognition.

    Nothing is asked for that nothing here would do: contact is not asked for where no e-mail can be
    sent, other stores not where the store has no group.
    """

    LANE = "lane", _("Recognise me when I come back")
    PASS = "pass", _("Recognise me when I show my pass")
    CARD = "card", _("Recognise me by a card, without my face")
    HISTORY = "history", _("Remember my visits")
    STATISTICS = "statistics", _("Count my visits in the store’s statistics")
    GROUP = "group", _("Recognise me in the other stores of this group too")
    NOTES = "notes", _("Staff may keep a note about me")
    CONTACT = "contact", _("Tell me before it ends")


# How long the proof of a consent is kept after it ended: the time in which it may be asked for.
PROOF = timedelta(days=3 * 365)

# Each makes a template of its own.
FACE = (Purpose.LANE, Purpose.PASS)
# By what a person is known again; what else is agreed to rests on at least one of them.
RECOGNITION = (*FACE, Purpose.CARD)


class Section(models.TextChoices):
    """The parts of a notice, in the order in which they are read; a pack says which it requires."""

    CONTACT = "contact", _("Who answers for this")
    PURPOSE = "purpose", _("What it is for")
    BASIS = "basis", _("On what ground")
    METHOD = "method", _("How it works")
    NECESSITY = "necessity", _("Why it is necessary")
    RETENTION = "retention", _("How long it is kept")
    THIRD_PARTIES = "third_parties", _("Who else gets it")
    EFFECTS = "effects", _("What it can do to you")
    RIGHTS = "rights", _("Your rights")
    WITHDRAWAL = "withdrawal", _("How to end it")
    ALTERNATIVES = "alternatives", _("Without your face")


class NoticeQuerySet(models.QuerySet["Notice"]):
    def published(self) -> NoticeQuerySet:
        """Frozen ones, the one in force first."""
        return self.filter(published_at__isnull=False).order_by("-version")


class Notice(models.Model):
    """One version of what is told before anything is asked. Published once, then frozen.

    Whoever wrote in it is in `editors`, and neither approves nor publishes it. An approval is of
    `approved_digest`, which every word and every register that it draws on goes into. `facts` is
    what the registers said when it was published, `promised` for how many days each store keeps
    what, by `stores.policies.Kind`. `former_end_at` is set by a material change:
    consents to former versions end then.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="notices")
    version = models.PositiveIntegerField()
    revision = models.PositiveIntegerField(default=0, editable=False)
    editors = ArrayField(models.CharField(max_length=80), default=list, editable=False)
    proposed_by = models.CharField(max_length=80, blank=True, editable=False)
    approved_by = models.CharField(max_length=80, blank=True, editable=False)
    approved_digest = models.CharField(max_length=64, blank=True, editable=False)
    published_by = models.CharField(max_length=80, blank=True, editable=False)
    published_at = models.DateTimeField(null=True, blank=True, editable=False)
    former_end_at = models.DateTimeField(null=True, blank=True, editable=False)
    facts = models.JSONField(default=dict, editable=False)
    promised = models.JSONField(default=dict, editable=False)

    objects = NoticeQuerySet.as_manager()

    class Meta:
        ordering = ("-version",)
        constraints = (
            models.UniqueConstraint(
                fields=("organization", "version"), name="one_notice_a_version"
            ),
        )

    def __str__(self) -> str:
        return f"{self.organization} v{self.version}"


@dataclass(frozen=True, slots=True)
class Part:
    """A heading of the whole text and what stands under it; older notices have no headings."""

    heading: str
    paragraphs: list[str]


class NoticeText(models.Model):
    """The notice in one language. `lines` and `sections` are as written, with placeholders for what
    the registers know; publishing freezes them, filled, as `short` and `full`, byte for byte as
    shown, with `digest`, their SHA-256."""

    HEADING: ClassVar = "# "

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    notice = models.ForeignKey(Notice, models.PROTECT, related_name="texts")
    locale = models.CharField(max_length=10)
    lines = models.TextField(blank=True)
    sections = models.JSONField(default=dict, blank=True)
    short = models.TextField(blank=True, editable=False)
    full = models.TextField(blank=True, editable=False)
    digest = models.CharField(max_length=64, blank=True, editable=False)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("notice", "locale"), name="one_text_a_locale"),
        )

    def __str__(self) -> str:
        return f"{self.notice} {self.locale}"

    @property
    def short_lines(self) -> list[str]:
        """The first layer."""
        return self.short.splitlines()

    @property
    def parts(self) -> list[Part]:
        """The second layer, heading by heading."""
        parts: list[Part] = []
        for paragraph in filter(str.strip, self.full.split("\n\n")):
            if paragraph.startswith(self.HEADING):
                parts.append(Part(paragraph.removeprefix(self.HEADING), []))
            else:
                parts = parts or [Part("", [])]
                parts[-1].paragraphs.append(paragraph)
        return parts


def changed_since(consent: str = "") -> Exists:
    """Whether the notice of a consent was materially changed after it was signed. `consent` is the
    way to it from the row that is asked about, such as `consent__`."""
    return Exists(
        Notice.objects.published().filter(
            organization=OuterRef(f"{consent}text__notice__organization"),
            version__gt=OuterRef(f"{consent}text__notice__version"),
            former_end_at__isnull=False,
        )
    )


class ConsentQuerySet(models.QuerySet["Consent"]):
    def live(self) -> ConsentQuerySet:
        """Signed, not withdrawn, not past its end."""
        return self.filter(withdrawn_at=None, expires_at__gt=Now())

    def asked_again(self) -> ConsentQuerySet:
        """Signed before a material change of their notice."""
        return self.filter(changed_since())


class Consent(models.Model):
    """One person's signed agreement. Rows are kept as evidence; they hold no face, and no name but
    in the signatures themselves.

    `signature` holds strokes, or `{"name": …}` when it was typed. `guardian` is who co-signed for
    somebody too young to agree alone: `{"name": …, "signature": …}`. Both need a `witness`.

    One that was renewed from the receipt (consent.renewals) `renews` another of the same subject,
    for as long as that is kept as proof. It was given at no tablet, and its `signature` names the
    receipt whose code was shown: `{"receipt": …}`.

    `presence_witness` is who of the staff saw the person before the camera, where they could not
    make the movements that are asked for; null where they made them.

    `reminded_at` is when the one message before its end was begun: see retention.services.remind.

    `group_stores` are the other stores of `group` as they were named and signed; which of them the
    consent still covers says consent.coverage.
    """

    class SignatureMethod(models.TextChoices):
        DRAWN = "drawn", _("Drawn by finger")
        TYPED = "typed", _("Typed name")
        CODE = "code", _("By the code of the receipt")

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
    guardian = models.JSONField(null=True, blank=True)
    witness = models.ForeignKey(
        User, models.PROTECT, null=True, blank=True, related_name="witnessed_consents"
    )
    presence_witness = models.ForeignKey(
        User, models.PROTECT, null=True, blank=True, related_name="witnessed_presences"
    )
    device = models.ForeignKey(Device, models.PROTECT, null=True, related_name="consents")
    renews = models.OneToOneField("self", models.SET_NULL, null=True, related_name="renewed_by")
    group = models.ForeignKey(
        StoreGroup, models.PROTECT, null=True, blank=True, related_name="consents"
    )
    group_stores = ArrayField(models.UUIDField(), default=list, db_default=[], blank=True)
    signed_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    reminded_at = models.DateTimeField(null=True, blank=True, editable=False)
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
            models.CheckConstraint(
                condition=Q(signature_method__in=["drawn", "code"], guardian__isnull=True)
                | Q(witness__isnull=False),
                name="typed_or_for_a_child_is_witnessed",
            ),
            models.CheckConstraint(
                condition=Q(signature_method="code", device__isnull=True, guardian__isnull=True)
                | (~Q(signature_method="code") & Q(device__isnull=False, renews__isnull=True)),
                name="only_a_renewal_was_given_at_no_tablet",
            ),
        )

    def __str__(self) -> str:
        return f"consent {self.id}"

    @property
    def live(self) -> bool:
        return self.withdrawn_at is None and self.expires_at > timezone.now()


class Withdrawal(models.Model):
    """One purpose that was taken back while the others went on (GDPR 7(3)). Kept with the proof."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    consent = models.ForeignKey(Consent, models.CASCADE, related_name="withdrawals")
    purpose = models.CharField(max_length=20)
    at = models.DateTimeField()

    class Meta:
        ordering = ("at",)
        constraints = (
            models.UniqueConstraint(
                fields=("consent", "purpose"), name="a_purpose_is_withdrawn_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.purpose} of consent {self.consent_id}"


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
