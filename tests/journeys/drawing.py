"""A head that is drawn, for pictures of the camera's screen: of nobody, and no photo."""

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
WALL, SHIRT, SKIN, SHADE = (214, 209, 199), (11, 93, 91), (222, 178, 148), (196, 148, 118)
HAIR, WHITE, IRIS, LIP = (58, 44, 38), (246, 244, 240), (70, 52, 40), (170, 92, 86)
FINE = 4
"""Fractional bits of the points: edges are smooth."""


def head(width: int = 640, height: int = 480) -> NDArray[np.uint8]:
    """Somebody who looks into the camera, RGB uint8 (height, width, 3)."""
    picture = np.full((height, width, 3), WALL, np.uint8)
    middle, eyes, apart = width / 2, height * 0.45, width * 0.075

    def oval(x: float, y: float, across: float, down: float, colour: Colour, turn: int = 0) -> None:
        place = (round((middle + x) * 2**FINE), round((eyes + y) * 2**FINE))
        size = (round(across * 2**FINE), round(down * 2**FINE))
        cv2.ellipse(picture, place, size, turn, 0, 360, colour, cv2.FILLED, cv2.LINE_AA, FINE)

    a = apart
    oval(0, 6.2 * a, 4.2 * a, 2.6 * a, SHIRT)
    oval(0, -0.6 * a, 2.45 * a, 2.5 * a, HAIR)
    oval(0, 3.2 * a, 0.95 * a, 1.7 * a, SHADE)
    for side in (-1, 1):
        oval(2.1 * side * a, 0.5 * a, 0.3 * a, 0.55 * a, SHADE)
    oval(0, 0.55 * a, 2.05 * a, 2.65 * a, SKIN)
    oval(0, -1.75 * a, 1.75 * a, 0.85 * a, HAIR)
    for side in (-1, 1):
        oval(side * a, 0, 0.5 * a, 0.34 * a, SHADE)
        oval(side * a, 0.02 * a, 0.42 * a, 0.22 * a, WHITE)
        oval(side * a, 0.02 * a, 0.2 * a, 0.2 * a, IRIS)
        oval(side * a, -0.52 * a, 0.55 * a, 0.1 * a, HAIR, 6 * side)
        oval(0.3 * side * a, 1.12 * a, 0.2 * a, 0.13 * a, SHADE)
    oval(0.18 * a, 0.55 * a, 0.13 * a, 0.6 * a, SHADE)
    oval(0, 1.0 * a, 0.3 * a, 0.24 * a, SKIN)
    oval(0, 1.95 * a, 0.72 * a, 0.2 * a, LIP)
    oval(0, 1.9 * a, 0.66 * a, 0.05 * a, SHADE)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.2), np.uint8)
