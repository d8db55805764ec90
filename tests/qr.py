"""Reads QR codes as a phone does: from the drawing on a page, or from a picture of it."""

import re

import cv2
import numpy as np
import zxingcpp
from numpy.typing import NDArray


def drawn(svg: str, *, pixels: int = 8) -> NDArray[np.uint8]:
    """The drawing as a picture, grey uint8 (N, N): its path is rows of dark modules."""
    found = re.search(r'viewBox="0 0 (\d+) \d+".*? d="([^"]+)"', svg)
    assert found is not None
    scale = re.search(r"scale\((\d+)\)", svg)
    side = int(found[1]) // (int(scale[1]) if scale else 1)
    modules = np.full((side, side), 255, dtype=np.uint8)
    x, y = 0.0, 0.0
    for verb, numbers in re.findall(r"([Mmh])([^Mmh]*)", found[2]):
        values = [float(value) for value in re.findall(r"-?\d*\.?\d+", numbers)]
        if verb == "M":
            x, y = values
        elif verb == "m":
            x, y = x + values[0], y + values[1]
        else:
            modules[int(y), int(x) : int(x + values[0])] = 0
            x += values[0]
    big = cv2.resize(modules, None, fx=pixels, fy=pixels, interpolation=cv2.INTER_NEAREST)
    return np.asarray(big, dtype=np.uint8)


def text_in(picture: NDArray[np.uint8]) -> str:
    """What the code in a grey picture says; empty when there is none."""
    return next((code.text for code in zxingcpp.read_barcodes(picture)), "")
