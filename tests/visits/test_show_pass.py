"""A camera that reads passes: one face is compared while a pass is shown, and none without."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import cv2
import numpy as np
import pytest

from apps.recognition.client import PassRefused
from apps.recognition.engine.types import Crops, Detector, Face, Image
from apps.recognition.passes import Pass
from apps.visits.pipeline.lane import Counters
from apps.visits.pipeline.watcher import CameraSpec, Report, Watcher
from tests.faces import frames, showing
from tests.visits.cameras import CAMERA, START, STORE, WHOLE, Answer, Door, FastClock, recording

Doors = Callable[..., Door]
MINE = Pass(UUID(int=7), bytes(range(32)))
OTHER = Pass(UUID(int=8), bytes(range(32, 64)))


@dataclass
class Desk:
    """A recognizer for one pass: it compares with whom `door` knows, once a nonce."""

    door: Door
    good: Pass = MINE
    shown: list[Pass] = field(default_factory=list)
    nonces: set[str] = field(default_factory=set)

    def present(self, shown: Pass) -> str:
        self.shown.append(shown)
        if shown != self.good:
            raise PassRefused("pass_unknown")
        nonce = uuid4().hex
        self.nonces.add(nonce)
        return nonce

    def verify(self, nonce: str, crops: Crops, seen_at: float) -> Answer:
        if nonce not in self.nonces:
            raise PassRefused("pass_replayed")
        self.nonces.discard(nonce)
        return self.door.ask(crops, seen_at)


class Watched:
    """A detector that counts how often it is used."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.looks = 0

    def detect(self, image: Image) -> list[Face]:
        self.looks += 1
        return self._detector.detect(image)


def watch(detector: Detector, clip: Iterable[Image], desk: Any, **spec: Any) -> Counters:
    camera = CameraSpec(CAMERA, STORE, "door", "-", "pass", **spec)
    reports: list[Report] = []
    Watcher(
        camera,
        recording(clip),
        detector,
        desk=desk,
        on_counters=reports.append,
        clock=FastClock(),
    ).run(Event())
    total = Counters()
    for report in reports:
        assert report.counters.embeddings_outside_trigger == 0
        for reason, number in report.counters.aborts.items():
            total.aborts[reason] = total.aborts.get(reason, 0) + number
        for name in ("triggers", "outside_zone", "asked", "matched", "unmatched"):
            setattr(total, name, getattr(total, name) + getattr(report.counters, name))
    return total


def person(index: int, mode: Any = "steady", *, seconds: float = 3.0) -> Iterable[Image]:
    return frames(index, mode, seconds=seconds)


def test_who_shows_their_pass_is_asked_about_once_and_soon(detector: Detector, door: Doors) -> None:
    desk = Desk(door(2))
    clip = showing(person(2, seconds=9.0), MINE.text(), seconds=(2.0, 9.0))
    counters = watch(detector, clip, desk)
    assert counters == Counters(triggers=1, asked=1, matched=1)
    assert desk.shown == [MINE], "however long it is held there"
    assert desk.door.shapes == [(3, 112, 112, 3)]
    assert START + 2.0 <= desk.door.asked_at[0] <= START + 2.6


def test_without_a_pass_no_face_is_even_looked_for(detector: Detector, door: Doors) -> None:
    desk, watched = Desk(door(2)), Watched(detector)
    assert watch(watched, person(2), desk) == Counters()
    assert watched.looks == 0
    assert desk.shown == []


def test_another_code_is_no_pass(detector: Detector, door: Doors) -> None:
    desk, watched = Desk(door(2)), Watched(detector)
    clip = showing(person(2), "https://harbour.example/prices")
    assert watch(watched, clip, desk) == Counters()
    assert watched.looks == 0


def test_another_persons_face_is_counted_and_not_asked_about_again(
    detector: Detector, door: Doors
) -> None:
    desk = Desk(door(2))
    clip = showing(person(3, seconds=8.0), MINE.text())
    counters = watch(detector, clip, desk)
    assert counters == Counters(triggers=1, aborts={"another_face": 1}, asked=1, unmatched=1)
    assert desk.door.outcomes == ["unknown"]


