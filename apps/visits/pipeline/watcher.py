"""Runs cameras: take a frame, skip it when nothing moves, detect, track, count or ask.

One camera's failure never stops another; it is logged by kind and place, never with a value, and
begun again. What a camera may do is its mode, and there are three: `count`, `pass` and `lane`.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Event, Thread
from typing import Literal
from uuid import UUID

from apps.recognition.engine.types import Detector

from .clock import BackOff, Clock, SystemClock
from .count import Counting, Footfall
from .lane import Ask, Counters, Lane
from .motion import MotionGate
from .presenting import Desk, Presenting
from .stream import Frame, Frames, State, open_stream
from .track import Tracker
from .zone import Line, Point, Zone

log = logging.getLogger(__name__)

Mode = Literal["count", "pass", "lane"]

FRAMES_PER_SECOND: dict[Mode, float] = {"count": 5.0, "pass": 5.0, "lane": 10.0}
"""While nobody is there."""
FOLLOW_PER_SECOND = 10.0
"""While somebody is: at 5 a walk moves a face by nearly two of its widths between frames, and
people side by side cannot be told apart by place."""
LONGEST_SKIP = 1.0
"""Seconds between two looks while anybody is there, however still."""
REPORT_SECONDS = 5.0
TAKE_SECONDS = 0.5
"""How long a camera without frames waits before it looks after its reports and its end."""


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """One camera as it is configured. Raises ValueError for what cannot run.

    zone: corners, each [x, y] from 0 to 1; a lane must have one. line: two such points, or none.
    max_faces: in the zone at once, from the assessment; a lane must allow at least one.
    """

    id: UUID
    store: UUID
    name: str
    source: str
    mode: Mode
    zone: Sequence[Point] | None = None
    line: Sequence[Point] | None = None
    max_faces: int = 1
    loop: bool = False

    def __post_init__(self) -> None:
        if self.mode not in FRAMES_PER_SECOND:
            raise ValueError(
                "a camera counts, reads passes or watches a lane; there is no other mode"
            )
        if self.mode == "lane" and not self.zone:
            raise ValueError("a lane needs a zone: draw it before the camera starts")
        if self.mode == "lane" and self.max_faces < 1:
            raise ValueError("a lane's assessment allows at least one face")
        if self.line and len(self.line) != 2:
            raise ValueError("a line has two ends")
        try:
            Zone(self.zone)
            self.counting_line()
        except TypeError:
            raise ValueError("a line is a list of two points, each [x, y]") from None

    def counting_line(self) -> Line | None:
        """The line as a value, or None."""
        if not self.line:
            return None
        (ax, ay), (bx, by) = self.line
        return Line((float(ax), float(ay)), (float(bx), float(by)))


@dataclass(frozen=True, slots=True)
class Report:
    """What happened at a camera since the last report, and how it fares now.

    counters: increments. looks: frames that were given to the detector. frames, dropped,
    reconnects: of the stream, since it was opened.
    """

    camera: UUID
    counters: Counters
    looks: int
    state: State
    last_frame_at: float | None
    frames: int
    dropped: int
    reconnects: int


OnFootfall = Callable[[UUID, Footfall], None]
OnReport = Callable[[Report], None]


class Watcher:
    """One camera's loop."""

    def __init__(
        self,
        camera: CameraSpec,
        stream: Frames,
        detector: Detector,
        *,
        ask: Ask | None = None,
        desk: Desk | None = None,
        on_footfall: OnFootfall | None = None,
        on_counters: OnReport | None = None,
        clock: Clock | None = None,
    ) -> None:
        """ask: needed by a lane; desk: by a camera that reads passes. on_footfall, on_counters:
        called from this camera's thread; what they raise is logged, and what they were told is
        told again. Raises ValueError."""
        if camera.mode == "lane" and ask is None:
            raise ValueError("a lane needs a recognizer to ask")
        if camera.mode == "pass" and desk is None:
            raise ValueError("a camera that reads passes needs a recognizer to ask")
        self.camera = camera
        self._stream = stream
        self._detector = detector
        self._ask = ask
        self._desk = desk
        self._on_footfall = on_footfall
        self._on_counters = on_counters
        self._clock = clock or SystemClock()
        self._zone = Zone(camera.zone)
        self._counters = Counters()
        self._looks = 0
        self._told = _Told()
        self._counting = Counting(self._zone, camera.counting_line())
        self._begin()

    def run(self, stop: Event) -> None:
        """Until `stop` is set or the stream has ended. Never raises: a failure begins again."""
        back_off = BackOff()
        while not stop.is_set():
            looks = self._looks
            try:
                self._watch(stop)
                break
            except Exception as error:
                if self._looks > looks + 1:
                    back_off.reset()
                wait = back_off.next()
                log.error(
                    "camera %s failed (%s), again in %.1f s", self.camera.id, _kind(error), wait
                )
                self._begin()
                self._clock.wait(stop, wait)
        self._stream.close()
        self._report()
        health = self._stream.health
        log.info(
            "camera %s ended: %d frames, %d dropped",
            self.camera.id,
            health.frames,
            health.dropped,
        )

    def _begin(self) -> None:
        """A clean start: nobody is there yet."""
        self._gate = MotionGate()
        self._pace = Pace()
        self._tracker = Tracker()
        # A new tracker numbers from the start: an old place must not be taken for a new face's.
        self._counting.forget()
        self._mode = self._new_mode()
        self._last_at = 0.0
        self._last_look = 0.0
        self._shape: tuple[int, ...] = ()
        self._next_report = 0.0

    def _new_mode(self) -> Counting | Presenting | Lane:
        if self.camera.mode == "count":
            return self._counting
        if self.camera.mode == "pass":
            assert self._desk is not None
            return Presenting(self._zone, self._detector, self._desk, self._counters)
        assert self._ask is not None
        return Lane(
            self._zone,
            max_faces=self.camera.max_faces,
            ask=self._ask,
            counters=self._counters,
        )

    def _watch(self, stop: Event) -> None:
        while not stop.is_set() and not self._stream.ended:
            frame = self._stream.take(TAKE_SECONDS)
            if frame is not None and self._pace.due(frame.at, self._rate()):
                self._look(frame)
            if self._clock.monotonic() >= self._next_report:
                self._report()
                self._next_report = self._clock.monotonic() + REPORT_SECONDS
        self._mode.leave(self._tracker.clear())

    def _rate(self) -> float:
        idle = FRAMES_PER_SECOND[self.camera.mode]
        if isinstance(self._mode, Presenting):
            return FOLLOW_PER_SECOND if self._mode.open else idle
        return FOLLOW_PER_SECOND if self._tracker.live else idle

    def _look(self, frame: Frame) -> None:
        image = frame.image
        if image.shape != self._shape or frame.at < self._last_at:
            # Another resolution, or a clock that was set back: old places mean nothing now.
            self._mode.leave(self._tracker.clear())
            self._shape = image.shape
            self._last_look = 0.0
        self._last_at = frame.at
        view = self._zone.view(image)
        if not self._gate.moved(view.image) and not self._must_look(frame.at):
            return
        self._gate.used()
        self._last_look = frame.at
        self._looks += 1
        if isinstance(self._mode, Presenting):
            # It looks for faces itself, and only while a pass has opened its window.
            self._mode.look(view, frame.at)
            return
        tracks = self._tracker.update(self._detector.detect(view.image), frame.at)
        self._mode.step(view, tracks.live, tracks.lost, frame.at)

    def _must_look(self, at: float) -> bool:
        """Whether even a still picture is looked at: somebody waits, or left, or is still there."""
        live = self._tracker.live
        if self._mode.eager(at) or any(not track.seen for track in live):
            return True
        return bool(live) and at - self._last_look >= LONGEST_SKIP

    def _report(self) -> None:
        """Tells what is new. A database that is away must not stop the camera."""
        try:
            if self._on_footfall is not None:
                tell = self._on_footfall
                self._counting.flush(lambda footfall: tell(self.camera.id, footfall))
            if self._on_counters is not None:
                health = self._stream.health
                self._on_counters(
                    Report(
                        camera=self.camera.id,
                        counters=_since(self._told.counters, self._counters),
                        looks=self._looks - self._told.looks,
                        state=health.state,
                        last_frame_at=health.last_frame_at,
                        frames=health.frames,
                        dropped=health.dropped,
                        reconnects=health.reconnects,
                    )
                )
            copy = replace(self._counters, aborts=dict(self._counters.aborts))
            self._told = _Told(copy, self._looks)
        except Exception as error:
            log.warning("camera %s cannot report (%s)", self.camera.id, _kind(error))


