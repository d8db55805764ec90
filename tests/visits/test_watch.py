"""A watcher's day: still pictures cost nothing, failures pass, reports arrive, modes are three."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from apps.recognition.engine.types import Detector, Face, Image
from apps.visits.pipeline.stream import open_stream
from apps.visits.pipeline.watcher import CameraSpec, Pace, Report, Watcher, open_camera, run_all
from tests.faces import frames, walk_by
from tests.visits.cameras import CAMERA, STORE, WHOLE, Answer, Door, FastClock, recording

Doors = Callable[..., Door]


class Counted:
    """A detector that counts how often it is used."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.looks = 0

    def detect(self, image: Image) -> list[Face]:
        self.looks += 1
        return self._detector.detect(image)


def _lane(**more: Any) -> CameraSpec:
    return CameraSpec(CAMERA, STORE, "lane", "-", "lane", **{"zone": WHOLE, **more})


def _settled(crops: object, seen_at: float) -> Answer:
    return Answer("visit")


def test_an_empty_shop_is_looked_at_once(detector: Detector) -> None:
    counted = Counted(detector)
    Watcher(_lane(), recording(frames(2, "blank", seconds=30)), counted, ask=_settled).run(Event())
    assert counted.looks == 1


def test_somebody_who_stands_still_is_looked_at_once_a_second(detector: Detector) -> None:
    still = next(iter(frames(2)))
    counted = Counted(detector)
    Watcher(_lane(), recording([still] * 100), counted, ask=_settled).run(Event())
    assert 10 <= counted.looks <= 14, "three to be sure, then one a second for ten seconds"


def test_who_stands_still_is_asked_about_without_delay(detector: Detector, door: Doors) -> None:
    known = door(2)
    empty, still = next(iter(frames(2, "blank"))), next(iter(frames(2)))
    Watcher(_lane(), recording([empty] * 5 + [still] * 3), detector, ask=known.ask).run(Event())
    assert known.outcomes == ["visit"]


def test_a_slow_change_is_seen_too(detector: Detector) -> None:
    counted = Counted(detector)
    dusk = [np.full((480, 640, 3), 200 - i, dtype=np.uint8) for i in range(100)]
    Watcher(_lane(), recording(dusk), counted, ask=_settled).run(Event())
    assert 5 <= counted.looks <= 20


@pytest.mark.parametrize(
    ("camera_fps", "expected"), [(10, 10), (15, 10), (20, 10), (25, 10), (5, 5)]
)
def test_no_more_frames_are_used_than_the_mode_needs(camera_fps: int, expected: int) -> None:
    pace = Pace()
    used = sum(pace.due(1000 + i / camera_fps, 10) for i in range(camera_fps * 10))
    assert used == pytest.approx(expected * 10, abs=1)


def test_a_clock_that_is_set_back_does_not_stop_a_camera() -> None:
    pace = Pace()
    assert pace.due(5000.0, 10)
    assert not pace.due(5000.01, 10)
    assert pace.due(1000.0, 10)
    assert pace.due(1000.1, 10)


def test_a_camera_that_fails_is_begun_again_and_tells_no_values(
    detector: Detector, door: Doors, caplog: pytest.LogCaptureFixture
) -> None:
    known = door(2)

    class FailsTwice(Counted):
        def detect(self, image: Image) -> list[Face]:
            found = super().detect(image)
            if self.looks in (4, 9):
                raise RuntimeError(f"face {found} of Ms Chen")
            return found

    clock = FastClock()
    Watcher(
        _lane(),
        recording(frames(2, seconds=4)),
        FailsTwice(detector),
        ask=known.ask,
        clock=clock,
    ).run(Event())
    assert "visit" in known.outcomes
    assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 2
    assert "RuntimeError at detect" in caplog.text
    assert "Chen" not in caplog.text
    assert "array" not in caplog.text
    assert 0.5 in clock.waits


