"""The tablet at the door: one burst, one answer, no name; and everything that it refuses."""

import base64
import json
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.utils import timezone
from numpy.typing import NDArray
from pytest_django.fixtures import Settings

from apps.consent.models import Purpose
from apps.recognition.client import Recognizer
from apps.recognition.passes import Pass
from apps.stores.devices import add_door, revoke
from apps.stores.models import Camera, Device, Role, Store
from apps.visitors import cards
from apps.visitors.cards import CardCode
from apps.visits.cameras import specs
from apps.visits.health import abort_words, look_at
from apps.visits.models import Visit
from ops.tablet import Answer
from tests import faces, qr
from tests.clients import KioskTablet, browser, enrolled, nothing_kept, opt_in_form
from tests.conftest import House, build_house
from tests.privacy.test_renewal import near_the_end
from tests.recognition.test_present import ENDS, Holder, holder_of

Crops = Callable[[int], NDArray[np.uint8]]
JSON = {"Content-Type": "application/json"}
SHOW = "/door/show/"


@dataclass(frozen=True, slots=True)
class Door:
    """An enrolled tablet at the door of a house where somebody holds a pass."""

    holder: Holder
    device: Device
    tablet: KioskTablet

    @property
    def camera(self) -> Camera:
        return Camera.objects.get(tablet=self.device)

    def shows(self, pictures: Iterable[bytes]) -> Answer:
        return self.tablet.signed(SHOW, body_of(pictures))

    def says(self, pictures: Iterable[bytes]) -> str:
        answer = self.shows(pictures)
        assert answer.status == 200, answer.body
        assert set(answer.json()) == {"say"}
        return str(answer.json()["say"])


def body_of(pictures: Iterable[bytes]) -> bytes:
    return json.dumps({"pictures": [base64.b64encode(one).decode() for one in pictures]}).encode()


def burst(person: int, shown: Pass | None, mode: Any = "steady", count: int = 8) -> list[bytes]:
    """JPEGs of somebody who holds a pass beside their face."""
    clip = faces.frames(person, mode, seconds=count / 10, fps=10)
    held = clip if shown is None else faces.showing(clip, shown.text())
    return [faces.jpeg(frame) for frame in held]


def hang(store: Store, name: str = "Door", **camera: Any) -> Device:
    """A door tablet whose camera may run."""
    device = add_door(Device(store=store, name=name), actor="test")
    allowed = {"signage_confirmed_at": timezone.now(), **camera}
    Camera.objects.filter(tablet=device).update(**allowed)
    return device


@pytest.fixture
def door(recognizer: Recognizer, crops_of: Crops) -> Door:
    holder = holder_of(build_house(), recognizer, crops_of(2), [Purpose.PASS, Purpose.HISTORY])
    device = hang(holder.house.store)
    return Door(holder, device, enrolled(device))


