"""How a tablet fares, as the officer sees it: a version, a camera, a word; nothing of anybody."""

import json
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from apps.stores.devices import revoke
from apps.stores.models import Device
from tests.clients import KioskTablet, browser, enrolled
from tests.conftest import House


@pytest.fixture
def tablet(house: House) -> KioskTablet:
    return enrolled(house.kiosk)


def report(tablet: KioskTablet, **said: str) -> int:
    body = {"version": settings.VERSION, "camera": "ok", **said}
    return tablet.signed("/kiosk/here/", json.dumps(body).encode()).status


def listed(house: House) -> str:
    return browser(house.dpo).get("/admin/stores/device/").content.decode()


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({}, ">works<"),
        ({"camera": "denied"}, "its browser may not use the camera"),
        ({"camera": "none"}, "it finds no camera"),
        ({"camera": "dark"}, "its camera gives black pictures"),
        ({"version": "0.0.1"}, "works, with an older page"),
    ],
)
def test_the_officer_sees_version_camera_and_a_word(
    house: House, tablet: KioskTablet, said: dict[str, str], word: str
) -> None:
    assert "silent: see that it is on" in listed(house)
    assert report(tablet, **said) == 204
    page = listed(house)
    assert word in page
    assert said.get("version", settings.VERSION) in page
    one = browser(house.dpo).get(f"/admin/stores/device/{house.kiosk.pk}/change/")
    assert one.status_code == 200


def test_a_tablet_that_is_silent_or_stopped_is_said_to_be(
    house: House, tablet: KioskTablet
) -> None:
    assert report(tablet) == 204
    Device.objects.update(reported_at=timezone.now() - timedelta(minutes=4))
    assert "silent: see that it is on" in listed(house)
    assert report(tablet) == 204
    revoke(device=house.kiosk, actor="test")
    assert ">stopped<" in listed(house)
    assert report(tablet) == 403


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"version": "<b>", "camera": "ok"}',
        b'{"version": "0.1.0", "camera": "a face"}',
        b'{"version": "0.1.0", "camera": "ok", "who": "Ms Chen"}',
        b'{"version": "123456789012345678901", "camera": "ok"}',
    ],
)
def test_a_report_that_is_none_changes_nothing(
    house: House, tablet: KioskTablet, body: bytes
) -> None:
    assert report(tablet, camera="dark") == 204
    assert tablet.signed("/kiosk/here/", body).status == 400
    seen = Device.objects.get()
    assert (seen.version, seen.camera_state) == (settings.VERSION, "dark")
