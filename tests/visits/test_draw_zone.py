"""An officer looks through a camera, faces covered, and draws the zone; nobody else does."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from apps.audit.models import Entry
from apps.recognition.engine.imagefile import decode_jpeg
from apps.recognition.engine.types import Detector
from apps.stores.models import Camera, Role, Store, User
from tests.clients import browser
from tests.conftest import House
from tests.faces import frames, write_mp4
from tests.visits.rtsp import RtspCamera

SQUARE = [("10", "10"), ("90", "10"), ("90", "90"), ("10", "90")]


@pytest.fixture
def officer(house: House) -> Client:
    return browser(house.dpo)


def zone_of(camera: Camera) -> str:
    return f"/admin/stores/camera/{camera.pk}/zone/"


def still_of(camera: Camera) -> str:
    return f"/admin/stores/camera/{camera.pk}/still/"


def form(corners: list[tuple[str, str]]) -> dict[str, list[str]]:
    return {"x": [x for x, _ in corners], "y": [y for _, y in corners]}


def seen_through(camera: Camera, source: Path | str) -> None:
    Camera.objects.filter(pk=camera.pk).update(source=str(source))


@pytest.fixture
def clip(house: House, tmp_path: Path) -> Path:
    path = tmp_path / "two.mp4"
    write_mp4(path, frames(2, "two", seconds=1))
    seen_through(house.camera, path)
    return path


def test_the_officer_sees_the_scene_without_faces_and_the_look_is_in_the_ledger(
    house: House, officer: Client, clip: Path, detector: Detector
) -> None:
    answer = officer.post(still_of(house.camera))
    assert answer.status_code == 200
    assert answer["Content-Type"] == "image/jpeg"
    assert "no-store" in answer["Cache-Control"]
    assert detector.detect(decode_jpeg(answer.content)) == []
    entry = Entry.objects.get(action="camera.still")
    assert entry.actor == f"user:{house.dpo.pk}"
    assert entry.detail == {"object": str(house.camera.pk)}


def test_a_camera_on_the_network_is_seen_too(
    house: House, officer: Client, tmp_path: Path, detector: Detector
) -> None:
    camera = RtspCamera(tmp_path, frames(2, seconds=3))
    camera.start()
    try:
        seen_through(house.camera, camera.address)
        answer = officer.post(still_of(house.camera))
    finally:
        camera.kill()
    assert answer.status_code == 200
    assert decode_jpeg(answer.content).shape == (480, 640, 3)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("rtsp://owner:hunter2@127.0.0.1:9/x", "The camera gives no picture."),
        ("http://camera/", "source is none"),
    ],
)
def test_a_camera_that_cannot_be_seen_through_is_explained(
    house: House, officer: Client, source: str, says: str
) -> None:
    seen_through(house.camera, source)
    answer = officer.post(still_of(house.camera))
    assert answer.status_code == 503
    assert answer["Content-Type"].startswith("text/plain")
    assert says in answer.content.decode()
    assert "hunter2" not in answer.content.decode()
    assert not Entry.objects.filter(action="camera.still").exists()


def test_a_link_cannot_look_and_nobody_looks_without_end(
    house: House, officer: Client, clip: Path
) -> None:
    assert officer.get(still_of(house.camera)).status_code == 405
    seen_through(house.camera, "http://camera/")
    codes = [officer.post(still_of(house.camera)).status_code for _ in range(13)]
    assert codes == [503] * 12 + [429]


@pytest.fixture
def others(house: House) -> list[Client]:
    """Staff, an officer of another store, and a passer-by."""
    store = Store.objects.create(
        organization=house.organization, name="Old Town", slug="old-town", jurisdiction="eu"
    )
    stranger = User.objects.create(username="otto")
    Role.objects.create(user=stranger, store=store, kind=Role.Kind.DPO)
    return [browser(house.staff), browser(stranger), browser()]


def test_nobody_but_the_officer_of_the_store_looks_or_draws(
    house: House, clip: Path, others: list[Client]
) -> None:
    before = Camera.objects.get().zone
    for client in others:
        for answer in (
            client.post(still_of(house.camera)),
            client.get(zone_of(house.camera)),
            client.post(zone_of(house.camera), form(SQUARE)),
        ):
            assert answer.status_code in (302, 404)
            assert answer["Content-Type"] != "image/jpeg"
    assert Camera.objects.get().zone == before
    assert not Entry.objects.filter(action__startswith="camera.").exists()


def test_a_drawn_zone_is_what_the_camera_is_given(house: House, officer: Client) -> None:
    answer = officer.post(zone_of(house.camera), form([*SQUARE, ("", "")]))
    assert answer.status_code == 302
    camera = Camera.objects.get()
    assert camera.zone == [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]
    entry = Entry.objects.get(action="camera.zone")
    assert entry.detail["corners"] == camera.zone
    assert 'value="90.0"' in officer.get(zone_of(camera)).content.decode()


def test_without_corners_a_lane_has_no_zone_and_may_not_run(house: House, officer: Client) -> None:
    assert officer.post(zone_of(house.camera), form([])).status_code == 302
    camera = Camera.objects.get()
    assert camera.zone == []
    assert [reason for reason in camera.blockers() if "Draw the lane" in reason]


@pytest.mark.parametrize(
    ("corners", "says"),
    [
        (SQUARE[:2], "at least three corners"),
        ([("10", "10"), ("90", "90"), ("90", "10"), ("10", "90")], "edges cross"),
        ([("10", "10"), ("50", "50"), ("90", "90")], "not on one line"),
        ([("10", "10"), ("90", "10"), ("50", "101")], "within the picture"),
        ([("10", "10"), ("90", "10"), ("50", "-1")], "within the picture"),
        ([("10", "10"), ("90", "10"), ("50", "nan")], "within the picture"),
        ([("10", "10"), ("90", "10"), ("50", "here")], "two numbers"),
        ([("10", "10"), ("90", "10"), ("50", "")], "two numbers"),
        ([(str(i), str(i * i / 100)) for i in range(40)], "at most 16"),
    ],
)
def test_what_is_no_zone_is_refused_with_a_sentence_and_kept_on_the_page(
    house: House, officer: Client, corners: Any, says: str
) -> None:
    before = Camera.objects.get().zone
    answer = officer.post(zone_of(house.camera), form(corners))
    page = answer.content.decode()
    assert answer.status_code == 400
    assert says in page
    assert f'value="{corners[0][0]}"' in page
    assert Camera.objects.get().zone == before


def test_a_camera_that_is_not_there_is_not_found(house: House, officer: Client) -> None:
    assert officer.get(f"/admin/stores/camera/{uuid4()}/zone/").status_code == 404
