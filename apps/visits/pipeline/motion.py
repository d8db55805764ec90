"""Whether anything moved since the last look, so that still pictures cost next to nothing."""

from __future__ import annotations

import cv2
import numpy as np

from apps.recognition.engine.types import Image

SIDE = 80
"""Pixels, longer side of the small grey picture that is compared."""
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
        scale = min(1.0, SIDE / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        self._current = np.asarray(small, dtype=np.uint8)
        if self._reference is None or self._reference.shape != self._current.shape:
            return True
        differs = cv2.absdiff(self._current, self._reference) > STEP
        return float(np.count_nonzero(differs)) > SHARE * differs.size

    def used(self) -> None:
        """The picture that was last asked about was looked at; compare with it from now on."""
        self._reference = self._current
