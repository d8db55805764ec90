"""Whether a living head does what it was asked to: turn to a side, come nearer.

From five landmarks a picture: a head that turns moves its nose before the plane of eyes and mouth,
a photo that is turned does not, for everything on it lies in one plane. Beside that one passive
cue, the regular grid of a screen or a print, and insightface's liveness network where a pack
carries one.

It does not stop a mask in three dimensions, a camera that is swapped for a file, or somebody who
lets a screen play each asked movement at once and whose screen's grid the camera cannot resolve.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from . import starter
from .quality import NOSE_DEPTH
from .runtime import session
from .types import Face, Floats, Image

Act = Literal["left", "right", "nearer"]
"""As the person says it: their left is the picture's right."""
Asked = Literal["front", "left", "right", "nearer"]
Doing = Literal["done", "not_yet", "other", "flat"]
Verdict = Literal["ok", "incomplete", "too_slow", "not_seen", "other_act", "flat"]

ACTS: tuple[Act, ...] = get_args(Act)

MIN_PARALLAX = 0.115
"""Least parallax of a turn, in distances between the eyes; see `parallax`. A head turned by a has
NOSE_DEPTH·tan a, so this is 11 degrees. A stiff photo turned in perspective by up to 40 degrees
would have none but for the points' errors: 0.11 at most for the four of insightface's group picture
who face the camera, 0.17 for the two who look away. Beyond that MIN_WIDTH tells it from a head."""
MIN_WIDTH = 0.68
"""Least width of a turned face, see `width`, as a share of what it was from the front. A head at 30
degrees has 0.87, rendered ones 0.73; a photo of somebody who faces the camera needs 50 degrees to
reach MIN_PARALLAX by the points' errors, and is at 0.66 then."""
MAX_FRONT = 0.08
"""Largest parallax of a look to the front: twice the error of the points, half a turn."""
MIN_NEARER = 1.22
"""Least growth of the face after coming nearer: 10 cm from half a metre. Our choice: easy to do
while standing, and swaying gives 1.06 at most."""
SAME_DISTANCE = (0.85, 1.15)
"""The growth that still counts as having stayed."""

BOX_S = 30.0
"""Seconds for all acts together. Our choice: each takes about three. Whoever needs more is asked
anew (WCAG 2.2.1); how often, says the kiosk."""

