"""Turns, scales and moves a face so that its five landmarks lie where ArcFace networks expect them.

Refuses landmarks that no face can have: they would give a black or smeared crop, and a network
embeds that without an error.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .types import CROP_SIZE, Floats, Image

TEMPLATE: Floats = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    dtype=np.float32,
)
"""Pixels in the 112×112 crop; the five points that ArcFace was trained on (insightface)."""

MIN_SPREAD = 3.0
"""Pixels, root mean square distance of the landmarks from their centre; about an eight-pixel face,
far below what any network can recognise."""
MAX_MISFIT = 0.6
"""Share of the template's spread left unexplained by the best turn, scale and shift. A front face
has 0.05 to 0.15, a half profile 0.4; swapped eyes 0.98, all points on one line 0.63 or more."""


class BadLandmarks(ValueError):
    """The five points cannot be a face's. Detect again, or drop this face."""


def align(image: Image, landmarks: Floats) -> Image:
    """The aligned crop, RGB uint8 (112, 112, 3), of a face in an RGB uint8 (H, W, 3) picture.

    landmarks: (5, 2) pixels. Raises BadLandmarks. What lies outside the picture is black.
    """
    return warp(image, similarity(landmarks, image.shape[1], image.shape[0]))


def warp(image: Image, matrix: NDArray[np.float64]) -> Image:
    """The aligned crop that a matrix of `similarity` takes out of a picture."""
    crop = cv2.warpAffine(image, matrix, (CROP_SIZE, CROP_SIZE), borderValue=0)
    return np.asarray(crop, dtype=np.uint8)


def similarity(landmarks: Floats, width: int, height: int) -> NDArray[np.float64]:
    """The (2, 3) matrix, least squares, from the picture to the crop. Raises BadLandmarks.

    In the plane a turn with a scale is one complex factor, so the fit is one division
    (the two-dimensional case of Umeyama, IEEE PAMI 13(4), 1991, without its mirror).
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise BadLandmarks("five finite points are needed")
    # Python's own numbers: for five points numpy takes four times as long.
    places = [complex(x, y) for x, y in points.tolist()]
    centre = sum(places) / 5
    if not (0 <= centre.real < width and 0 <= centre.imag < height):
        raise BadLandmarks("the face lies outside the picture")
    source = [place - centre for place in places]
    spread = sum(abs(each) ** 2 for each in source)
    if spread < 5 * MIN_SPREAD**2:
        raise BadLandmarks("the points fall together")
    pairs = list(zip(source, _TARGET, strict=True))
    factor = sum(each.conjugate() * target for each, target in pairs) / spread
    missed = sum(abs(target - factor * each) ** 2 for each, target in pairs)
    if missed > MAX_MISFIT**2 * _TARGET_SPREAD:
        raise BadLandmarks("the points do not lie like a face's")
    shift = _TARGET_CENTRE - factor * centre
    return np.array(
        [[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]]
    )


_PLACES = [complex(x, y) for x, y in TEMPLATE.tolist()]
_TARGET_CENTRE = sum(_PLACES) / 5
_TARGET = [place - _TARGET_CENTRE for place in _PLACES]
_TARGET_SPREAD = sum(abs(each) ** 2 for each in _TARGET)
