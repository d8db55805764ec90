"""A picture for whoever draws a zone: no face in it, and a process that knows no secret."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from apps.recognition.engine.align import align
from apps.recognition.engine.imagefile import decode_jpeg
from apps.recognition.engine.packs import Pack
from apps.recognition.engine.types import Detector, Image
from apps.visits.pipeline.still import veil
from tests.conftest import ROOT
from tests.faces import frames, group_picture, jpeg, write_mp4


def _wide(picture: Image) -> Image:
    """The group far away in a large hall: faces of some 30 pixels in 1920."""
    hall: Image = np.full((1080, 1920, 3), 190, dtype=np.uint8)
    small = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    hall[400 : 400 + small.shape[0], 600 : 600 + small.shape[1]] = small
    return hall


@pytest.mark.parametrize("scene", ["group", "hall", "steady", "two", "dark", "turned", "far"])
def test_no_face_is_left_in_the_picture(detector: Detector, scene: Any) -> None:
    if scene == "group":
        picture = group_picture()
    elif scene == "hall":
        picture = _wide(group_picture())
    else:
        picture = next(iter(frames(2, scene)))
    assert detector.detect(picture)
    assert detector.detect(veil(picture)) == []


def test_a_face_that_was_missed_tells_nobody_who_it_is(eyes: Pack) -> None:
    """Softened alone, as a face that the detector overlooked: too little is left to match."""
    width = 1920
    hall = _wide(group_picture())
    known = eyes.detector.detect(hall)
    assert len(known) == 6
    scale = 960 / width
    small = cv2.resize(hall, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    soft = np.asarray(cv2.GaussianBlur(small, (0, 0), 960 / 320), dtype=np.uint8)
    for face in known:
        sharp = eyes.embedder.embed(align(hall, face.landmarks)[None])
        veiled = eyes.embedder.embed(align(soft, face.landmarks * np.float32(scale))[None])
        assert float(sharp[0] @ veiled[0]) < eyes.threshold


def _run(address: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "apps.visits.pipeline.still"],
        input=address.encode(),
        capture_output=True,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        check=False,
        timeout=30,
    )


def test_the_process_gives_a_small_picture_and_leaves_no_file(
    detector: Detector, tmp_path: Path
) -> None:
    clip = tmp_path / "two.mp4"
    write_mp4(clip, frames(2, "two", seconds=1, size=(1280, 960)))
    before = sorted(tmp_path.rglob("*"))
    done = _run(str(clip), TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    picture = decode_jpeg(done.stdout)
    assert picture.shape == (720, 960, 3)
    assert detector.detect(picture) == []
    assert sorted(tmp_path.rglob("*")) == before
    assert b"Exif" not in done.stdout


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("rtsp://owner:hunter2@127.0.0.1:9/street", os.EX_UNAVAILABLE),
        ("/nowhere/clip.mp4", os.EX_UNAVAILABLE),
        ("usb:77", os.EX_UNAVAILABLE),
        ("http://camera/", os.EX_CONFIG),
        ("", os.EX_CONFIG),
    ],
)
def test_without_a_picture_the_process_says_why_and_nothing_else(address: str, code: int) -> None:
    done = _run(address)
    assert done.returncode == code
    assert done.stdout == b""
    assert b"hunter2" not in done.stderr


def test_a_picture_that_is_no_camera_is_no_picture(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no clip" * 500)
    assert _run(str(broken)).returncode == os.EX_UNAVAILABLE
    still = tmp_path / "photo.jpg"
    still.write_bytes(jpeg(next(iter(frames(2)))))
    done = _run(str(still))
    assert done.returncode == 0, "one picture is a very short clip"
