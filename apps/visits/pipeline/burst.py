"""One short burst of pictures from a door tablet, judged as a pass camera judges what it sees.

The tablet sends a burst when somebody shows something; it is one presentation with one window, and
nothing of it outlives the call. What a camera does over time, `presenting` does here over pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

from apps.recognition.engine.align import BadLandmarks
from apps.recognition.engine.types import Detector, Image

from .lane import Counters
from .presenting import Desk, Presenting
from .zone import Zone

SPACING = 0.1
"""Least seconds between two pictures: `APART_MS` in `static/js/door/door.js`."""
WELCOME = "welcome"
NO_CODE = "no_code"


def judge(
    images: Sequence[Image], *, zone: Zone, detector: Detector, desk: Desk, at: float
) -> tuple[str, Counters]:
    """Look at RGB uint8 (H, W, 3) pictures in the order in which they were taken; `at`: the Unix
    second of the last. Returns WELCOME, or the one reason why not, and what the camera counts.
    """
    counters = Counters()
    presenting = Presenting(zone, detector, desk, counters)
    first = at - SPACING * (len(images) - 1)
    try:
        for number, image in enumerate(images):
            presenting.look(zone.view(image), first + SPACING * number)
    except BadLandmarks:
        counters.aborts["turned"] = 1
    presenting.leave(None)
    if counters.matched:
        return WELCOME, counters
    if not counters.aborts:
        counters.aborts[NO_CODE] = 1
    return list(counters.aborts)[-1], counters