def test_reports_add_up_even_when_some_do_not_arrive(detector: Detector, door: Doors) -> None:
    known = door(2)
    arrived: list[Report] = []
    attempts = 0

    class Ticking(FastClock):
        def monotonic(self) -> float:
            self.wait(Event(), 1.0)  # a second passes whenever it is asked
            return super().monotonic()

    def tell(report: Report) -> None:
        nonlocal attempts
        attempts += 1
        if attempts in (1, 2, 4, 9, 10):
            raise ConnectionError("no database")
        arrived.append(report)

    Watcher(
        _lane(),
        recording([*walk_by([2]), *walk_by([2])]),
        detector,
        ask=known.ask,
        on_counters=tell,
        clock=Ticking(),
    ).run(Event())
    assert attempts > 10
    for name in ("triggers", "asked", "matched"):
        assert sum(getattr(report.counters, name) for report in arrived) == 2, name
    assert sum(report.looks for report in arrived) > 40
    assert arrived[-1].last_frame_at is not None


def test_a_real_clip_is_watched_in_real_time(
    detector: Detector, door: Doors, arrival: Path
) -> None:
    known = door(2)
    reports: list[Report] = []
    camera = CameraSpec(CAMERA, STORE, "lane", str(arrival), "lane", zone=WHOLE)
    watcher = Watcher(
        camera, open_camera(camera), detector, ask=known.ask, on_counters=reports.append
    )
    watcher.run(Event())
    assert known.outcomes == ["visit"]
    assert reports[-1].state == "ended"
    assert reports[-1].frames == 30
    assert sum(report.counters.matched for report in reports) == 1


def test_cameras_run_side_by_side_and_stop_together(
    detector: Detector, door: Doors, arrival: Path, tmp_path: Path
) -> None:
    known = door(2)
    came = Event()

    def ask(crops: Any, seen_at: float) -> Answer:
        came.set()
        return Answer(known.ask(crops, seen_at).outcome)

    sources = [str(arrival), str(tmp_path / "unplugged.mp4")]
    watchers = []
    for number, source in enumerate(sources):
        camera = CameraSpec(
            UUID(int=10 + number), STORE, "lane", source, "lane", zone=WHOLE, loop=True
        )
        watchers.append(Watcher(camera, open_camera(camera), detector, ask=ask))
    stop = Event()
    running = Thread(target=run_all, args=(watchers, stop))
    running.start()
    assert came.wait(20), "one camera works although the other is unplugged"
    stop.set()
    running.join(10)
    assert not running.is_alive()


def test_a_stop_ends_a_camera_that_gives_no_frames(detector: Detector, tmp_path: Path) -> None:
    stop = Event()
    stop.set()
    stream = open_stream(tmp_path / "unplugged.mp4", clock=FastClock(limit=3))
    Watcher(_lane(), stream, detector, ask=_settled).run(stop)
    assert stream.health.state == "stopped"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"mode": "walk-by", "zone": WHOLE}, "no other mode"),
        ({"mode": "identify", "zone": WHOLE}, "no other mode"),
        ({"mode": "lane", "zone": None}, "needs a zone"),
        ({"mode": "lane", "zone": []}, "needs a zone"),
        ({"mode": "lane", "zone": WHOLE, "max_faces": 0}, "at least one face"),
        ({"mode": "count", "zone": [(0, 0), (1, 1)]}, "three corners"),
        ({"mode": "count", "line": [(0, 0)]}, "two ends"),
        ({"mode": "count", "line": [0.5, 0.7]}, "list of two points"),
        ({"mode": "count", "zone": [None, 3, "x"]}, "list of corners"),
    ],
)
def test_a_camera_that_may_not_run_is_refused(spec: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        CameraSpec(CAMERA, STORE, "camera", "-", **spec)


def test_a_lane_without_a_recognizer_is_refused(detector: Detector) -> None:
    with pytest.raises(ValueError, match="recognizer"):
        Watcher(_lane(), recording([]), detector)
