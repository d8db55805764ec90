"""YuNet (libfacedetection, OpenCV Zoo) over onnxruntime, at any picture size.

It reads the raw maps of the network and decodes them here; it refuses no picture, and an empty
answer means that no face was found.

At each of three strides the published network computes "is a face", "overlaps one", a box and five
points by themselves: 1, 1, 4 and 10 channels, each in a block of 16 that is mostly empty. Together
they fill one block, so `gathered` lets one pair of convolutions give all of them. The numbers stay
the same; a picture of 640 pixels takes 4.9 instead of 5.5 ms on one thread. It also takes a picture
in bytes, a quarter of the memory to fill before each call.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.utils import Extractor
from scipy.special import expit, logit

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
PARTS = ("cls", "obj", "bbox", "kps")
"""The published network's outputs at each stride, of 1, 1, 4 and 10 channels."""
CHANNELS = 16
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
        self._session = session(gathered(model), threads)
        self._input = self._session.get_inputs()[0].name
        self._max_side = max_side
        self._score = score
        # Where one of the two is below the square of what their geometric mean must reach, the
        # mean is below that too; told before the sigmoid, it leaves few places to look at.
        self._least = float(logit(score**2))
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

    def _run(self, blob: NDArray[np.uint8]) -> tuple[Floats, Floats, Floats]:
        """Boxes (N, 4) as corners, points (N, 5, 2), scores (N,), in the network's pixels."""
        hits, cells, strides = [], [], []
        for (maps,), stride in zip(
            self._session.run(None, {self._input: blob}), STRIDES, strict=True
        ):
            row, column = np.nonzero(np.minimum(maps[:, :, 0], maps[:, :, 1]) >= self._least)
            hits.append(maps[row, column])
            cells.append(np.stack([column, row], axis=1))
            strides.append(np.full((len(row), 1), stride))
        hit, cell, step = (np.concatenate(parts) for parts in (hits, cells, strides))
        # As in OpenCV: the geometric mean of "is a face" and "overlaps one".
        scores = np.sqrt(expit(hit[:, :2]).prod(axis=1))
        best = np.argsort(-scores, kind="stable")[:MOST]
        best = best[scores[best] >= self._score]
        hit, cell, step = hit[best], cell[best].astype(np.float32), step[best].astype(np.float32)
        centre = (cell + hit[:, 2:4]) * step
        half = np.exp(hit[:, 4:6]) * (step / 2)
        boxes = np.concatenate([centre - half, centre + half], axis=1)
        points = (hit[:, 6:].reshape(-1, 5, 2) + cell[:, None]) * step[:, None]
        return boxes, points, scores[best]

    def _distinct(self, boxes: Floats, scores: Floats) -> list[int]:
        """Indices of the boxes that stay when overlapping ones are merged, best first."""
        sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
        kept = cv2.dnn.NMSBoxes(sides.tolist(), scores.tolist(), self._score, self._overlap)
        return [int(i) for i in np.asarray(kept).ravel()]


def picture_blob(image: Image) -> NDArray[np.uint8]:
    """(1, 3, H, W) uint8, padded with black to the next multiple of 32 at right and bottom.

    YuNet was trained on pictures as OpenCV reads them, so our RGB becomes BGR here.
    """
    height, width = image.shape[:2]
    blob = np.empty((1, 3, height + -height % 32, width + -width % 32), dtype=np.uint8)
    # Plane by plane: measured faster than OpenCV's own blob.
    for plane, channel in zip(blob[0, ::-1], cv2.split(image), strict=True):
        plane[:height, :width] = channel
    blob[:, :, height:] = 0
    blob[:, :, :, width:] = 0
    return blob


def gathered(model: Path | bytes) -> bytes:
    """YuNet that takes uint8 (N, 3, H, W) and has one output a stride, `maps_8` to `maps_32`:
    float32 (N, H / stride, W / stride, 16), the channels of PARTS in their order, the first two
    without their sigmoid."""
    whole = onnx.load_from_string(model) if isinstance(model, bytes) else onnx.load(str(model))
    graph = whole.graph
    weights = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    (picture,) = graph.input
    for node in graph.node:
        node.input[:] = ["numbers" if name == picture.name else name for name in node.input]
    picture.type.tensor_type.elem_type = onnx.TensorProto.UINT8
    cast = helper.make_node("Cast", [picture.name], ["numbers"], to=onnx.TensorProto.FLOAT)
    graph.node.insert(0, cast)
    made = {name: node for node in graph.node for name in node.output}
    added, outputs = [], []
    for stride in STRIDES:
        across = [_convolution(made, f"{part}_{stride}") for part in PARTS]
        along = [_convolution(made, node.input[0]) for node in across]
        x = along[0].input[0]
        for name, nodes, form in (
            (f"along_{stride}", along, {"kernel_shape": [1, 1]}),
            (
                f"across_{stride}",
                across,
                {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "group": CHANNELS},
            ),
        ):
            for place in (1, 2):
                joined = np.concatenate([weights[node.input[place]] for node in nodes])
                graph.initializer.append(numpy_helper.from_array(joined, f"{name}_{place}"))
            added.append(helper.make_node("Conv", [x, f"{name}_1", f"{name}_2"], [name], **form))
            x = name
        output = f"maps_{stride}"
        added.append(helper.make_node("Transpose", [x], [output], perm=[0, 2, 3, 1]))
        outputs.append(
            helper.make_tensor_value_info(
                output, onnx.TensorProto.FLOAT, ["batch", None, None, CHANNELS]
            )
        )
    graph.node.extend(added)
    graph.output.extend(outputs)
    # Without what only led to the outputs as published.
    alone = Extractor(whole).extract_model([picture.name], [each.name for each in outputs])
    return bytes(alone.SerializeToString())


def _convolution(made: dict[str, onnx.NodeProto], name: str) -> onnx.NodeProto:
    """The convolution whose map is only laid out anew, or put through a sigmoid, to give `name`."""
    node = made[name]
    while node.op_type != "Conv":
        node = made[node.input[0]]
    return node
