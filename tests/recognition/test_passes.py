"""A pass says one template and one share, reads back as itself, and shows its share to no log."""

import os
from uuid import UUID, uuid4

import cv2
import numpy as np
import pytest

from apps.consent.qr import drawn
from apps.recognition.passes import Pass, base45, from_base45, read
from apps.recognition.photographed import passes_seen
from tests import faces, qr


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
    clip = list(faces.showing(faces.frames(person, seconds=2.0), mine.text()))
    seen = [passes_seen(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)) for frame in clip]
    assert sum(passes == [mine] for passes, _found in seen) >= 0.9 * len(clip)


def test_no_pass_is_unreadable_by_the_pattern_that_chance_gave_it() -> None:
    for number in range(300):
        mine = Pass(UUID(int=number), number.to_bytes(32, "little"))
        assert passes_seen(qr.drawn(drawn(mine.text(), error="l"), pixels=3)) == ([mine], True)


def test_two_passes_in_one_picture_are_both_seen_and_a_torn_code_is_a_code() -> None:
    one, two = (qr.drawn(drawn(a_pass().text(), error="l"), pixels=3) for _ in range(2))
    seen, found = passes_seen(np.hstack([one, two]))
    assert (len(seen), found) == (2, True)
    torn = one.copy()
    torn[40:80, 40:80] = 255
    assert passes_seen(torn) == ([], True)
    assert passes_seen(np.full((480, 640), 255, np.uint8)) == ([], False)
