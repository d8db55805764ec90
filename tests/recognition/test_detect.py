"""Faces found, by our decoding of YuNet beside OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.special import expit

from apps.recognition.engine.packs import Pack
from apps.recognition.engine.runtime import session
from apps.recognition.engine.starter import DETECTOR, detector_model, source_path
from apps.recognition.engine.yunet import PARTS, STRIDES, YuNet, gathered
from tests.faces import PEOPLE, frames, group_picture, portrait


@pytest.fixture(scope="module")
def yunet() -> YuNet:
    return YuNet(detector_model().SerializeToString())


@pytest.mark.parametrize("size", [(1280, 886), (640, 443), (700, 500)])
def test_boxes_and_landmarks_are_those_of_opencv(yunet: YuNet, size: tuple[int, int]) -> None:
    resized = cv2.resize(group_picture(), size, interpolation=cv2.INTER_AREA)
    picture = np.asarray(resized, np.uint8)
    theirs = cv2.FaceDetectorYN.create(str(source_path(DETECTOR)), "", size, 0.7, 0.3, 200)
    expected = theirs.detect(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    found = yunet.detect(picture, max_side=1280)
    assert len(found) == len(expected) == PEOPLE
    for face, row in zip(found, expected, strict=True):
        corners = [row[0], row[1], row[0] + row[2], row[1] + row[3]]
        np.testing.assert_allclose(face.box, corners, atol=0.1)
        np.testing.assert_allclose(face.landmarks, row[4:14].reshape(5, 2), atol=0.1)
        assert face.score == pytest.approx(float(row[14]), abs=1e-3)


def test_landmarks_are_named_as_seen_in_the_picture(yunet: YuNet) -> None:
    face = yunet.detect(portrait(2))[0]
    left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert left_eye[1] < nose[1] < left_mouth[1]


def test_a_smaller_look_finds_the_same_places(yunet: YuNet) -> None:
    large = yunet.detect(group_picture(), max_side=1280)
    small = yunet.detect(group_picture(), max_side=640)
    assert len(small) == len(large)
    for face in small:
        nearest = min(np.abs(face.landmarks - other.landmarks).max() for other in large)
        assert nearest < 12


def test_an_empty_scene_has_nobody_and_two_are_two(yunet: YuNet) -> None:
    assert yunet.detect(next(frames(2, "blank"))) == []
    assert len(yunet.detect(next(frames(2, "two")))) == 2


@pytest.mark.parametrize("size", [(1, 1), (17, 33), (2, 900), (900, 2)])
def test_any_size_of_picture_is_taken(yunet: YuNet, size: tuple[int, int]) -> None:
    assert yunet.detect(np.full((*size, 3), 128, np.uint8)) == []


def test_noise_costs_bounded_work_and_raises_nothing(starter: Pack) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    assert len(starter.detector.detect(noise)) < 50


def test_one_pair_of_convolutions_gives_what_the_published_four_give() -> None:
    published = detector_model().SerializeToString()
    both = [session(model, 1) for model in (published, gathered(published))]
    pictures = np.random.default_rng(3).integers(0, 256, (2, 3, 96, 160), dtype=np.uint8)
    before, after = (
        network.run(None, {network.get_inputs()[0].name: pictures.astype(kind)})
        for network, kind in zip(both, (np.float32, np.uint8), strict=True)
    )
    expected = dict(zip([output.name for output in both[0].get_outputs()], before, strict=True))
    for maps, stride in zip(after, STRIDES, strict=True):
        assert maps.shape == (2, 96 // stride, 160 // stride, 16)
        maps[..., :2] = expit(maps[..., :2])
        parts = np.split(maps.reshape(2, -1, 16), [1, 2, 6], axis=2)
        for part, name in zip(parts, PARTS, strict=True):
            np.testing.assert_allclose(part, expected[f"{name}_{stride}"], atol=1e-5)


def test_the_network_answers_a_batch_as_it_answers_each() -> None:
    network = session(detector_model().SerializeToString(), 1)
    name = network.get_inputs()[0].name
    both = np.random.default_rng(2).uniform(0, 255, (2, 3, 96, 160)).astype(np.float32)
    together = network.run(None, {name: both})
    for index in range(2):
        alone = network.run(None, {name: both[index : index + 1]})
        for one, many in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[0], many[index], atol=1e-4)
