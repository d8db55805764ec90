"""Faces for tests: people, frames and clips made at run time from what installed packages ship.

No picture of a person lies in this project. The maker itself is ops/clips.py, which the demo uses
too; this is the tests' door to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Literal

import cv2
import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from apps.recognition.engine.align import similarity
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
    procession,
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


Cover = Literal["mask", "scarf", "dark glasses", "hand"]


def covered(frame: NDArray[np.uint8], cover: Cover) -> NDArray[np.uint8]:
    """The frame with a part of its one face painted over, as things that people wear would."""
    (face,) = DETECTOR().detect(frame)
    height, width = frame.shape[:2]
    back = cv2.invertAffineTransform(similarity(face.landmarks, width, height))
    scale = float(np.hypot(back[0, 0], back[1, 0]))

    def at(*points: tuple[int, int]) -> NDArray[np.int32]:
        """Pixels of the frame, for points of the aligned crop."""
        return np.rint(np.array(points) @ back[:, :2].T + back[:, 2]).astype(np.int32)

    paint = frame.copy()
    if cover in ("mask", "scarf"):
        top, colour = (64, (140, 185, 215)) if cover == "mask" else (76, (110, 110, 120))
        nose = ((40, top - 2), (56, top - 5), (72, top - 2))
        chin = ((94, 100), (80, 118), (56, 126), (32, 118), (18, 100))
        cv2.fillPoly(paint, [at((14, top + 2), *nose, (98, top + 2), *chin)], colour)
    elif cover == "dark glasses":
        for eye in at((38, 52), (74, 52)):
            cv2.circle(paint, tuple(map(int, eye)), round(17 * scale), (28, 28, 28), -1)
    else:
        skin = tuple(int(value) for value in frame[*at((35, 73))[0][::-1]])
        for finger in (42, 51, 60, 69):
            knuckle, tip = at((finger, 76), (finger, 114)).tolist()
            cv2.line(paint, knuckle, tip, skin, round(10 * scale))
    return np.asarray(cv2.GaussianBlur(paint, (0, 0), 1.0), np.uint8)


__all__ = [
    "FPS",
    "PEOPLE",
    "SIZE",
    "Cover",
    "Mode",
    "covered",
    "frames",
    "group_picture",
    "jpeg",
    "meet",
    "portrait",
    "procession",
    "relative",
    "showing",
    "walk_by",
    "write_mp4",
    "write_y4m",
]
