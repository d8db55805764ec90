"""What error rates mean, as plain functions over scores; and how a folder of photos is read.

Terms of ISO/IEC 19795-1: FMR and FNMR compare one with one; FPIR is the share of strangers who are
taken for somebody enrolled, FNIR the share of enrolled people who are not taken for themselves.
It keeps no picture, and tells nobody which person a score belongs to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps

from .packs import Pack
from .quality import assess
from .rates import Rate
from .types import Detector, Face, Floats, Image

Scores = NDArray[np.float64]

SMALL = 240
"""Pixels, shorter side: below it a picture is a face cut tight, as detectors never learned it."""
ENLARGE = 3
BORDER = 60
"""Pixels of edge colour around a tight picture. Three times and sixty pixels: 200 of 200 photos of
the Database of Faces (AT&T Laboratories Cambridge, 92×112) are found."""
MAX_PIXELS = 50_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Detection error trade-off: at thresholds[i], fmr[i] and fnmr[i]. float64 (T,) each."""

    thresholds: Scores
    fmr: Scores
    fnmr: Scores


def false_matches(impostor: Scores, threshold: float) -> Rate:
    """Pairs of two people that reach the threshold."""
    return Rate(int(np.count_nonzero(impostor >= threshold)), len(impostor))


def false_non_matches(genuine: Scores, threshold: float) -> Rate:
    """Pairs of one person that do not reach the threshold."""
    return Rate(int(np.count_nonzero(genuine < threshold)), len(genuine))


def threshold_at(impostor: Scores, fmr: float) -> float:
    """The least cosine at which at most `fmr` of the impostor scores reach it.

    Fewer than 1/fmr scores cannot show such a rate: then just above the highest of them.
    """
    allowed = int(fmr * len(impostor))
    ordered = np.sort(impostor)[::-1]
    return float(np.nextafter(ordered[min(allowed, len(ordered) - 1)], 2.0))


def trade_off(genuine: Scores, impostor: Scores, *, points: int = 501) -> Curve:
    """Both error rates at evenly spaced thresholds from the lowest to the highest score."""
    both = np.concatenate([genuine, impostor])
    thresholds = np.linspace(both.min(), both.max(), points)
    matched = np.searchsorted(np.sort(impostor), thresholds, side="left")
    missed = np.searchsorted(np.sort(genuine), thresholds, side="left")
    return Curve(thresholds, 1.0 - matched / len(impostor), missed / len(genuine))


def photos(folder: Path) -> Iterator[tuple[str, list[Path]]]:
    """Each subfolder that holds files, by name: one person each, files by name."""
    for person in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(
            path for path in person.iterdir() if path.is_file() and not path.name.startswith(".")
        )
        if files:
            yield person.name, files


def read(path: Path) -> Image | None:
    """Any picture that Pillow knows, upright, RGB uint8 (H, W, 3); None when it is none.

    For an operator's own files. What comes from outside goes through imagefile.py.
    """
    try:
        with Pillow.open(path) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                return None
            upright = ImageOps.exif_transpose(picture)
            if upright.mode.startswith(("I", "F")):  # 16 bits and more a pixel: keep the range
                grey = np.asarray(upright, dtype=np.float64)
                scaled = (grey - grey.min()) * (255.0 / max(float(np.ptp(grey)), 1.0))
                upright = Pillow.fromarray(scaled.astype(np.uint8))
            return np.array(upright.convert("RGB"), dtype=np.uint8)
    except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError):
        return None


def find(detector: Detector, image: Image) -> tuple[Image, Face] | None:
    """The largest face, and the picture it was found in; None when there is none.

    A small picture is enlarged and given a border first; a large one only when nothing is found.
    """
    if min(image.shape[:2]) >= SMALL:
        found = detector.detect(image)
        if found:
            return image, max(found, key=_area)
    seen = _loosened(image)
    found = detector.detect(seen)
    return (seen, max(found, key=_area)) if found else None


def embed_photo(pack: Pack, path: Path) -> Floats | str:
    """The vector of a photo's face, float32 (D,) of length 1, or the reason why there is none:
    not_an_image, no_face, or one of quality.py's."""
    image = read(path)
    if image is None:
        return "not_an_image"
    found = find(pack.detector, image)
    if found is None:
        return "no_face"
    seen, face = found
    quality, crop = assess(seen, face)
    if crop is None or not quality.ok:
        return quality.reason or "turned"
    return np.asarray(pack.embedder.embed(crop[None])[0])


def _loosened(image: Image) -> Image:
    if min(image.shape[:2]) < SMALL:
        image = np.asarray(
            cv2.resize(image, None, fx=ENLARGE, fy=ENLARGE, interpolation=cv2.INTER_CUBIC),
            dtype=np.uint8,
        )
    padded = cv2.copyMakeBorder(image, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_REPLICATE)
    return np.asarray(padded, dtype=np.uint8)


def _area(face: Face) -> float:
    return face.width * face.height
