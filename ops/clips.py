"""Makes the clips that stand in for cameras in the demo and in tests.

    python -m ops.clips OUT.mp4 --face 2 --kind lane
    python -m ops.clips OUT.y4m --face 2 --kind kiosk

The faces are the six people of insightface's bundled group picture, counted from the left. No
photo is kept in this project, and nobody's camera is ever read here.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import av
import cv2
import numpy as np
import segno
from numpy.typing import NDArray

from apps.recognition.engine import starter
from apps.recognition.engine.imagefile import decode_jpeg
from apps.recognition.engine.quality import MAX_YAW, turn
from apps.recognition.engine.types import Face, Image
from apps.recognition.engine.yunet import YuNet

Mode = Literal["steady", "far", "dark", "blurred", "blank", "two", "turned"]
Size = tuple[int, int]

PEOPLE = 6
SIZE: Size = (640, 480)
FPS = 10
FACE_HEIGHT = 320
"""Pixels of a portrait's face: as tall as it ever gets in a clip, so placing only shrinks."""
MARGIN = 0.45
"""Of the face's width and height, kept around it."""
WALL, FLOOR = (205, 200, 190), (150, 140, 125)
NEAR, SHARED, TWO_WALKING, AWAY = 0.82, 0.55, 0.42, 0.22
"""Share of the frame's height that a portrait fills: alone, beside another, passing another, out of
reach."""
CODE = 0.4
"""Share of the frame's height that a shown pass fills: about what a phone does at arm's length."""
WALK = 0.8
"""Seconds to come in, and to leave."""
STROLL = 0.18
"""Share of the frame's width that somebody walks in a second, so that a busy machine sees them."""


@cache
def group_picture() -> Image:
    """Six people, RGB uint8 (886, 1280, 3)."""
    spec = importlib.util.find_spec("insightface")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package insightface is not installed; install the lock file")
    picture = decode_jpeg((Path(spec.origin).parent / "data/images/t1.jpg").read_bytes())
    picture.setflags(write=False)
    return picture


@cache
def portrait(index: int) -> Image:
    """One of the six, counted from the left, RGB uint8, the face FACE_HEIGHT pixels tall."""
    picture = group_picture()
    face = sorted(_detector().detect(picture), key=lambda found: float(found.box[0]))[index]
    left, top, right, bottom = (float(value) for value in face.box)
    aside, above = MARGIN * face.width, MARGIN * face.height
    cut = picture[
        max(0, int(top - above)) : int(bottom + above),
        max(0, int(left - aside)) : int(right + aside),
    ]
    scale = FACE_HEIGHT / face.height
    result = _image(cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC))
    result.setflags(write=False)
    return result


def frames(
    index: int,
    mode: Mode = "steady",
    *,
    seconds: float = 5.0,
    fps: int = FPS,
    size: Size = SIZE,
) -> Iterator[Image]:
    """What a kiosk's camera sees of person `index`: RGB uint8 frames of `size` (width, height).

    steady: swaying a little. far: too small. dark, blurred: spoilt. turned: the head turned away.
    two: the next person beside. blank: nobody. The clip ends where it began and may be looped.
    Person 4 looks away even when steady; 2, 3 and 5 face the camera best.
    """
    count = max(1, round(seconds * fps))
    for number in range(count):
        phase = 2 * math.pi * number / count
        frame = _scene(size)
        if mode == "two":
            _place(frame, portrait(index), phase, SHARED, across=0.27)
            _place(frame, portrait((index + 1) % PEOPLE), phase + 1, SHARED, across=0.73)
        elif mode == "turned":
            _place(frame, _turned(index), phase, NEAR)
        elif mode != "blank":
            _place(frame, portrait(index), phase, AWAY if mode == "far" else NEAR)
        if mode == "dark":
            frame = _image(cv2.convertScaleAbs(frame, alpha=0.16))
        elif mode == "blurred":
            frame = _image(cv2.GaussianBlur(frame, (0, 0), size[1] / 72))
        yield frame


