"""Lets a pictured person turn their head and come nearer, as the kiosk's challenge asks for.

The head is made from a single frame at run time: its pixels are hung on a simple shape, a rounded
head with a nose, and that shape is turned. For the story and the tests; `flat` is the attack that
must fail, the same frame turned as a photo on paper is.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.recognition.engine import starter
from apps.recognition.engine.liveness import parallax
from apps.recognition.engine.types import Floats, Image
from apps.recognition.engine.yunet import YuNet

WANTED = 0.17
"""Parallax of a turn, see engine.liveness: half as much again as is needed."""
NEARER = 1.42
"""How much larger the face is after coming nearer."""
STEPS = 4
"""Frames from the front to the end of a movement."""

Pose = tuple[float, float]
"""Degrees of the turn, positive where the nose goes to the picture's right; size, 1 at first."""
FRONT: Pose = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Shape:
    """A head over the picture's plane, in distances between the eyes: height and half width of the
    head, height, half width and half length of the nose."""

    head: float
    broad: float
    nose: float
    narrow: float
    long: float


SHAPES = (Shape(1.1, 1.1, 0.5, 0.35, 0.45), Shape(1.3, 1.2, 0.6, 0.4, 0.5))
"""No one shape convinces the detector for all six people."""


class Head:
    """The one head in a frame, RGB uint8 (H, W, 3). Raises ValueError unless there is one."""

    def __init__(self, frame: Image) -> None:
        self.frame = frame
        self.points = landmarks(frame)
        self._ends = {"left": self._turned(1), "right": self._turned(-1)}

    def end(self, act: str) -> tuple[Pose, Shape]:
        """The pose in which an act ends, and the shape that shows it best."""
        return ((0.0, NEARER), SHAPES[0]) if act == "nearer" else self._ends[act]

    def on_the_way(self, act: str, share: float, number: int = 0) -> Image:
        """The head after a `share` of an act. `number`: nobody stands quite still, and no two
        frames of a camera are the same."""
        (turn, size), shape = self.end(act)
        sway = 1.2 * math.sin(1.7 * number), 1 + 0.006 * math.cos(2.3 * number)
        pose = (turn * share + sway[0], (1 + (size - 1) * share) * sway[1])
        return posed(self.frame, self.points, pose, shape)

    def _turned(self, side: int) -> tuple[Pose, Shape]:
        """The smallest turn that is seen as one; their left is the picture's right."""
        best: tuple[float, Pose, Shape] = (-1.0, FRONT, SHAPES[0])
        for degrees, shape in itertools.product((30, 34, 38), SHAPES):
            pose = (float(side * degrees), 1.0)
            found = _detector().detect(posed(self.frame, self.points, pose, shape))
            if len(found) == 1:
                seen = side * parallax(self.points, found[0].landmarks)
                best = max(best, (seen, pose, shape), key=lambda each: each[0])
            if best[0] >= WANTED:
                break
        return best[1:]


def performance(frame: Image, acts: Sequence[str]) -> Iterator[tuple[int, Image]]:
    """A person who does `acts`, each from the front: (step, RGB uint8 frame) pairs.

    Step 2k is the look to the front before act k, step 2k + 1 the act itself. Raises ValueError
    when there is not one face in the frame.
    """
    head = Head(frame)
    for number, act in enumerate(acts):
        yield 2 * number, head.on_the_way(act, 0.0, 9 * number)
        for step in (0, 1, STEPS):
            yield 2 * number + 1, head.on_the_way(act, step / STEPS, 9 * number + step + 1)


def landmarks(frame: Image) -> Floats:
    """The five points (5, 2) of the one face in the frame. Raises ValueError."""
    found = _detector().detect(frame)
    if len(found) != 1:
        raise ValueError(f"{len(found)} faces, one is needed")
    return found[0].landmarks


def posed(frame: Image, points: Floats, pose: Pose, shape: Shape) -> Image:
    """The frame, RGB uint8 (H, W, 3), with its one face in another pose.

    Solved backwards: for each pixel of the new frame, which pixel of the old one comes to lie
    there. A point at x (from the head's middle) and depth z is seen at x·cos a + z·sin a.
    """
    degrees, size = pose
    eyes = points[:2].mean(axis=0)
    apart = float(np.linalg.norm(points[1] - points[0]))
    height, width = frame.shape[:2]
    rows, columns = np.ogrid[0:height, 0:width]
    # Nearer: everything grows from the middle of the face.
    middle = points.mean(axis=0)
    down = (((rows - middle[1]) / size + middle[1] - eyes[1]) / apart).astype(np.float32)
    seen = (((columns - middle[0]) / size + middle[0] - eyes[0]) / apart).astype(np.float32)
    tip = (points[2] - eyes) / apart
    sine, shrink = math.sin(math.radians(degrees)), 1 - math.cos(math.radians(degrees))
    # What depends on the row alone; a narrow column of numbers each.
    tall = np.exp(-(((down - 0.5) / 1.6) ** 4))
    long = np.exp(-(((down - tip[1]) / shape.long) ** 2))
    across = np.broadcast_to(seen, (height, width))
    for _ in range(12 if degrees else 0):
        head = tall * np.exp(-((across / shape.broad) ** 2))
        nose = long * np.exp(-(((across - tip[0]) / shape.narrow) ** 2))
        across = seen + shrink * head * across - sine * (shape.head * head + shape.nose * nose)
    rows = np.broadcast_to(eyes[1] + apart * down, (height, width))
    columns = eyes[0] + apart * across
    return np.asarray(
        cv2.remap(
            frame,
            columns.astype(np.float32),
            rows.astype(np.float32),
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.uint8,
    )


def flat(
    frame: Image, *, degrees: float = 0.0, size: float = 1.0, tilt: float = 0.0, aside: float = 0.0
) -> Image:
    """The frame as a photo on stiff paper in front of a grey wall, RGB uint8 of the same shape.

    Turned about its upright axis by `degrees`, tilted by `tilt` degrees in the picture, `size`
    times as large, moved `aside` by a share of the width; held at 1.6 of its widths from the lens.
    """
    height, width = frame.shape[:2]
    a, b = math.radians(degrees), math.radians(tilt)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    plane = corners - [width / 2, height / 2]
    turned = np.column_stack([plane[:, 0] * math.cos(a), plane[:, 1], plane[:, 0] * math.sin(a)])
    distance = 1.6 * width
    seen = turned[:, :2] * (distance / (distance + turned[:, 2]))[:, None] * size
    spin: NDArray[np.float64] = np.array([[math.cos(b), -math.sin(b)], [math.sin(b), math.cos(b)]])
    seen = seen @ spin.T + [width * (0.5 + aside), height / 2]
    matrix = cv2.getPerspectiveTransform(corners, seen.astype(np.float32))
    return np.asarray(
        cv2.warpPerspective(
            frame, matrix, (width, height), flags=cv2.INTER_CUBIC, borderValue=(140, 140, 140)
        ),
        np.uint8,
    )


def on_screen(frame: Image, *, pitch: float = 2.6, depth: float = 0.10) -> Image:
    """The frame as a screen shows it to a camera: its rows and columns of lights, `pitch` pixels of
    the picture apart, darken what lies between them by `depth`."""
    height, width = frame.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    grid = np.cos(2 * np.pi * columns / pitch) + np.cos(2 * np.pi * rows / pitch)
    lit = frame * (1 + depth * grid[:, :, None] / 2)
    return np.asarray(np.clip(lit, 0, 255), np.uint8)


@cache
def _detector() -> YuNet:
    return YuNet(starter.detector_model().SerializeToString())
