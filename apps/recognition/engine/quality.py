"""Whether a face is worth embedding: whole, large, lit, facing, sharp, uncovered.

It measures the picture, never the person: nothing here says who, how old or what sex. It refuses
nothing itself; the caller reads `ok` and tells the person the reason.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .align import BadLandmarks, similarity, warp
from .types import Face, Floats, Image, Quality, Reason

MIN_SIZE = 60.0
"""Pixels, shorter side of the box. YuNet's box is about twice as wide as the eyes are apart, and
the crop wants 35 pixels between them: below this the crop is blown up by a fifth or more."""
MIN_BRIGHTNESS = 45.0
MAX_BRIGHTNESS = 215.0
"""Mean grey of the aligned crop. Our choice, from six darkened people: at 45 each still scores 0.85
or more against the bright picture; at 27 it is 0.68, and one stranger already reaches 0.45. The
upper bound leaves skin room before it clips."""
MIN_SHARPNESS = 0.09
"""See `sharpness`. Our choice: a blur that stays above it costs the same person at most a third of
the score, and all 200 photos of the Database of Faces (AT&T Laboratories Cambridge) have 0.128 or
more."""
MAX_YAW = 38.0
"""Degrees. Our choice: people who look at a screen stay under 22 (all 200 photos of the Database of
Faces, AT&T Laboratories Cambridge), five points are good to about ten, and beyond this one eye
begins to hide."""
MIN_EYE = 0.38
MIN_MOUTH = 0.42
MIN_LIPS = 1.15
"""See `covered`. Our choice, from the 200 photos of the Database of Faces (AT&T Laboratories
Cambridge) as they are and with parts painted over: 1 % of the bare faces are refused (0 of 15 of
insightface's group picture; 1.5 % when softened by a hundredth of the face's width). Found are 98 %
of plain masks, 95 % of scarves over the mouth, 94 % of dark glasses, 95 % of hands before the mouth
and 89 % before one eye; but 67 % of chequered masks, and 44 % of hands before both eyes, of which
a fifth are not even found as faces. Higher bounds find little more and refuse beards and soft
pictures: at 0.40, 0.46 and 1.20 it is 3.5 % of the softened ones."""
MAX_OUTSIDE = 0.05
"""Share of the face past the picture's edge. Told from the landmarks: a detector draws the box of a
cut face smaller, inside the picture."""

NOSE_DEPTH = 0.6
"""How far the nose's tip stands before the eyes' line, in distances between the eyes
(about 38 mm over 63 mm in adults)."""


def assess(image: Image, face: Face) -> tuple[Quality, Image | None]:
    """The quality of `face` in the RGB uint8 (H, W, 3) picture it was detected in, and the aligned
    crop that was looked at, RGB uint8 (112, 112, 3): there whenever the quality is ok.

    Landmarks that cannot be a face's count as turned away, and have no crop.
    """
    size = min(face.width, face.height)
    yaw = turn(face.landmarks)
    try:
        matrix = similarity(face.landmarks, image.shape[1], image.shape[0])
    except BadLandmarks:
        return Quality(False, "turned", size, 0.0, 0.0, yaw), None
    crop = warp(image, matrix)
    grey = np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), dtype=np.float32)
    brightness = _mean(grey[_INNER])
    detail = sharpness(grey)
    found = _first_reason(_outside(image, matrix), size, brightness, detail, yaw)
    if found is None and covered(grey):
        found = "covered"
    return Quality(found is None, found, size, detail, brightness, yaw), crop


def _first_reason(
    outside: float, size: float, brightness: float, detail: float, yaw: float
) -> Reason | None:
    """In the order in which a person can mend them: a dark face also looks blurred."""
    if outside > MAX_OUTSIDE:
        return "cut_off"
    if size < MIN_SIZE:
        return "too_small"
    if brightness < MIN_BRIGHTNESS:
        return "too_dark"
    if brightness > MAX_BRIGHTNESS:
        return "too_bright"
    if abs(yaw) > MAX_YAW:
        return "turned"
    if detail < MIN_SHARPNESS:
        return "blurred"
    return None


_INNER = (slice(24, 104), slice(24, 88))
"""Rows and columns of the face itself in the aligned crop, without hair and background."""
_GRID = np.stack(
    np.meshgrid(*(np.arange(part.start, part.stop, 4.0) for part in reversed(_INNER)))
).reshape(2, -1)
"""Columns and rows of every fourth pixel of it, float64 (2, N)."""
_CORNERS = [
    (x, y) for x in (_INNER[1].start, _INNER[1].stop) for y in (_INNER[0].start, _INNER[0].stop)
]


def sharpness(grey: Floats) -> float:
    """Fine detail over all contrast in an aligned grey crop, float32 (112, 112).

    The spread of the Laplacian divided by the spread of the grey values: unlike the Laplacian
    alone, it does not call a dim or low-contrast face blurred.
    """
    contrast = _spread(grey[_INNER])
    if contrast < 1e-3:
        return 0.0
    return _spread(cv2.Laplacian(grey, cv2.CV_32F)[_INNER]) / contrast


def _mean(values: NDArray[Any]) -> float:
    return cv2.mean(values)[0]


def _spread(values: NDArray[Any]) -> float:
    """Standard deviation. OpenCV's takes a fifth of the time of numpy's for so few values."""
    return float(cv2.meanStdDev(values)[1][0, 0])


def covered(grey: Floats) -> bool:
    """Whether an eye or the mouth is hidden, in an aligned grey crop, float32 (112, 112).

    A mask, a scarf, dark glasses or a hand leave too little contrast where an eye or the mouth
    belongs, or lines that do not end at the mouth's corners. It means nothing for a dark or blurred
    face: ask after those.
    """
    soft = cv2.GaussianBlur(grey, (0, 0), 1.0)
    contrast = _spread(soft[_INNER])
    if contrast < 1e-3:
        return True
    down = np.abs(cv2.Sobel(soft, cv2.CV_32F, 0, 1))
    beside = (_mean(down[_RIGHT_OF_LIPS]) + _mean(down[_LEFT_OF_LIPS])) / 2
    return (
        min(_spread(soft[eye]) for eye in _EYES) / contrast < MIN_EYE
        or _spread(soft[_MOUTH]) / contrast < MIN_MOUTH
        # Two grey levels: smooth cheeks must not make of the camera's noise a mouth.
        or _mean(down[_LIPS]) / (beside + 2.0) < MIN_LIPS
    )


_EYES = ((slice(44, 60), slice(28, 50)), (slice(44, 60), slice(64, 86)))
_MOUTH = (slice(80, 104), slice(40, 74))
_LIPS = (slice(82, 102), slice(42, 72))
_LEFT_OF_LIPS = (slice(82, 102), slice(24, 36))
_RIGHT_OF_LIPS = (slice(82, 102), slice(78, 90))
"""Rows and columns of these parts in the aligned crop, around the points of align.TEMPLATE."""


def clear(crop: Image) -> bool:
    """Whether an aligned crop, RGB uint8 (112, 112, 3), is lit, sharp and uncovered.

    What `assess` asks of a face that was found, as far as its crop alone can tell.
    """
    grey = np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), dtype=np.float32)
    brightness = _mean(grey[_INNER])
    return _first_reason(0.0, MIN_SIZE, brightness, sharpness(grey), 0.0) is None and not covered(
        grey
    )


def turn(landmarks: Floats) -> float:
    """Yaw in degrees from five points: how far the nose lies from the middle of the eyes.

    Measured along the eyes' line, so a tilted head is not a turned one. A head turned by a has
    its nose at NOSE_DEPTH·sin a and its eyes cos a apart.
    """
    left, right, nose = (complex(x, y) for x, y in landmarks[:3].tolist())
    across = right - left
    apart = abs(across) ** 2
    if not math.isfinite(apart) or apart < 1e-6:
        return 90.0
    offset = ((nose - (left + right) / 2) * across.conjugate()).real / apart
    return math.degrees(math.atan(offset / NOSE_DEPTH))


def _outside(image: Image, matrix: NDArray[np.float64]) -> float:
    """The share of the face itself, as the crop frames it, that the picture does not hold."""
    height, width = image.shape[:2]
    back = cv2.invertAffineTransform(matrix)
    (a, b, c), (d, e, f) = back.tolist()
    if all(0 <= a * x + b * y + c < width and 0 <= d * x + e * y + f < height for x, y in _CORNERS):
        return 0.0
    x, y = back[:, :2] @ _GRID + back[:, 2:]
    return float(1.0 - np.mean((x >= 0) & (x < width) & (y >= 0) & (y < height)))