def code_of(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json()["error"]["code"]


def test_whoever_shows_their_own_pass_is_welcome_and_the_floor_alone_hears_the_name(
    door: Door,
) -> None:
    answer = door.shows(burst(2, door.holder.shown))
    assert answer.json() == {"say": "welcome"}
    assert "Chen" not in answer.body.decode() + str(answer.headers)
    visit = Visit.objects.get()
    assert (visit.visitor, visit.camera) == (door.holder.visitor, door.camera)
    board = browser(door.holder.house.staff).get("/floor/harbour-street/").content.decode()
    assert "Ms Chen" in board
    camera = door.camera
    assert (camera.triggers, camera.aborts, camera.embeddings_outside_trigger) == (1, {}, 0)
    assert door.says(burst(2, door.holder.shown)) == "welcome", "still here"
    near_the_end()
    assert door.says(burst(2, door.holder.shown)) == "welcome_ending"
    assert door.says(burst(3, door.holder.shown)) == "staff", "nobody else is told of the end"
    assert Visit.objects.count() == 1


@pytest.mark.parametrize(
    ("person", "mode", "shown", "says", "reason"),
    [
        (2, "steady", False, "no_code", "no_code"),
        (2, "blank", True, "no_face", "no_face"),
        (2, "two", True, "too_many_faces", "too_many_faces"),
        (2, "far", True, "too_small", "too_small"),
        (2, "blurred", True, "blurred", "blurred"),
        (2, "turned", True, "turned", "turned"),
        (3, "steady", True, "staff", "another_face"),
        (5, "steady", True, "staff", "another_face"),
    ],
)
def test_what_is_not_the_passes_own_good_face_is_told_counted_and_nothing_more(
    door: Door, person: int, mode: str, shown: bool, says: str, reason: str
) -> None:
    pictures = burst(person, door.holder.shown if shown else None, mode)
    with nothing_kept():
        assert door.says(pictures) == says
    assert door.camera.aborts == {reason: 1}
    assert "_" not in abort_words(reason)


@pytest.mark.parametrize("how", [how for how in ENDS if how != "camera"])
def test_a_pass_that_ended_says_no_more_than_one_that_never_was(door: Door, how: str) -> None:
    end, reason = ENDS[how]
    end(door.holder)
    before = Visit.objects.count()
    unknown = Pass(door.device.pk, os.urandom(32))
    assert door.shows(burst(2, door.holder.shown)).body == door.shows(burst(2, unknown)).body
    assert Visit.objects.count() == before
    expected = {"pass_unknown": 2} if reason == "pass_unknown" else {reason: 1, "pass_unknown": 1}
    assert door.camera.aborts == expected


def card_from_the_kiosk(house: House) -> CardCode:
    """What somebody holds who declined the lane and took a card."""
    purposes = {"lane": False, "card": True, "history": True, "contact": False}
    form = opt_in_form(house, [], purposes=purposes, name="Ms Rivera")
    answer = enrolled(house.kiosk).signed("/kiosk/opt-in/", json.dumps(form).encode())
    assert answer.status == 201, answer.body
    code = cards.read(answer.json()["receipt"]["card"])
    assert code is not None
    assert qr.text_in(qr.drawn(answer.json()["receipt"]["card_svg"])) == code.text()
    return code


def held_up(*texts: str, mode: Any = "blank", person: int = 2) -> list[bytes]:
    """JPEGs of codes before the tablet, the second beside the first."""
    frames = list(faces.showing(faces.frames(person, mode, seconds=0.3, fps=10), texts[0]))
    for text in texts[1:]:
        frames = [frame[:, ::-1] for frame in frames]
        frames = [frame[:, ::-1] for frame in faces.showing(frames, text)]
    return [faces.jpeg(np.ascontiguousarray(frame)) for frame in frames]


def test_whoever_shows_a_card_is_welcome_and_no_face_is_looked_for(
    house: House, settings: Settings, tmp_path: Path
) -> None:
    nobody = {"recognizer_socket": str(tmp_path / "nobody.sock")}
    settings.CONSENTRY = settings.CONSENTRY.model_copy(update=nobody)
    code, device = card_from_the_kiosk(house), hang(house.store)
    tablet = enrolled(device)

    def says(pictures: list[bytes]) -> str:
        return str(tablet.signed(SHOW, body_of(pictures)).json()["say"])

    assert says(held_up(code.text())) == "welcome"
    visit = Visit.objects.get()
    assert (visit.visitor.greeting_name, visit.camera) == ("Ms Rivera", None)
    board = browser(house.staff).get("/floor/harbour-street/").content.decode()
    assert "Ms Rivera" in board
    # Two faces beside a pass would be one too many; beside a card nobody looks.
    assert says(held_up(code.text(), mode="two")) == "welcome", "still here"
    near_the_end()
    assert says(held_up(code.text())) == "welcome_ending"
    camera = Camera.objects.get(tablet=device)
    assert (camera.triggers, camera.outside_zone, camera.aborts) == (0, 0, {})
    assert Visit.objects.count() == 1


def test_a_card_that_is_none_says_no_more_than_a_pass_that_is_none(house: House) -> None:
    mine, device = card_from_the_kiosk(house), hang(house.store)
    tablet = enrolled(device)
    unknown = tablet.signed(SHOW, body_of(held_up(cards.draw().text())))
    assert unknown.json() == {"say": "staff"}
    several = tablet.signed(SHOW, body_of(held_up(mine.text(), cards.draw().text())))
    assert several.json() == {"say": "two_passes"}
    beside = held_up(mine.text(), Pass(device.pk, os.urandom(32)).text())
    assert tablet.signed(SHOW, body_of(beside)).json() == {"say": "two_passes"}
    # The same signs on anything else are no card of ours.
    assert tablet.signed(SHOW, body_of(held_up(mine.signs))).json() == {"say": "no_code"}
    assert not Visit.objects.exists()
    aborts = Camera.objects.get(tablet=device).aborts
    assert aborts == {"card_unknown": 1, "two_passes": 2, "no_code": 1}
    assert "_" not in abort_words("card_unknown")


def test_a_forged_share_opens_nothing(door: Door) -> None:
    forged = Pass(door.holder.shown.template, os.urandom(32))
    assert door.says(burst(2, forged)) == "staff"
    assert door.camera.aborts == {"pass_broken": 1}
    assert not Visit.objects.exists()


def test_a_pass_of_another_store_opens_nothing(door: Door) -> None:
    store = door.holder.house.organization.stores.create(
        name="Old Town", slug="old-town", jurisdiction="eu", non_face_check_in="Show your card."
    )
    device = hang(store)
    there = Door(door.holder, device, enrolled(device))
    assert there.says(burst(2, door.holder.shown)) == "staff"
    assert there.camera.aborts == {"pass_elsewhere": 1}
    assert not Visit.objects.exists()


def test_two_passes_at_once_open_nothing(
    door: Door, recognizer: Recognizer, crops_of: Crops
) -> None:
    other = holder_of(door.holder.house, recognizer, crops_of(3), [Purpose.PASS])
    nobody = burst(2, door.holder.shown, "blank", 3) + burst(2, other.shown, "blank", 3)
    assert door.says(nobody + burst(2, door.holder.shown, count=4)) == "two_passes"
    assert not Visit.objects.exists()


def test_a_face_that_changes_within_a_burst_is_nobodys(door: Door) -> None:
    mixed = burst(2, door.holder.shown, count=2) + burst(3, door.holder.shown, count=2)
    assert door.says(mixed) == "staff"
    assert not Visit.objects.exists()


def test_what_was_sent_once_cannot_be_sent_again(door: Door) -> None:
    body = body_of(burst(3, door.holder.shown))
    headers = {**door.tablet.headers_for(SHOW, body, door.tablet.nonce()), **JSON}
    assert door.tablet.request(SHOW, body, headers).status == 200
    swapped = {**door.tablet.headers_for(SHOW, body, door.tablet.nonce()), **JSON}
    mine = body_of(burst(2, door.holder.shown))
    with nothing_kept():
        assert code_of(door.tablet.request(SHOW, body, headers)) == (409, "replayed")
        # Nor other pictures under the same signature.
        assert code_of(door.tablet.request(SHOW, mine, swapped)) == (403, "device")
    assert door.camera.aborts == {"another_face": 1}


def test_a_stopped_tablet_is_refused_at_once(door: Door) -> None:
    body = body_of(burst(2, door.holder.shown))
    headers = {**door.tablet.headers_for(SHOW, body, door.tablet.nonce()), **JSON}
    revoke(device=door.device, actor="test")
    assert code_of(door.tablet.request(SHOW, body, headers)) == (403, "device")
    csrf = {**JSON, "X-CSRFToken": door.tablet.csrf}
    assert code_of(door.tablet.request("/door/nonce/", b"{}", csrf)) == (403, "device")
    assert (door.camera.triggers, door.camera.aborts) == (0, {})
    assert not Visit.objects.exists()
    assert b"One-time code" in door.tablet.request("/door/").body


def no_sign(camera: Camera) -> None:
    Camera.objects.update(signage_confirmed_at=None)


def switched_off(camera: Camera) -> None:
    Camera.objects.update(active=False)


def no_other_way(camera: Camera) -> None:
    Store.objects.update(non_face_check_in="")


@pytest.mark.parametrize("lacking", [no_sign, switched_off, no_other_way])
def test_without_what_any_camera_needs_it_does_not_look(
    door: Door, lacking: Callable[[Camera], None]
) -> None:
    lacking(door.camera)
    assert code_of(door.shows(burst(2, door.holder.shown))) == (403, "closed")
    assert (door.camera.triggers, door.camera.aborts) == (0, {})
    assert not Visit.objects.exists()
    assert door.tablet.signed("/door/here/", b'{"picture": false}').json() == {"open": False}
    assert 'data-open="no"' in door.tablet.request("/door/").body.decode()


def test_a_new_tablet_waits_for_its_sign(house: House) -> None:
    device = add_door(Device(store=house.store, name="Door"), actor="test")
    assert device.camera is not None
    (reason,) = look_at(device.camera, uncalibrated=False).reasons
    assert "sign" in reason


def test_tries_are_limited(house: House) -> None:
    device = hang(house.store)
    tablet, nothing = enrolled(device), body_of([faces.jpeg(np.zeros((48, 64, 3), np.uint8))] * 3)
    answers = [tablet.signed(SHOW, nothing).status for _ in range(41)]
    assert answers == [200] * 40 + [429]
    assert Camera.objects.get(tablet=device).aborts == {"no_code": 40}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, "form")),
        (b'{"pictures": []}', (400, "form")),
        (b'{"pictures": ["", ""]}', (400, "form")),
        (body_of([b"GIF89a"] * 13), (400, "form")),
        (b'{"pictures": ["%", "%", "%"]}', (422, "not_an_image")),
        (body_of([b"GIF89a"] * 3), (422, "not_an_image")),
        (body_of([bytes(600 * 1024)] * 3), (400, "form")),
    ],
    ids=["nothing", "none", "two", "too many", "no base64", "no image", "too large"],
)
def test_what_is_no_burst_is_refused_and_nothing_is_counted(
    house: House, body: bytes, expected: tuple[int, str]
) -> None:
    device = hang(house.store)
    assert code_of(enrolled(device).signed(SHOW, body)) == expected
    camera = Camera.objects.get(tablet=device)
    assert (camera.triggers, camera.aborts) == (0, {})


