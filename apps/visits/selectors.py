"""What a floor board shows: the visits of now, of people who signed, in one store."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from apps.consent.coverage import covers
from apps.consent.models import Purpose, changed_since
from apps.stores.models import Store, User
from apps.visits.handing import colleagues
from apps.visits.mistakes import UNDO
from apps.visits.models import Disclosure, FalseGreeting, Visit, VisitQuerySet
from apps.visits.services import SHOWN

FADES = timedelta(minutes=30)
WEEK = timedelta(days=7)
# For how long the board offers to take a mistaken tap back, unless someone is at it.
OFFERED = timedelta(seconds=30)
# A lead over the threshold from which the match is called sure; below it staff ask for the name.
SURE = 0.10


@dataclass(frozen=True, slots=True)
class Colleague:
    """Who works on the floor of a store, as a card names them."""

    id: int
    name: str


def _named(user: User) -> Colleague:
    return Colleague(user.pk, user.first_name or user.username)


def staff(store: Store) -> tuple[Colleague, ...]:
    """To whom the cards of a store may be handed."""
    return tuple(_named(user) for user in colleagues(store))


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
    wrong_url: str
    old: bool
    sign_anew_by: datetime | None
    note_url: str
    hand_url: str
    handed_to: Colleague | None
    colleagues: tuple[Colleague, ...]
    say_as: str = ""
    preferred_staff: str = ""
    remember: str = ""
    note_draft: str = ""
    note_problem: str = ""
    note_warning: str = ""


@dataclass(frozen=True, slots=True)
class Mistake:
    """A visit that this user just said was someone else, while they may take it back."""

    id: UUID
    name: str
    undo_url: str
    seconds: int = int(OFFERED.total_seconds())


def current(store: Store) -> QuerySet[Visit]:
    """Visits that a board of this store may show now: lawful, and of whom they name."""
    return lawful(store).theirs()


def lawful(store: Store) -> VisitQuerySet:
    """Visits of now in this store: consent live and for this store, nobody restricted, not past;
    the wrong ones too, which no board shows."""
    previous = (
        Visit.objects.theirs()
        .filter(
            visitor=OuterRef("visitor"),
            store=OuterRef("store"),
            arrived_at__lt=OuterRef("arrived_at"),
        )
        .order_by("-arrived_at")
    )
    return (
        Visit.objects.select_related("visitor__note", "store", "greeted_by", "handed_to", "consent")
        .filter(
            covers("consent__", F("store_id")),
            store=store,
            arrived_at__gt=Now() - SHOWN,
            delete_after__gt=Now(),
            consent__withdrawn_at=None,
            consent__expires_at__gt=Now(),
            visitor__restricted_at=None,
        )
        .annotate(
            previous_at=Subquery(previous.values("arrived_at")[:1]),
            asked_again=changed_since("consent__"),
        )
        .order_by("-arrived_at")
    )


def mistakes(store: Store, user: User, within: timedelta = UNDO) -> QuerySet[Visit]:
    """What this user said was someone else and may still take back."""
    return lawful(store).filter(wrong_by=user, wrong_at__gt=Now() - within)


def mistake(visit: Visit) -> Mistake:
    """Return a visit of `mistakes` as the line that stands where its card was."""
    address = reverse("floor:undo", args=[visit.store.slug, visit.pk])
    return Mistake(visit.pk, visit.visitor.greeting_name, address)


def card(visit: Visit, staff: tuple[Colleague, ...] = ()) -> Card:
    """Return a visit of `current` as a card; `staff` of its store is read once for many."""
    noted = may_note(visit)
    note = getattr(visit.visitor, "note", None)
    return Card(
        id=visit.pk,
        sequence=visit.sequence,
        name=visit.visitor.greeting_name,
        number=visit.number,
        last_visit=visit.previous_at if visit.number else None,  # type: ignore[attr-defined]
        arrived_at=visit.arrived_at,
        confidence="sure" if _is_sure(visit) else "fairly sure",
        greeted_at=visit.greeted_at,
        greeted_by=_named(visit.greeted_by).name if visit.greeted_by else "",
        greet_url=reverse("floor:greet", args=[visit.store.slug, visit.pk]),
        wrong_url=reverse("floor:wrong", args=[visit.store.slug, visit.pk]),
        old=visit.arrived_at < timezone.now() - FADES,
        sign_anew_by=visit.consent.expires_at if visit.asked_again else None,  # type: ignore[attr-defined]
        note_url=reverse("floor:note", args=[visit.store.slug, visit.pk]) if noted else "",
        hand_url=reverse("floor:hand_on", args=[visit.store.slug, visit.pk]),
        handed_to=_named(visit.handed_to) if visit.handed_to else None,
        colleagues=staff,
        say_as=visit.visitor.say_as,
        preferred_staff=visit.visitor.asks_for,
        remember=note.text if noted and note else "",
    )


def _is_sure(visit: Visit) -> bool:
    """Who shows a card is surely its holder, so that it tells nobody who declined the face."""
    if visit.score is None or visit.threshold is None:
        return True
    return visit.score >= visit.threshold + SURE


def may_note(visit: Visit) -> bool:
    """Whether staff of this visit's store may keep a note about who came."""
    own = visit.store_id == visit.visitor.store_id
    return own and Purpose.NOTES.value in visit.consent.purposes


def last_arrival(store: Store) -> datetime | None:
    """When the latest visit began that may still be spoken of."""
    return (
        Visit.objects.theirs()
        .filter(
            covers("consent__", F("store_id")),
            store=store,
            consent__withdrawn_at=None,
            visitor__restricted_at=None,
        )
        .order_by("-arrived_at")
        .values_list("arrived_at", flat=True)
        .first()
    )


@dataclass(frozen=True, slots=True)
class Week:
    """Arrivals that a store's boards were told since Monday, and how many were someone else."""

    arrivals: int
    wrong: int

    @property
    def percent(self) -> float | None:
        """Share of the arrivals that were someone else; None when nobody arrived."""
        return 100 * self.wrong / self.arrivals if self.arrivals else None


def weeks(stores: QuerySet[Store]) -> list[tuple[Store, Week, Week]]:
    """Store by store, this week and the one before: for officers, who set the threshold by it.

    Exact, and of two weeks at most, where the insights tell arrivals by the month and withhold a
    few. Nothing of it can be subtracted from the insights by whoever reads those alone: a manager
    sees no week. An officer who did would learn how often anybody at all came and how many of
    those by card, and with it bounds of what is withheld; but an officer may open each record, for
    a reason that the ledger keeps.
    """
    monday = timezone.now().date() - timedelta(days=timezone.now().weekday())
    both = Q(store__in=stores, day__gte=monday - WEEK)
    told: Counter[tuple[UUID, bool]] = Counter()
    for store, day, count in Disclosure.objects.filter(both).values_list("store", "day", "count"):
        told[store, day >= monday] += count
    wrong = Counter(
        (store, day >= monday)
        for store, day in FalseGreeting.objects.filter(both).values_list("store", "day")
    )

    def week(store: Store, this: bool) -> Week:
        return Week(told[store.pk, this], wrong[store.pk, this])

    return [(store, week(store, True), week(store, False)) for store in stores]


def false_greetings(stores: QuerySet[Store]) -> QuerySet[FalseGreeting]:
    """What to set a threshold by: the false greetings of these stores, latest first."""
    return FalseGreeting.objects.filter(store__in=stores).select_related("store", "camera")
