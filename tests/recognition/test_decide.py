"""When crops are somebody: near enough for this many people, ahead of all others, all agreed."""

from __future__ import annotations

import uuid

import numpy as np
import pytest

from apps.recognition.engine.packs import Pack
from apps.recognition.engine.types import Floats
from apps.recognition.gallery import Enrolled, Gallery
from apps.recognition.matching import decide

STORE = uuid.uuid4()


def axis(number: int, dim: int) -> Floats:
    return np.eye(dim, dtype=np.float32)[number]


def at(cosine: float, dim: int, *, aside: int = 1) -> Floats:
    """A unit vector that has this cosine with the first axis."""
    return (cosine * axis(0, dim) + np.sqrt(1 - cosine**2) * axis(aside, dim)).astype(np.float32)


def enrolled() -> Enrolled:
    return Enrolled(uuid.uuid4(), uuid.uuid4(), float("inf"))


@pytest.fixture
def gallery(starter: Pack) -> Gallery:
    """One person on the first axis."""
    gallery = Gallery(starter.dim)
    gallery.add(STORE, enrolled(), axis(0, starter.dim))
    return gallery


def test_a_score_that_is_enough_among_few_is_not_enough_among_many(
    starter: Pack, gallery: Gallery
) -> None:
    probe = at(0.45, starter.dim)[None]
    assert decide(starter, gallery, STORE, probe).outcome == "match"
    crowd = np.tile(axis(2, starter.dim), (99, 1))
    gallery.extend(STORE, [enrolled() for _ in crowd], crowd)
    verdict = decide(starter, gallery, STORE, probe)
    assert verdict.outcome == "unknown"
    assert verdict.threshold == pytest.approx(starter.threshold + starter.slope)
    assert verdict.candidate is not None
    assert verdict.candidate.score == pytest.approx(0.45, abs=1e-3)


def test_only_the_store_that_is_asked_counts(starter: Pack, gallery: Gallery) -> None:
    crowd = np.tile(axis(2, starter.dim), (99, 1))
    gallery.extend(uuid.uuid4(), [enrolled() for _ in crowd], crowd)
    assert decide(starter, gallery, STORE, at(0.45, starter.dim)[None]).outcome == "match"
    nowhere = decide(starter, gallery, uuid.uuid4(), at(0.45, starter.dim)[None])
    assert (nowhere.outcome, nowhere.candidate) == ("unknown", None)


def test_two_people_who_are_equally_near_are_nobody(starter: Pack, gallery: Gallery) -> None:
    gallery.add(STORE, enrolled(), at(0.98, starter.dim))
    assert decide(starter, gallery, STORE, axis(0, starter.dim)[None]).outcome == "unsure"


def test_one_crop_that_is_somebody_else_makes_it_unsure(starter: Pack, gallery: Gallery) -> None:
    good, stray = at(0.9, starter.dim), at(0.25, starter.dim)
    assert decide(starter, gallery, STORE, np.stack([good, good])).outcome == "match"
    assert decide(starter, gallery, STORE, np.stack([good, good, stray])).outcome == "unsure"
