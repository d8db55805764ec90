"""Whom a new face resembles: the same person, another, or nobody; never a guess."""

from uuid import uuid4

import numpy as np
import pytest

from apps.recognition.alike import SURELY, Alike, judge
from apps.recognition.gallery import Gallery, Neighbour, WrongVector
from tests.recognition.test_search import DIM, HERE, THERE, Clock, enrolled, unit

THRESHOLD = 0.4
SURE = THRESHOLD + SURELY
MS_CHEN, HER_SISTER = uuid4(), uuid4()


@pytest.mark.parametrize(
    ("near", "judged"),
    [
        ([], Alike(None, False)),
        ([Neighbour(MS_CHEN, SURE)], Alike(MS_CHEN, False)),
        ([Neighbour(MS_CHEN, SURE - 0.01)], Alike(None, True)),
        ([Neighbour(MS_CHEN, THRESHOLD - 0.04)], Alike(None, True)),
        ([Neighbour(MS_CHEN, 0.95), Neighbour(HER_SISTER, 0.36)], Alike(None, True)),
        ([Neighbour(MS_CHEN, 0.95), Neighbour(HER_SISTER, 0.94)], Alike(None, True)),
    ],
    ids=["nobody", "herself", "her sister", "just near", "and her sister", "one of twins"],
)
def test_an_enrolment_is_replaced_only_when_it_is_surely_one_and_the_same(
    near: list[Neighbour], judged: Alike
) -> None:
    assert judge(near, threshold=THRESHOLD) == judged


def test_everybody_near_is_named_once_nearest_first() -> None:
    gallery, vectors = Gallery(DIM), unit(np.random.default_rng(11), 40)
    people = [enrolled() for _ in vectors]
    gallery.extend(HERE, people, vectors)
    gallery.add(HERE, enrolled(people[7].visitor), vectors[8])
    found = gallery.near(HERE, vectors[7], 0.1)
    scores = vectors @ vectors[7]
    expected = {people[row].visitor for row in np.flatnonzero(scores > 0.1)}
    assert {each.visitor for each in found} == expected
    assert found[0].visitor == people[7].visitor
    assert found[0].score == pytest.approx(1.0, abs=1e-3)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)


def test_nobody_is_near_in_another_store_or_past_their_hour() -> None:
    clock = Clock()
    gallery, (vector,) = Gallery(DIM, clock=clock), unit(np.random.default_rng(11), 1)
    gallery.add(HERE, enrolled(until=clock.now + 1), vector)
    assert len(gallery.near(HERE, vector, 0.3)) == 1
    assert gallery.near(THERE, vector, 0.3) == []
    clock.now += 1
    assert gallery.near(HERE, vector, 0.3) == []
    with pytest.raises(WrongVector):
        gallery.near(HERE, vector[:3], 0.3)
