"""Somebody else's face, held up at the kiosk: none of it enrols, and each hears a kind sentence.

Every clip goes through the tablet's own requests. The living person is made of the same frame as
the photo that fails: see ops.heads.
"""

import base64
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings as house_settings
from numpy.typing import NDArray
from pytest_django.fixtures import Settings

from apps.consent.models import Consent
from apps.kiosk import faces as looking
from apps.recognition.client import CropsRefused, Recognizer, SealRequest
from apps.recognition.engine import starter
from apps.stores.devices import live_events
from ops import story
from ops.heads import flat, on_screen, performance
from tests import faces
from tests.clients import KioskTablet, alive, enrolled, nothing_kept, opt_in_form
from tests.conftest import House
from tests.kiosk.conftest import Photos
from tests.kiosk.test_opt_in import error_of
from tests.recognition.liveness_model import declare, undeclare

PERSON, OTHER = 2, 5
Clip = list[tuple[int, NDArray[np.uint8]]]
Attack = Callable[[Sequence[str]], Clip]


@pytest.fixture
def tablet(house: House) -> KioskTablet:
    return enrolled(house.kiosk)


@cache
def still() -> NDArray[np.uint8]:
    return next(faces.frames(PERSON, seconds=0.1))


@cache
def acted(acts: tuple[str, ...]) -> Clip:
    return list(performance(still(), acts))


def attempt_of(
    tablet: KioskTablet, form: dict[str, Any], clip: Attack, *, pace: float = 0.5
) -> dict[str, Any]:
    """The form with a challenge asked for, and what the camera saw while it was done."""
    attempt = str(uuid.uuid4())
    asked = tablet.signed("/kiosk/challenge/", json.dumps({"attempt": attempt}).encode()).json()
    frames = [
        {
            "step": step,
            "at": number * pace,
            "photo": base64.b64encode(faces.jpeg(shot)).decode(),
        }
        for number, (step, shot) in enumerate(clip(asked["acts"]))
    ]
    return {**form, "attempt": attempt, "challenge": asked["challenge"], "frames": frames}


def send(tablet: KioskTablet, form: dict[str, Any]) -> Any:
    return tablet.signed("/kiosk/opt-in/", json.dumps(form).encode())


def steps(acts: Sequence[str]) -> list[int]:
    """The steps of the frames of a whole performance."""
    return [step for step, _shot in acted(tuple(acts))]


def a_still_photo(acts: Sequence[str]) -> Clip:
    return [(step, flat(still())) for step in steps(acts)]


