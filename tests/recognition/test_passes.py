"""A pass says one template and one share, reads back as itself, and shows its share to no log."""

import os
from uuid import UUID, uuid4

import cv2
import numpy as np
import pytest

from apps.recognition.passes import Pass, base45, from_base45, read
from tests import faces


def a_pass() -> Pass:
    return Pass(uuid4(), os.urandom(32))


def test_a_pass_reads_back_as_itself() -> None:
    for _ in range(200):
        mine = a_pass()
        assert read(mine.text()) == mine
        assert len(mine.text()) == 76


@pytest.mark.parametrize("plain", [bytes(48), b"\xff" * 48])
def test_the_ends_of_the_range_read_back_too(plain: bytes) -> None:
    mine = Pass(UUID(bytes=plain[:16]), plain[16:])
    assert read(mine.text()) == mine


def test_it_is_the_base45_of_the_standard() -> None:
    # RFC 9285, 4.3: "AB" and the first two letters of "Hello!!".
    assert base45(b"AB") == "BB8"
    assert base45(b"He") == "%69"
    assert from_base45("BB8") == b"AB"
    # 4.4: 65536 and more is no pair of bytes.
    assert from_base45("GGW") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "CP1:",
        "CP1:" + "0" * 69,
        "CP1:" + "0" * 75,
        "CP1:" + ":" * 72,
        "CP1:" + "a" * 72,
        "CP2:" + "0" * 72,
        "https://harbour.example/receipt/#ABCD",
    ],
)
def test_any_other_code_is_no_pass(text: str) -> None:
    assert read(text) is None


def test_its_share_is_not_in_its_repr() -> None:
    mine = a_pass()
    assert repr(mine) == f"Pass(template={mine.template!r})"
    assert mine.share.hex() not in repr([mine])


def test_a_share_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Pass(uuid4(), b"short")


@pytest.mark.parametrize("person", [2, 3, 5])
def test_a_camera_reads_it_from_a_hand(person: int) -> None:
    mine = a_pass()
    codes = cv2.QRCodeDetector()
    clip = list(faces.showing(faces.frames(person, seconds=2.0), mine.text()))
    seen = [
        codes.detectAndDecode(np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)))[0]
        for frame in clip
    ]
    assert sum(read(text) == mine for text in seen if text) >= 0.9 * len(clip)