def walk_by(
    indices: Sequence[int],
    *,
    seconds_present: float = 4.0,
    seconds_absent: float = 2.0,
    size: Size = SIZE,
    fps: int = FPS,
) -> Iterator[Image]:
    """What a lane's camera sees: nobody for seconds_absent, then the people come in from the left,
    stand side by side, and leave to the right within seconds_present; then nobody for half a
    second. RGB uint8 frames of `size` (width, height)."""
    for _ in range(round(seconds_absent * fps)):
        yield _scene(size)
    walk = min(WALK, seconds_present / 3)
    for number in range(round(seconds_present * fps)):
        second = number / fps
        coming = min(1.0, second / walk)
        leaving = max(0.0, (second - (seconds_present - walk)) / walk)
        frame = _scene(size)
        for place, index in enumerate(indices):
            across = (place + 0.5) / len(indices) + (coming - 1.0) * 1.2 + leaving * 1.2
            fill = NEAR if len(indices) == 1 else SHARED
            _place(frame, portrait(index), 2 * math.pi * second / 2.5 + place, fill, across=across)
        yield frame
    for _ in range(round(0.5 * fps)):
        yield _scene(size)


def procession(
    indices: Sequence[int], *, gap: float = 0.34, size: Size = (960, 540), fps: int = FPS
) -> Iterator[Image]:
    """What an entrance's camera sees: the people walk through the picture from left to right, one
    behind the other, `gap` of its width apart. RGB uint8 frames of `size` (width, height)."""
    pace = STROLL / fps
    for step in range(math.ceil((1.3 + gap * (len(indices) - 1)) / pace)):
        frame = _scene(size)
        for place, index in enumerate(indices):
            across = step * pace - 0.15 - place * gap
            if -0.15 < across < 1.15:
                _place(frame, portrait(index), step / fps, TWO_WALKING, across=across)
        yield frame


def showing(
    clip: Iterable[Image], text: str, *, seconds: tuple[float, float] = (0.0, 1e9), fps: int = FPS
) -> Iterator[Image]:
    """The clip with a QR code of `text` held into the lower right corner from one second to the
    other: trembling, tilted and as soft as a phone's screen is to a camera. RGB uint8 frames."""
    modules = np.array(list(segno.make_qr(text, error="l").matrix_iter(border=4)), dtype=np.uint8)
    printed = np.where(modules > 0, 25, 245).astype(np.uint8)
    for number, frame in enumerate(clip):
        if seconds[0] <= number / fps < seconds[1]:
            frame = frame.copy()
            side = round(CODE * frame.shape[0])
            code = cv2.resize(printed, (side, side), interpolation=cv2.INTER_AREA)
            code = cv2.cvtColor(cv2.GaussianBlur(code, (0, 0), 0.7), cv2.COLOR_GRAY2RGB)
            phase = 2 * math.pi * number / fps / 2.5
            turned = cv2.getRotationMatrix2D((side / 2, side / 2), 5 * math.sin(phase), 1.0)
            turned[:, 2] += (
                frame.shape[1] - 1.08 * side + 4 * math.sin(2 * phase),
                frame.shape[0] - 1.08 * side + 3 * math.cos(phase),
            )
            cv2.warpAffine(
                code,
                turned,
                (frame.shape[1], frame.shape[0]),
                dst=frame,
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_TRANSPARENT,
            )
        yield frame


def meet(
    front: int,
    behind: int,
    *,
    turn_back: bool = False,
    seconds: float = 3.0,
    size: Size = SIZE,
    fps: int = FPS,
) -> Iterator[Image]:
    """Two people walk towards each other, `front` from the left, and hide each other in the middle.

    They go on to the other side, or, with `turn_back`, each back to where they came from. RGB
    uint8 frames of `size` (width, height).
    """
    count = round(seconds * fps)
    for number in range(count):
        way = number / (count - 1)
        if turn_back:
            way = 0.53 - abs(way - 0.5)
        frame = _scene(size)
        _place(frame, portrait(behind), 0.0, 0.92 * TWO_WALKING, across=0.9 - 0.8 * way)
        _place(frame, portrait(front), 0.0, TWO_WALKING, across=0.1 + 0.8 * way)
        yield frame


def write_y4m(path: Path, clip: Iterable[Image], *, fps: int = FPS) -> None:
    """A raw 4:2:0 clip for Chromium's fake camera, which shows green for 4:2:2."""
    with path.open("wb") as out:
        for number, frame in enumerate(clip):
            if number == 0:
                height, width = frame.shape[:2]
                out.write(f"YUV4MPEG2 W{width} H{height} F{fps}:1 Ip A1:1 C420jpeg\n".encode())
            out.write(b"FRAME\n")
            out.write(_image(cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420)).tobytes())


def write_mp4(path: Path, clip: Iterable[Image], *, fps: int = FPS) -> None:
    """An H.264 clip for a lane camera; a key frame every second, so that it starts anywhere."""
    with av.open(str(path), mode="w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=Fraction(fps))
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "18", "preset": "veryfast", "g": str(fps)}
        for number, picture in enumerate(clip):
            if number == 0:
                stream.height, stream.width = picture.shape[:2]
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))


