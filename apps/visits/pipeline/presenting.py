"""Compares whoever shows a pass with the one template that this pass opens.

Without a pass in the picture no face is even looked for. A pass that is good here and now opens a
window of a few seconds: exactly one face may be in the zone, its best crops are handed over once,
the window closes. A second face, or a second pass, closes it with nothing handed over. A pass that
stays in front of the camera is one presentation, however long; it must be gone, or another come,
before there is a next one. What a pass says is never kept, counted or logged: only reasons are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

import cv2
import numpy as np

from apps.recognition.engine.quality import assess
from apps.recognition.engine.types import Crops, Detector, Face, Image
from apps.recognition.passes import WINDOW_SECONDS, Pass
from apps.recognition.photographed import passes_seen

from .lane import DOWN_SECONDS, GOOD_FRAMES, MATCHED, UNCALIBRATED, Answer, Counters, rank
from .zone import View, Zone

GONE_SECONDS = 2.0
"""How long no code must be seen before the pass has been taken away: a code that is held in a hand
is unreadable for some frames, and still the same presentation."""


class Desk(Protocol):
    """The recognizer, as far as a pass needs it."""

    def present(self, shown: Pass) -> str:
        """A single-use nonce. ConnectionError when nobody answers, ValueError with a `code` for a
        pass that opens nothing."""
        ...

    def verify(self, nonce: str, crops: Crops, seen_at: float) -> Answer:
        """Crops RGB uint8 (N ≥ 3, 112, 112, 3); the Unix second at which the face was first well
        seen. Raises as `present` does."""
        ...


@dataclass(slots=True)
class _Window:
    """The seconds in which one face may be compared."""

    nonce: str
    until: float
    not_before: float = 0.0
    first_good: float | None = None
    crops: list[tuple[float, Image]] = field(default_factory=list)
    flaws: Counter[str] = field(default_factory=Counter)
    failed: str = ""

    def best(self) -> Crops:
        """RGB uint8 (N, 112, 112, 3), best first."""
        ordered = sorted(self.crops, key=lambda item: -item[0])
        return np.stack([crop for _, crop in ordered])


@dataclass(slots=True)
class _Presentation:
    """One pass before the camera, from its first reading until it is gone."""

    template: UUID
    window: _Window | None = None
    missing_since: float | None = None
    two_passes: bool = False
    again_at: float | None = None
    aborts: set[str] = field(default_factory=set)


class Presenting:
    """The `pass` mode of one camera."""

    def __init__(self, zone: Zone, detector: Detector, desk: Desk, counters: Counters) -> None:
        self._zone = zone
        self._detector = detector
        self._desk = desk
        self._counters = counters
        self._presentation: _Presentation | None = None

    @property
    def open(self) -> bool:
        """Whether a window is open, so that every frame counts."""
        return self._presentation is not None and self._presentation.window is not None

    def eager(self, at: float) -> bool:
        """Whether a still picture is to be looked at too."""
        shown = self._presentation
        return shown is not None and (
            shown.window is not None
            or shown.missing_since is not None
            or shown.again_at is not None
        )

    def look(self, view: View, at: float) -> None:
        """Takes one frame, seen at Unix second `at`."""
        seen, found = passes_seen(cv2.cvtColor(view.image, cv2.COLOR_RGB2GRAY))
        self._follow(seen, found, at)
        shown = self._presentation
        if shown is None or shown.window is None:
            return
        if at >= shown.window.until:
            self._expire(shown, shown.window)
        elif at >= shown.window.not_before:
            self._compare(shown, shown.window, view, at)

    def leave(self, lost: object) -> None:
        """The picture changed, or the camera ends: nobody stands where somebody stood."""
        if self._presentation is not None and self._presentation.window is not None:
            self._expire(self._presentation, self._presentation.window)
        self._presentation = None

    def _follow(self, seen: Sequence[Pass], found: bool, at: float) -> None:
        """Keeps the presentation of the pass that is in the picture, and begins one for a new."""
        shown = self._presentation
        if not seen:
            if shown is not None:
                self._miss(shown, found, at)
            return
        others = [one for one in seen if shown is None or one.template != shown.template]
        if shown is not None:
            shown.missing_since = None
            if others and not shown.two_passes and (shown.window is not None or len(seen) > 1):
                shown.two_passes = True
                self._close(shown, "two_passes")
                return
            if not others or shown.two_passes:
                if shown.again_at is not None and at >= shown.again_at:
                    self._present(shown, seen[0], at)
                return
        self._presentation = _Presentation(others[0].template, two_passes=len(others) > 1)
        if self._presentation.two_passes:
            self._abort(self._presentation, "two_passes")
        else:
            self._present(self._presentation, others[0], at)

    def _miss(self, shown: _Presentation, found: bool, at: float) -> None:
        """A frame in which no pass was read; a code that was found keeps the presentation."""
        if found:
            shown.missing_since = None
        elif shown.missing_since is None:
            shown.missing_since = at
        elif at - shown.missing_since >= GONE_SECONDS and shown.window is None:
            self._presentation = None

    def _present(self, shown: _Presentation, seen: Pass, at: float) -> None:
        shown.again_at = None
        try:
            nonce = self._desk.present(seen)
        except ConnectionError:
            self._abort(shown, "recognizer_down")
            shown.again_at = at + DOWN_SECONDS
            return
        except ValueError as error:
            self._abort(shown, str(getattr(error, "code", "pass_unknown")))
            return
        shown.window = _Window(nonce, at + WINDOW_SECONDS)
        self._counters.triggers += 1

    def _compare(self, shown: _Presentation, window: _Window, view: View, at: float) -> None:
        faces = self._detector.detect(view.image)
        inside = [face for face in faces if self._zone.covers_centre(view, face)]
        self._counters.outside_zone += len(faces) - len(inside)
        if len(inside) > 1:
            self._close(shown, "too_many_faces")
        elif inside:
            self._take(window, view, inside[0], at)
            if len(window.crops) >= GOOD_FRAMES:
                self._verify(shown, window, at)

    def _take(self, window: _Window, view: View, face: Face, at: float) -> None:
        quality, crop = assess(view.image, face)
        if crop is None or not quality.ok or not self._zone.covers_face(view, face):
            window.flaws[quality.reason or "cut_off"] += 1
            return
        if window.first_good is None:
            window.first_good = at
        window.crops.append((rank(quality, face), crop))

    def _verify(self, shown: _Presentation, window: _Window, at: float) -> None:
        """Asks, once: the nonce is good for one answer, whatever it is."""
        self._counters.asked += 1
        if shown.window is not window:
            self._counters.embeddings_outside_trigger += 1
        try:
            outcome = self._desk.verify(
                window.nonce, window.best(), window.first_good or at
            ).outcome
        except ConnectionError:
            # The nonce may have been used up or not; the next try tells.
            window.failed = "recognizer_down"
            window.not_before = at + DOWN_SECONDS
            return
        except ValueError as error:
            self._close(shown, str(getattr(error, "code", "crops_refused")))
            return
        if outcome in MATCHED:
            self._counters.matched += 1
            shown.window = None
        elif outcome == UNCALIBRATED:
            self._close(shown, UNCALIBRATED)
        else:
            self._counters.unmatched += 1
            self._close(shown, "another_face" if outcome == "unknown" else outcome)

    def _expire(self, shown: _Presentation, window: _Window) -> None:
        """A window that led to no answer says what was wrong with its pictures."""
        worst = window.flaws.most_common(1)
        self._close(shown, window.failed or (worst[0][0] if worst else "no_face"))

    def _close(self, shown: _Presentation, reason: str) -> None:
        shown.window = None
        self._abort(shown, reason)

    def _abort(self, shown: _Presentation, reason: str) -> None:
        """Counts a reason, once a presentation."""
        if reason not in shown.aborts:
            shown.aborts.add(reason)
            self._counters.aborts[reason] = self._counters.aborts.get(reason, 0) + 1
