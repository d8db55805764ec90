"""A legal hold: what must not be erased yet, although its time is over.

Two grounds, because the law has two measures. *Proof* keeps the signed consents with their receipts
and withdrawals: they show that the house may do what it did, and hold no face (GDPR 17(3)(b), (e)).
The person is erased on time as ever. *Claim* keeps everything that is left of the person, their
sealed template too, because what a camera did may be at issue, and without the template nobody can
show later whether it was they: GDPR 17(3)(e), and 9(2)(f) for what is biometric. It is the only
ground on which a template outlives its deadline, and from that moment on nobody is recognised by
it: what is kept for a claim is used for nothing else (18(1)(c), 18(2)), so placing one pauses the
person. Nobody here ends that pause while the claim lasts. The person may, by their receipt and for
as long as what they signed holds: 18(2) lets what is restricted be used with their consent, and the
claim is none of theirs. The hold stays all the same: what is left of them is kept as before. No
ground keeps anything matchable past its time, and none stops a withdrawal.

Every hold ends by itself. PostgreSQL refuses to delete a person under a claim, and
a proof under any hold (migration 0008).
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.stores.models import Store

# Whoever needs it for longer decides so again.
LONGEST = timedelta(days=365)


class Hold(models.Model):
    """What is held of one person, why, by whom and until when. Deleted when it is over.

    `subject` is that of their consents, which may outlive the visitor.
    """

    class Ground(models.TextChoices):
        PROOF = "proof", gettext_lazy("The proof of consent is needed for longer")
        CLAIM = "claim", gettext_lazy("A legal claim: everything that is left of the person")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    subject = models.UUIDField(db_index=True)
    store = models.ForeignKey(Store, models.PROTECT, related_name="holds")
    ground = models.CharField(max_length=10, choices=Ground)
    reason = models.CharField(max_length=200)
    author = models.CharField(max_length=80)
    begun_at = models.DateTimeField()
    ends_at = models.DateTimeField()

    class Meta:
        ordering = ("ends_at",)
        verbose_name = gettext_lazy("legal hold")
        verbose_name_plural = gettext_lazy("legal holds")
        constraints = (
            models.CheckConstraint(
                condition=Q(ends_at__gt=models.F("begun_at"))
                & Q(ends_at__lte=models.F("begun_at") + LONGEST),
                name="a_hold_ends_within_a_year",
            ),
        )

    def __str__(self) -> str:
        return f"hold {self.id}"


class Held(Exception):
    """Nothing of this person may be erased before `until`, when the sweep does."""

    def __init__(self, until: datetime) -> None:
        super().__init__(f"held until {until.isoformat()}")
        self.until = until

    @property
    def paused(self) -> str:
        """Why an officer does not have somebody recognised again yet."""
        return _(
            "A legal claim keeps this person paused until %(day)s. Lift the hold first; before "
            "that only they themselves can end the pause, by their receipt."
        ) % {"day": date_format(self.until, "DATE_FORMAT")}


def held(subject: str, *grounds: Hold.Ground) -> Q:
    """Rows that are held now on one of these grounds, or on any. subject: the way to it."""
    holds = Hold.objects.filter(subject=OuterRef(subject), ends_at__gt=Now())
    return Q(Exists(holds.filter(ground__in=grounds) if grounds else holds))


def held_until(subject: uuid.UUID) -> datetime | None:
    """Until when everything of a person is held; None when it is not."""
    claims = Hold.objects.filter(subject=subject, ground=Hold.Ground.CLAIM, ends_at__gt=Now())
    return claims.aggregate(last=models.Max("ends_at"))["last"]
