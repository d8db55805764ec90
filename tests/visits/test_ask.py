"""A lane asks about whoever comes in, once and well seen, and about nobody when it is crowded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Event
from typing import Any

import cv2
import numpy as np
import pytest

from apps.recognition.engine.types import Crops, Detector, Image
from apps.visits.pipeline.lane import Ask, Counters
from apps.visits.pipeline.watcher import CameraSpec, Report, Watcher
from tests.faces import covered, frames, walk_by
from tests.visits.cameras import CAMERA, START, STORE, WHOLE, Answer, Door, recording

Doors = Callable[..., Door]


def _watch(
    detector: Detector, clip: Iterable[Image], ask: Ask, *, fps: float = 10, **spec: Any
) -> Counters:
    camera = CameraSpec(CAMERA, STORE, "lane", "-", "lane", **{"zone": WHOLE, **spec})
    reports: list[Report] = []
    Watcher(camera, recording(clip, fps=fps), detector, ask=ask, on_counters=reports.append).run(
        Event()
    )
    total = Counters()
    for report in reports:
        assert report.counters.embeddings_outside_trigger == 0
        for reason, number in report.counters.aborts.items():
            total.aborts[reason] = total.aborts.get(reason, 0) + number
        for name in ("triggers", "outside_zone", "asked", "matched", "unmatched"):
            setattr(total, name, getattr(total, name) + getattr(report.counters, name))
    return total


def test_a_known_visitor_is_asked_about_once_and_soon(detector: Detector, door: Doors) -> None:
    known = door(2)
    counters = _watch(detector, walk_by([2], seconds_absent=1.0), known.ask)
    assert counters == Counters(triggers=1, asked=1, matched=1)
    assert known.shapes == [(3, 112, 112, 3)]
    # She is whole in the picture half a second after she came to its edge.
    assert START + 1.0 < known.asked_at[0] <= START + 1.6


def test_the_question_comes_within_three_frames_of_the_first_good_one(
    detector: Detector, door: Doors
) -> None:
    known = door(2)
    shown: list[int] = []

    def clip() -> Iterable[Image]:
        for i, image in enumerate(walk_by([2], seconds_absent=1.0)):
            if not known.asked_at:
                shown.append(i)
            yield image

    _watch(detector, clip(), known.ask)
    asked_at_frame = START + shown[-1] / 10
    assert asked_at_frame - known.asked_at[0] <= 0.25


def test_a_camera_of_25_frames_a_second_asks_as_soon(detector: Detector, door: Doors) -> None:
    known = door(2)
    counters = _watch(detector, walk_by([2], seconds_absent=1.0, fps=25), known.ask, fps=25)
    assert counters == Counters(triggers=1, asked=1, matched=1)


def test_a_stranger_is_left_alone_after_a_few_tries_and_only_counted(
    detector: Detector, door: Doors
) -> None:
    stranger = door(2)
    counters = _watch(detector, walk_by([3], seconds_present=8.0), stranger.ask)
    assert counters == Counters(triggers=1, asked=3, unmatched=1)
    assert len(set(stranger.asked_at)) == 1, "the arrival does not move with the tries"


def test_who_comes_back_is_asked_about_again(detector: Detector, door: Doors) -> None:
    known = door(2)
    visit = list(walk_by([2], seconds_absent=1.5, seconds_present=2.5))
    counters = _watch(detector, visit * 2, known.ask)
    assert counters == Counters(triggers=2, asked=2, matched=2)


def test_with_more_faces_than_allowed_nobody_is_asked_about(
    detector: Detector, door: Doors
) -> None:
    known = door(0, 1, 2)
    counters = _watch(detector, walk_by([0, 1, 2]), known.ask, max_faces=1)
    assert counters == Counters(triggers=1, aborts={"too_many_faces": 1})
    assert known.shapes == []


def test_a_face_of_a_crowd_that_the_detector_loses_is_still_there(
    detector: Detector, door: Doors
) -> None:
    known = door(2, 3)
    both = list(frames(2, "two", seconds=2))
    one = [image.copy() for image in both]
    for image in one[8:13]:  # half a second in which the second face is not seen
        image[:, 320:] = 200
    counters = _watch(detector, one, known.ask, max_faces=1)
    assert counters == Counters(triggers=1, aborts={"too_many_faces": 1})


def test_with_two_allowed_both_are_asked_about(detector: Detector, door: Doors) -> None:
    known = door(2, 3)
    counters = _watch(detector, walk_by([2, 3]), known.ask, max_faces=2)
    assert counters == Counters(triggers=1, asked=2, matched=2)


def test_when_the_second_has_left_the_first_is_asked_about(detector: Detector, door: Doors) -> None:
    known = door(2)
    clip = [*frames(2, "two", seconds=1), *(_left(i) for i in frames(2, "two", seconds=3))]
    counters = _watch(detector, clip, known.ask, max_faces=1)
    assert counters == Counters(triggers=1, aborts={"too_many_faces": 1}, asked=1, matched=1)
    assert known.asked_at[0] >= START + 1.8, "a second after the crowd, with crops taken since"


def _left(image: Image) -> Image:
    image = image.copy()
    image[:, 320:] = 200
    return image


def test_a_face_outside_the_lane_is_not_seen_at_all(detector: Detector, door: Doors) -> None:
    known = door(2, 3)
    left_half = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    counters = _watch(detector, frames(2, "two", seconds=2), known.ask, zone=left_half)
    assert counters == Counters(triggers=1, asked=1, matched=1)
    assert known.outcomes == ["visit"]


def test_an_empty_lane_does_nothing(detector: Detector, door: Doors) -> None:
    nobody = door(2)
    assert _watch(detector, frames(2, "blank"), nobody.ask) == Counters()


@pytest.mark.parametrize(
    ("mode", "reason"),
    [("far", "too_small"), ("dark", "too_dark"), ("blurred", "blurred"), ("turned", "turned")],
)
def test_a_bad_picture_is_not_asked_about_and_the_reason_is_counted(
    detector: Detector, door: Doors, mode: Any, reason: str
) -> None:
    known = door(2)
    counters = _watch(detector, frames(2, mode, seconds=2), known.ask)
    assert counters.asked == 0
    assert counters.triggers >= 1
    assert set(counters.aborts) == {reason}


def test_a_covered_face_in_the_lane_is_not_asked_about(detector: Detector, door: Doors) -> None:
    known = door(2)
    masked = (covered(image, "mask") for image in frames(2, seconds=2))
    counters = _watch(detector, masked, known.ask)
    assert counters == Counters(triggers=1, aborts={"covered": 1})


def test_a_recognizer_that_is_down_is_counted_and_asked_again(
    detector: Detector, door: Doors
) -> None:
    known = door(2)
    calls: list[float] = []

    def ask(crops: Crops, seen_at: float) -> Answer:
        calls.append(seen_at)
        if len(calls) < 3:
            raise ConnectionError("nobody answers")
        return known.ask(crops, seen_at)

    counters = _watch(detector, walk_by([2], seconds_present=6.0), ask)
    assert counters == Counters(triggers=1, aborts={"recognizer_down": 1}, asked=3, matched=1)
    assert len(set(calls)) == 1


def test_refused_crops_are_counted_and_better_ones_tried(detector: Detector, door: Doors) -> None:
    known = door(2)
    calls: list[float] = []

    def ask(crops: Crops, seen_at: float) -> Answer:
        calls.append(seen_at)
        if len(calls) == 1:
            raise ValueError("two faces")
        return known.ask(crops, seen_at)

    counters = _watch(detector, walk_by([2], seconds_present=6.0), ask)
    assert counters == Counters(triggers=1, aborts={"crops_refused": 1}, asked=2, matched=1)


def test_what_the_law_refuses_is_not_asked_again(detector: Detector) -> None:
    def ask(crops: Crops, seen_at: float) -> Answer:
        return Answer("refused")

    counters = _watch(detector, walk_by([2], seconds_present=6.0), ask)
    assert counters == Counters(triggers=1, asked=1, unmatched=1)


def test_where_nothing_may_be_compared_yet_nobody_is_asked_about_again(detector: Detector) -> None:
    def ask(crops: Crops, seen_at: float) -> Answer:
        return Answer("uncalibrated")

    counters = _watch(detector, walk_by([2], seconds_present=6.0), ask)
    assert counters == Counters(triggers=1, aborts={"uncalibrated": 1}, asked=1)


def test_the_best_of_the_frames_are_handed_over(detector: Detector) -> None:
    """Later crops are sharper; a second try must use them, not the first ones."""
    taken: list[Crops] = []

    def ask(crops: Crops, seen_at: float) -> Answer:
        taken.append(crops)
        return Answer("unknown")

    clip = []
    for i, image in enumerate(frames(2, seconds=4)):
        soft = np.asarray(cv2.GaussianBlur(image, (0, 0), 1.2), dtype=np.uint8)
        clip.append(soft if i < 6 else image)
    _watch(detector, clip, ask)
    assert len(taken) == 3
    assert _detail(taken[1]) > 1.2 * _detail(taken[0])


def _detail(crops: Crops) -> float:
    return float(np.mean([cv2.Laplacian(crop, cv2.CV_32F).std() for crop in crops]))
