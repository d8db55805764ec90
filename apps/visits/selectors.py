"""What a floor board shows: the visits of now, of people who signed, in one store."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from apps.stores.models import Store
from apps.visits.models import Visit

SHOWN = timedelta(hours=4)
FADES = timedelta(minutes=30)
# A lead over the threshold from which the match is called sure; below it staff ask for the name.
SURE = 0.10


@dataclass(frozen=True, slots=True)
class Card:
    """One visit as the board's template shows it."""

    id: UUID
    sequence: int
    name: str
    number: int | None
    last_visit: datetime | None
    arrived_at: datetime
    confidence: str
    greeted_at: datetime | None
    greeted_by: str
    greet_url: str
    old: bool
    say_as: str = ""
    preferred_staff: str = ""
    remember: str = ""


def current(store: Store) -> QuerySet[Visit]:
    """Visits that a board of this store may show now: consent live, nobody restricted, not past."""
    previous = Visit.objects.filter(
        visitor=OuterRef("visitor"), store=OuterRef("store"), arrived_at__lt=OuterRef("arrived_at")
    ).order_by("-arrived_at")
    return (
        Visit.objects.select_related("visitor", "store", "greeted_by")
        .filter(
            store=store,
            arrived_at__gt=Now() - SHOWN,
            delete_after__gt=Now(),
            consent__withdrawn_at=None,
            consent__expires_at__gt=Now(),
            visitor__restricted_at=None,
        )
        .annotate(previous_at=Subquery(previous.values("arrived_at")[:1]))
        .order_by("-arrived_at")
    )


def card(visit: Visit) -> Card:
    """Return a visit of `current` as a card."""
    return Card(
        id=visit.pk,
        sequence=visit.sequence,
        name=visit.visitor.greeting_name,
        number=visit.number,
        last_visit=visit.previous_at if visit.number else None,  # type: ignore[attr-defined]
        arrived_at=visit.arrived_at,
        confidence="sure" if visit.score >= visit.threshold + SURE else "fairly sure",
        greeted_at=visit.greeted_at,
        greeted_by=(visit.greeted_by.first_name or visit.greeted_by.username)
        if visit.greeted_by
        else "",
        greet_url=reverse("floor:greet", args=[visit.store.slug, visit.pk]),
        old=visit.arrived_at < timezone.now() - FADES,
    )


def last_arrival(store: Store) -> datetime | None:
    """When the latest visit began that may still be spoken of."""
    return (
        Visit.objects.filter(store=store, consent__withdrawn_at=None, visitor__restricted_at=None)
        .order_by("-arrived_at")
        .values_list("arrived_at", flat=True)
        .first()
    )
