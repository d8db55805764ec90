"""Roll up what cameras counted: the hours of each entrance a day, and of those a month so far.

A page of the insights reads one row for a whole month, whoever asks for it and how often. These
are counts of whoever walked by; nobody in particular did.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from apps.stores.models import Organization
from apps.visits.insights.spans import STILL_COUNTED, Month, midnight
from apps.visits.models import Footfall, Rollup

# {camera: [[hour, entered, left], …]}
Day = dict[str, list[list[int]]]


def count(organization: Organization) -> int:
    """Bring its days and months up to date. Returns how many rows were written."""
    days = _days(organization)
    rows = Rollup.objects.filter(organization=organization)
    # A month without its row: of before there were such rows.
    begun = {Month.of(each) for each in rows.filter(span=Rollup.Span.DAY).dates("begins", "month")}
    told = rows.filter(span=Rollup.Span.FOOTFALL, store=None).values_list("begins", flat=True)
    months = {Month.of(each) for _store, each in days} | (begun - {Month(each) for each in told})
    return len(days) + sum(_month(organization, month) for month in months)


def _days(organization: Organization) -> list[tuple[UUID, date]]:
    """Write footfall by entrance and hour; which days of which stores were written."""
    ours = Rollup.objects.filter(organization=organization, span=Rollup.Span.DAY)
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
    _write(
        Rollup(
            organization=organization,
            store_id=store,
            span=Rollup.Span.DAY,
            begins=day,
            figures={
                str(camera): [[hour, *hours[hour]] for hour in sorted(hours)]
                for camera, hours in cameras.items()
            },
        )
        for (store, day), cameras in counted.items()
    )
    return list(counted)


def _month(organization: Organization, month: Month) -> int:
    """Add up the days of each store, and of all together."""
    days: defaultdict[UUID | None, list[tuple[date, Day]]] = defaultdict(list)
    within = Q(begins__gte=month.begins, begins__lt=month.ends)
    rows = Rollup.objects.filter(within, organization=organization, span=Rollup.Span.DAY)
    for store, day, figures in rows.values_list("store", "begins", "figures"):
        days[store].append((day, figures))
        days[None].append((day, figures))
    _write(
        Rollup(
            organization=organization,
            store_id=store,
            span=Rollup.Span.FOOTFALL,
            begins=month.begins,
            figures=added_up(found),
        )
        for store, found in days.items()
    )
    return len(days)


def added_up(days: Iterable[tuple[date, Day]]) -> dict[str, Any]:
    """A month of days, sums all of them: {"days": [[day of the month, entered], …],
    "hours": [[hour, entered, left, inside at its end], …], "cameras": [[camera, entered, left],
    …]}."""
    by_day: defaultdict[date, defaultdict[int, list[int]]]
    by_day = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    cameras: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for day, figures in days:
        for camera, hours in figures.items():
            for hour, *ways in hours:
                for way, people in enumerate(ways):
                    by_day[day][hour][way] += people
                    cameras[camera][way] += people
    counted = {hour for hours in by_day.values() for hour in hours}
    shown = range(min(counted), max(counted) + 1) if counted else range(0)
    sums = {hour: [0, 0] for hour in shown}
    inside: Counter[int] = Counter()
    for counts in by_day.values():
        there = 0
        for hour in shown:
            entered, left = counts.get(hour, (0, 0))
            sums[hour][0] += entered
            sums[hour][1] += left
            # Who is missed on the way in must not make the rest of the day negative.
            there = max(0, there + entered - left)
            inside[hour] += there
    return {
        "days": [
            [day.day, sum(entered for entered, _left in by_day[day].values())]
            for day in sorted(by_day)
        ],
        "hours": [[hour, *sums[hour], inside[hour]] for hour in shown],
        "cameras": [[camera, *ways] for camera, ways in cameras.items()],
    }


def _write(rows: Iterable[Rollup]) -> None:
    """Write these rows, each in place of an older one."""
    Rollup.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=("organization", "store", "span", "begins"),
        update_fields=("figures",),
    )