GRID_SIDE = 128
GRID_BAND = (0.14, 0.5)
"""Cycles a pixel: finer than the features of a face, up to what the camera resolves."""
MAX_GRID = 30.0
"""See `grid`. Faces of six people, also turned, under three JPEG qualities and two strengths of
noise stay under 18, all 200 photos of the Database of Faces (AT&T Laboratories Cambridge), enlarged
three times, under 16.4. A drawn screen of 2.1 to 4.4 pixels' pitch has 37 or more when its grid
darkens by 4 %, and 70 or more at 8 %. No real screen was measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Glance:
    """One frame of the challenge. step: 2k is the look to the front before act k, 2k + 1 the act.
    at: seconds since the challenge began. landmarks: float32 (5, 2), see types.Face."""

    step: int
    at: float
    landmarks: Floats


def judge(front: Floats, acts: Sequence[Act], glances: Sequence[Glance]) -> Verdict:
    """Whether the glances show `acts`, each begun from the front, in this order and in time.

    front: landmarks (5, 2) of the same person before the challenge. A clip that is in the asked
    pose already when it is asked, or that goes on to something else, was not made for this.
    """
    steps = [glance.step for glance in glances]
    if steps != sorted(steps) or set(steps) != set(range(2 * len(acts))):
        return "incomplete"
    times = [glance.at for glance in glances]
    if times != sorted(times) or times[0] < 0:
        return "incomplete"
    if times[-1] > BOX_S:
        return "too_slow"
    for step in range(2 * len(acts)):
        asked: Asked = "front" if step % 2 == 0 else acts[step // 2]
        seen = [doing(asked, front, each.landmarks) for each in glances if each.step == step]
        if "other" in seen:
            return "other_act"
        if "flat" in seen:
            return "flat"
        if seen[-1] != "done":
            return "not_seen"
        if asked != "front" and seen[0] == "done":
            return "other_act"
    return "ok"


def doing(asked: Asked, front: Floats, seen: Floats) -> Doing:
    """What landmarks (5, 2) show of an asked movement, beside those from the front (5, 2).

    other: plainly another movement. flat: turned as a thing in one plane is. Points that cannot be
    a face's are not yet anything.
    """
    if not (_usable(front) and _usable(seen)):
        return "not_yet"
    aside, size = parallax(front, seen), growth(front, seen)
    if asked == "front":
        stayed = SAME_DISTANCE[0] <= size <= SAME_DISTANCE[1]
        return "done" if abs(aside) <= MAX_FRONT and stayed else "not_yet"
    if asked == "nearer":
        if abs(aside) >= MIN_PARALLAX:
            return "other"
        return "done" if size >= MIN_NEARER else "not_yet"
    towards = aside if asked == "left" else -aside
    if towards >= MIN_PARALLAX:
        return "done" if width(seen) >= MIN_WIDTH * width(front) else "flat"
    away = towards <= -MIN_PARALLAX or size >= MIN_NEARER
    return "other" if away else "not_yet"


def parallax(front: Floats, seen: Floats) -> float:
    """How far the nose moved before the plane of eyes and mouth corners, along the eyes' line, in
    distances between the eyes; positive to the picture's right. Both are landmarks (5, 2).

    Every view of a plane from afar is an affine map of every other (Koenderink and van Doorn, JOSA
    A 8(2), 1991). The four points give that map by least squares; what it leaves of the nose is
    depth. The points must be finite and not fall together.
    """
    before, after = (np.asarray(points, dtype=np.float64) for points in (front, seen))
    plane = [0, 1, 3, 4]
    known = np.column_stack([before[plane], np.ones(4)])
    affine = np.linalg.lstsq(known, after[plane], rcond=None)[0]
    eyes = after[1] - after[0]
    flat = np.append(before[2], 1.0) @ affine
    return float((after[2] - flat) @ eyes) / float(eyes @ eyes)


def growth(front: Floats, seen: Floats) -> float:
    """How much larger the face became. A turn only narrows it: height counts as much as width."""
    before, after = (math.prod(_sides(points)) for points in (front, seen))
    return math.sqrt(after / before)


def width(landmarks: Floats) -> float:
    """Distance between the eyes over the height from the eyes' to the mouth's middle."""
    across, down = _sides(landmarks)
    return across / down


def degrees(aside: float) -> float:
    """The turn that a parallax stands for: both it and the eyes' distance are seen at an angle."""
    return math.degrees(math.atan(aside / NOSE_DEPTH))


def _usable(landmarks: Floats) -> bool:
    """Whether five points can be a face's: in a picture, and not on one line."""
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape != (5, 2) or not (np.abs(points) < 1e5).all():
        return False
    return min(_sides(points)) > 1.0


def _sides(landmarks: NDArray[np.floating]) -> tuple[float, float]:
    """Pixels between the eyes, and from the eyes' line to the mouth's middle."""
    points = np.asarray(landmarks, dtype=np.float64)
    eyes, mouth = points[1] - points[0], points[3:].mean(axis=0) - points[:2].mean(axis=0)
    across = float(np.linalg.norm(eyes))
    return across, abs(float(eyes[0] * mouth[1] - eyes[1] * mouth[0])) / max(across, 1e-9)


