"""Which face in this frame is which of the last one, by place alone.

It follows boxes through a few seconds and forgets them; it knows no features of a face and cannot
tell whether somebody came back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from apps.recognition.engine.types import Face

CONFIRM = 3
"""Frames with a face before a track is believed; a false detection rarely lasts three."""
FLICKER = 2
"""Looks in vain after which a track that was never confirmed is dropped."""
LOST_SECONDS = 0.7
"""How long a confirmed one is looked for in vain: a hand before the face, or somebody who passes
in front, hides it for about half a second."""
BLIND_SECONDS = 2.0
"""Without any look at all, after which nobody is taken for who was there before."""
TREMBLE = 0.5
"""Widths of a face that a detector's box may jump, and a head may sway, at any rate."""
WALK = 8.0
"""Widths of a face a second that a stranger's first step may take it: a brisk 1.3 m/s over a
face of 16 cm. Once the speed is known, half of that is left for changing it."""
MAX_STEP = 2.0
"""Widths from where it was expected beyond which it is taken for somebody else."""
MAX_GROWTH = 1.8
"""Ratio of sizes between two sights of the same face."""
IMPOSSIBLE = 1e6
DOUBT = 1.0
"""How much dearer, in widths, every other way to tell two faces apart must be: half a width each.
Of people who meet and turn back, place alone cannot tell who is who; measured on such clips."""


@dataclass(slots=True, eq=False)
class Track:
    """One face followed through frames.

    face: as last seen. hits: frames in which it was seen. misses: looks in vain since then.
    first_at, last_at, missing_since: Unix seconds of the first and the latest sight, and of the
    first look in vain since. exchanges: times that it was so close to another that place alone
    cannot tell whether they were exchanged. stretch: changes with each of those, and whenever it
    was hidden; within one, all sights are of one person. To count people that makes no difference;
    to recognise one, nothing may be carried from one stretch to the next.
    """

    id: int
    face: Face
    first_at: float
    last_at: float
    hits: int = 1
    misses: int = 0
    missing_since: float | None = None
    exchanges: int = 0
    stretch: int = 0
    speed: complex = 0.0
    """Pixels a second, down being the imaginary part: of so few numbers numpy takes four times as
    long."""

    @property
    def seen(self) -> bool:
        """Whether it was found in the latest frame."""
        return self.misses == 0

    @property
    def confirmed(self) -> bool:
        return self.hits >= CONFIRM

    @property
    def centre(self) -> complex:
        """The middle of its box, pixels."""
        return _centre(self.face)

    def expected(self, at: float) -> complex:
        """Where its middle should be at `at`, pixels."""
        return self.centre + self.speed * min(at - self.last_at, LOST_SECONDS)


@dataclass(frozen=True, slots=True)
class Tracks:
    """live: tracks that are seen or still looked for; lost: those that ended with this frame."""

    live: list[Track]
    lost: list[Track]


class Tracker:
    """Follows the faces of one camera."""

    def __init__(self) -> None:
        self._live: list[Track] = []
        self._next = 0

    @property
    def live(self) -> list[Track]:
        return self._live

    def update(self, faces: Sequence[Face], at: float) -> Tracks:
        """Tells which tracks `faces`, seen at Unix second `at`, belong to; begins new ones."""
        lost = self._drop(lambda track: _is_over(track, at))
        pairs, doubtful = self._assign(faces, at)
        found = {track.id for track, _ in pairs}
        taken = {id(face) for _, face in pairs}
        for track in self._live:
            track.exchanges += track.id in doubtful
            track.stretch += track.id in doubtful
            if track.id not in found:
                _miss(track, at)
        for track, face in pairs:
            _move(track, face, at)
        for face in faces:
            if id(face) not in taken:
                self._live.append(Track(self._next, face, at, at))
                self._next += 1
        lost += self._drop(lambda track: not track.confirmed and track.misses >= FLICKER)
        return Tracks(list(self._live), lost)

    def clear(self) -> list[Track]:
        """Ends all tracks and returns them."""
        lost, self._live = self._live, []
        return lost

    def _drop(self, over: Callable[[Track], bool]) -> list[Track]:
        """Takes the tracks that are over out, and returns them."""
        lost = [track for track in self._live if over(track)]
        self._live = [track for track in self._live if not over(track)]
        return lost

    def _assign(
        self, faces: Sequence[Face], at: float
    ) -> tuple[list[tuple[Track, Face]], set[int]]:
        """Pairs, and the ids of tracks that may have been exchanged in them."""
        if not self._live or not faces:
            return [], set()
        cost = np.array([[_cost(track, face, at) for face in faces] for track in self._live])
        rows, columns = linear_sum_assignment(cost)
        pairs = {
            int(row): int(column)
            for row, column in zip(rows, columns, strict=True)
            if cost[row, column] < IMPOSSIBLE
        }
        doubtful = {self._live[row].id for row in _exchangeable(cost, pairs)}
        return [(self._live[row], faces[column]) for row, column in pairs.items()], doubtful


def _cost(track: Track, face: Face, at: float) -> float:
    """0 when `face` lies just where the track is expected, more the less it can be it."""
    size, other = _size(track.face), _size(face)
    growth = max(size, other) / min(size, other)
    step = abs(_centre(face) - track.expected(at)) / max(size, other)
    pace = WALK if track.hits == 1 else WALK / 2
    reach = min(TREMBLE + pace * max(at - track.last_at, 0.0), MAX_STEP)
    if growth > MAX_GROWTH or step > reach:
        return IMPOSSIBLE
    return step + (growth - 1.0) / (MAX_GROWTH - 1.0)


def _exchangeable(cost: NDArray[np.float64], pairs: dict[int, int]) -> set[int]:
    """Rows of `cost` (tracks by faces) whose face another track might as well have been given."""
    found = set()
    for row, column in pairs.items():
        for other in range(len(cost)):
            if other == row:
                continue
            theirs = pairs.get(other)
            here = cost[row, column] + (0.0 if theirs is None else cost[other, theirs])
            instead = cost[other, column] + (0.0 if theirs is None else cost[row, theirs])
            if instead - here < DOUBT:
                found |= {row, other}
    return found


def _move(track: Track, face: Face, at: float) -> None:
    elapsed = at - track.last_at
    if elapsed > 0:
        latest = (_centre(face) - track.centre) / elapsed
        # The second sight gives a speed at all; later ones smooth the detector's trembling.
        track.speed = latest if track.hits == 1 else 0.5 * track.speed + 0.5 * latest
    track.face = face
    track.last_at = at
    track.hits += 1
    track.misses = 0
    track.missing_since = None


def _miss(track: Track, at: float) -> None:
    track.misses += 1
    if track.missing_since is None:
        track.missing_since = at
        track.stretch += 1


def _is_over(track: Track, at: float) -> bool:
    if at - track.last_at > BLIND_SECONDS:
        return True
    return track.missing_since is not None and at - track.missing_since > LOST_SECONDS


def _centre(face: Face) -> complex:
    x1, y1, x2, y2 = face.box.tolist()
    return complex(x1 + x2, y1 + y2) / 2


def _size(face: Face) -> float:
    """Pixels, geometric mean of the sides."""
    return max(1.0, (max(face.width, 1.0) * max(face.height, 1.0)) ** 0.5)
