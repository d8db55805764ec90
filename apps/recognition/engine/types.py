"""What the engine's parts hand to each other: pictures, faces, quality, and the two model doors.

A picture is always RGB uint8 (H, W, 3). Whoever holds another order converts it at the border.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""RGB uint8 (H, W, 3)."""
Crops = NDArray[np.uint8]
"""Aligned faces, RGB uint8 (N, 112, 112, 3)."""
Floats = NDArray[np.float32]

CROP_SIZE = 112
"""Side of an aligned crop in pixels: what ArcFace-style networks take."""

Reason = Literal["too_small", "too_dark", "too_bright", "blurred", "turned", "cut_off", "covered"]


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One detected face, in pixels of the picture it was found in.

    box: float32 (4,), x1 y1 x2 y2, may reach past the picture's edge.
    landmarks: float32 (5, 2), left eye, right eye, nose, left mouth corner, right mouth corner,
    left and right as seen in the picture.
    score: 0 to 1.
    """

    box: Floats
    landmarks: Floats
    score: float

    @property
    def width(self) -> float:
        return float(self.box[2] - self.box[0])

    @property
    def height(self) -> float:
        return float(self.box[3] - self.box[1])


@dataclass(frozen=True, slots=True)
class Quality:
    """Whether a face is good enough to be enrolled or matched, and the first reason if not.

    size: shorter side of the box in pixels. sharpness: see quality.py. brightness: mean grey of
    the aligned crop, 0 to 255. yaw: degrees, negative when the nose points to the picture's left.
    """

    ok: bool
    reason: Reason | None
    size: float
    sharpness: float
    brightness: float
    yaw: float


class Detector(Protocol):
    """Finds faces."""

    def detect(self, image: Image) -> list[Face]:
        """Faces of an RGB uint8 (H, W, 3) picture, best score first; none gives []."""
        ...


class Embedder(Protocol):
    """Turns aligned crops into vectors."""

    @property
    def dim(self) -> int:
        """Length D of a vector."""
        ...

    def embed(self, crops: Crops) -> Floats:
        """Aligned RGB uint8 (N, 112, 112, 3) to float32 (N, D), each row of length 1."""
        ...
