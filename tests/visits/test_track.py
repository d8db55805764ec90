"""One face through many frames: crossing, hidden, gone."""

from __future__ import annotations

import numpy as np
import pytest

from apps.recognition.engine.types import Detector, Face
from apps.visits.pipeline.count import Counting, Footfall
from apps.visits.pipeline.track import Tracker
from apps.visits.pipeline.zone import Line, Zone
from tests.faces import procession, walk_by


def _face(x: float, y: float = 200.0, size: float = 80.0) -> Face:
    box = np.array([x - size / 2, y - size / 2, x + size / 2, y + size / 2], dtype=np.float32)
    return Face(box, np.zeros((5, 2), dtype=np.float32), 0.9)


def test_a_person_who_walks_through_a_clip_is_one_track(detector: Detector) -> None:
    tracker = Tracker()
    confirmed: set[int] = set()
    lost: list[int] = []
    for i, image in enumerate(walk_by([2], seconds_absent=0.5, seconds_present=2.5)):
        tracks = tracker.update(detector.detect(image), i / 10)
        confirmed |= {track.id for track in tracks.live if track.confirmed}
        lost += [track.id for track in tracks.lost]
    assert len(confirmed) == 1
    for i in range(10):
        lost += [track.id for track in tracker.update([], 3.5 + i / 10).lost]
    assert lost == sorted(confirmed)


def test_three_people_side_by_side_are_three_tracks(detector: Detector) -> None:
    tracker = Tracker()
    together: set[int] = set()
    for i, image in enumerate(walk_by([1, 2, 3], seconds_absent=0.2, seconds_present=2.5)):
        live = tracker.update(detector.detect(image), i / 10).live
        together |= {track.id for track in live if track.confirmed}
    assert len(together) == 3


def test_two_people_who_cross_keep_who_they_are() -> None:
    tracker = Tracker()
    for i in range(21):
        at = i / 10
        first, second = _face(100 + 20 * i, 190), _face(500 - 20 * i, 230)
        # While one hides the other, the detector sees one face, the nearer.
        seen = [first] if abs(100 + 20 * i - (500 - 20 * i)) < 50 else [second, first]
        tracker.update(seen, at)
        if i == 0:
            begun = {track.id: track.centre.real for track in tracker.live}
    ended = {track.id: track.centre.real for track in tracker.live}
    assert ended.keys() == begun.keys()
    for track, x in begun.items():
        assert ended[track] == 600 - x, "each went on to the other side"


def test_somebody_hidden_for_half_a_second_is_the_same_person() -> None:
    tracker = Tracker()
    for i in range(20):
        hidden = 8 <= i < 13
        live = tracker.update([] if hidden else [_face(100 + 10 * i)], i / 10).live
        assert [track.id for track in live] == [0]
        assert live[0].seen is not hidden


@pytest.mark.parametrize("person", [2, 3, 5])
def test_who_walks_behind_a_pillar_is_one_track_and_counted_once(
    detector: Detector, person: int
) -> None:
    tracker, counting = Tracker(), Counting(Zone(None), Line((0.5, 1.0), (0.5, 0.0)))
    confirmed: set[int] = set()
    hidden = 0
    for i, image in enumerate(procession([person])):
        behind = image.copy()
        behind[:, 450:510] = (120, 100, 80)
        tracks = tracker.update(detector.detect(behind), i / 10)
        counting.step(Zone(None).view(behind), tracks.live, tracks.lost, i / 10)
        confirmed |= {track.id for track in tracks.live if track.confirmed}
        in_the_middle = [t for t in tracks.live if t.confirmed and 380 < t.centre.real < 580]
        hidden += any(not track.seen for track in in_the_middle)
    told: list[Footfall] = []
    counting.flush(told.append)
    assert hidden >= 3
    assert len(confirmed) == 1
    assert [(footfall.entered, footfall.left) for footfall in told] == [(1, 0)]


def test_somebody_who_comes_back_after_a_while_is_somebody_new() -> None:
    tracker = Tracker()
    for i in range(5):
        tracker.update([_face(100)], i / 10)
    for i in range(5, 20):
        tracker.update([], i / 10)
    assert tracker.live == []
    assert [track.id for track in tracker.update([_face(100)], 2.0).live] == [1]


def test_nobody_is_taken_for_who_was_there_before_a_gap() -> None:
    tracker = Tracker()
    for i in range(5):
        tracker.update([_face(100)], i / 10)
    tracks = tracker.update([_face(100)], 10.0)
    assert [track.id for track in tracks.lost] == [0]
    assert [track.id for track in tracks.live] == [1]


def test_a_detection_that_flickers_is_never_confirmed() -> None:
    tracker = Tracker()
    tracker.update([_face(100)], 0.0)
    tracker.update([], 0.1)
    tracks = tracker.update([], 0.2)
    assert tracks.live == []
    assert not tracks.lost[0].confirmed


def test_a_face_of_another_size_is_another_face() -> None:
    tracker = Tracker()
    tracker.update([_face(100, size=160)], 0.0)
    live = tracker.update([_face(100, size=60)], 0.1).live
    assert len(live) == 2
