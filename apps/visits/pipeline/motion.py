"""Whether anything moved since the last look, so that still pictures cost next to nothing."""

from __future__ import annotations

import math

import cv2
import numpy as np

from apps.recognition.engine.types import Image

SIDE = 80
"""Pixels, longer side at most of the small grey picture that is compared."""
STEP = 10
"""Grey levels of difference that count; averaging over a block leaves 1 or 2 of sensor noise."""
SHARE = 0.002
"""Share of small pixels that must differ. A face of 60 in 640 pixels covers about 0.012."""


class MotionGate:
    """Compares with the last picture that was looked at, so that slow changes add up too."""

    def __init__(self) -> None:
        self._reference: Image | None = None
        self._current: Image | None = None

    def moved(self, image: Image) -> bool:
        """Whether an RGB uint8 (H, W, 3) picture differs from the last one that was `used`."""
        height, width = image.shape[:2]
        # Whole pixels, which OpenCV averages in a quarter of the time; at the right and the bottom
        # less than one block is left over.
        block = max(1, math.ceil(max(height, width) / SIDE))
        size = (max(1, width // block), max(1, height // block))
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[: size[1] * block, : size[0] * block]
        small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        self._current = np.asarray(small, dtype=np.uint8)
        if self._reference is None or self._reference.shape != self._current.shape:
            return True
        differs = cv2.absdiff(self._current, self._reference) > STEP
        return float(np.count_nonzero(differs)) > SHARE * differs.size

    def used(self) -> None:
        """The picture that was last asked about was looked at; compare with it from now on."""
        self._reference = self._current
