"""A face brought into place, and landmarks that no face has."""

from __future__ import annotations

import numpy as np
import pytest
from insightface.utils import face_align

from apps.recognition.engine.align import TEMPLATE, BadLandmarks, align
from apps.recognition.engine.packs import Pack
from tests.faces import group_picture

GREY = np.full((480, 640, 3), 128, np.uint8)
FACE = TEMPLATE * 2 + np.array([200, 120], np.float32)


def test_the_crop_is_insightfaces(starter: Pack) -> None:
    picture = group_picture()
    for face in starter.detector.detect(picture):
        ours = align(picture, face.landmarks).astype(int)
        theirs = face_align.norm_crop(picture, face.landmarks).astype(int)
        assert ours.shape == (112, 112, 3)
        assert np.abs(ours - theirs).mean() < 0.5


@pytest.mark.parametrize(
    "landmarks",
    [
        np.zeros((5, 2)),
        np.full((5, 2), 300.0),
        np.full((5, 2), np.nan),
        np.where(np.arange(10).reshape(5, 2) == 4, np.inf, FACE),
        FACE[[1, 0, 2, 4, 3]],
        FACE * [1, 0] + [0, 240],
        FACE * [0, 1] + [320, 0],
        FACE + 5000,
        (FACE - FACE.mean(axis=0)) * 0.01 + 200,
        FACE[:4],
    ],
    ids=[
        "all zero",
        "one point",
        "not a number",
        "infinite",
        "left and right swapped",
        "on a level line",
        "on an upright line",
        "outside the picture",
        "smaller than any face",
        "four points",
    ],
)
def test_what_no_face_can_have_is_refused(landmarks: np.ndarray) -> None:
    with pytest.raises(BadLandmarks):
        align(GREY, landmarks.astype(np.float32))


@pytest.mark.parametrize("degrees", [0, 30, -45, 90])
def test_a_tilted_head_comes_out_upright(degrees: int) -> None:
    turn = np.radians(degrees)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = FACE.mean(axis=0)
    landmarks = ((FACE - middle) @ matrix.T + middle).astype(np.float32)
    picture = GREY.copy()
    x, y = landmarks[2].round().astype(int)
    picture[y - 4 : y + 5, x - 4 : x + 5] = (255, 0, 0)
    crop = align(picture, landmarks)
    nose_x, nose_y = TEMPLATE[2].round().astype(int)
    assert crop[nose_y, nose_x, 0] > 240
    assert crop[nose_y, nose_x, 2] < 20
