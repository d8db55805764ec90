"""Work out what months were like. Safe at any time, twice, and after missed nights.

Footfall is counted anew for as long as cameras may still report it (insights.footfall). What is
told of people is worked out once, when the month is over, of all stores of an organization
together, so that no sum of theirs gives a small figure away; it holds no figure of fewer than the
minimum. What it rests on, visits of guests who agree to the statistics at that moment, goes by its
own clock; the figures stay.

No shorter span is told than a month, here or anywhere to people who may read this: the weeks of a
month beside the month would be one more sum to subtract.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, F, Min, Q
from django.db.models import Sum as Total
from django.db.models.functions import Now
from django.utils import timezone

from apps.audit import services as audit
from apps.consent.models import RECOGNITION, Purpose, Refusal
from apps.stores.models import Camera, Device, Organization, Store
from apps.visitors.models import Age, Sex
from apps.visits.insights import footfall
from apps.visits.insights.spans import STILL_COUNTED, Month
from apps.visits.insights.suppression import Sum, suppressed
from apps.visits.models import Disclosure, FalseGreeting, Footfall, OptIn, Rollup, Visit

ACTOR = "system:insights"
# The first half of the advisory lock's name; the second is the organization.
LOCK = 27561

# After at most how many days a guest came back; the last band has no end.
BANDS = {"days:1-7": 7, "days:8-14": 14, "days:15-30": 30, "days:31+": math.inf}
SEXES = (*(f"sex:{sex.value}" for sex in Sex), "sex:unsaid")
AGES = (*(f"age:{age.value}" for age in Age), "age:unsaid")
# Each figure that is the sum of others.
ADDING: dict[str, tuple[str, ...]] = {
    "guests": ("once", "returned"),
    "returned": tuple(BANDS),
    "sex": SEXES,
    "age": AGES,
    "started": ("finished", "unfinished"),
}
# Each figure that is never below the sum of others, as anybody can work out for themselves: a guest
# arrived at least once, and was nobody else then; nobody declines what they were not asked. Cameras
# that count at a line bound nothing: they miss some people and count others twice.
AT_LEAST: dict[tuple[str, ...], str] = {
    ("guests", "wrong"): "arrivals",
    **{(f"declined:{each}",): "started" if each in RECOGNITION else "finished" for each in Purpose},
}
KIOSK = ("started", "finished", "unfinished", *(f"declined:{each}" for each in Purpose))
# What a month tells of a store, where enough people are behind it.
FIGURES = ("guests", "once", "returned", *BANDS, *SEXES, *AGES, "arrivals", *KIOSK)
# Of cameras and of their errors: nobody in particular walked by or was greeted wrongly.
PLAIN = ("entered", "wrong")


def run() -> int:
    """Bring all days and months up to date. Returns how many were written."""
    written = 0
    for organization in Organization.objects.all():
        with transaction.atomic():
            alone(organization)
            written += footfall.count(organization)
        for month in due(organization):
            with transaction.atomic():
                alone(organization)
                written += _month(organization, month)
    return written


def alone(organization: Organization) -> None:
    """Let one roll-up at a time work on an organization."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK, str(organization.pk)]
        )


def due(organization: Organization) -> Iterator[Month]:
    """Months that are over and were never worked out, since anything is held."""
    stores = Q(store__organization=organization)
    firsts: list[date | None] = [
        Disclosure.objects.filter(stores).aggregate(first=Min("day"))["first"],
        OptIn.objects.filter(stores).aggregate(first=Min("month"))["first"],
        Footfall.objects.filter(camera__store__organization=organization).aggregate(
            first=Min("quarter__date")
        )["first"],
    ]
    first = Visit.objects.filter(stores).aggregate(first=Min("arrived_at"))["first"]
    firsts.append(timezone.localdate(first) if first else None)
    if not any(firsts):
        return
    done = set(
        Rollup.objects.filter(organization=organization, span=Rollup.Span.MONTH).values_list(
            "begins", flat=True
        )
    )
    month = Month.of(min(filter(None, firsts)))
    # Late reports of its last day are in.
    while month.ends + STILL_COUNTED <= timezone.localdate():
        if month.begins not in done:
            yield month
        month = Month(month.ends)


def _month(organization: Organization, month: Month) -> int:
    ours = Rollup.objects.filter(
        organization=organization, span=Rollup.Span.MONTH, begins=month.begins
    )
    if ours.exists():
        return 0
    stores = list(organization.stores.order_by("slug"))
    counts = Counts(figures(stores, month), plain(stores, month), flows(stores, month))
    return write(organization, month, counts)


