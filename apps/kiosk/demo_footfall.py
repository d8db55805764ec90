"""Invented footfall and guests for the demo's insights: numbers of nobody, up to yesterday, made
once. The months that are over go through the same withholding as any."""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta

from django.db import transaction
from django.utils import timezone

from apps.stores.models import Camera, Store
from apps.visits.insights import rollup
from apps.visits.insights.spans import STILL_COUNTED, Month
from apps.visits.models import Footfall, OptIn

# As far back as the last whole month in any case.
DAYS = 66
# People a quarter of an hour, from nine in the morning to seven in the evening.
HOURS = (2, 4, 6, 9, 8, 6, 7, 9, 10, 6, 3)
OPENS = 9
SATURDAY, SUNDAY = 5, 6
# How often the kiosk's questions were opened, and answered to the end.
OPT_INS = (212, 138)
# Guests of the first store, the second, ….
GUESTS = (420, 260, 190)
# What share of a sum each of its parts has.
SHARES = {
    "guests": {"once": 62, "returned": 38},
    "returned": {"days:1-7": 20, "days:8-14": 28, "days:15-30": 37, "days:31+": 15},
    "sex": {"sex:female": 42, "sex:male": 38, "sex:other": 6, "sex:unsaid": 14},
    "age": dict(zip(rollup.AGES, (12, 31, 28, 17, 12), strict=True)),
}
# Of those who were asked, in percent.
DECLINED = {"lane": 14, "history": 22, "statistics": 31, "group": 44, "notes": 58, "contact": 37}


def invent(stores: Sequence[Store]) -> None:
    """Fill the days before today, unless something was counted on one, and roll them up."""
    today = timezone.make_aware(datetime.combine(timezone.localdate(), time.min)).astimezone(UTC)
    if not Footfall.objects.filter(quarter__lt=today).exists():
        dice = random.Random(31)  # noqa: S311  no secret: a picture
        rows = []
        for scale, camera in enumerate(Camera.objects.filter(store__in=stores), 1):
            for ago in range(1, DAYS):
                rows += _day(camera, today - timedelta(days=ago), 1.6 / scale, dice)
        Footfall.objects.bulk_create(rows)
        # The latest month that is worked out already.
        month = (timezone.localdate() - STILL_COUNTED).replace(day=1) - timedelta(days=1)
        started, finished = OPT_INS
        OptIn.objects.create(
            store=stores[0], month=month.replace(day=1), started=started, finished=finished
        )
        organization = stores[0].organization
        with transaction.atomic():
            rollup.alone(organization)
            for each in rollup.due(organization):
                rollup.write(organization, each, _counts(stores, each, dice))
    rollup.run()


def _counts(stores: Sequence[Store], month: Month, dice: random.Random) -> rollup.Counts:
    table: rollup.Figures = {
        store.pk: _guests(people, dice) for store, people in zip(stores, GUESTS, strict=False)
    }
    went = {(here.pk, there.pk): 24 for here in stores for there in stores if here != there}
    figures = table | rollup.together(table)
    return rollup.Counts(figures, rollup.plain(stores, month), went)


def _guests(people: int, dice: random.Random) -> dict[str, int]:
    row = dict.fromkeys(rollup.FIGURES, 0) | {"guests": people, "arrivals": round(1.7 * people)}
    for total, shares in SHARES.items():
        whole = row["returned"] if total == "returned" else people
        row |= Counter(dice.choices(list(shares), list(shares.values()), k=whole))
    started, finished = OPT_INS
    row |= {"started": started, "finished": finished, "unfinished": started - finished}
    return row | {f"declined:{key}": finished * share // 100 for key, share in DECLINED.items()}


def _day(camera: Camera, day: datetime, scale: float, dice: random.Random) -> list[Footfall]:
    weekday = timezone.localtime(day).weekday()
    if weekday == SUNDAY:
        return []
    scale *= 1.5 if weekday == SATURDAY else 0.85 + 0.05 * weekday
    rows, inside = [], 0
    for hour, usual in enumerate(HOURS):
        for quarter in range(4):
            entered = round(usual * scale * dice.uniform(0.5, 1.5))
            left = min(inside, round((inside + entered) * dice.uniform(0.2, 0.5)))
            if hour == len(HOURS) - 1 and quarter == 3:
                left = inside + entered
            inside += entered - left
            at = day + timedelta(hours=OPENS + hour, minutes=15 * quarter)
            rows.append(Footfall(camera=camera, quarter=at, entered=entered, left=left))
    return rows
