"""Opens a model pack: the starter pack, or any insightface pack folder that the operator supplies.

Never downloads. Refuses weights that are not free for commercial use unless the operator said so,
refuses files that differ from their digests, and opens no network but the two it needs: a network
for age, sex or emotion that lies in the folder is never run.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from . import starter
from .arcface import ArcFace
from .rates import threshold_at_size
from .runtime import PROVIDERS, options, session
from .starter import PackBroken
from .types import CROP_SIZE, Detector, Embedder, Face, Image
from .yunet import MAX_SIDE, YuNet

THRESHOLD = 0.40
"""Cosine, for packs that bring none of their own: what InsightFace Server 0.2 uses."""
SLOPE = 0.064
"""Cosine per tenfold gallery, for packs that bring none of their own: that of starter pack 1."""
MIN_DIM = 64
"""A shorter output is no identity vector: age and sex networks give three numbers."""
MIN_SCORE = 0.5
"""Least detection score of SCRFD and RetinaFace in insightface."""

__all__ = ["LicenceRefused", "Pack", "PackBroken", "load_pack", "supplied_detector"]

_NON_COMMERCIAL = ("buffalo_", "antelope", "raccoon_", "cheetah_")
"""Families that insightface publishes for non-commercial research only."""


class LicenceRefused(RuntimeError):
    """The weights may not be used commercially, and the operator did not allow that."""


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """Two open networks and what is known about them.

    version: changes whenever the weights do; templates are bound to name and version.
    dim: length of a vector. threshold: least cosine of "the same person", for one to one and for
    galleries of up to rates.BASE_SIZE; slope: what every tenfold gallery adds to it.
    digests: file name to SHA-256 of every file that was opened.
    """

    name: str
    version: str
    licence: str
    commercial: bool
    dim: int
    threshold: float
    slope: float
    detector: Detector
    embedder: Embedder
    digests: dict[str, str]

    def threshold_for(self, templates: int) -> float:
        """Least cosine of a match in a gallery of so many templates: rates.threshold_at_size."""
        return threshold_at_size(self.threshold, self.slope, templates)


def load_pack(directory: Path, *, allow_noncommercial: bool = False, threads: int = 1) -> Pack:
    """Opens the pack in `directory`. threads: workers inside each network.

    Raises PackBroken, LicenceRefused.
    """
    if not directory.is_dir():
        raise PackBroken(f"{directory} is no folder; run `manage.py pack build`")
    if starter.is_starter(directory):
        return _load_starter(directory, threads)
    return _load_insightface(directory, allow_noncommercial, threads)


def supplied_detector(directory: Path, *, allow_noncommercial: bool, threads: int) -> Detector:
    """The detection network alone of an insightface pack; see detection.py."""
    name, _, _ = _permitted(directory, allow_noncommercial)
    analysis, _ = _analysis(directory, name, threads, ["detection"])
    return _Scrfd(analysis.det_model)


def _load_starter(directory: Path, threads: int) -> Pack:
    manifest = starter.read_manifest(directory)
    detection = starter.verified(directory, manifest, "detection")
    recognition = starter.verified(directory, manifest, "recognition")
    embedder = ArcFace(_arcface(recognition), workers=threads)
    detector = YuNet(detection, threads=threads)
    try:
        dim, threshold = int(manifest["dim"]), float(manifest["threshold"]["value"])
        slope = float(manifest["threshold"]["slope"])
        name, version = str(manifest["name"]), str(manifest["version"])
        licence, commercial = str(manifest["licence"]), manifest["commercial"] is True
    except (KeyError, TypeError, ValueError) as error:
        raise starter.not_whole(directory) from error
    if embedder.dim != dim:
        raise PackBroken(f"the pack says {dim} numbers, its network gives {embedder.dim}")
    return Pack(
        name=name,
        version=version,
        licence=licence,
        commercial=commercial,
        dim=dim,
        threshold=threshold,
        slope=slope,
        detector=detector,
        embedder=embedder,
        digests={path.name: starter.digest(path) for path in (detection, recognition)},
    )


def _arcface(path: Path) -> Any:
    from insightface.model_zoo.arcface_onnx import ArcFaceONNX

    return ArcFaceONNX(str(path), session=session(path, 1))


def _load_insightface(directory: Path, allow_noncommercial: bool, threads: int) -> Pack:
    name, licence, commercial = _permitted(directory, allow_noncommercial)
    analysis, files = _analysis(directory, name, threads, ["detection", "recognition"])
    recognition = analysis.models.get("recognition")
    if recognition is None or tuple(recognition.input_size) != (CROP_SIZE, CROP_SIZE):
        raise PackBroken(f"{name} has no recognition network for {CROP_SIZE}-pixel crops")
    embedder = ArcFace(recognition)
    if embedder.dim < MIN_DIM:
        raise PackBroken(f"{name}: {embedder.dim} numbers are no identity vector")
    digests = {path.name: starter.digest(path) for path in files}
    return Pack(
        name=name,
        version=_version(digests),
        licence=licence,
        commercial=commercial,
        dim=embedder.dim,
        threshold=THRESHOLD,
        slope=SLOPE,
        detector=_Scrfd(analysis.det_model),
        embedder=embedder,
        digests=digests,
    )


def _permitted(directory: Path, allow_noncommercial: bool) -> tuple[str, str, bool]:
    name, licence, commercial = _licence(directory)
    if not commercial and not allow_noncommercial:
        raise LicenceRefused(
            f"{name}: {licence}. Set CONSENTRY_ALLOW_NONCOMMERCIAL=true if your use is not "
            "commercial, add the MODEL.LICENSE you bought, or use the starter pack"
        )
    return name, licence, commercial


def _analysis(directory: Path, name: str, threads: int, tasks: list[str]) -> tuple[Any, list[Path]]:
    """insightface's own loader over `tasks` of the folder, and the files it opened."""
    from insightface.app import FaceAnalysis

    try:
        with _only_what_we_need(directory, tasks) as (folder, files):
            analysis = FaceAnalysis(
                name=str(folder),
                allowed_modules=tasks,
                providers=PROVIDERS,
                sess_options=options(threads),
                # Else SCRFD opens its file again for each size, long after this folder is gone.
                static_shape_sessions=False,
            )
    except PackBroken:
        raise
    except Exception as error:  # insightface, onnx and onnxruntime share no base class
        raise PackBroken(f"insightface cannot open {name}; is the folder complete?") from error
    return analysis, files