def test_a_second_face_means_that_nothing_is_handed_over(detector: Detector, door: Doors) -> None:
    desk = Desk(door(2, 3))
    clip = showing(person(2, "two", seconds=8.0), MINE.text())
    counters = watch(detector, clip, desk)
    assert counters == Counters(triggers=1, aborts={"too_many_faces": 1})
    assert desk.door.shapes == []


def test_a_second_face_that_leaves_does_not_reopen_the_window(
    detector: Detector, door: Doors
) -> None:
    desk = Desk(door(2, 3))
    clip = chain(person(2, "two", seconds=1.0), person(2, seconds=4.0))
    counters = watch(detector, showing(clip, MINE.text()), desk)
    assert counters == Counters(triggers=1, aborts={"too_many_faces": 1})


def test_a_face_outside_the_zone_is_nobodys(detector: Detector, door: Doors) -> None:
    desk = Desk(door(2))
    left = ((0.0, 0.0), (0.55, 0.0), (0.55, 1.0), (0.0, 1.0))

    def clip() -> Iterable[Image]:
        for image in showing(person(2, "two"), MINE.text()):
            image = image.copy()
            code = image[280:480, 420:640].copy()
            image[:, 352:] = 200
            image[270:470, 130:350] = code
            yield image

    counters = watch(detector, clip(), desk, zone=left)
    assert counters.aborts.get("too_many_faces") is None
    assert counters.triggers == 1


def test_a_pass_that_opens_nothing_opens_no_window(detector: Detector, door: Doors) -> None:
    desk, watched = Desk(door(2), good=OTHER), Watched(detector)
    counters = watch(watched, showing(person(2), MINE.text()), desk)
    assert counters == Counters(aborts={"pass_unknown": 1})
    assert watched.looks == 0
    assert desk.shown == [MINE], "it is not tried again while it stays"


@pytest.mark.parametrize(
    ("mode", "reason"),
    [("blank", "no_face"), ("far", "too_small"), ("blurred", "blurred"), ("turned", "turned")],
)
def test_a_window_without_a_good_picture_closes_and_says_why(
    detector: Detector, door: Doors, mode: Any, reason: str
) -> None:
    desk = Desk(door(2))
    counters = watch(detector, showing(person(2, mode, seconds=8.0), MINE.text()), desk)
    assert counters == Counters(triggers=1, aborts={reason: 1})
    assert desk.door.shapes == []


def test_a_window_lasts_a_few_seconds(detector: Detector, door: Doors) -> None:
    desk = Desk(door(2))
    late = chain(person(2, "blank", seconds=6.5), person(2, seconds=4.0))
    counters = watch(detector, showing(late, MINE.text(), seconds=(0.5, 99.0)), desk)
    assert counters == Counters(triggers=1, aborts={"no_face": 1})


def test_after_it_was_taken_away_a_pass_may_be_shown_again(detector: Detector, door: Doors) -> None:
    desk = Desk(door(2))
    clip = chain(
        showing(person(3), MINE.text()),
        person(3, seconds=3.0),
        showing(person(2), MINE.text()),
    )
    counters = watch(detector, clip, desk)
    assert counters == Counters(
        triggers=2, aborts={"another_face": 1}, asked=2, matched=1, unmatched=1
    )


def test_a_hand_that_covers_the_code_for_a_second_is_the_same_presentation(
    detector: Detector, door: Doors
) -> None:
    desk = Desk(door(2))
    clip = chain(
        showing(person(2), MINE.text()),
        person(2, seconds=1.0),
        showing(person(2), MINE.text()),
    )
    assert watch(detector, clip, desk) == Counters(triggers=1, asked=1, matched=1)


def test_the_next_in_the_queue_needs_not_wait(detector: Detector, door: Doors) -> None:
    @dataclass
    class Both(Desk):
        def present(self, shown: Pass) -> str:
            self.good = shown
            return super().present(shown)

    desk = Both(door(2, 3))
    clip = chain(showing(person(2), MINE.text()), showing(person(3), OTHER.text()))
    counters = watch(detector, clip, desk)
    assert counters == Counters(triggers=2, asked=2, matched=2)
    assert desk.shown == [MINE, OTHER]


