"""Counting people: across a line or in a zone, two numbers a quarter hour, no code that embeds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from uuid import UUID

import numpy as np
import pytest

from apps.recognition.engine.types import Detector, Face, Image
from apps.stores.models import Camera
from apps.visits import models
from apps.visits.pipeline.count import Counting, Footfall
from apps.visits.pipeline.track import Tracker
from apps.visits.pipeline.watcher import CameraSpec, Watcher
from apps.visits.pipeline.zone import Line, Zone
from tests.conftest import Process
from tests.faces import frames, walk_by
from tests.visits.cameras import CAMERA, START, STORE, FastClock, recording
from tests.waiting import until

ROOT = Path(__file__).parents[2]
DOOR = ((0.5, 1.0), (0.5, 0.0))
"""Upwards through the middle: who walks to the right of the picture enters."""


def _counted(
    detector: Detector,
    clip: Iterable[Image],
    *,
    line: tuple[tuple[float, float], ...] | None = DOOR,
    zone: tuple[tuple[float, float], ...] | None = None,
    start: float = START,
    clock: FastClock | None = None,
) -> list[Footfall]:
    camera = CameraSpec(CAMERA, STORE, "entrance", "-", "count", zone=zone, line=line)
    heard: list[tuple[UUID, Footfall]] = []
    watcher = Watcher(
        camera,
        recording(clip, start=start),
        detector,
        on_footfall=lambda camera, footfall: heard.append((camera, footfall)),
        clock=clock,
    )
    watcher.run(Event())
    assert all(camera == CAMERA for camera, _ in heard)
    return [footfall for _, footfall in heard]


def _sum(counted: list[Footfall]) -> tuple[int, int]:
    return sum(f.entered for f in counted), sum(f.left for f in counted)


def test_who_walks_in_is_counted_in_and_who_walks_out_is_counted_out(detector: Detector) -> None:
    way_in = list(walk_by([2], seconds_absent=0.3, seconds_present=3.0))
    assert _sum(_counted(detector, way_in)) == (1, 0)
    assert _sum(_counted(detector, reversed(way_in))) == (0, 1)
    assert _sum(_counted(detector, [*way_in, *reversed(way_in)])) == (1, 1)


def test_people_side_by_side_are_all_counted(detector: Detector) -> None:
    clip = walk_by([1, 2, 3], seconds_absent=0.3, seconds_present=4.0)
    assert _sum(_counted(detector, clip)) == (3, 0)


def test_the_count_belongs_to_its_quarter_hour_in_utc(detector: Detector) -> None:
    clip = walk_by([2], seconds_absent=0.3, seconds_present=3.0)
    noon = datetime(2026, 3, 29, 12, 14, 59, tzinfo=UTC)
    late = _counted(detector, clip, start=noon.timestamp())
    assert late == [Footfall(datetime(2026, 3, 29, 12, 15, tzinfo=UTC), 1, 0)]


def test_without_a_line_whoever_appears_in_the_zone_has_entered(detector: Detector) -> None:
    whole = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    clip = walk_by([2], seconds_absent=0.3, seconds_present=3.0)
    assert _sum(_counted(detector, clip, line=None, zone=whole)) == (1, 0)


def test_a_line_outside_the_zone_counts_nobody(detector: Detector) -> None:
    left = ((0.0, 0.0), (0.3, 0.0), (0.3, 1.0), (0.0, 1.0))
    clip = walk_by([2], seconds_absent=0.3, seconds_present=3.0)
    assert _counted(detector, clip, zone=left) == []


def _walk(counting: Counting, places: list[float]) -> None:
    """One face, 80 pixels wide, at these places across a picture of 640 pixels."""
    zone, tracker = Zone(None), Tracker()
    view = zone.view(np.zeros((480, 640, 3), dtype=np.uint8))
    for i, x in enumerate(places):
        box = np.array([x - 40, 200, x + 40, 280], dtype=np.float32)
        face = Face(box, np.zeros((5, 2), dtype=np.float32), 0.9)
        tracks = tracker.update([face], START + i / 5)
        counting.step(view, tracks.live, tracks.lost, START + i / 5)


def _told(counting: Counting) -> tuple[int, int]:
    heard: list[Footfall] = []
    counting.flush(heard.append)
    return _sum(heard)


def test_somebody_who_hesitates_on_the_line_is_counted_once() -> None:
    counting = Counting(Zone(None), Line(*DOOR))
    _walk(counting, [200, 260, 310, 330, 312, 328, 315, 325, 380, 440])
    assert _told(counting) == (1, 0)


def test_somebody_who_turns_round_before_the_line_is_not_counted() -> None:
    counting = Counting(Zone(None), Line(*DOOR))
    _walk(counting, [200, 260, 310, 325, 300, 240, 180])
    assert _told(counting) == (0, 0)


def test_a_count_that_could_not_be_delivered_is_delivered_later_and_once() -> None:
    counting = Counting(Zone(None), Line(*DOOR))
    _walk(counting, [200, 260, 310, 380])

    def gone(footfall: Footfall) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        counting.flush(gone)
    assert _told(counting) == (1, 0)
    assert _told(counting) == (0, 0)


def test_a_counter_that_failed_does_not_count_one_person_for_another(detector: Detector) -> None:
    class FailsOnce:
        failed = False

        def detect(self, image: Image) -> list[Face]:
            found = detector.detect(image)
            if not self.failed and found[0].box[0] > 320:
                self.failed = True
                raise RuntimeError
            return found

    left = [np.roll(image, -180, axis=1) for image in frames(2, seconds=0.8)]
    right = [np.roll(image, 180, axis=1) for image in frames(2, seconds=0.8)]
    failing = FailsOnce()
    assert _counted(failing, [*left, *right], clock=FastClock()) == []
    assert failing.failed


def _modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stdout.split())


EMBEDDING = ("insightface", "apps.recognition.engine.arcface", "apps.recognition.client")


def test_the_code_that_counts_loads_none_that_embeds_aligns_or_asks() -> None:
    loaded = _modules_after("import apps.visits.pipeline.count")
    assert "apps.visits.pipeline.count" in loaded
    for name in (
        *EMBEDDING,
        "onnxruntime",
        "django",
        "apps.recognition.engine.align",
        "apps.recognition.engine.quality",
        "apps.visits.pipeline.lane",
    ):
        assert name not in loaded, name


def test_a_whole_watcher_process_that_counts_never_loads_embedding_code() -> None:
    loaded = _modules_after(
        """
