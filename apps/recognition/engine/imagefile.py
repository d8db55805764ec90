"""The one place where bytes from outside become pixels.

Takes whole JPEG and PNG files only. Refuses anything larger than its caps before a single pixel
is decoded, and refuses a file that ends early instead of filling the rest with grey.
"""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from .types import Image

MAX_BYTES = 4 * 1024 * 1024
"""A 4K frame at JPEG quality 92 stays under 3 MiB."""
MAX_PIXELS = 3840 * 2160
"""A 4K frame: the largest that a kiosk's camera delivers."""

_FORMATS = ("JPEG", "PNG")
_EIGHT_BIT = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}

Code = Literal["not_an_image", "too_large", "truncated"]


class BadImage(ValueError):
    """The bytes are no usable picture. `code` says why: not_an_image, too_large or truncated."""

    def __init__(self, code: Code) -> None:
        super().__init__(code)
        self.code: Code = code


def decode_jpeg(data: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> Image:
    """A whole JPEG or PNG file as RGB uint8 (H, W, 3), turned upright by its EXIF orientation.

    Raises BadImage. The size is read from the header, so an oversized picture costs no memory.
    """
    if len(data) > max_bytes:
        raise BadImage("too_large")
    try:
        picture = Pillow.open(io.BytesIO(data), formats=_FORMATS)
    except Pillow.DecompressionBombError:
        raise BadImage("too_large") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, OverflowError):
        raise BadImage("not_an_image") from None
    with picture:
        if picture.width * picture.height > max_pixels:
            raise BadImage("too_large")
        if picture.mode not in _EIGHT_BIT:
            raise BadImage("not_an_image")
        if picture.format == "JPEG" and not _ends(data):
            raise BadImage("truncated")
        try:
            picture.load()
            upright = ImageOps.exif_transpose(picture).convert("RGB")
        except Exception:
            # Pillow raises a dozen kinds here (OSError, SyntaxError, struct.error, zlib.error);
            # whatever it is, the pixels cannot be trusted, and its text may quote the file.
            raise BadImage("truncated") from None
        return np.array(upright, dtype=np.uint8)


def _ends(data: bytes) -> bool:
    """Whether the JPEG's last scan is closed by an end marker.

    libjpeg only warns when it is missing. Inside a scan 0xFF is always stuffed, so the two byte
    pairs cannot occur there by chance.
    """
    return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda") >= 0