def test_two_passes_at_once_open_nothing(detector: Detector, door: Doors) -> None:
    @dataclass
    class Both(Desk):
        def present(self, shown: Pass) -> str:
            self.good = shown
            return super().present(shown)

    desk = Both(door(2))
    nobody = list(person(2, "blank", seconds=1.0))
    clip = chain(
        showing(nobody, MINE.text()),
        showing(nobody, OTHER.text()),
        showing(person(2), MINE.text()),
        showing(person(2), OTHER.text()),
    )
    counters = watch(detector, clip, desk)
    assert counters == Counters(triggers=1, aborts={"two_passes": 1})


def test_a_recognizer_that_is_down_is_counted_and_asked_again(
    detector: Detector, door: Doors
) -> None:
    @dataclass
    class Down(Desk):
        calls: int = 0

        def present(self, shown: Pass) -> str:
            self.calls += 1
            if self.calls < 3:
                raise ConnectionError("nobody answers")
            return super().present(shown)

        def verify(self, nonce: str, crops: Crops, seen_at: float) -> Answer:
            self.calls += 1
            if self.calls == 4:
                raise ConnectionError("nobody answers")
            return super().verify(nonce, crops, seen_at)

    desk = Down(door(2))
    counters = watch(detector, showing(person(2, seconds=8.0), MINE.text()), desk)
    assert counters == Counters(triggers=1, aborts={"recognizer_down": 1}, asked=2, matched=1)


def test_what_the_law_refuses_is_counted(detector: Detector, door: Doors) -> None:
    @dataclass
    class Refusing(Desk):
        def verify(self, nonce: str, crops: Crops, seen_at: float) -> Answer:
            return Answer("refused")

    counters = watch(detector, showing(person(2), MINE.text()), Refusing(door(2)))
    assert counters == Counters(triggers=1, aborts={"refused": 1}, asked=1, unmatched=1)


def test_where_nothing_may_be_compared_yet_that_is_counted(detector: Detector, door: Doors) -> None:
    @dataclass
    class Waiting(Desk):
        def verify(self, nonce: str, crops: Crops, seen_at: float) -> Answer:
            return Answer("uncalibrated")

    counters = watch(detector, showing(person(2), MINE.text()), Waiting(door(2)))
    assert counters == Counters(triggers=1, aborts={"uncalibrated": 1}, asked=1)


def test_a_large_picture_is_read_too(detector: Detector, door: Doors) -> None:
    desk = Desk(door(2))
    clip = showing(frames(2, seconds=2.0, size=(1920, 1080)), MINE.text())
    assert watch(detector, clip, desk) == Counters(triggers=1, asked=1, matched=1)


def test_no_log_says_what_a_pass_says(
    detector: Detector, door: Doors, caplog: pytest.LogCaptureFixture
) -> None:
    @dataclass
    class Broken(Desk):
        def present(self, shown: Pass) -> str:
            raise RuntimeError(f"{shown} {shown.share.hex()} {shown.text()}")

    clip = list(showing(person(2, seconds=0.5), MINE.text()))
    watch(detector, clip, Broken(door(2)))
    assert "RuntimeError" in caplog.text
    for secret in (MINE.share.hex(), MINE.text(), str(MINE.template)):
        assert secret not in caplog.text


def test_it_needs_a_desk_and_no_zone(detector: Detector) -> None:
    camera = CameraSpec(CAMERA, STORE, "door", "-", "pass")
    with pytest.raises(ValueError, match="needs a recognizer"):
        Watcher(camera, recording([]), detector)
    assert CameraSpec(CAMERA, STORE, "door", "-", "pass", zone=WHOLE).zone == WHOLE


def test_noise_is_no_code(detector: Detector, door: Doors) -> None:
    random = np.random.default_rng(5)
    noise = [random.integers(0, 256, (480, 640, 3), dtype=np.uint8) for _ in range(5)]
    noise += [np.asarray(cv2.GaussianBlur(n, (0, 0), 2), dtype=np.uint8) for n in noise]
    assert watch(detector, noise, Desk(door(2))) == Counters()