from threading import Event
from uuid import UUID
from apps.recognition.engine import starter
from apps.recognition.engine.yunet import YuNet
from apps.visits.pipeline.stream import Frame, Recording
from apps.visits.pipeline.watcher import CameraSpec, Watcher
from ops.clips import walk_by

clip = Recording(Frame(image, i / 10, i) for i, image in enumerate(walk_by([2])))
counted = []
camera = CameraSpec(UUID(int=1), UUID(int=2), "x", "-", "count", line=((0.5, 1.0), (0.5, 0.0)))
detector = YuNet(starter.detector_model().SerializeToString())
tell = lambda camera, footfall: counted.append(footfall.entered)
Watcher(camera, clip, detector, on_footfall=tell).run(Event())
assert counted == [1], counted
"""
    )
    for name in (*EMBEDDING, "django", "apps.recognition.engine.packs"):
        assert name not in loaded, name


def test_the_watcher_of_a_store_that_only_counts_loads_nothing_that_could_embed(
    entrance: Camera,
) -> None:
    """The real process, until it has counted: Python itself writes down whatever it imports."""
    Camera.objects.update(loop=True)
    process = Process("watcher", PYTHONPROFILEIMPORTTIME="1")
    counted = models.Footfall.objects.filter(camera=entrance, entered__gte=1)
    try:
        until(counted.exists, seconds=60)
    finally:
        process.stop()
    loaded = {line.rsplit("|", 1)[1].strip() for line in process.lines if "import time:" in line}
    assert {"apps.visits.pipeline.count", "apps.recognition.engine.yunet"} <= loaded
    for name in (
        "insightface",
        "faiss",
        "apps.recognition.engine.arcface",
        "apps.recognition.engine.packs",
        "apps.recognition.gallery",
        "apps.recognition.keeper",
        "apps.visits.asking",
    ):
        assert name not in loaded, name
