"""One picture of a camera for whoever draws its zone: faces covered, details gone, kept nowhere.

Run as a process of its own, so that whatever a camera sends is decoded far from the web process:
`python -m apps.visits.pipeline.still` reads the camera's address from its input (an argument would
show its password to every user of the machine) and writes a JPEG to its output, never to a file.
The exit code is one of sysexits when there is none. No picture leaves it before `veil`.
"""

from __future__ import annotations

import errno
import os
import resource
import sys
from collections import deque
from contextlib import closing
from itertools import islice

import av
import cv2
import numpy as np

from apps.recognition.engine import starter
from apps.recognition.engine.types import Face, Image
from apps.recognition.engine.yunet import YuNet

from .stream import Source, open_source

LONGEST_SIDE = 960
"""Pixels: enough to see where the floor ends and a door begins."""
SOFT = 320
"""The picture's longer side over this is the blur's sigma: 3 pixels of 960. A face that the
detector misses is small or turned away, and no longer shows whose it is."""
SCORE = 0.3
"""Least score of what is covered: covering a lamp costs nothing, missing a face does."""
GROWN = 0.35
"""Of a face's width and height, covered around it as well: hair, ears and chin."""
COVER = (128, 128, 128)
SETTLE = 3
"""Pictures that are passed over first: the first ones of a webcam are dark."""


def take(address: str) -> Image:
    """The picture of now, RGB uint8 (H, W, 3). Raises ValueError, av.FFmpegError, OSError."""
    with closing(open_source(Source.parse(address))) as pictures:
        latest = deque(islice(pictures, SETTLE), maxlen=1)
        if not latest:
            raise OSError("no picture in it")
        return np.asarray(latest[0].frame.to_ndarray(format="rgb24"), dtype=np.uint8)


def veil(image: Image) -> Image:
    """A smaller, softer copy of an RGB uint8 (H, W, 3) picture in which no face is to be seen."""
    # Two sizes: faces that fill the picture are found in the small one, far ones in the large.
    detector = YuNet(starter.detector_model().SerializeToString(), score=SCORE)
    covered = image.copy()
    for max_side in (480, 1280):
        for face in detector.detect(image, max_side=max_side):
            _cover(covered, face)
    height, width = covered.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(covered, size, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), max(size) / SOFT)
    return np.asarray(soft, dtype=np.uint8)


def jpeg(image: Image) -> bytes:
    """An RGB uint8 (H, W, 3) picture as a JPEG file, without any metadata."""
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80]
    )
    if not done:
        raise ValueError("this picture cannot be written as a JPEG")
    return data.tobytes()


def _cover(image: Image, face: Face) -> None:
    left, top, right, bottom = (float(value) for value in face.box)
    aside, above = GROWN * face.width, GROWN * face.height
    cv2.rectangle(
        image,
        (round(left - aside), round(top - above)),
        (round(right + aside), round(bottom + above)),
        COVER,
        thickness=cv2.FILLED,
    )


def main() -> int:
    # A core dump would hold faces.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        picture = jpeg(veil(take(sys.stdin.read())))
    except (av.FFmpegError, OSError) as error:
        return os.EX_TEMPFAIL if error.errno == errno.EBUSY else os.EX_UNAVAILABLE
    except ValueError:
        return os.EX_CONFIG
    sys.stdout.buffer.write(picture)
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
