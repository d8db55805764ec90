"""Counts people who come in and go out, from tracks alone.

It makes no crop, embeds nothing, asks nobody, and imports no code that could. What leaves it is
two numbers a quarter of an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from .track import Track
from .zone import Line, Point, View, Zone

QUARTER = 900
"""Seconds."""
MARGIN = 0.25
"""Widths of a face beyond the line before its side is believed: a face that trembles on the line
is counted once."""


@dataclass(frozen=True, slots=True)
class Footfall:
    """People counted in one quarter hour since the last report. quarter: its start, UTC."""

    quarter: datetime
    entered: int
    left: int


class Counting:
    """The `count` mode of one camera.

    With a line, whoever crosses it is counted by direction (see `Line`). Without one, whoever
    appears in the zone has entered, and nobody is counted out: a zone has no direction.
    """

    def __init__(self, zone: Zone, line: Line | None) -> None:
        self._zone = zone
        self._line = line
        self._known: dict[int, Point | None] = {}
        """Where each track was last clearly on one side; None once it is counted in a zone."""
        self._counts: dict[datetime, list[int]] = {}

    def eager(self, at: float) -> bool:
        """Nothing here is in a hurry: still pictures may be skipped."""
        return False

    def step(self, view: View, live: Sequence[Track], lost: Sequence[Track], at: float) -> None:
        """Takes the tracks of one frame, seen at Unix second `at`."""
        for track in live:
            if track.seen:
                self._follow(view, track, at)
        self.leave(lost)

    def leave(self, lost: Sequence[Track]) -> None:
        """Forgets tracks that ended."""
        for track in lost:
            self._known.pop(track.id, None)

    def forget(self) -> None:
        """Forgets all tracks, and keeps what was counted."""
        self._known.clear()

    def flush(self, send: Callable[[Footfall], None]) -> None:
        """Hands over what was counted since the last time; what `send` raises for is kept."""
        for quarter in sorted(self._counts):
            entered, left = self._counts[quarter]
            send(Footfall(quarter, entered, left))
            del self._counts[quarter]

    def _follow(self, view: View, track: Track, at: float) -> None:
        centre = track.centre
        here = view.unit(centre.real, centre.imag)
        if self._line is None:
            if track.id not in self._known and track.confirmed and self._zone.contains(here):
                self._known[track.id] = None
                self._add(at, entered=1)
            return
        side = self._line.side(here, MARGIN * track.face.width / view.width)
        if side == 0:
            return
        before = self._known.setdefault(track.id, here)
        if not track.confirmed or before is None:
            return
        if self._line.side(before) != side and self._line.crossed(before, here):
            self._add(at, entered=int(side > 0), left=int(side < 0))
        self._known[track.id] = here

    def _add(self, at: float, *, entered: int = 0, left: int = 0) -> None:
        quarter = datetime.fromtimestamp(at // QUARTER * QUARTER, UTC)
        count = self._counts.setdefault(quarter, [0, 0])
        count[0] += entered
        count[1] += left