def grid(image: Image, face: Face) -> float:
    """How far a regular grid stands out of the fine detail in the middle of a face.

    image: RGB uint8 (H, W, 3). The four highest peaks of the spectrum of GRID_SIDE² pixels, each
    over the median of its ring; the raster of JPEG's own blocks is left out. 0 where the picture is
    smaller than that. A screen or a print has its lights and dots in rows, skin has nothing so.
    """
    height, across = image.shape[:2]
    if min(height, across) < GRID_SIDE:
        return 0.0
    x, y = ((float(face.box[i]) + float(face.box[i + 2])) / 2 - GRID_SIDE / 2 for i in (0, 1))
    left, top = int(np.clip(x, 0, across - GRID_SIDE)), int(np.clip(y, 0, height - GRID_SIDE))
    part = image[top : top + GRID_SIDE, left : left + GRID_SIDE]
    grey = np.asarray(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), dtype=np.float32)
    grey -= cv2.GaussianBlur(grey, (0, 0), 3.0)
    window, rings, counted = _spectrum()
    strength = np.abs(np.fft.rfft2(grey * window))
    ratio = np.zeros_like(strength)
    for ring in rings:
        ratio[ring] = strength[ring] / (np.median(strength[ring]) + 1.0)
    return float(np.partition(ratio[counted], -4)[-4:].mean())


@cache
def _spectrum() -> tuple[Floats, list[NDArray[np.bool_]], NDArray[np.bool_]]:
    """The window, the rings of equal frequency, and what counts of them, for `grid`."""
    up, along = np.meshgrid(np.fft.fftfreq(GRID_SIDE), np.fft.rfftfreq(GRID_SIDE), indexing="ij")
    radius = np.hypot(up, along)
    band = (radius > GRID_BAND[0]) & (radius < GRID_BAND[1])
    number = np.round(radius * GRID_SIDE / 3)
    rings = [(number == each) & band for each in np.unique(number[band])]

    def on_blocks(frequency: Floats, other: Floats) -> NDArray[np.bool_]:
        """Multiples of one in eight pixels, along one axis."""
        off = np.abs(frequency * 8 - np.round(frequency * 8))
        return (off < 12 / GRID_SIDE) & (np.abs(other) < 2.5 / GRID_SIDE)

    blocks = on_blocks(along, up) | on_blocks(up, along)
    curve = np.hanning(GRID_SIDE)
    return np.outer(curve, curve).astype(np.float32), rings, band & ~blocks


class AddOn:
    """insightface's liveness network: one face, one probability of being a living one."""

    def __init__(self, path: Path, *, sha256: str, threads: int = 1) -> None:
        """Raises PackBroken for another file than the one that was declared, and for no network."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise starter.PackBroken(f"{path.name} is declared and not there") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise starter.PackBroken(f"{path.name} is not the file that was declared")
        from insightface.addons.liveness import Liveness

        try:
            self._model: Any = Liveness(path, session=session(data, threads))
        except Exception as error:  # onnxruntime's errors share no base class
            raise starter.PackBroken(f"{path.name} is no liveness network") from error

    def alive(self, image: Image, face: Face) -> bool:
        """Whether the network takes the face in an RGB uint8 (H, W, 3) picture for a living one.

        What it cannot judge is not alive: too near the edge, or a network that fails.
        """
        try:
            found = self._model.predict(np.ascontiguousarray(image[:, :, ::-1]), face.landmarks)
        except (RuntimeError, ValueError):
            return False
        return found["is_live"] is True


def load_addon(directory: Path, *, threads: int = 1) -> AddOn | None:
    """The liveness network of the pack in `directory`; None when it carries none.

    A starter pack declares it in its manifest, under "models" as "liveness" with file and sha256;
    in an operator's pack it lies where insightface puts it, addons/liveness.onnx, and must be the
    published file. Raises PackBroken when it is there or declared and anything is wrong with it.
    """
    if starter.is_starter(directory):
        declared = starter.read_manifest(directory).get("models", {}).get("liveness")
        if declared is None:
            return None
        try:
            path, sha256 = directory / declared["file"], str(declared["sha256"])
        except (KeyError, TypeError) as error:
            raise starter.not_whole(directory) from error
        return AddOn(path, sha256=sha256, threads=threads)
    path = directory / "addons" / "liveness.onnx"
    if not path.exists():
        return None
    from insightface.addons import ADDON_CATALOG

    return AddOn(path, sha256=ADDON_CATALOG["liveness"].sha256, threads=threads)