def _licence(directory: Path) -> tuple[str, str, bool]:
    """Name, licence in words, and whether commercial use is proven. Raises LicenceRefused.

    Only a signed, live MODEL.LICENSE proves it; a licence file that is there and not valid is
    refused whatever the operator allows.
    """
    from insightface.model_zoo.model_license import inspect_model_package_license

    found = inspect_model_package_license(directory)
    name = str(found.model_id)
    if found.error is not None:
        raise LicenceRefused(f"{name}: its licence or manifest is {found.status}; renew or mend it")
    if found.commercial_use_permitted:
        return name, "commercial licence, signed by InsightFace", True
    if found.verified:
        return name, "non-commercial licence, signed by InsightFace", False
    if name.startswith(_NON_COMMERCIAL):
        return name, "non-commercial research only (insightface model zoo)", False
    return name, "no licence found, taken as non-commercial", False


@contextmanager
def _only_what_we_need(directory: Path, wanted: list[str]) -> Iterator[tuple[Path, list[Path]]]:
    """A folder that shows FaceAnalysis the wanted networks and nothing else, and their files.

    Given a folder without a V2 manifest, FaceAnalysis opens a session on every ONNX file before
    it looks at `allowed_modules`: it would load the age and sex network to find out that it is
    one. Reading the graph's shape from the file needs no session.
    """
    from insightface.model_zoo.package_manifest import (
        has_model_package_manifest,
        load_model_package,
    )

    if has_model_package_manifest(directory):
        tasks = load_model_package(directory).tasks
        yield (
            directory,
            [tasks[task].path for task in wanted if task in tasks],
        )
        return
    chosen: dict[str, Path] = {}
    for path in sorted(directory.glob("*.onnx")):
        task = _task(path)
        if task in wanted:
            chosen.setdefault(task, path)
    if set(chosen) != set(wanted):
        raise PackBroken(f"{directory} holds no network for {' and '.join(wanted)}")
    with tempfile.TemporaryDirectory(prefix="consentry-pack-") as folder:
        for path in chosen.values():
            (Path(folder) / path.name).symlink_to(path.resolve())
        yield Path(folder), list(chosen.values())


def _task(path: Path) -> str | None:
    """What insightface's router would take the file for, by its inputs and outputs alone."""
    graph = onnx.load(str(path), load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(graph.output) >= 5:
        return "detection"
    if len(inputs) != 1 or len(graph.output) != 1:
        return None
    sides = [size.dim_value for size in inputs[0].type.tensor_type.shape.dim][2:]
    return "recognition" if sides == [CROP_SIZE, CROP_SIZE] else None


def _version(digests: dict[str, str]) -> str:
    """Twelve hexadecimal digits over the files' digests: other weights, other version."""
    text = "\n".join(f"{name} {value}" for name, value in sorted(digests.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class _Scrfd:
    """insightface's detector behind our door: RGB in, one pass, faces out."""

    def __init__(self, model: Any) -> None:
        model.prepare(0, input_size=(MAX_SIDE, MAX_SIDE), det_thresh=MIN_SCORE)
        self._model = model

    def detect(self, image: Image) -> list[Face]:
        boxes, points = self._model.detect(np.ascontiguousarray(image[:, :, ::-1]))
        if points is None:
            raise PackBroken("this detection network gives no landmarks; choose another pack")
        return [
            Face(box[:4].astype(np.float32), five.astype(np.float32), float(box[4]))
            for box, five in zip(boxes, points, strict=True)
        ]
