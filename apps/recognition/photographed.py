"""Reads a customer's pass from a picture that they took of it. It keeps nothing, tells nobody."""

import cv2

from apps.recognition.engine.imagefile import decode_jpeg
from apps.recognition.engine.types import Image
from apps.recognition.passes import Pass, read

SIDES = (1280, 640, 2560)
"""Pixels of the longest side, tried in turn: a screenshot reads best small, a code in the corner of
a photo needs its pixels, and the grid of a photographed screen is gone when it is shrunk."""
MAX_PIXELS = 13_000_000
"""A telephone's picture of 12 megapixels; decoded it takes 39 MB, for a moment. A page whose script
runs sends a smaller one."""


def pass_in(data: bytes, *, max_bytes: int) -> Pass | None:
    """The pass in a whole JPEG or PNG file; None when there is no readable one. Raises BadImage."""
    image = decode_jpeg(data, max_bytes=max_bytes, max_pixels=MAX_PIXELS)
    codes = cv2.QRCodeDetector()
    for side in SIDES:
        try:
            text, _corners, _modules = codes.detectAndDecode(_within(image, side))
        except cv2.error:
            # OpenCV gives up on some shapes that only look like a code.
            continue
        if shown := read(text):
            return shown
    return None


def _within(image: Image, side: int) -> Image:
    """Grey uint8 (H, W), its longest side no longer than this."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    longest = max(grey.shape)
    if longest <= side:
        return grey  # type: ignore[return-value]
    scale = side / longest
    return cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
