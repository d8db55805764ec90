"""A body that somebody sends stays in memory, or stays outside."""

import http.client
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from tests.clients import KioskTablet, enrolled, rows, served
from tests.conftest import House

LIMIT = settings.DATA_UPLOAD_MAX_MEMORY_SIZE


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    with served() as where:
        yield where


@pytest.fixture
def no_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There is no folder for temporary files: whoever makes one fails."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))


def post(
    address: tuple[str, int], tablet: KioskTablet, body: bytes, *, chunked: bool = False
) -> tuple[int, bytes]:
    """POST a signed opt-in, with its size said first or hidden."""
    path = "/kiosk/opt-in/"
    headers = {
        **tablet.headers_for(path, body, tablet.nonce()),
        "Content-Type": "application/json",
    }
    connection = http.client.HTTPConnection(*address, timeout=20)
    try:
        if chunked:
            pieces = (body[at : at + 65536] for at in range(0, len(body), 65536))
            headers["Transfer-Encoding"] = "chunked"
            connection.request("POST", path, pieces, headers, encode_chunked=True)
        else:
            connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("chunked", [False, True])
def test_the_largest_body_is_read_without_a_file(
    house: House, transactional_db: None, address: tuple[str, int], no_disk: None, chunked: bool
) -> None:
    status, body = post(address, enrolled(house.kiosk), b"x" * LIMIT, chunked=chunked)
    assert status == 400
    assert json.loads(body)["error"]["code"] == "form"


def test_a_larger_body_is_refused_without_a_file(
    house: House, transactional_db: None, address: tuple[str, int], no_disk: None
) -> None:
    tablet = enrolled(house.kiosk)
    before = rows()
    status, body = post(address, tablet, b"x" * (LIMIT + 1))
    assert status == 413
    assert json.loads(body)["error"]["text"] == "The picture is too large. Please try again."
    assert rows() == before


def test_a_larger_body_that_hides_its_size_is_cut_off(
    house: House, transactional_db: None, address: tuple[str, int], no_disk: None
) -> None:
    tablet = enrolled(house.kiosk)
    before = rows()
    status, _body = post(address, tablet, b"x" * (LIMIT + 1), chunked=True)
    assert status >= 400
    assert rows() == before
    assert tablet.signed("/kiosk/refuse/", b'{"purposes": []}').status == 204
