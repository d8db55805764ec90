"""A stopped tablet's open page hears of it: at once, and without Redis a little later."""

import contextlib
import http.client
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from pytest_django.fixtures import Settings

from apps.stores import live
from apps.stores.devices import channel_of, live_events, new_code, revoke
from apps.stores.models import Device
from tests.clients import KioskTablet, enrolled, served
from tests.conftest import House
from tests.waiting import until

ENDS: dict[str, Callable[[Device], object]] = {
    "revoked": lambda device: revoke(device=device, actor="test"),
    "given to another tablet": lambda device: new_code(device=device, actor="test"),
}


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    with served() as where:
        yield where


@contextlib.contextmanager
def stream(address: tuple[str, int], tablet: KioskTablet) -> Iterator[http.client.HTTPResponse]:
    """The stream that the tablet's page holds open, read as far as its first words."""
    cookie = tablet.client.cookies["kiosk_device"].value
    with contextlib.closing(http.client.HTTPConnection(*address, timeout=30)) as connection:
        connection.request("GET", "/kiosk/stopped/", headers={"Cookie": f"kiosk_device={cookie}"})
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.readline() == b"retry: 2000\n"
        yield answer


@pytest.mark.parametrize("end", ENDS)
def test_the_open_page_of_a_stopped_tablet_is_told(
    house: House,
    transactional_db: None,
    address: tuple[str, int],
    monkeypatch: pytest.MonkeyPatch,
    end: str,
) -> None:
    # Nothing but the word itself ends the waiting.
    monkeypatch.setattr(live, "QUIET_SECONDS", 3600.0)
    with stream(address, enrolled(house.kiosk)) as told:
        channel = channel_of(house.kiosk)
        until(lambda: dict(live_events().pubsub_numsub(channel))[channel.encode()] == 1)
        ENDS[end](house.kiosk)
        assert told.read().endswith(b"event: stopped\ndata: now\n\n")


def test_without_redis_it_hears_of_it_too(
    house: House,
    transactional_db: None,
    address: tuple[str, int],
    settings: Settings,
    tmp_path: Path,
) -> None:
    tablet = enrolled(house.kiosk)
    nobody = SecretStr(f"unix://{tmp_path / 'nobody.sock'}")
    settings.CONSENTRY = settings.CONSENTRY.model_copy(update={"redis_url": nobody})
    with stream(address, tablet) as told:
        revoke(device=house.kiosk, actor="test")
        assert told.read().endswith(b"event: stopped\ndata: now\n\n")


def test_whoever_is_no_tablet_is_told_nothing_else(
    house: House, transactional_db: None, address: tuple[str, int]
) -> None:
    with contextlib.closing(http.client.HTTPConnection(*address, timeout=30)) as connection:
        connection.request("GET", "/door/stopped/")
        told = connection.getresponse().read()
    assert told == b"retry: 2000\n\nevent: stopped\ndata: now\n\n"
