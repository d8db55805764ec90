"""One person is one vector, whoever runs the network."""

from __future__ import annotations

import cv2
import numpy as np
import onnx
import pytest

from apps.recognition.engine import sface
from apps.recognition.engine.align import align
from apps.recognition.engine.arcface import BadCrops
from apps.recognition.engine.packs import Pack
from apps.recognition.engine.runtime import session
from apps.recognition.engine.starter import EMBEDDER, embedder_model, source_path
from apps.recognition.engine.types import Crops, Floats
from tests.faces import PEOPLE, Mode, frames

NEARLY = 0.99
"""Cosine with the published float32 weights: wide layers are multiplied in 8 bits."""


def crops(starter: Pack, index: int, mode: Mode = "steady", count: int = 3) -> Crops:
    return np.stack(
        [
            align(frame, starter.detector.detect(frame)[0].landmarks)
            for frame in frames(index, mode, seconds=1, fps=count)
        ]
    )


@pytest.fixture(scope="module")
def everybody(starter: Pack) -> list[Floats]:
    return [starter.embedder.embed(crops(starter, index)) for index in range(PEOPLE)]


def test_the_vector_is_that_of_opencvs_own_runtime(starter: Pack) -> None:
    theirs = cv2.dnn.readNetFromONNX(str(source_path(EMBEDDER)))
    for crop in crops(starter, 3):
        theirs.setInput(cv2.dnn.blobFromImage(crop, 1.0, (112, 112), (0, 0, 0), False), "data")
        vector = theirs.forward().ravel()
        ours = starter.embedder.embed(crop[None])[0]
        assert float(vector @ ours) / float(np.linalg.norm(vector)) > NEARLY


def test_a_batch_answers_as_each_alone(starter: Pack) -> None:
    many = np.concatenate([crops(starter, index) for index in range(PEOPLE)])  # over one run
    together = starter.embedder.embed(many)
    alone = np.concatenate([starter.embedder.embed(crop[None]) for crop in many])
    assert together.shape == (len(many), starter.dim)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert (together * alone).sum(axis=1).min() > 0.99999


def test_the_faster_graph_gives_nearly_the_same_answers(starter: Pack) -> None:
    plain = session(embedder_model(rewrite=False).SerializeToString(), 2)
    fast = session(embedder_model().SerializeToString(), 2)
    faces = np.concatenate([crops(starter, index, count=1) for index in range(PEOPLE)])
    blob = faces.transpose(0, 3, 1, 2).astype(np.float32)
    one, other = (network.run(None, {"data": blob})[0] for network in (plain, fast))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    assert ((one * other).sum(axis=1) / lengths).min() > NEARLY


@pytest.mark.parametrize("wide", [256, 10_000])
def test_layers_that_are_not_in_8_bits_are_exactly_what_was_published(
    monkeypatch: pytest.MonkeyPatch, wide: int
) -> None:
    monkeypatch.setattr(sface, "WIDE", wide)
    plain = session(embedder_model(rewrite=False).SerializeToString(), 2)
    fast = session(embedder_model().SerializeToString(), 2)
    noise = np.random.default_rng(3).integers(0, 256, (2, 3, 112, 112)).astype(np.float32)
    one, other = (network.run(None, {"data": noise})[0] for network in (plain, fast))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    least = 0.999 if wide > 1024 else 0.98  # the last matrix always is in 8 bits
    assert ((one * other).sum(axis=1) / lengths).min() > least


def test_a_network_that_is_not_sface_is_not_rewritten() -> None:
    model = embedder_model(rewrite=False)
    weights = {w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer}
    nodes = list(model.graph.node)
    with pytest.raises(sface.OtherNetwork):
        sface.rewritten(nodes[:-4] + nodes[-3:], weights, "data", "fc1")


def test_six_people_are_six_people(starter: Pack, everybody: list[Floats]) -> None:
    for index, one in enumerate(everybody):
        assert (one @ one.T).min() > starter.threshold
        for other in everybody[:index]:
            assert (one @ other.T).max() < starter.threshold


@pytest.mark.parametrize("index", [2, 3, 4, 5])
def test_a_person_far_away_is_still_nobody_else(
    starter: Pack, everybody: list[Floats], index: int
) -> None:
    probes = starter.embedder.embed(crops(starter, index, "far"))
    for other, templates in enumerate(everybody):
        scores = probes @ templates.T
        if other == index:
            assert scores.max(axis=1).min() > starter.threshold
        else:
            assert scores.max() < starter.threshold


@pytest.mark.parametrize("index", range(PEOPLE))
def test_a_person_in_the_dark_is_still_that_person(
    starter: Pack, everybody: list[Floats], index: int
) -> None:
    probes = starter.embedder.embed(crops(starter, index, "dark"))
    own = (probes @ everybody[index].T).max(axis=1).min()
    assert own > starter.threshold
    assert own > max((probes @ v.T).max() for i, v in enumerate(everybody) if i != index)


def test_no_crop_is_no_vector(starter: Pack) -> None:
    none = np.empty((0, 112, 112, 3), np.uint8)
    assert starter.embedder.embed(none).shape == (0, starter.dim)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((1, 112, 112, 3), np.float32),
        np.zeros((112, 112, 3), np.uint8),
        np.zeros((1, 128, 128, 3), np.uint8),
        np.zeros((1, 3, 112, 112), np.uint8),
    ],
)
def test_anything_but_the_houses_crops_is_refused(starter: Pack, bad: Crops) -> None:
    with pytest.raises(BadCrops):
        starter.embedder.embed(bad)
