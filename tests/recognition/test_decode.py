"""What the door does with bytes from outside."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from PIL import Image as Pillow

from apps.recognition.engine.imagefile import BadImage, decode_jpeg
from tests.faces import frames, jpeg


def png(picture: Pillow.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def refused(data: bytes) -> str:
    with pytest.raises(BadImage) as caught:
        decode_jpeg(data)
    return caught.value.code


def test_a_jpeg_comes_back_as_rgb() -> None:
    red = np.zeros((60, 80, 3), np.uint8)
    red[:, :, 0] = 250
    image = decode_jpeg(jpeg(red))
    assert image.shape == (60, 80, 3)
    assert image.dtype == np.uint8
    assert image[30, 40, 0] > 240
    assert image[30, 40, 2] < 10


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA"])
def test_every_usual_png_comes_back_as_rgb(mode: str) -> None:
    assert decode_jpeg(png(Pillow.new(mode, (20, 10)))).shape == (10, 20, 3)


def test_a_picture_taken_sideways_is_turned_upright() -> None:
    out = io.BytesIO()
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.new("RGB", (40, 20)).save(out, "JPEG", exif=exif)
    assert decode_jpeg(out.getvalue()).shape == (40, 20, 3)


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"\xff\xd8\xff", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7"],
)
def test_what_is_no_picture_is_called_so(data: bytes) -> None:
    assert refused(data) == "not_an_image"


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP"])
def test_other_formats_are_not_even_tried(kind: str) -> None:
    out = io.BytesIO()
    Pillow.new("RGB", (20, 10)).save(out, kind)
    assert refused(out.getvalue()) == "not_an_image"


def test_fifty_megapixels_in_a_small_file_are_refused_by_the_header() -> None:
    data = png(Pillow.new("1", (10_000, 5_000)))
    assert len(data) < 100_000
    assert refused(data) == "too_large"
    # Cut behind its header it is still refused for its size: nothing behind it was read.
    assert refused(data[:64]) == "too_large"


def test_a_file_over_the_cap_is_refused_unread() -> None:
    with pytest.raises(BadImage, match="too_large"):
        decode_jpeg(b"\xff\xd8" + bytes(2_000), max_bytes=2_000)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.999])
def test_a_file_that_ends_early_is_refused(share: float) -> None:
    frame = next(frames(2))
    for data in (jpeg(frame), png(Pillow.fromarray(frame))):
        assert refused(data[: int(len(data) * share)]) == "truncated"


def test_a_jpeg_without_its_last_two_bytes_is_refused() -> None:
    assert refused(jpeg(next(frames(2)))[:-2]) == "truncated"


def test_damaged_files_give_a_picture_or_the_named_error_and_nothing_else() -> None:
    whole = jpeg(next(frames(2, size=(160, 120))))
    chance = np.random.default_rng(7)
    for _ in range(300):
        data = bytearray(whole)
        for place in chance.integers(0, len(data), 8):
            data[place] = int(chance.integers(0, 256))
        with contextlib.suppress(BadImage):
            assert decode_jpeg(bytes(data)).ndim == 3