Figures = dict[UUID | None, dict[str, int]]
Flows = Mapping[tuple[UUID, UUID], int]
Told = dict[UUID | None, dict[str, int | None]]


@dataclass(frozen=True, slots=True)
class Counts:
    """A month of each store before anything is withheld; None: of all together, where there are
    several. `plain`: what is told as it is. `flows`: guests who went from one store to another."""

    figures: Figures
    plain: Figures
    flows: Flows


def write(organization: Organization, month: Month, counts: Counts) -> int:
    """Withhold, and write what is left, once for all. Returns how many rows were written."""
    told = withheld(counts.figures, counts.plain)
    between = withheld_flows(counts.flows, told)
    rows = [
        Rollup(
            organization=organization,
            store_id=store,
            span=Rollup.Span.MONTH,
            begins=month.begins,
            figures={**told[store], **between[store], **counts.plain[store]},
        )
        for store in told
    ]
    Rollup.objects.bulk_create(rows)
    audit.record(
        actor=ACTOR,
        action="insights.rolled_up",
        organization=str(organization.pk),
        month=month.begins.isoformat(),
        minimum=settings.CONSENTRY.insights_minimum,
    )
    return len(rows)


def withheld(counts: Figures, plain: Figures) -> Told:
    """The same figures, None in place of each that is withheld."""
    cells = {(store, name): count for store, row in counts.items() for name, count in row.items()}
    sums: list[Sum[tuple[UUID | None, str]]] = []
    for store, row in counts.items():
        for total, parts in ADDING.items():
            whole = "guests" if total in ("sex", "age") else total
            if whole in row:
                sums.append(Sum((store, whole), tuple((store, part) for part in parts)))
    for name in counts.get(None, ()):
        parts_of = tuple((store, name) for store in counts if store and name in counts[store])
        sums.append(Sum((None, name), parts_of, loose=True))
    known = {(store, "wrong"): plain[store]["wrong"] for store in counts}
    counted = cells | known
    # Of all together it follows from each store.
    rests: dict[tuple[UUID | None, str], int] = {}
    for store in filter(None, counts):
        for less, more in AT_LEAST.items():
            named = tuple((store, name) for name in less)
            if (store, more) not in cells:
                continue
            beyond = counted[store, more] - sum(counted[each] for each in named)
            # What does not hold, nobody can count on.
            if beyond >= 0:
                rest = store, f"{more} beyond {less[0]}"
                rests[rest] = beyond
                # Guests are worth more to a reader than arrivals.
                sums.append(Sum((store, more), (*named, rest), loose=more == "arrivals"))
    hidden = suppressed(
        counted | rests,
        sums,
        settings.CONSENTRY.insights_minimum,
        untold=rests,
        plain=known,
    )
    return {
        store: {name: None if (store, name) in hidden else count for name, count in row.items()}
        for store, row in counts.items()
    }


def figures(stores: Sequence[Store], month: Month) -> Figures:
    """What is counted of each store. A guest of two stores counts in both, and twice in the sum."""
    table: Figures = {store.pk: dict.fromkeys(FIGURES, 0) for store in stores}
    for store, guests in _guests(stores, month).items():
        row = table[store]
        for guest in guests:
            row["guests"] += 1
            row[f"sex:{guest.sex or 'unsaid'}"] += 1
            row[f"age:{guest.age or 'unsaid'}"] += 1
            row["once" if guest.away is None else "returned"] += 1
            if guest.away is not None:
                row[next(name for name, last in BANDS.items() if guest.away <= last)] += 1
    within = Q(store__in=stores, day__gte=month.begins, day__lt=month.ends)
    told = Disclosure.objects.filter(within).values_list("store", F("count") + F("by_card"))
    for store, count in told:
        table[store]["arrivals"] += count
    for store, purpose, count in Refusal.objects.filter(within).values_list(
        "store", "purpose", "count"
    ):
        table[store][f"declined:{purpose}"] += count
    for asked in OptIn.objects.filter(store__in=stores, month=month.begins):
        # Whoever began before midnight of the last day may have finished after it.
        started = max(asked.started, asked.finished)
        table[asked.store_id] |= {
            "started": started,
            "finished": asked.finished,
            "unfinished": started - asked.finished,
        }
    for each in stores:
        _without_what_cannot_be(table[each.pk], each)
    return table | together(table)


