"""Faces for tests: people, frames and clips made at run time from what installed packages ship.

No picture of a person lies in this project. The maker itself is ops/clips.py, which the demo uses
too; this is the tests' door to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import cv2
import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from apps.recognition.engine.detection import load_detector
from ops.clips import (
    FPS,
    PEOPLE,
    SIZE,
    Mode,
    frames,
    group_picture,
    jpeg,
    meet,
    portrait,
    showing,
    walk_by,
    write_mp4,
    write_y4m,
)

DETECTOR = cache(lambda: load_detector(settings.CONSENTRY.packs))


def relative(of: int, other: int, share: float, **how: Any) -> Iterator[NDArray[np.uint8]]:
    """Frames of somebody between two of the six people, as a sister is: `share` of `of` laid over
    `other`, eye on eye. `how`: as for `frames`."""
    for mine, theirs in zip(frames(of, **how), frames(other, **how), strict=True):
        (here,), (there,) = DETECTOR().detect(mine), DETECTOR().detect(theirs)
        move, _inliers = cv2.estimateAffinePartial2D(here.landmarks, there.landmarks)
        size = (theirs.shape[1], theirs.shape[0])
        moved = cv2.warpAffine(mine, move, size, borderMode=cv2.BORDER_REPLICATE)
        yield np.asarray(cv2.addWeighted(moved, share, theirs, 1 - share, 0), np.uint8)


__all__ = [
    "FPS",
    "PEOPLE",
    "SIZE",
    "Mode",
    "frames",
    "group_picture",
    "jpeg",
    "meet",
    "portrait",
    "relative",
    "showing",
    "walk_by",
    "write_mp4",
    "write_y4m",
]
