"""The part of a camera's picture that may be looked at, and the line that is counted.

What lies outside the zone is cut off or painted black before any detector sees it.
Points are 0 to 1 of the full picture, x to the right and y down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.recognition.engine.types import Face, Image

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What of a picture may be seen.

    image: RGB uint8 (h, w, 3), black where the zone is not. left, top: its corner in the full
    picture, pixels. width, height: of the full picture, pixels.
    """

    image: Image
    left: int
    top: int
    width: int
    height: int

    def unit(self, x: float, y: float) -> Point:
        """A pixel of `image` as a point of the full picture, 0 to 1."""
        return (x + self.left) / self.width, (y + self.top) / self.height


class Zone:
    """A polygon, or the whole picture when there is none."""

    def __init__(self, points: Sequence[Point] | None) -> None:
        """points: at least three corners, each 0 to 1. Raises ValueError."""
        self._corners: NDArray[np.float32] | None = None
        if points:
            try:
                corners = np.asarray(points, dtype=np.float32)
            except (TypeError, ValueError):
                raise ValueError("a zone is a list of corners, each [x, y]") from None
            if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
                raise ValueError("a zone needs at least three corners, each [x, y]")
            if not (np.isfinite(corners).all() and (corners >= 0).all() and (corners <= 1).all()):
                raise ValueError("a zone's corners lie between 0 and 1")
            if cv2.contourArea(corners) < 1e-4:
                raise ValueError("a zone needs an area; its corners lie on one line")
            self._corners = corners
        self._masked_for: tuple[int, int] | None = None
        self._mask: Image | None = None
        self._window = (0, 0, 0, 0)

    def contains(self, point: Point) -> bool:
        """Whether a point, 0 to 1 of the full picture, lies in the zone or on its edge."""
        if self._corners is None:
            return 0 <= point[0] <= 1 and 0 <= point[1] <= 1
        return cv2.pointPolygonTest(self._corners, (float(point[0]), float(point[1])), False) >= 0

    def covers_centre(self, view: View, face: Face) -> bool:
        """Whether the middle of a face found in `view` lies in the zone."""
        x, y = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
        return self.contains(view.unit(float(x), float(y)))

    def covers_face(self, view: View, face: Face) -> bool:
        """Whether eyes, nose and mouth of a face found in `view` all lie in the zone."""
        return all(self.contains(view.unit(float(x), float(y))) for x, y in face.landmarks)

    def view(self, image: Image) -> View:
        """The zone's part of a full picture, RGB uint8 (H, W, 3)."""
        height, width = image.shape[:2]
        if self._corners is None:
            return View(image, 0, 0, width, height)
        if self._masked_for != (height, width):
            self._prepare(height, width)
        left, top, right, bottom = self._window
        part = image[top:bottom, left:right]
        if self._mask is not None:
            part = np.asarray(cv2.bitwise_and(part, self._mask), dtype=np.uint8)
        return View(part, left, top, width, height)

    def _prepare(self, height: int, width: int) -> None:
        """The window and the mask for pictures of this size, made once."""
        assert self._corners is not None
        corners = self._corners * np.array([width, height], dtype=np.float32)
        left, top = (max(0, math.floor(v)) for v in corners.min(axis=0))
        right = min(width, math.ceil(corners[:, 0].max()))
        bottom = min(height, math.ceil(corners[:, 1].max()))
        self._window = (left, top, right, bottom)
        mask = np.zeros((bottom - top, right - left, 3), dtype=np.uint8)
        inside = np.round(corners - np.array([left, top])).astype(np.int32)
        cv2.fillPoly(mask, [inside], (255, 255, 255))
        self._mask = None if mask.all() else mask
        self._masked_for = (height, width)


def crosses_itself(corners: Sequence[Point]) -> bool:
    """Whether any two edges of a polygon meet elsewhere than at a shared corner.

    Such a one has holes where nobody meant one.
    """
    count = len(corners)
    edges = [(corners[i], corners[(i + 1) % count]) for i in range(count)]
    return any(
        _meet(*edges[i], *edges[j])
        for i in range(count)
        for j in range(i + 1, count)
        if j - i not in (1, count - 1)
    )


def _meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the way from `a` to `b` and the way from `c` to `d` have a point in common."""
    return (
        _cross(a, b, c) * _cross(a, b, d) <= 0
        and _cross(c, d, a) * _cross(c, d, b) <= 0
        # Ways on one line meet only when they overlap.
        and max(min(a[0], b[0]), min(c[0], d[0])) <= min(max(a[0], b[0]), max(c[0], d[0]))
        and max(min(a[1], b[1]), min(c[1], d[1])) <= min(max(a[1], b[1]), max(c[1], d[1]))
    )


Side = Literal[-1, 0, 1]


@dataclass(frozen=True, slots=True)
class Line:
    """A line across which people are counted, from `start` to `end`, each 0 to 1.

    Whoever comes from its left hand to its right hand, seen from `start` towards `end` in the
    picture, enters; the other way leaves.
    """

    start: Point
    end: Point

    def __post_init__(self) -> None:
        flat = (*self.start, *self.end)
        if not all(math.isfinite(v) and 0 <= v <= 1 for v in flat):
            raise ValueError("a line's ends lie between 0 and 1")
        if math.dist(self.start, self.end) < 0.01:
            raise ValueError("a line needs two different ends")

    def side(self, point: Point, margin: float = 0.0) -> Side:
        """1 on the right hand, -1 on the left, 0 nearer to the line than `margin` (0 to 1)."""
        distance = self._cross(point) / math.dist(self.start, self.end)
        if abs(distance) <= margin:
            return 0
        return 1 if distance > 0 else -1

    def crossed(self, before: Point, after: Point) -> bool:
        """Whether the way from one point to another passes between the line's ends."""
        return (
            self._cross(before) * self._cross(after) <= 0
            and _cross(before, after, self.start) * _cross(before, after, self.end) <= 0
        )

    def _cross(self, point: Point) -> float:
        return _cross(self.start, self.end, point)


def _cross(start: Point, end: Point, point: Point) -> float:
    """Twice the area of the triangle; positive when `point` is on the right hand (y down)."""
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    return along_x * (point[1] - start[1]) - along_y * (point[0] - start[0])