def together(table: Figures) -> Figures:
    """The row of all stores together, where there are several."""
    if len(table) < 2:
        return {}
    return {
        None: {
            name: sum(row[name] for row in found)
            for name in FIGURES
            if (found := [row for row in table.values() if name in row])
        }
    }


def _without_what_cannot_be(row: dict[str, int], store: Store) -> None:
    """Leave out what everybody knows to be nothing (structural zeros): they hide nobody, and would
    have other stores' numbers withheld with them."""
    recognises = store.cameras.filter(mode__in=(Camera.Mode.LANE, Camera.Mode.PASS))
    greets = bool(store.non_face_check_in) or recognises.exists()
    asks = store.devices.filter(kind=Device.Kind.KIOSK)
    for names, able in (
        ([name for name in FIGURES if name not in KIOSK], greets),
        (KIOSK, asks.exists()),
    ):
        if not able and not any(row[name] for name in names):
            for name in names:
                del row[name]


@dataclass(frozen=True, slots=True)
class Guest:
    """One guest of a month at a store; `away`: days since the day before, None: no such day."""

    sex: str
    age: str
    away: int | None


def _counted() -> Q:
    """Visits of people who agree to the statistics at this moment."""
    return Q(
        consent__purposes__contains=[Purpose.STATISTICS],
        consent__withdrawn_at=None,
        consent__expires_at__gt=Now(),
        visitor__restricted_at=None,
        delete_after__gt=Now(),
        wrong_at=None,
    )


def _guests(stores: Sequence[Store], month: Month) -> dict[UUID, list[Guest]]:
    days: defaultdict[tuple[UUID, UUID], set[date]] = defaultdict(set)
    said: dict[UUID, tuple[str, str]] = {}
    visits = Visit.objects.filter(_counted(), store__in=stores, arrived_at__lt=month.moments[1])
    for store, visitor, arrived_at, sex, age in visits.values_list(
        "store", "visitor", "arrived_at", "visitor__sex", "visitor__age"
    ):
        days[store, visitor].add(timezone.localdate(arrived_at))
        said[visitor] = sex, age
    guests: defaultdict[UUID, list[Guest]] = defaultdict(list)
    for (store, visitor), seen in days.items():
        *_, before, last = [None, *sorted(seen)]
        if last is not None and last >= month.begins:
            away = (last - before).days if before else None
            guests[store].append(Guest(*said[visitor], away))
    return guests


def flows(stores: Sequence[Store], month: Month) -> Counter[tuple[UUID, UUID]]:
    """How many guests went from one store to another, of those who agreed to be recognised in
    both."""
    between: Counter[tuple[UUID, UUID]] = Counter()
    paths: defaultdict[UUID, list[UUID]] = defaultdict(list)
    begin, end = month.moments
    visits = Visit.objects.filter(
        _counted(),
        store__in=stores,
        arrived_at__gte=begin,
        arrived_at__lt=end,
        consent__purposes__contains=[Purpose.GROUP],
    ).order_by("arrived_at", "sequence")
    for visitor, store in visits.values_list("visitor", "store"):
        paths[visitor].append(store)
    for path in paths.values():
        between.update({(come, gone) for come, gone in pairwise(path) if come != gone})
    return between


def withheld_flows(flows: Flows, told: Told) -> Told:
    """{store they came to: {"from:<store>": people}}. No sums are told of them, so few are withheld
    by themselves; with them where the other guests of either store, who did not go, are few."""
    minimum = settings.CONSENTRY.insights_minimum
    between: Told = {store: {} for store in told}
    for (come, gone), people in flows.items():
        guests = [told[each].get("guests") for each in (come, gone)]
        if people >= minimum and all(each and each - people >= minimum for each in guests):
            between[gone][f"from:{come}"] = people
    return between


def plain(stores: Sequence[Store], month: Month) -> Figures:
    """What cameras counted, and greetings that staff said were false."""
    begin, end = month.moments
    found: Figures = {store.pk: dict.fromkeys(PLAIN, 0) for store in stores}
    for store, entered in (
        Footfall.objects.filter(camera__store__in=stores, quarter__gte=begin, quarter__lt=end)
        .values_list("camera__store")
        .annotate(total=Total("entered"))
    ):
        found[store]["entered"] = entered
    for store, wrong in (
        FalseGreeting.objects.filter(store__in=stores, day__gte=month.begins, day__lt=month.ends)
        .order_by()
        .values_list("store")
        .annotate(total=Count("pk"))
    ):
        found[store]["wrong"] = wrong
    found[None] = {name: sum(row[name] for row in found.values()) for name in PLAIN}
    return found
