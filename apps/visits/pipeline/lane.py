"""Recognises in a marked lane: presence opens it, good crops of a track are asked about once.

It embeds nothing itself; it hands aligned crops to `ask`. With more faces in the zone than the
assessment allows nothing is handed over, and no crop taken before is kept. Of a face that nobody
knows only a count remains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from apps.recognition.engine.quality import assess
from apps.recognition.engine.types import Crops, Face, Image, Quality

from .track import Track
from .zone import View, Zone

GOOD_FRAMES = 3
"""Good frames of a track before anything is asked."""
MAX_TRIES = 3
"""Times that an unmatched track is asked about before it is left alone."""
RETRY_SECONDS = 0.7
"""Between two tries: time to turn the head or to take a step."""
DOWN_SECONDS = 1.0
"""Before a recognizer that did not answer is asked again."""
EAGER_SECONDS = 5.0
"""How long a track that cannot be asked about is looked at in every frame: a picture on the wall
of the lane must not keep a core busy."""
CALM_SECONDS = 1.0
"""How long no more faces than allowed must be in the zone before anything is taken again. A face
of a crowd that the detector loses for a few frames is still there."""
MATCHED = ("visit", "still_here")
UNCALIBRATED = "uncalibrated"
"""Nothing was compared, and nothing will be before an officer has done something about it."""
RETRIED = ("unknown", "unsure")
"""Outcomes after which better crops may change the answer. "refused" is the law's, and stands."""


class Answer(Protocol):
    """What `ask` returns; the recognizer's Decision is one."""

    @property
    def outcome(self) -> str:
        """One of "visit", "still_here", "unknown", "unsure", "refused", "uncalibrated"."""
        ...


Ask = Callable[[Crops, float], Answer]
"""Crops RGB uint8 (N, 112, 112, 3) of one track, and the Unix second at which it was first seen
well in the zone. Raises ConnectionError when nobody answers, ValueError for unusable crops."""


@dataclass(slots=True)
class Counters:
    """What a camera may tell about itself in public.

    triggers: times that the empty zone became occupied. aborts: triggers by the reason for which
    nothing was handed over (each reason at most once a trigger). outside_zone: faces that were
    seen only at the zone's edge; what lies further out is never seen at all. asked, matched,
    unmatched: questions, tracks that were known, tracks that were not. embeddings_outside_trigger:
    questions while no trigger was open; anything but 0 is a fault.
    """

    triggers: int = 0
    aborts: dict[str, int] = field(default_factory=dict)
    outside_zone: int = 0
    embeddings_outside_trigger: int = 0
    asked: int = 0
    matched: int = 0
    unmatched: int = 0


@dataclass(slots=True)
class _Best:
    """The best crops of one track, at most GOOD_FRAMES."""

    crops: list[tuple[float, Image]] = field(default_factory=list)

    def offer(self, rank: float, crop: Image) -> None:
        self.crops.append((rank, crop))
        self.crops.sort(key=lambda item: -item[0])
        del self.crops[GOOD_FRAMES:]

    def stack(self) -> Crops:
        """RGB uint8 (N, 112, 112, 3), best first."""
        return np.stack([crop for _, crop in self.crops])


@dataclass(slots=True)
class _Candidate:
    """What is known of a track in the zone. Nothing of it outlives the track."""

    since: float
    exchanges: int = 0
    stretch: int = 0
    first_good: float | None = None
    good: int = 0
    tries: int = 0
    not_before: float = 0.0
    settled: bool = False
    unknown: bool = False
    best: _Best = field(default_factory=_Best)

    def forget_crops(self) -> None:
        self.best = _Best()
        self.good = 0


@dataclass(slots=True)
class _Trigger:
    """One stay of anybody in the zone, from empty to empty."""

    asked: bool = False
    aborts: set[str] = field(default_factory=set)
    flaws: Counter[str] = field(default_factory=Counter)