def test_a_picture_of_too_many_pixels_is_never_decoded(house: House) -> None:
    large = faces.jpeg(np.zeros((1090, 1930, 3), np.uint8))
    tablet = enrolled(hang(house.store))
    assert code_of(tablet.signed(SHOW, body_of([large] * 3))) == (422, "too_large")


def test_without_a_recognizer_it_says_so_and_counts_it(
    house: House, settings: Settings, tmp_path: Path
) -> None:
    # The one of the other tests may still run.
    nobody = {"recognizer_socket": str(tmp_path / "nobody.sock")}
    settings.CONSENTRY = settings.CONSENTRY.model_copy(update=nobody)
    device = hang(house.store)
    answer = enrolled(device).signed(SHOW, body_of(burst(2, Pass(device.pk, os.urandom(32)))))
    assert code_of(answer) == (503, "unavailable")
    assert Camera.objects.get(tablet=device).aborts == {"recognizer_down": 1}


def test_no_picture_and_no_pass_is_written_anywhere(
    door: Door,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))
    caplog.set_level(logging.DEBUG)
    assert door.says(burst(2, door.holder.shown)) == "welcome"
    shown = door.holder.shown
    for secret in (shown.text(), shown.share.hex(), str(shown.template), "Chen"):
        assert secret not in caplog.text


