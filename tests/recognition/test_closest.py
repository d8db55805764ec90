"""The highest cosine between two visitors' templates, and no trace of whose they are."""

from uuid import UUID, uuid4

import numpy as np
import pytest

from apps.recognition.closest import BLOCK, Closest
from apps.recognition.gallery import Enrolled, Gallery

STORE = UUID(int=1)


def filled(vectors: np.ndarray, visitors: list[UUID], ends: float = float("inf")) -> Gallery:
    gallery = Gallery(vectors.shape[1], clock=lambda: 0.0)
    gallery.extend(STORE, [Enrolled(uuid4(), who, ends) for who in visitors], vectors)
    return gallery


def some(people: int) -> np.ndarray:
    vectors = np.random.default_rng(3).normal(size=(people, 128)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.mark.parametrize("people", [2, 40, 2 * BLOCK + 7])
def test_it_is_the_highest_of_all_pairs(people: int) -> None:
    vectors = some(people)
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -1)
    gallery = filled(vectors, [uuid4() for _ in vectors])
    found = Closest().of(gallery, STORE)
    assert found is not None
    assert found == pytest.approx(float(scores.max()), abs=0.006)
    assert found is not None
    assert found == round(found, 2)


def test_two_templates_of_one_person_are_no_pair() -> None:
    vectors = some(3)
    vectors[1] = vectors[0]
    who = [uuid4(), uuid4()]
    found = Closest().of(filled(vectors, [who[0], who[0], who[1]]), STORE)
    assert found == pytest.approx(float(vectors[0] @ vectors[2]), abs=0.006)
    assert Closest().of(filled(vectors[:2], [who[0], who[0]]), STORE) is None


def test_what_is_past_is_no_pair_and_a_change_is_noticed() -> None:
    vectors = some(3)
    assert Closest().of(filled(vectors, [uuid4() for _ in vectors], ends=0.0), STORE) is None
    assert Closest().of(Gallery(128), STORE) is None
    gallery, closest = filled(vectors[:2], [uuid4(), uuid4()]), Closest()
    before = closest.of(gallery, STORE)
    assert before is not None
    assert before < 0.9
    gallery.add(STORE, Enrolled(uuid4(), uuid4(), float("inf")), vectors[0])
    assert closest.of(gallery, STORE) == 1.0
