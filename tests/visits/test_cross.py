"""People who pass or meet in front of a camera: nobody is ever taken for the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cache
from threading import Event

import numpy as np
import pytest

from apps.recognition.engine.align import BadLandmarks, align
from apps.recognition.engine.packs import Pack
from apps.recognition.engine.types import Crops, Floats, Image
from apps.visits.pipeline.lane import Counters
from apps.visits.pipeline.track import Tracker
from apps.visits.pipeline.watcher import CameraSpec, Report, Watcher
from tests.faces import frames, meet
from tests.visits.cameras import CAMERA, STORE, WHOLE, Answer, Door, mean, recording

CLIPS = [
    pytest.param(pair, seconds, turn_back, id=f"{pair[0]}{pair[1]}-{seconds}-{way}")
    for pair in ((2, 3), (3, 5), (5, 2))
    for seconds in (1.5, 3.0, 5.0)
    for turn_back, way in ((False, "pass"), (True, "turn"))
]
Clip = tuple[int, int]
Told = tuple[int, int, int]
"""A track, its stretch, and whose face was in it."""


@pytest.fixture(scope="module")
def prints(eyes: Pack) -> dict[int, Floats]:
    """What the people of these clips look like, as unit vectors."""
    return {person: _print(eyes, list(frames(person, seconds=0.4))) for person in (2, 3, 5)}


def _print(eyes: Pack, images: list[Image]) -> Floats:
    crops = [align(image, eyes.detector.detect(image)[0].landmarks) for image in images]
    return mean(eyes.embedder.embed(np.stack(crops)))


def _who(eyes: Pack, prints: dict[int, Floats], crop: Image) -> int | None:
    """Whose crop it is, or None when it cannot be told."""
    vector = eyes.embedder.embed(crop[None])[0]
    score, person = max((float(known @ vector), who) for who, known in prints.items())
    return person if score >= eyes.threshold else None


@pytest.fixture(scope="module")
def told(eyes: Pack, prints: dict[int, Floats]) -> Callable[[Clip, float, bool], list[Told]]:
    """Who is seen in a clip; each clip is looked at once."""

    @cache
    def looked(pair: Clip, seconds: float, turn_back: bool) -> list[Told]:
        tracker, seen = Tracker(), []
        for i, image in enumerate(meet(*pair, turn_back=turn_back, seconds=seconds)):
            for track in tracker.update(eyes.detector.detect(image), i / 10).live:
                if not track.seen:
                    continue
                try:
                    who = _who(eyes, prints, align(image, track.face.landmarks))
                except BadLandmarks:
                    continue
                if who is not None:
                    seen.append((track.id, track.stretch, who))
        return seen

    return looked


@pytest.mark.parametrize(("pair", "seconds", "turn_back"), CLIPS)
def test_one_stretch_of_a_track_is_one_person(
    told: Callable[[Clip, float, bool], list[Told]], pair: Clip, seconds: float, turn_back: bool
) -> None:
    seen: dict[tuple[int, int], set[int]] = defaultdict(set)
    for track, stretch, who in told(pair, seconds, turn_back):
        seen[track, stretch].add(who)
    assert {person for people in seen.values() for person in people} == set(pair)
    assert [people for people in seen.values() if len(people) > 1] == []


@pytest.mark.parametrize("seconds", [1.5, 3.0])
@pytest.mark.parametrize("pair", [(2, 3), (3, 5), (5, 2)])
def test_two_who_pass_each_other_are_two_tracks_from_side_to_side(
    told: Callable[[Clip, float, bool], list[Told]], pair: Clip, seconds: float
) -> None:
    seen: dict[int, set[int]] = defaultdict(set)
    for track, _stretch, who in told(pair, seconds, False):
        seen[track].add(who)
    assert sorted(map(sorted, seen.values())) == sorted([[person] for person in pair])


class Listening(Door):
    """A door that also writes down whose crops it was handed together."""

    prints: dict[int, Floats]
    handed: list[set[int | None]]

    def ask(self, crops: Crops, seen_at: float) -> Answer:
        self.handed.append({_who(self.pack, self.prints, crop) for crop in crops})
        return super().ask(crops, seen_at)


@pytest.mark.parametrize(("pair", "seconds", "turn_back"), CLIPS)
def test_no_question_mixes_two_people_and_no_stranger_is_taken_for_a_visitor(
    eyes: Pack, prints: dict[int, Floats], pair: Clip, seconds: float, turn_back: bool
) -> None:
    visitor = pair[0]
    door = Listening(eyes, [prints[visitor]])
    door.prints, door.handed = prints, []
    clip = meet(*pair, turn_back=turn_back, seconds=seconds, size=(960, 720))
    counters = _watch(eyes, clip, door)
    assert counters.triggers == 1
    for people, outcome in zip(door.handed, door.outcomes, strict=True):
        assert len(people - {None}) == 1, "crops of two people in one question"
        assert (outcome == "visit") == (visitor in people)
    assert {visitor} in door.handed, "the visitor was greeted all the same"


def _watch(eyes: Pack, clip: Iterable[Image], door: Door) -> Counters:
    camera = CameraSpec(CAMERA, STORE, "lane", "-", "lane", zone=WHOLE, max_faces=2)
    total = Counters()

    def add(report: Report) -> None:
        total.triggers += report.counters.triggers

    Watcher(
        camera,
        recording(clip),
        eyes.detector,
        ask=door.ask,
        on_counters=add,
    ).run(Event())
    return total


def test_who_takes_the_place_of_a_greeted_visitor_is_asked_about_too(
    eyes: Pack, prints: dict[int, Floats]
) -> None:
    """Both signed; they meet, hide each other and turn back, so that their tracks are exchanged."""
    for pair in ((2, 5), (3, 5)):
        door = Listening(eyes, [prints[person] for person in pair])
        door.prints, door.handed = prints, []
        _watch(eyes, meet(*pair, turn_back=True, seconds=3.0, size=(960, 720)), door)
        assert {person for people in door.handed for person in people} >= set(pair)
