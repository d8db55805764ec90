"""YuNet (libfacedetection, OpenCV Zoo) over onnxruntime, at any picture size.

It reads the raw maps of the network and decodes them here; it refuses no picture, and an empty
answer means that no face was found.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from .runtime import session
from .types import Face, Floats, Image

SCORE = 0.7
"""Least score of a face. OpenCV's sample uses 0.9 for its fp32 file and one picture; on moving
people the lower value loses fewer frames, and quality.py drops what is no use."""
OVERLAP = 0.3
"""Two boxes that share more of their union than this are one face (OpenCV's default)."""
MAX_SIDE = 640
"""Pixels, longer side of what the network sees."""
STRIDES = (8, 16, 32)
MOST = 200
"""Candidates kept before overlap is resolved; bounds the work on a hostile picture."""


class YuNet:
    """A Detector. One instance may be used by several threads at once."""

    def __init__(
        self,
        model: Path | bytes,
        *,
        threads: int = 1,
        max_side: int = MAX_SIDE,
        score: float = SCORE,
        overlap: float = OVERLAP,
    ) -> None:
        self._session = session(model, threads)
        self._input = self._session.get_inputs()[0].name
        self._outputs = [
            f"{part}_{stride}" for part in ("cls", "obj", "bbox", "kps") for stride in STRIDES
        ]
        self._max_side = max_side
        self._score = score
        self._overlap = overlap

    def detect(self, image: Image, *, max_side: int | None = None) -> list[Face]:
        """Faces of an RGB uint8 (H, W, 3) picture, best score first, in its own pixels.

        max_side: pixels; the picture is made smaller first when its longer side exceeds this.
        """
        height, width = image.shape[:2]
        scale = min(1.0, (max_side or self._max_side) / max(height, width))
        seen = image
        if scale < 1.0:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            seen = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR))
        boxes, points, scores = self._run(picture_blob(seen))
        if not len(scores):
            return []
        # Rounding the small size moves the two axes by different fractions of a pixel.
        ratio = np.array([width / seen.shape[1], height / seen.shape[0]], dtype=np.float32)
        boxes *= np.tile(ratio, 2)
        points *= ratio
        return [Face(boxes[i], points[i], float(scores[i])) for i in self._distinct(boxes, scores)]

    def _run(self, blob: Floats) -> tuple[Floats, Floats, Floats]:
        """Boxes (N, 4) as corners, points (N, 5, 2), scores (N,), in the network's pixels."""
        maps = self._session.run(self._outputs, {self._input: blob})
        columns = blob.shape[3]
        found: list[tuple[Floats, Floats, Floats]] = []
        for level, stride in enumerate(STRIDES):
            cls, obj, bbox, kps = (maps[part * 3 + level][0] for part in range(4))
            # As in OpenCV: the geometric mean of "is a face" and "overlaps one".
            score = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(obj[:, 0], 0, 1))
            hit = np.flatnonzero(score >= self._score)
            if not len(hit):
                continue
            row, column = np.divmod(hit, columns // stride)
            cell = np.stack([column, row], axis=1).astype(np.float32)
            centre = (cell + bbox[hit, :2]) * stride
            half = np.exp(bbox[hit, 2:]) * (stride / 2)
            corners = np.concatenate([centre - half, centre + half], axis=1)
            points = (kps[hit].reshape(-1, 5, 2) + cell[:, None, :]) * stride
            found.append((corners, points, score[hit]))
        if not found:
            empty = np.empty(0, dtype=np.float32)
            return empty.reshape(0, 4), empty.reshape(0, 5, 2), empty
        boxes, points, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
        best = np.argsort(-scores, kind="stable")[:MOST]
        return boxes[best], points[best], scores[best]

    def _distinct(self, boxes: Floats, scores: Floats) -> list[int]:
        """Indices of the boxes that stay when overlapping ones are merged, best first."""
        sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
        kept = cv2.dnn.NMSBoxes(sides.tolist(), scores.tolist(), self._score, self._overlap)
        return [int(i) for i in np.asarray(kept).ravel()]


def picture_blob(image: Image) -> Floats:
    """(1, 3, H, W) float32, padded with black to the next multiple of 32 at right and bottom.

    YuNet was trained on pictures as OpenCV reads them, so our RGB becomes BGR here.
    """
    height, width = image.shape[:2]
    blob = np.empty((1, 3, height + -height % 32, width + -width % 32), dtype=np.float32)
    # Plane by plane: measured faster than OpenCV's own blob, 0.5 against 0.7 to 2.6 ms.
    for plane, channel in zip(blob[0, ::-1], cv2.split(image), strict=True):
        plane[:height, :width] = channel
    blob[:, :, height:] = 0
    blob[:, :, :, width:] = 0
    return blob