def test_a_kiosk_is_no_door_and_a_door_is_no_kiosk(house: House) -> None:
    kiosk, device = enrolled(house.kiosk), hang(house.store)
    tablet = enrolled(device)
    assert code_of(kiosk.signed("/door/here/", b'{"picture": true}')) == (403, "device")
    assert code_of(tablet.signed("/kiosk/refuse/", b'{"purposes": []}')) == (403, "device")
    assert b"One-time code" in tablet.request("/kiosk/").body
    assert b"One-time code" in kiosk.request("/door/").body


def test_a_code_fits_its_own_kind_of_tablet_only(house: House) -> None:
    from apps.stores.devices import new_code

    device = hang(house.store)
    code = new_code(device=device, actor="test")
    assert code_of(KioskTablet().enroll(code)) == (403, "code")
    assert KioskTablet(kind="door").enroll(code).status == 200


def test_it_says_that_it_lives_as_any_camera_does(house: House) -> None:
    device = hang(house.store)
    tablet = enrolled(device)

    def health() -> str:
        return look_at(Camera.objects.get(tablet=device), uncalibrated=False).health.word

    assert health() == "tablet silent"
    assert tablet.signed("/door/here/", b'{"picture": true}').json() == {"open": True}
    assert health() == "running"
    seen = Device.objects.get(pk=device.pk).last_seen_at
    assert seen is not None
    long_ago = timezone.now() - timedelta(minutes=5)
    Camera.objects.update(reported_at=long_ago)
    assert health() == "tablet silent"
    Camera.objects.update(reported_at=timezone.now(), last_frame_at=long_ago)
    assert health() == "no picture"
    assert code_of(tablet.signed("/door/here/", b"[]")) == (400, "form")


