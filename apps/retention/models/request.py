"""What a person asks of the house, and by when they must have an answer (GDPR 12 and 15 to 22).

PostgreSQL holds what nobody may get around (migrations 0006): nothing is approved, executed or
answered for somebody whose identity was not verified, whichever way it came in; an erasure is
approved by somebody else than who proposed it or opened it; the clock stops only while identity is
awaited, and is extended once, with a reason, inside the first period and after the person was told.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.retention.models.erasure import Erasure
from apps.stores.models import Store


class RequestQuerySet(models.QuerySet["Request"]):
    def open(self) -> RequestQuerySet:
        """Those that still need an answer, the next one due first."""
        return self.filter(state__in=Request.OPEN).order_by("due_at")

    def closed(self) -> RequestQuerySet:
        """Those that were answered or refused, the latest first."""
        return self.filter(closed_at__isnull=False).order_by("-closed_at")


class Request(models.Model):
    """One request. `subject` is the consent's, once it is known whose request this is.

    `words` and `reach` are what they wrote and how they are reached, `answer` what they were told;
    all three go with the person's erasure, what was asked and when stays as proof.

    `first_due_at` ends the first period, `due_at` the period that holds now: later only after an
    extension. Both move by what `stopped_for` gains when a stop of the clock ends; `stops` are
    those stops, `[from, until]` in ISO 8601.

    `code_digest` is the keyed digest of the code that was sent to the contact on record, used once.
    `alarmed` is the last mark of the period, in percent, of which the officers were told.
    `restricts`: recognition was paused for this request, and is resumed when it is refused.
    `problem` says which part of an erasure is not done yet.
    """

    class Kind(models.TextChoices):
        ACCESS = "access", _("a copy of everything held")
        PORTABILITY = "portability", _("the data, to take elsewhere")
        RECTIFICATION = "rectification", _("a correction")
        RESTRICTION = "restriction", _("a pause without erasing")
        OBJECTION = "objection", _("an objection")
        ERASURE = "erasure", _("erasure")
        WITHDRAWAL = "withdrawal", _("withdrawal of everything agreed to")

    class Source(models.TextChoices):
        RECEIPT = "receipt", _("receipt page")
        KIOSK = "kiosk", _("kiosk tablet")
        STAFF = "staff", _("staff in the store")
        LETTER = "letter", _("letter")
        MAIL = "mail", _("e-mail")
        PHONE = "phone", _("telephone")
        SYSTEM = "system", _("another system of the house")

    class State(models.TextChoices):
        RECEIVED = "received", _("received")
        IDENTITY = "identity", _("waiting for identity")
        VERIFIED = "verified", _("identity verified")
        APPROVED = "approved", _("in progress")
        PARTIAL = "partial", _("partly done")
        ANSWERED = "answered", _("answered")
        REFUSED = "refused", _("refused")

    class Proof(models.TextChoices):
        """How we know that it is them. A photo is never asked for."""

        RECEIPT = "receipt", _("the code of their receipt")
        CODE = "code", _("a code sent to the contact on record")
        WITNESS = "witness", _("a member of staff saw them")

    class Refusal(models.TextChoices):
        IDENTITY = "identity", _("we could not verify who asks")
        NOTHING = "nothing", _("nothing is held about them")
        DUPLICATE = "duplicate", _("another request of theirs answers it")
        EXCESSIVE = "excessive", _("it repeats earlier requests without a reason")
        GROUNDS = "grounds", _("a legal ground outweighs it")

    class Told(models.TextChoices):
        RECEIPT = "receipt", _("on the receipt page")
        MAIL = "mail", _("by e-mail")
        LETTER = "letter", _("by letter")
        PHONE = "phone", _("by telephone")
        PERSON = "person", _("in person")

    # Those that nobody types in from paper or a call.
    NOT_TYPED_IN: ClassVar = ("receipt", "kiosk", "staff", "system")
    OPEN: ClassVar = ("received", "identity", "verified", "approved", "partial")
    COPIES: ClassVar = ("access", "portability")
    ENDS: ClassVar = ("erasure", "withdrawal")
    # Several of these may be under way at once: each says something of its own.
    SEVERAL: ClassVar = ("rectification", "objection")
    # These hold at once, and are decided on while they do (GDPR 18(1)(d), 21, 7(3)).
    PAUSES: ClassVar = ("restriction", "objection", "withdrawal")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    store = models.ForeignKey(Store, models.PROTECT, related_name="requests")
    kind = models.CharField(max_length=16, choices=Kind)
    source = models.CharField(max_length=10, choices=Source)
    state = models.CharField(max_length=10, choices=State, default=State.RECEIVED)
    subject = models.UUIDField(null=True, db_index=True)
    words = models.TextField(blank=True, max_length=4000)
    reach = models.CharField(max_length=240, blank=True)
    opened_by = models.CharField(max_length=80)
    received_at = models.DateTimeField()
    first_due_at = models.DateTimeField()
    due_at = models.DateTimeField(db_index=True)
    stopped_at = models.DateTimeField(null=True)
    stopped_for = models.DurationField(default=timedelta)
    stops = models.JSONField(default=list)
    extended_at = models.DateTimeField(null=True)
    extended_by = models.CharField(max_length=80, blank=True)
    extension_reason = models.TextField(blank=True, max_length=1000)
    notice_sent_at = models.DateTimeField(null=True)
    notice_sent = models.CharField(max_length=10, blank=True, choices=Told)
    code_digest = models.CharField(max_length=64, blank=True)
    code_expires_at = models.DateTimeField(null=True)
    code_tries = models.PositiveSmallIntegerField(default=0)
    verified_at = models.DateTimeField(null=True)
    verified_by = models.CharField(max_length=80, blank=True)
    verified_how = models.CharField(max_length=10, blank=True, choices=Proof)
    proposed_at = models.DateTimeField(null=True)
    proposed_by = models.CharField(max_length=80, blank=True)
    approved_at = models.DateTimeField(null=True)
    approved_by = models.CharField(max_length=80, blank=True)
    restricts = models.BooleanField(default=False)
    lifted_at = models.DateTimeField(null=True)
    erasure = models.ForeignKey(Erasure, models.SET_NULL, null=True, related_name="+")
    problem = models.CharField(max_length=80, blank=True)
    answer = models.TextField(blank=True, max_length=4000)
    refusal = models.CharField(max_length=10, blank=True, choices=Refusal)
    told = models.CharField(max_length=10, blank=True, choices=Told)
    closed_at = models.DateTimeField(null=True)
    closed_by = models.CharField(max_length=80, blank=True)
    alarmed = models.PositiveSmallIntegerField(default=0)
    delete_after = models.DateTimeField(null=True, db_index=True)

    objects = RequestQuerySet.as_manager()

    class Meta:
        ordering = ("due_at",)
        constraints = (
            models.CheckConstraint(
                condition=Q(
                    state__in=["received", "identity", "refused"],
                )
                | Q(verified_at__isnull=False),
                name="an_unverified_request_goes_no_further",
            ),
            models.CheckConstraint(
                condition=Q(approved_at=None, approved_by="")
                | (Q(approved_at__isnull=False, verified_at__isnull=False) & ~Q(approved_by="")),
                name="an_unverified_request_is_not_approved",
            ),
            models.CheckConstraint(
                condition=Q(verified_at=None, verified_by="", verified_how="")
                | (
                    Q(verified_at__isnull=False, subject__isnull=False)
                    & ~Q(verified_by="")
                    & ~Q(verified_how="")
                ),
                name="verified_says_who_and_how",
            ),
            models.CheckConstraint(
                condition=~Q(verified_how="witness") | ~Q(verified_by=F("approved_by")),
                name="who_saw_them_does_not_approve",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["approved", "partial", "answered"])
                | Q(approved_at__isnull=False),
                name="only_what_was_approved_is_done",
            ),
            models.CheckConstraint(
                condition=~Q(kind="erasure")
                | Q(approved_by="")
                | (
                    ~Q(proposed_by="")
                    & ~Q(approved_by=F("proposed_by"))
                    & ~Q(approved_by=F("opened_by"))
                ),
                name="four_eyes_approve_an_erasure",
            ),
            models.CheckConstraint(
                condition=Q(extended_at=None, due_at=F("first_due_at"), notice_sent_at=None)
                | (
                    Q(
                        extended_at__isnull=False,
                        notice_sent_at__isnull=False,
                        extended_at__lt=F("first_due_at"),
                        notice_sent_at__lt=F("first_due_at"),
                        due_at__gt=F("first_due_at"),
                    )
                    & ~Q(extension_reason="")
                    & ~Q(notice_sent="")
                ),
                name="extended_with_a_reason_and_told_in_time",
            ),
            models.CheckConstraint(
                condition=Q(stopped_at=None) | Q(state="identity"),
                name="the_clock_stops_only_for_identity",
            ),
            models.CheckConstraint(
                condition=(
                    Q(state__in=["answered", "refused"])
                    & Q(closed_at__isnull=False, delete_after__isnull=False)
                    & ~Q(told="")
                )
                | (~Q(state__in=["answered", "refused"]) & Q(closed_at=None, delete_after=None)),
                name="closed_when_the_person_was_told",
            ),
            models.CheckConstraint(
                condition=(Q(state="refused") & ~Q(refusal=""))
                | (~Q(state="refused") & Q(refusal="")),
                name="a_refusal_has_its_reason",
            ),
            models.UniqueConstraint(
                fields=("subject", "kind"),
                condition=Q(state__in=["received", "identity", "verified", "approved", "partial"])
                & ~Q(kind__in=["rectification", "objection"])
                & Q(subject__isnull=False),
                name="one_open_request_a_kind",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} · {self.number}"

    @property
    def number(self) -> str:
        """As it is called in a letter and on the telephone."""
        return str(self.pk)[:8]

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN

    @property
    def verified(self) -> bool:
        return self.verified_at is not None

    def due(self, at: datetime | None = None) -> datetime:
        """When it is due, with the stop that is under way."""
        running = (at or timezone.now()) - self.stopped_at if self.stopped_at else timedelta()
        return self.due_at + running

    def left(self, at: datetime | None = None) -> timedelta:
        """How much of the period is left; negative: overdue by so much."""
        at = at or timezone.now()
        return self.due(at) - at

    def spent(self, at: datetime | None = None) -> float:
        """Share of the period that is over, from 0; above 1 it is overdue. Stops do not count."""
        at = at or timezone.now()
        whole = self.due_at - self.received_at - self.stopped_for
        return 1 - self.left(at) / whole
