"""A finger signature: the drawn path only. Speed and pressure would be biometrics themselves."""

import itertools
import math
from typing import Any

from django.utils.translation import gettext as _

Path = list[list[list[float]]]

MIN_POINTS = 8
MAX_POINTS = 5000
# In units of the pad's width: shorter than this is a dot or a slip of the finger.
MIN_LENGTH = 0.15


class BadSignaturePath(ValueError):
    """Not a signature that a person drew; the text says what to do."""


def check_path(strokes: Any) -> None:
    """Check strokes of [x, y] points in 0..1. Raises BadSignaturePath."""
    if not isinstance(strokes, list) or not all(isinstance(stroke, list) for stroke in strokes):
        raise BadSignaturePath(_("Please sign with your finger."))
    points = [point for stroke in strokes for point in stroke]
    if len(points) > MAX_POINTS or not all(_is_point(point) for point in points):
        raise BadSignaturePath(_("Please sign again, inside the box."))
    length = sum(
        math.dist(one, other) for stroke in strokes for one, other in itertools.pairwise(stroke)
    )
    if len(points) < MIN_POINTS or length < MIN_LENGTH:
        raise BadSignaturePath(_("That was very short. Please sign with your name or your sign."))


def _is_point(point: Any) -> bool:
    return (
        isinstance(point, list)
        and len(point) == 2
        and all(isinstance(value, int | float) and 0 <= value <= 1 for value in point)
    )