def a_photo_moved_about(acts: Sequence[str]) -> Clip:
    """Turned to and fro, tilted, carried aside; brought nearer only where that was asked for."""
    clip = []
    for number, step in enumerate(steps(acts)):
        act = acts[step // 2] if step % 2 else ""
        side = {"left": 1, "right": -1}.get(act, 0)
        size = 1.4 if act == "nearer" and steps(acts)[:number].count(step) else 1.0
        turned = side * 17.0 * steps(acts)[:number].count(step)
        clip.append((step, flat(still(), degrees=turned, tilt=3.0 * side, size=size, aside=0.01)))
    return clip


def a_replay_of_another_session(acts: Sequence[str]) -> Clip:
    """The same person, live, when other movements were asked for."""
    return acted(tuple(reversed(acts)))


@cache
def stand_in() -> NDArray[np.uint8]:
    """Another person, with the eyes where the first one's were."""
    return next(faces.relative(OTHER, PERSON, 1.0, seconds=0.1))


def two_people_swapping(acts: Sequence[str]) -> Clip:
    mine, theirs = acted(tuple(acts)), list(performance(stand_in(), acts))
    return [one if one[0] < 2 else other for one, other in zip(mine, theirs, strict=True)]


def a_second_face_leaning_in(acts: Sequence[str]) -> Clip:
    clip = list(acted(tuple(acts)))
    clip[3] = (clip[3][0], next(faces.frames(PERSON, "two", seconds=0.1)))
    return clip


def a_blank_camera(acts: Sequence[str]) -> Clip:
    blank = next(faces.frames(PERSON, "blank", seconds=0.1))
    return [(step, blank) for step in steps(acts)]


def a_lens_cap_halfway(acts: Sequence[str]) -> Clip:
    clip = acted(tuple(acts))
    return [(step, shot if step < 2 else np.zeros_like(shot)) for step, shot in clip]


def a_screen(acts: Sequence[str]) -> Clip:
    """Even one that plays each movement as it is asked for, while its grid is seen."""
    return [(step, on_screen(shot)) for step, shot in acted(tuple(acts))]


@pytest.mark.parametrize(
    ("clip", "code", "sentence"),
    [
        (a_still_photo, "not_seen", "We did not see the movement"),
        (a_photo_moved_about, "not_seen|looks_flat", ""),
        (a_replay_of_another_session, "other_act", "another movement than we asked for"),
        # Who has another nose may not even be seen to do what was asked.
        (two_people_swapping, "different_faces|not_seen|other_act|looks_flat", ""),
        (a_second_face_leaning_in, "two_faces_came", "come alone to the picture"),
        (a_blank_camera, "face_lost", "lost sight of your face"),
        (a_lens_cap_halfway, "face_lost", "lost sight of your face"),
        (a_screen, "looks_flat", "without a screen or a photo"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_nobody_is_enrolled_by_a_picture_of_them(
    house: House,
    tablet: KioskTablet,
    recognizer: Recognizer,
    photos: Photos,
    clip: Attack,
    code: str,
    sentence: str,
) -> None:
    form = attempt_of(tablet, opt_in_form(house, photos()), clip)
    with nothing_kept():
        answer = send(tablet, form)
    status, said, step = error_of(answer)
    assert (status, step) == (422, "camera")
    assert said in code.split("|")
    assert sentence in answer.json()["error"]["text"]


def test_nothing_is_sealed_when_another_person_was_watched(
    house: House,
    recognizer: Recognizer,
    crops_of: Callable[[int], NDArray[np.uint8]],
) -> None:
    def sealed(watched: NDArray[np.uint8]) -> object:
        request = SealRequest(
            organization=house.organization.pk,
            store=house.store.pk,
            visitor=uuid.uuid4(),
            consent=uuid.uuid4(),
            templates={"pass": uuid.uuid4()},
            not_after=2**31,
            watched=len(watched),
        )
        return recognizer.seal(request, np.concatenate([crops_of(PERSON), watched]))

    assert sealed(crops_of(PERSON)[:2])
    with pytest.raises(CropsRefused, match="different_faces"):
        sealed(crops_of(OTHER)[:1])
    with pytest.raises(CropsRefused, match="different_faces"):
        sealed(np.concatenate([crops_of(PERSON)[:2], crops_of(OTHER)[2:]]))


def test_whoever_does_what_was_asked_is_enrolled(
    house: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos
) -> None:
    form = attempt_of(tablet, opt_in_form(house, photos()), lambda acts: acted(tuple(acts)))
    assert send(tablet, form).status == 201
    assert Consent.objects.count() == 1


def test_the_demos_own_story_gets_through(
    house: House, tablet: KioskTablet, recognizer: Recognizer
) -> None:
    receipt = story.opt_in(tablet, house.text, "Ms Rivera", story.FACE)
    assert receipt["code"]
    assert Consent.objects.count() == 1


def test_movements_are_asked_for_once_and_judged_once(
    house: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos
) -> None:
    """After a refusal the same pictures, or better ones, need a new challenge."""
    form = attempt_of(tablet, opt_in_form(house, photos()), a_still_photo)
    assert send(tablet, form).status == 422
    key = f"challenge:{house.kiosk.pk}:{form['challenge']}"
    assert live_events().get(key) is None
    with nothing_kept():
        assert error_of(send(tablet, form)) == (422, "too_slow", "camera")


def test_a_challenge_serves_its_own_attempt_and_its_own_tablet(
    house: House, tablet: KioskTablet, photos: Photos
) -> None:
    form = alive(tablet, opt_in_form(house, photos()))
    another = {**form, "attempt": str(uuid.uuid4())}
    other = enrolled(house.store.devices.create(name="Another tablet"))
    with nothing_kept():
        assert error_of(send(tablet, another)) == (422, "too_slow", "camera")
        assert error_of(send(other, form)) == (422, "too_slow", "camera")


def test_whoever_took_too_long_is_asked_anew(
    house: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos
) -> None:
    form = opt_in_form(house, photos())
    slow = attempt_of(tablet, form, lambda acts: acted(tuple(acts)), pace=5.0)
    with nothing_kept():
        assert error_of(send(tablet, slow)) == (422, "too_slow", "camera")
    assert tablet.opt_in(form).status == 201


def test_an_outage_does_not_use_the_challenge_up(
    house: House,
    tablet: KioskTablet,
    recognizer: Recognizer,
    photos: Photos,
    settings: Settings,
    tmp_path: Path,
) -> None:
    form = alive(tablet, opt_in_form(house, photos()))
    running = settings.CONSENTRY
    settings.CONSENTRY = running.model_copy(
        update={"recognizer_socket": str(tmp_path / "nobody.sock")}
    )
    assert error_of(send(tablet, form)) == (503, "unavailable", "camera")
    settings.CONSENTRY = running
    assert send(tablet, form).status == 201


@pytest.mark.parametrize(
    "spoil",
    [
        lambda form: form.pop("challenge"),
        lambda form: form.pop("frames"),
        lambda form: form.update(frames=[]),
        lambda form: form["frames"].pop(),
        lambda form: form["frames"].reverse(),
        lambda form: form["frames"][0].update(at=float("nan")),
        lambda form: form["frames"][0].update(step=-1),
        lambda form: form["frames"][0].update(photo="####"),
        lambda form: form.update(frames=form["frames"] * 4),
        lambda form: form.update(challenge="../" * 5),
    ],
    ids=range(10),
)
def test_a_challenge_that_is_not_whole_enrols_nobody(
    house: House, tablet: KioskTablet, photos: Photos, spoil: Callable[[dict[str, Any]], object]
) -> None:
    form = json.loads(json.dumps(alive(tablet, opt_in_form(house, photos()))))
    spoil(form)
    with nothing_kept():
        status, _code, step = error_of(send(tablet, form))
    assert status in (400, 422)
    assert step == "camera"


def test_trying_on_and_on_ends(house: House, tablet: KioskTablet) -> None:
    body = json.dumps({"attempt": str(uuid.uuid4())}).encode()
    answers = [tablet.signed("/kiosk/challenge/", body) for _ in range(31)]
    assert [answer.status for answer in answers] == [200] * 30 + [429]
    assert error_of(answers[-1])[1] == "slow_down"
    drawn = {tuple(answer.json()["acts"]) for answer in answers[:30]}
    assert len(drawn) > 1, "they are drawn, not fixed"
    assert all(len(set(acts)) == 2 for acts in drawn)


def test_redis_holds_the_movements_and_no_picture(
    house: House, tablet: KioskTablet, photos: Photos
) -> None:
    form = alive(tablet, opt_in_form(house, photos()))
    redis = live_events()
    (key,) = redis.scan_iter(f"challenge:{house.kiosk.pk}:*")
    assert json.loads(redis.get(key) or b"").keys() == {"attempt", "acts"}
    assert 0 < redis.ttl(key) <= 120
    assert key.decode().endswith(form["challenge"])


def told(tablet: KioskTablet, asked: str, shot: NDArray[np.uint8]) -> dict[str, Any]:
    """What the tablet hears of a picture while somebody moves."""
    front = tablet.signed("/kiosk/look/", faces.jpeg(still()), "image/jpeg").json()["points"]
    photo = base64.b64encode(faces.jpeg(shot)).decode()
    body = json.dumps({"asked": asked, "front": front, "photo": photo}).encode()
    answer = tablet.signed("/kiosk/act/", body)
    assert answer.status == 200
    return dict(answer.json())


def test_the_tablet_hears_at_once_how_it_goes(house: House, tablet: KioskTablet) -> None:
    turned = acted(("left", "right"))[3][1]
    assert told(tablet, "left", turned)["done"]
    assert not told(tablet, "front", turned)["done"]
    assert told(tablet, "right", turned)["stop"]
    assert told(tablet, "front", still())["done"]
    assert not told(tablet, "left", still())["done"]
    assert told(tablet, "nearer", next(faces.frames(PERSON, "two", seconds=0.1)))["stop"]
    assert told(tablet, "left", np.zeros_like(turned))["code"] == "no_face"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"asked": "up"}', b'{"attempt": 3}', b"null"])
def test_a_request_that_is_none_is_refused(house: House, tablet: KioskTablet, body: bytes) -> None:
    for path in ("/kiosk/challenge/", "/kiosk/act/"):
        assert error_of(tablet.signed(path, body)) == (400, "form", "camera")


# insightface's liveness network, where the pack carries one.


@pytest.fixture
def network() -> Iterator[Callable[..., None]]:
    """Declare a network in the running pack's manifest, and take it out again."""

    def carry(probability: float, **spoilt: str) -> None:
        declare(house_settings.CONSENTRY.packs, probability, **spoilt)
        looking.addon.cache_clear()

    yield carry
    undeclare(house_settings.CONSENTRY.packs)
    looking.addon.cache_clear()


@pytest.mark.parametrize(("probability", "status"), [(0.93, 201), (0.41, 422)])
def test_a_packs_own_network_is_asked_too(
    house: House,
    tablet: KioskTablet,
    recognizer: Recognizer,
    photos: Photos,
    network: Callable[..., None],
    probability: float,
    status: int,
) -> None:
    network(probability)
    answer = tablet.opt_in(opt_in_form(house, photos()))
    assert answer.status == status
    if status != 201:
        assert error_of(answer) == (422, "looks_flat", "camera")


@pytest.mark.parametrize("spoilt", [{"sha256": "0" * 64}, {"file": "gone.onnx"}])
def test_a_network_that_is_declared_and_not_whole_closes_the_kiosk(
    house: House,
    tablet: KioskTablet,
    recognizer: Recognizer,
    photos: Photos,
    network: Callable[..., None],
    spoilt: dict[str, str],
) -> None:
    network(0.93, **spoilt)
    with nothing_kept():
        answer = tablet.opt_in(opt_in_form(house, photos()))
    assert error_of(answer) == (503, "unavailable", "camera")
    assert starter.is_starter(house_settings.CONSENTRY.packs)
