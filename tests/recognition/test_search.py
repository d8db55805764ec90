"""The gallery: nearest of the living, of this store, and nobody past their hour."""

from __future__ import annotations

import threading
from uuid import UUID, uuid4

import numpy as np
import pytest

from apps.recognition.gallery import Enrolled, Floats, Gallery, WrongVector

DIM = 64
HERE, THERE = uuid4(), uuid4()
FOREVER = 1e12


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def unit(chance: np.random.Generator, count: int) -> Floats:
    vectors = chance.standard_normal((count, DIM)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def enrolled(visitor: UUID | None = None, until: float = FOREVER) -> Enrolled:
    return Enrolled(uuid4(), visitor or uuid4(), until)


def templates(gallery: Gallery) -> set[UUID]:
    return {template for _store, template in gallery.held()}


@pytest.fixture
def chance() -> np.random.Generator:
    return np.random.default_rng(11)


def test_the_nearest_template_answers_with_its_lead(chance: np.random.Generator) -> None:
    gallery, people, vectors = Gallery(DIM), [enrolled() for _ in range(50)], unit(chance, 50)
    for person, vector in zip(people, vectors, strict=True):
        gallery.add(HERE, person, vector)
    found = gallery.search(HERE, vectors[7])
    assert found is not None
    assert (found.template, found.visitor) == (people[7].template, people[7].visitor)
    scores = vectors @ vectors[7]
    assert found.score == pytest.approx(1.0, abs=1e-3)
    assert found.margin == pytest.approx(1.0 - np.sort(scores)[-2], abs=2e-3)


def test_the_lead_is_over_other_people_not_over_ones_own_templates(
    chance: np.random.Generator,
) -> None:
    gallery, visitor, vectors = Gallery(DIM), uuid4(), unit(chance, 2)
    for _ in range(40):
        gallery.add(HERE, enrolled(visitor), vectors[0])
    gallery.add(HERE, enrolled(), vectors[1])
    found = gallery.search(HERE, vectors[0])
    assert found is not None
    assert found.visitor == visitor
    assert found.margin == pytest.approx(1.0 - float(vectors[0] @ vectors[1]), abs=2e-3)


def test_who_is_alone_leads_over_the_lowest_cosine(chance: np.random.Generator) -> None:
    gallery, (vector,) = Gallery(DIM), unit(chance, 1)
    gallery.add(HERE, enrolled(), vector)
    found = gallery.search(HERE, vector)
    assert found is not None
    assert found.margin == pytest.approx(2.0, abs=1e-3)


def test_another_store_knows_nobody(chance: np.random.Generator) -> None:
    gallery, (vector,) = Gallery(DIM), unit(chance, 1)
    gallery.add(HERE, enrolled(), vector)
    assert gallery.search(THERE, vector) is None
    assert Gallery(DIM).search(HERE, vector) is None


def test_who_is_held_for_two_stores_is_evicted_from_both_or_taken_from_one(
    chance: np.random.Generator,
) -> None:
    gallery, person, (vector,) = Gallery(DIM), enrolled(), unit(chance, 1)
    for store in (HERE, THERE):
        gallery.add(store, person, vector)
        gallery.add(store, person, vector)
    assert (len(gallery), gallery.size(HERE), gallery.size(THERE)) == (1, 1, 1)
    assert gallery.held() == {(HERE, person.template), (THERE, person.template)}
    assert gallery.take_from(THERE, person.template)
    assert not gallery.take_from(THERE, person.template)
    assert gallery.search(THERE, vector) is None
    assert gallery.search(HERE, vector) is not None
    gallery.add(THERE, person, vector)
    assert gallery.evict(person.template)
    assert not gallery.evict(person.template)
    assert (len(gallery), gallery.size(HERE), gallery.size(THERE)) == (0, 0, 0)
    assert gallery.search(HERE, vector) is gallery.search(THERE, vector) is None
    gallery.extend(HERE, [person], vector[None])
    gallery.extend(THERE, [person], vector[None])
    assert gallery.evict_visitor(person.visitor) == 1
    assert gallery.held() == set()


def test_an_entry_past_its_hour_is_refused_though_nobody_evicted_it(
    chance: np.random.Generator,
) -> None:
    clock = Clock()
    gallery, vectors = Gallery(DIM, clock=clock), unit(chance, 30)
    visitor = uuid4()
    gallery.extend(HERE, [enrolled(visitor, until=2_000.0) for _ in range(29)], vectors[:29])
    last = enrolled()
    gallery.add(HERE, last, vectors[29])
    clock.now = 1_999.9
    found = gallery.search(HERE, vectors[3])
    assert found is not None
    assert found.visitor == visitor
    clock.now = 2_000.0
    found = gallery.search(HERE, vectors[3])
    assert found is not None
    assert found.template == last.template
    gallery.evict(last.template)
    assert gallery.search(HERE, vectors[3]) is None


def test_an_evicted_template_is_gone_and_the_others_stay(chance: np.random.Generator) -> None:
    gallery, people, vectors = Gallery(DIM), [enrolled() for _ in range(5)], unit(chance, 5)
    gallery.extend(HERE, people, vectors)
    assert gallery.evict(people[1].template)
    assert not gallery.evict(people[1].template)
    assert len(gallery) == 4
    assert templates(gallery) == {p.template for p in people} - {people[1].template}
    for index, person in enumerate(people):
        found = gallery.search(HERE, vectors[index])
        assert found is not None
        assert (found.template == person.template) is (index != 1)


def test_a_visitor_goes_from_every_store_at_once(chance: np.random.Generator) -> None:
    gallery, visitor, vectors = Gallery(DIM), uuid4(), unit(chance, 3)
    other = enrolled()
    gallery.add(HERE, enrolled(visitor), vectors[0])
    gallery.add(THERE, enrolled(visitor), vectors[1])
    gallery.add(THERE, other, vectors[2])
    assert gallery.evict_visitor(visitor) == 2
    assert gallery.evict_visitor(visitor) == 0
    assert templates(gallery) == {other.template}
    assert gallery.search(HERE, vectors[0]) is None


def test_the_same_template_again_replaces_itself(chance: np.random.Generator) -> None:
    gallery, person, vectors = Gallery(DIM), enrolled(), unit(chance, 2)
    gallery.add(HERE, person, vectors[0])
    gallery.add(HERE, person, vectors[1])
    assert len(gallery) == gallery.size(HERE) == 1
    found = gallery.search(HERE, vectors[1])
    assert found is not None
    assert found.score == pytest.approx(1.0, abs=1e-3)


def test_everybody_can_be_forgotten(chance: np.random.Generator) -> None:
    gallery, vectors = Gallery(DIM), unit(chance, 3)
    gallery.extend(HERE, [enrolled() for _ in range(3)], vectors)
    gallery.clear()
    assert len(gallery) == 0
    assert templates(gallery) == set()
    assert gallery.search(HERE, vectors[0]) is None


@pytest.mark.parametrize("bad", [np.ones(DIM), np.zeros(DIM), np.full(DIM, np.nan), np.eye(63)[0]])
def test_a_vector_of_another_kind_is_refused(bad: np.ndarray) -> None:
    gallery = Gallery(DIM)
    with pytest.raises(WrongVector):
        gallery.add(HERE, enrolled(), bad.astype(np.float32))
    assert len(gallery) == 0


def test_any_order_of_comings_and_goings_answers_like_a_plain_search(
    chance: np.random.Generator,
) -> None:
    gallery = Gallery(DIM)
    held: dict[UUID, tuple[Enrolled, Floats]] = {}
    for step in range(600):
        if held and chance.random() < 0.45:
            template = list(held)[int(chance.integers(len(held)))]
            assert gallery.evict(template)
            del held[template]
        else:
            person, (vector,) = enrolled(), unit(chance, 1)
            gallery.add(HERE, person, vector)
            held[person.template] = (person, vector)
        if held and step % 5 == 0:
            (probe,) = unit(chance, 1)
            found = gallery.search(HERE, probe)
            best = max(float(vector @ probe) for _, vector in held.values())
            assert found is not None
            assert found.score == pytest.approx(best, abs=1e-3)
            assert float(held[found.template][1] @ probe) == pytest.approx(best, abs=1e-3)
    assert templates(gallery) == set(held)


def test_threads_may_add_evict_and_search_together(chance: np.random.Generator) -> None:
    gallery, stay, vectors = Gallery(DIM), enrolled(), unit(chance, 101)
    gallery.add(HERE, stay, vectors[100])
    wrong: list[object] = []

    def churn(mine: Floats) -> None:
        for vector in np.tile(mine, (8, 1)):
            person = enrolled()
            gallery.add(HERE, person, vector)
            found = gallery.search(HERE, vectors[100])
            if found is None or found.template != stay.template:
                wrong.append(found)
            gallery.evict(person.template)

    threads = [threading.Thread(target=churn, args=(vectors[i::4][:25],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert templates(gallery) == {stay.template}


@pytest.mark.parametrize("dim", [128, 512])
def test_half_precision_costs_nobody_their_place(dim: int, chance: np.random.Generator) -> None:
    """5,000 people, and probes as near to their own template as two pictures of a person are.

    Compared with exact sums in double precision: the nearest is the same, the score and the lead
    differ by far less than the margin that a match needs, and no two people change places whose
    cosines differ by a thousandth.
    """
    people = [enrolled() for _ in range(5000)]
    vectors, noise = (
        np.asarray(each / np.linalg.norm(each, axis=1, keepdims=True), np.float32)
        for each in chance.standard_normal((2, 5000, dim)).astype(np.float32)
    )
    gallery = Gallery(dim)
    gallery.extend(HERE, people, vectors)
    for person in range(0, 5000, 100):
        probe = 0.6 * vectors[person] + 0.8 * noise[person]
        probe /= np.linalg.norm(probe)
        exact = vectors.astype(np.float64) @ probe.astype(np.float64)
        first, second = np.argsort(-exact)[:2]
        found = gallery.search(HERE, probe)
        assert found is not None
        assert found.template == people[first].template == people[person].template
        assert found.score == pytest.approx(exact[first], abs=5e-4)
        assert found.margin == pytest.approx(exact[first] - exact[second], abs=1e-3)
        score = {one.visitor: each for one, each in zip(people, exact, strict=True)}
        order = [score[one.visitor] for one in gallery.near(HERE, probe, -1.0)]
        assert len(order) == 5000
        assert np.diff(order).max() < 1e-3