class Lane:
    """The `lane` mode of one camera."""

    def __init__(self, zone: Zone, *, max_faces: int, ask: Ask, counters: Counters) -> None:
        self._zone = zone
        self._max_faces = max_faces
        self._ask = ask
        self._counters = counters
        self._candidates: dict[int, _Candidate] = {}
        self._trigger: _Trigger | None = None
        self._crowded_at = float("-inf")

    def eager(self, at: float) -> bool:
        """Whether somebody waits for an answer, so that no frame should be skipped."""
        return any(
            not candidate.settled and at - candidate.since < EAGER_SECONDS
            for candidate in self._candidates.values()
        )

    def step(self, view: View, live: Sequence[Track], lost: Sequence[Track], at: float) -> None:
        """Takes the tracks of one frame, seen in `view` at Unix second `at`."""
        inside = [t for t in live if t.seen and self._zone.covers_centre(view, t.face)]
        if inside and self._trigger is None:
            self._trigger = _Trigger()
            self._counters.triggers += 1
        for track in inside:
            self._candidates[track.id] = self._candidate(track, at)
        if len(inside) > self._max_faces:
            self._crowded_at = at
            self._abort("too_many_faces")
            for candidate in self._candidates.values():
                candidate.forget_crops()
        elif at - self._crowded_at >= CALM_SECONDS:
            for track in inside:
                self._consider(view, track, self._candidates[track.id], at)
        self.leave(lost)

    def _candidate(self, track: Track, at: float) -> _Candidate:
        """What is known of this track, as far as it is sure to be of the same person still.

        Crops of two people must never lie in one question; and who may have taken the place of
        somebody who was asked about is asked about too, or a visitor would not be greeted.
        """
        known = self._candidates.get(track.id)
        if known is None or known.exchanges != track.exchanges:
            since = at if known is None else known.since
            return _Candidate(since, track.exchanges, track.stretch)
        if known.stretch != track.stretch:
            known.forget_crops()
            known.stretch = track.stretch
        return known

    def leave(self, lost: Sequence[Track]) -> None:
        """Forgets tracks that ended, and closes the trigger behind the last."""
        for track in lost:
            candidate = self._candidates.pop(track.id, None)
            if candidate is None:
                self._counters.outside_zone += track.confirmed
            elif candidate.unknown and not candidate.settled:
                self._counters.unmatched += 1
        if self._trigger is not None and not self._candidates:
            self._close(self._trigger)
            self._crowded_at = float("-inf")

    def _consider(self, view: View, track: Track, candidate: _Candidate, at: float) -> None:
        if candidate.settled or self._trigger is None:
            return
        quality, crop = assess(view.image, track.face)
        whole = self._zone.covers_face(view, track.face)
        if crop is None or not quality.ok or not whole:
            self._trigger.flaws[quality.reason or "cut_off"] += 1
            return
        if candidate.first_good is None:
            candidate.first_good = at
        candidate.good += 1
        candidate.best.offer(rank(quality, track.face), crop)
        if track.confirmed and candidate.good >= GOOD_FRAMES and at >= candidate.not_before:
            self._decide(candidate, candidate.first_good, at)

    def _decide(self, candidate: _Candidate, first_good: float, at: float) -> None:
        """Asks, once, and settles the track unless another try may help."""
        self._counters.asked += 1
        if self._trigger is None:
            self._counters.embeddings_outside_trigger += 1
        else:
            self._trigger.asked = True
        try:
            outcome = self._ask(candidate.best.stack(), first_good).outcome
        except ConnectionError:
            self._abort("recognizer_down")
            candidate.not_before = at + DOWN_SECONDS
            return
        except ValueError:
            self._abort("crops_refused")
            outcome = "unknown"
        candidate.forget_crops()
        candidate.tries += 1
        if outcome in MATCHED:
            self._counters.matched += 1
            candidate.settled = True
        elif outcome == UNCALIBRATED:
            self._abort(UNCALIBRATED)
            candidate.settled = True
        elif outcome in RETRIED and candidate.tries < MAX_TRIES:
            candidate.unknown = True
            candidate.not_before = at + RETRY_SECONDS
        else:
            self._counters.unmatched += 1
            candidate.settled = True

    def _abort(self, reason: str) -> None:
        """Counts a reason, once a trigger."""
        if self._trigger is not None and reason not in self._trigger.aborts:
            self._trigger.aborts.add(reason)
            self._counters.aborts[reason] = self._counters.aborts.get(reason, 0) + 1

    def _close(self, trigger: _Trigger) -> None:
        """A trigger that led to no question and no abort says what was wrong with its pictures."""
        if not trigger.asked and not trigger.aborts:
            worst = trigger.flaws.most_common(1)
            self._abort(worst[0][0] if worst else "left_early")
        self._trigger = None


def rank(quality: Quality, face: Face) -> float:
    """Orders good crops of one track: larger, sharper, more frontal, surer is better."""
    frontal = 1.0 - min(abs(quality.yaw), 60.0) / 60.0
    return quality.size**0.5 * quality.sharpness * frontal * face.score