def test_no_watcher_opens_a_tablet(house: House) -> None:
    device = hang(house.store)
    assert device.camera_id not in specs(set())
    assert house.camera.pk in specs(set())


def test_the_page_speaks_every_language_of_the_store_at_once_and_names_nobody(house: House) -> None:
    Store.objects.update(languages=["en", "zh-hans", "ar"], check_in_words={"ar": "أبرز بطاقتك."})
    house.visitor("Ms Chen")
    answer = enrolled(hang(house.store)).request("/door/")
    page = answer.body.decode()
    assert "Show your pass" in page
    assert "这里太暗" in page
    assert 'lang="ar" dir="rtl"' in page
    assert 'lang="fr"' not in page
    assert "Show your card." in page
    assert "أبرز بطاقتك." in page
    assert "Ms Chen" not in page
    assert "camera=(self)" in answer.headers["Permissions-Policy"]
    assert "no-store" in answer.headers["Cache-Control"]


def test_the_public_page_counts_it_like_any_camera(door: Door) -> None:
    door.says(burst(3, door.holder.shown))
    page = browser().get("/public/harbour-street/").content.decode()
    listed = re.search(r"<bdi>Door</bdi></h3>.*?</li>", page, re.DOTALL)
    assert listed is not None
    assert re.findall(r"<dd[^>]*>(\d+)</dd>", listed[0]) == ["1", "1", "1", "0", "0"]


# In the portal.


def test_an_officer_hangs_a_tablet_at_the_door_and_stops_it(house: House) -> None:
    officer = browser(house.dpo)
    form = {"store": str(house.store.pk), "kind": "door", "name": "Main door"}
    assert officer.post("/admin/stores/device/add/", form).status_code == 302
    device = Device.objects.get(name="Main door")
    assert device.camera is not None
    assert (device.camera.name, device.camera.mode, device.camera.source) == (
        "Main door",
        "pass",
        "",
    )
    chosen = {"_selected_action": [str(device.pk)]}
    page = officer.post(
        "/admin/stores/device/", {"action": "give_code", **chosen}, follow=True
    ).content.decode()
    code = re.search(r"Type ([A-Z2-9]{4}-[A-Z2-9]{4}) at the tablet", page)
    assert code is not None
    assert "/door/" in page
    tablet = KioskTablet(kind="door")
    assert tablet.enroll(code[1]).status == 200
    assert tablet.signed("/door/here/", b'{"picture": true}').status == 200
    listed = officer.get("/admin/stores/camera/").content.decode()
    assert "Main door" in listed
    officer.post("/admin/stores/device/", {"action": "revoke", **chosen})
    assert tablet.signed("/door/here/", b'{"picture": true}').status == 403


def test_a_tablet_stays_what_it_is_and_where_it_hangs(house: House) -> None:
    device = hang(house.store)
    other = house.organization.stores.create(name="Old Town", slug="old-town")
    Role.objects.create(user=house.dpo, store=other, kind=Role.Kind.DPO)
    form = {"store": str(other.pk), "kind": "kiosk", "name": "Back door"}
    browser(house.dpo).post(f"/admin/stores/device/{device.pk}/change/", form)
    device.refresh_from_db()
    assert (device.name, device.kind, device.store) == ("Back door", "door", house.store)


@pytest.mark.parametrize("change", [{"source": "x"}, {"mode": "lane"}, {"store": None}])
def test_its_camera_takes_no_other_source_mode_or_store(
    house: House, change: dict[str, Any]
) -> None:
    camera = Camera.objects.get(tablet=hang(house.store))
    if "store" in change:
        change = {"store": house.organization.stores.create(name="Old Town", slug="old-town")}
    camera.clean()
    for name, value in change.items():
        setattr(camera, name, value)
    with pytest.raises(ValidationError, match="A door tablet is this camera"):
        camera.clean()


def test_a_camera_without_a_tablet_needs_a_source(house: House) -> None:
    with pytest.raises(ValidationError, match="Where does its picture come from"):
        Camera(store=house.store, name="x", mode="pass").clean()


def test_the_database_knows_no_door_without_a_camera_and_no_lane_without_a_source(
    house: House,
) -> None:
    from django.db import transaction

    with pytest.raises(IntegrityError), transaction.atomic():
        Device.objects.create(store=house.store, name="x", kind="door")
    with pytest.raises(IntegrityError), transaction.atomic():
        Camera.objects.create(store=house.store, name="x", mode="lane", source="")