@dataclass(frozen=True, slots=True)
class _Told:
    """What the last report that arrived said in total."""

    counters: Counters = field(default_factory=Counters)
    looks: int = 0


class Pace:
    """Lets at most so many frames a second through, on average."""

    def __init__(self) -> None:
        self._plan: float | None = None
        """Where on an even beat the last frame that was used belongs, Unix seconds."""
        self._last = float("-inf")

    def due(self, at: float, per_second: float) -> bool:
        """Whether the frame of Unix second `at` is to be used."""
        if self._plan is None or at < self._last:
            self._plan = at - 1.0 / per_second
        self._last = at
        interval = 1.0 / per_second
        # A tenth of tolerance: the times of a 10 fps camera tremble.
        if at < self._plan + 0.9 * interval:
            return False
        # Steps of the beat, not of the frames, or 25 fps would give 8 instead of 10.
        self._plan = max(self._plan + interval, at - interval)
        return True


def run_all(watchers: Sequence[Watcher], stop: Event) -> None:
    """Runs cameras side by side in threads until `stop` is set or all streams have ended.

    onnxruntime and the decoder let go of Python's lock while they compute, so threads do.
    """
    threads = [
        Thread(target=watcher.run, args=(stop,), name=f"camera-{watcher.camera.id}", daemon=True)
        for watcher in watchers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def open_camera(camera: CameraSpec, *, clock: Clock | None = None) -> Frames:
    """Starts the stream of a camera."""
    return open_stream(camera.source, loop=camera.loop, name=str(camera.id), clock=clock)


def _since(before: Counters, now: Counters) -> Counters:
    aborts = {
        reason: number - before.aborts.get(reason, 0)
        for reason, number in now.aborts.items()
        if number > before.aborts.get(reason, 0)
    }
    return Counters(
        triggers=now.triggers - before.triggers,
        aborts=aborts,
        outside_zone=now.outside_zone - before.outside_zone,
        embeddings_outside_trigger=(
            now.embeddings_outside_trigger - before.embeddings_outside_trigger
        ),
        asked=now.asked - before.asked,
        matched=now.matched - before.matched,
        unmatched=now.unmatched - before.unmatched,
    )


def _kind(error: Exception) -> str:
    """The error's class and place. Its text might repeat a value, so it is left out."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].name}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + place