def jpeg(image: Image, quality: int = 92) -> bytes:
    """The picture as a JPEG file."""
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    if not done:
        raise ValueError("this picture cannot be written as a JPEG")
    return data.tobytes()


@cache
def _detector() -> YuNet:
    """Straight from the carrier wheel, so that a clip can be made before the pack is built."""
    return YuNet(starter.detector_model().SerializeToString(), max_side=1280)


@cache
def _turned(index: int) -> Image:
    """The portrait with its nose pulled to the picture's left, where all six look a little anyway:
    the way five landmarks see a turned head. Pulled as far as the engine needs to call it turned.
    """
    still = portrait(index)
    face = _detector().detect(still)[0]
    for shape, amount in itertools.product(_PULLS, (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)):
        result = _pulled(still, face, shape, amount * face.width)
        frame = _scene(SIZE)
        _place(frame, result, 0.0, NEAR)
        seen = _detector().detect(frame)
        if len(seen) == 1 and turn(seen[0].landmarks) < -MAX_YAW - 8:
            return result
    raise RuntimeError(f"person {index} cannot be turned far enough; choose another")


_PULLS = ((0.30, 0.35, 0.0), (0.42, 0.30, 0.08))
"""Reach aside, reach up and down, and how far below the nose's tip, in widths and heights of the
face: no one shape convinces the detector for all six."""


def _pulled(still: Image, face: Face, shape: tuple[float, float, float], pixels: float) -> Image:
    aside, above, below = shape
    nose_x, nose_y = (float(value) for value in face.landmarks[2])
    rows, columns = np.mgrid[0 : still.shape[0], 0 : still.shape[1]].astype(np.float32)
    pull = np.exp(
        -(((columns - nose_x) / (aside * face.width)) ** 2)
        - ((rows - nose_y - below * face.height) / (above * face.height)) ** 2
    )
    source = (columns + pixels * pull).astype(np.float32)
    return _image(cv2.remap(still, source, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _scene(size: Size) -> Image:
    return _empty(size).copy()


@cache
def _empty(size: Size) -> Image:
    width, height = size
    scene = np.empty((height, width, 3), dtype=np.uint8)
    scene[:] = WALL
    scene[int(0.85 * height) :] = FLOOR
    return scene


def _place(frame: Image, person: Image, phase: float, fill: float, *, across: float = 0.5) -> None:
    """Draws `person` into `frame`: breathing in size, swaying, `across` (0 left, 1 right)."""
    height, width = frame.shape[:2]
    scale = fill * height / person.shape[0] * (1 + 0.03 * math.sin(phase))
    left = across * width - scale * person.shape[1] / 2 + 0.018 * width * math.sin(phase)
    top = (height - scale * person.shape[0]) / 2 + 0.01 * height * math.sin(2 * phase)
    # Shrinking in one step of warpAffine would alias; INTER_AREA averages first.
    small = cv2.resize(person, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    shift: NDArray[np.float32] = np.array([[1, 0, left], [0, 1, top]], dtype=np.float32)
    cv2.warpAffine(
        small,
        shift,
        (width, height),
        dst=frame,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_TRANSPARENT,
    )


def _image(array: object) -> Image:
    return np.asarray(array, dtype=np.uint8)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Make a clip that stands in for a camera.")
    parser.add_argument("out", type=Path, help="OUT.mp4 or OUT.y4m")
    parser.add_argument("--face", type=int, action="append", choices=range(PEOPLE))
    parser.add_argument("--kind", choices=["lane", "kiosk"], default="lane")
    parser.add_argument("--mode", choices=get_args(Mode), default="steady", help="kiosk only")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long a face is seen")
    parser.add_argument("--absent", type=float, default=2.0, help="lane only: empty before")
    parser.add_argument("--fps", type=int, default=FPS)
    given = parser.parse_args(arguments)
    faces: list[int] = given.face or [2]
    if given.kind == "lane":
        clip = walk_by(
            faces, seconds_present=given.seconds, seconds_absent=given.absent, fps=given.fps
        )
    else:
        clip = frames(faces[0], given.mode, seconds=given.seconds, fps=given.fps)
    write = write_y4m if given.out.suffix == ".y4m" else write_mp4
    write(given.out, clip, fps=given.fps)


if __name__ == "__main__":
    main()
