"""Work out what days and months were like. Safe at any time, twice, and after missed nights.

A day's footfall is counted anew for as long as cameras may still report it. A month is worked out
once, when it is over, of all stores of an organization together, so that no sum of theirs gives a
small figure away; it holds no figure of fewer than the minimum. What it rests on, visits of guests
who agree to the statistics at that moment, goes by its own clock; the figures stay.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, F, Min, Q
from django.db.models import Sum as Total
from django.db.models.functions import Now
from django.utils import timezone

from apps.audit import services as audit
from apps.consent.models import Purpose, Refusal
from apps.stores.models import Camera, Device, Organization, Store
from apps.visitors.models import Age, Sex
from apps.visits.insights.suppression import Sum, suppressed
from apps.visits.models import Disclosure, FalseGreeting, Footfall, OptIn, Rollup, Visit

ACTOR = "system:insights"
# A watcher that was cut off reports late.
STILL_COUNTED = timedelta(days=3)
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
KIOSK = ("started", "finished", "unfinished", *(f"declined:{each}" for each in Purpose))
# What a month tells of a store, where enough people are behind it.
FIGURES = ("guests", "once", "returned", *BANDS, *SEXES, *AGES, "arrivals", *KIOSK)
# Of cameras and of their errors: nobody in particular walked by or was greeted wrongly.
PLAIN = ("entered", "wrong")


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month in the house's own time: `begins` is its first day, `ends` the next's."""

    begins: date

    @property
    def ends(self) -> date:
        return (self.begins + timedelta(days=31)).replace(day=1)

    @property
    def moments(self) -> tuple[datetime, datetime]:
        return midnight(self.begins), midnight(self.ends)


def run() -> int:
    """Bring all days and months up to date. Returns how many were written."""
    written = 0
    for organization in Organization.objects.all():
        with transaction.atomic():
            _alone(organization)
            written += _days(organization)
        for month in _due(organization):
            with transaction.atomic():
                _alone(organization)
                written += _month(organization, month)
    return written


def midnight(day: date) -> datetime:
    """When the day begins."""
    return timezone.make_aware(datetime.combine(day, time.min)).astimezone(UTC)


def _alone(organization: Organization) -> None:
    """Let one roll-up at a time work on an organization."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK, str(organization.pk)]
        )


def _days(organization: Organization) -> int:
    """Footfall by entrance and hour: {camera: [[hour, entered, left], …]}."""
    ours = Rollup.objects.filter(
        organization=organization, span=Rollup.Span.DAY, store__isnull=False
    )
    today = timezone.localdate()
    begin = midnight(today - STILL_COUNTED)
    # The first night, and after a pause, all that was missed; else the last few days.
    last = ours.order_by("-begins").values_list("begins", flat=True).first()
    if last is None or last < today - STILL_COUNTED:
        begin = midnight(last) if last else datetime.min.replace(tzinfo=UTC)
    counted: defaultdict[tuple[UUID, date], dict[UUID, dict[int, list[int]]]]
    counted = defaultdict(lambda: defaultdict(lambda: defaultdict(lambda: [0, 0])))
    rows = Footfall.objects.filter(
        camera__store__organization=organization, quarter__gte=begin, quarter__lt=midnight(today)
    ).values_list("camera__store", "camera", "quarter", "entered", "left")
    for store, camera, quarter, entered, left in rows.iterator():
        local = timezone.localtime(quarter)
        cell = counted[store, local.date()][camera][local.hour]
        cell[0] += entered
        cell[1] += left
    for (store, day), cameras in counted.items():
        ours.update_or_create(
            store_id=store,
            begins=day,
            defaults={
                "organization": organization,
                "span": Rollup.Span.DAY,
                "figures": {
                    str(camera): [[hour, *hours[hour]] for hour in sorted(hours)]
                    for camera, hours in cameras.items()
                },
            },
        )
    return len(counted)


def _due(organization: Organization) -> Iterator[Month]:
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
    month = Month(min(filter(None, firsts)).replace(day=1))
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
    counts = figures(stores, month)
    told = withheld(counts)
    flows = withheld_flows(stores, month, told)
    plain = _plain(stores, month)
    rows = [
        Rollup(
            organization=organization,
            store_id=store,
            span=Rollup.Span.MONTH,
            begins=month.begins,
            figures={**told[store], **flows.get(store, {}), **plain[store]},
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


Figures = dict[UUID | None, dict[str, int]]
Told = dict[UUID | None, dict[str, int | None]]


def withheld(counts: Figures) -> Told:
    """The same figures, None in place of each that is withheld."""
    minimum = settings.CONSENTRY.insights_minimum
    cells = {(store, name): count for store, row in counts.items() for name, count in row.items()}
    sums = []
    for store, row in counts.items():
        for total, parts in ADDING.items():
            whole = "guests" if total in ("sex", "age") else total
            if whole in row:
                sums.append(Sum((store, whole), tuple((store, part) for part in parts)))
    for name in counts.get(None, ()):
        parts_of = tuple((store, name) for store in counts if store and name in counts[store])
        sums.append(Sum((None, name), parts_of, loose=True))
    hidden = suppressed(cells, sums, minimum)
    return {
        store: {name: None if (store, name) in hidden else count for name, count in row.items()}
        for store, row in counts.items()
    }


def figures(stores: Sequence[Store], month: Month) -> Figures:
    """What is counted of each store before anything is withheld; None: of all together, where
    there are several. A guest of two stores counts in both, and twice in the sum."""
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
    if len(stores) > 1:
        table[None] = {
            name: sum(row[name] for row in found)
            for name in FIGURES
            if (found := [row for row in table.values() if name in row])
        }
    return table


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


def withheld_flows(stores: Sequence[Store], month: Month, figures: Told) -> Told:
    """How many guests went from one store to another, of those who agreed to be recognised in both:
    {store they came to: {"from:<store>": people}}. No sums are told of them, so few are withheld
    by themselves; and all where the store's guests are, who were no fewer."""
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
    minimum = settings.CONSENTRY.insights_minimum
    known = {store.pk for store in stores if figures[store.pk]["guests"] is not None}
    told: Told = {store.pk: {} for store in stores}
    for (come, gone), people in between.items():
        if people >= minimum and {come, gone} <= known:
            told[gone][f"from:{come}"] = people
    return told


def _plain(stores: Sequence[Store], month: Month) -> dict[UUID | None, dict[str, int]]:
    """What cameras counted, and greetings that staff said were false."""
    begin, end = month.moments
    plain: dict[UUID | None, dict[str, int]] = {
        store.pk: dict.fromkeys(PLAIN, 0) for store in stores
    }
    for store, entered in (
        Footfall.objects.filter(camera__store__in=stores, quarter__gte=begin, quarter__lt=end)
        .values_list("camera__store")
        .annotate(total=Total("entered"))
    ):
        plain[store]["entered"] = entered
    for store, wrong in (
        FalseGreeting.objects.filter(store__in=stores, day__gte=month.begins, day__lt=month.ends)
        .order_by()
        .values_list("store")
        .annotate(total=Count("pk"))
    ):
        plain[store]["wrong"] = wrong
    plain[None] = {name: sum(row[name] for row in plain.values()) for name in PLAIN}
    return plain
