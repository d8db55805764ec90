"""Invented footfall for the demo's insights: numbers of nobody, up to yesterday, made once."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta

from django.utils import timezone

from apps.stores.models import Camera, Store
from apps.visits.insights import rollup
from apps.visits.insights.spans import STILL_COUNTED
from apps.visits.models import Footfall, OptIn

# As far back as the last whole month in any case.
DAYS = 66
# People a quarter of an hour, from nine in the morning to seven in the evening.
HOURS = (2, 4, 6, 9, 8, 6, 7, 9, 10, 6, 3)
OPENS = 9
SATURDAY, SUNDAY = 5, 6
# How often the kiosk's questions were opened, and answered to the end.
OPT_INS = (212, 138)


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
    rollup.run()


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
