"""A person hears the one thing that would make the picture better."""

from __future__ import annotations

from typing import get_args

import cv2
import numpy as np
import pytest

from apps.recognition.engine.packs import Pack
from apps.recognition.engine.quality import assess
from apps.recognition.engine.types import Image, Quality
from tests.faces import PEOPLE, Cover, Mode, covered, frames

FACING = [0, 1, 2, 3, 5]  # person 4 looks away


def quality(starter: Pack, frame: Image) -> Quality:
    (face,) = starter.detector.detect(frame)
    return assess(frame, face)[0]


@pytest.mark.parametrize("index", FACING)
def test_a_steady_face_is_good(starter: Pack, index: int) -> None:
    for frame in frames(index, seconds=1, fps=4):
        found = quality(starter, frame)
        assert found.ok
        assert found.reason is None


@pytest.mark.parametrize("index", FACING)
@pytest.mark.parametrize(
    ("mode", "reason"),
    [("far", "too_small"), ("dark", "too_dark"), ("blurred", "blurred"), ("turned", "turned")],
)
def test_a_spoilt_face_is_told_why(starter: Pack, index: int, mode: Mode, reason: str) -> None:
    for frame in frames(index, mode, seconds=1, fps=4):
        found = quality(starter, frame)
        assert not found.ok
        assert found.reason == reason


@pytest.mark.parametrize("index", [2, 3, 5])
@pytest.mark.parametrize("cover", get_args(Cover))
def test_a_covered_face_is_told_so(starter: Pack, index: int, cover: Cover) -> None:
    for frame in frames(index, seconds=1, fps=3):
        found = quality(starter, covered(frame, cover))
        assert (found.ok, found.reason) == (False, "covered")


def test_who_looks_away_is_told_so(starter: Pack) -> None:
    assert quality(starter, next(frames(4))).reason == "turned"


def test_a_face_at_the_edge_is_cut_off(starter: Pack) -> None:
    frame = next(frames(3))
    (face,) = starter.detector.detect(frame)
    left = int(face.box[0] + 0.3 * face.width)
    assert quality(starter, np.ascontiguousarray(frame[:, left:])).reason == "cut_off"


def test_a_face_in_glaring_light_is_told_so(starter: Pack) -> None:
    glaring = np.asarray(cv2.convertScaleAbs(next(frames(3)), alpha=0.4, beta=160), np.uint8)
    assert quality(starter, glaring).reason == "too_bright"


def test_dim_light_alone_does_not_make_a_face_blurred(starter: Pack) -> None:
    bright = next(frames(2))
    dim = np.asarray(cv2.convertScaleAbs(bright, alpha=0.45), np.uint8)
    assert quality(starter, dim).sharpness == pytest.approx(
        quality(starter, bright).sharpness, rel=0.35
    )


@pytest.mark.parametrize("index", range(PEOPLE))
def test_more_blur_is_less_sharp(starter: Pack, index: int) -> None:
    still = next(frames(index))
    soft = [np.asarray(cv2.GaussianBlur(still, (0, 0), blur), np.uint8) for blur in (1, 2, 4)]
    sharp = [quality(starter, frame).sharpness for frame in [still, *soft]]
    assert sharp == sorted(sharp, reverse=True)
