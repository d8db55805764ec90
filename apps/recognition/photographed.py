"""Reads a customer's pass or card from a picture of it. It keeps nothing, tells nobody.

The one place that reads a code: a camera's frame and a picture from home go the same way.
"""

from collections.abc import Sequence

import cv2
import zxingcpp
from cv2.typing import MatLike

from apps.recognition.engine.imagefile import decode_jpeg
from apps.recognition.engine.types import Image
from apps.recognition.passes import Pass, read
from apps.visitors import cards
from apps.visitors.cards import CardCode

MAX_PIXELS = 13_000_000
"""A telephone's picture of 12 megapixels; decoded it takes 39 MB, for a moment. A page whose script
runs sends a smaller one."""
LOOKS = (1.0, 0.5, 0.25)
"""At which scale a picture from home is looked at, in turn: a code in its corner needs every pixel,
and the grid of a photographed screen is gone only once it is shrunk."""


def pass_in(data: bytes, *, max_bytes: int) -> Pass | None:
    """The pass in a whole JPEG or PNG file; None when there is no readable one. Raises BadImage."""
    image = decode_jpeg(data, max_bytes=max_bytes, max_pixels=MAX_PIXELS)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    for look in LOOKS:
        smaller = cv2.resize(grey, None, fx=look, fy=look, interpolation=cv2.INTER_AREA)
        seen, _found = passes_seen(smaller)
        if seen:
            return seen[0]
    return None


class SeveralShown(ValueError):
    """Two cards, or a card beside a pass: nobody can tell whose is meant."""


def card_in(pictures: Sequence[Image]) -> CardCode | None:
    """The card in RGB uint8 (H, W, 3) pictures, the oldest first; None when the first that holds
    anything holds a pass, or when none does. Raises SeveralShown."""
    for picture in pictures:
        texts, _found = _texts(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
        shown = {card for text in texts if (card := _card(text)) is not None}
        passes = _passes(texts)
        if shown and len(shown) + len(passes) > 1:
            raise SeveralShown
        if shown or passes:
            return next(iter(shown), None)
    return None


def _card(text: str) -> CardCode | None:
    # Typed signs need no prefix, a code that is shown does: it may be anything's.
    return cards.read(text) if text.startswith(cards.PREFIX) else None


def passes_seen(grey: MatLike) -> tuple[list[Pass], bool]:
    """The passes in a grey uint8 picture (H, W), and whether it holds any code, even unreadable."""
    texts, found = _texts(grey)
    return _passes(texts), found


def _passes(texts: Sequence[str]) -> list[Pass]:
    return [one for text in texts if (one := read(text)) is not None]


def _texts(grey: MatLike) -> tuple[list[str], bool]:
    """What the codes of a grey uint8 picture (H, W) say, and whether any is in it, even unreadable.

    ZXing reads what OpenCV's own reader does not: of a hundred passes up to three hold a pattern by
    chance that OpenCV takes for a corner, however well they are shown.
    """
    codes = zxingcpp.read_barcodes(
        grey,
        formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode),
        text_mode=zxingcpp.TextMode.Plain,
        return_errors=True,
    )
    return [code.text for code in codes if code.valid], bool(codes)
