"""How busy an entrance was on one day, by quarter of an hour, ready to be drawn. Numbers only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.utils import timezone

from apps.stores.models import Camera
from apps.visits.models import Footfall

QUARTER = timedelta(minutes=15)
OPENS, CLOSES = 8, 20
"""Hours that are drawn even when nobody came."""
HALF = 100
"""Height of one half of the picture: people in above the middle, people out below it."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One quarter hour: when it begins, its counts, and its place in the picture."""

    at: datetime
    entered: int
    left: int
    x: int
    up: float
    down: float

    @property
    def top(self) -> float:
        """Where the upper bar begins."""
        return HALF - self.up


@dataclass(frozen=True, slots=True)
class Day:
    """One day at one entrance. hours: those that are drawn. most: the tallest bar's count."""

    date: date
    bars: Sequence[Bar]
    hours: Sequence[datetime]
    entered: int
    left: int
    most: int

    @property
    def told(self) -> list[Bar]:
        """Quarters in which anybody was counted."""
        return [bar for bar in self.bars if bar.entered or bar.left]

    @property
    def busiest(self) -> Bar | None:
        """The first of the quarters in which most people came in; None when nobody did."""
        return max(self.bars, key=lambda bar: bar.entered) if self.entered else None


def day_at(camera: Camera, day: date) -> Day:
    """What `camera` counted on `day` in the house's own time."""
    begin, end = _midnight(day), _midnight(day + timedelta(days=1))
    rows = {
        row.quarter: row
        for row in Footfall.objects.filter(camera=camera, quarter__gte=begin, quarter__lt=end)
    }
    hours = {timezone.localtime(quarter).hour for quarter in rows}
    opens, closes = min({OPENS, *hours}), max({CLOSES, *(hour + 1 for hour in hours)})
    # Steps of real time: a day with a change of clocks has 92 or 100 quarters.
    steps = [begin + QUARTER * n for n in range((end - begin) // QUARTER)]
    drawn = [at for at in steps if opens <= timezone.localtime(at).hour < closes]
    most = max((max(row.entered, row.left) for row in rows.values()), default=0)
    scale = HALF / max(most, 1)
    bars = []
    for x, at in enumerate(drawn):
        row = rows.get(at)
        entered, left = (row.entered, row.left) if row else (0, 0)
        local = timezone.localtime(at)
        bars.append(Bar(local, entered, left, x, round(entered * scale, 1), round(left * scale, 1)))
    return Day(
        date=day,
        bars=bars,
        hours=[bar.at for bar in bars if bar.at.minute == 0],
        entered=sum(bar.entered for bar in bars),
        left=sum(bar.left for bar in bars),
        most=most,
    )


def _midnight(day: date) -> datetime:
    """When the day begins, in UTC: steps of local time would miss the hour that clocks skip."""
    return timezone.make_aware(datetime.combine(day, time.min)).astimezone(UTC)
