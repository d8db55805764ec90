"""A turned template answers as a plain one does, in its own space only."""

from __future__ import annotations

from uuid import UUID, uuid4

import numpy as np
import pytest

from apps.recognition.gallery import Enrolled, Floats, Gallery
from apps.recognition.spaces import Space, matrix_of, plain

SECRETS = [bytes(range(32)), bytes(range(1, 33))]
FOREVER = 1e12
HERE = uuid4()


def unit(count: int, dim: int, seed: int = 5) -> Floats:
    vectors = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def space_of(secret: bytes, dim: int) -> Space:
    return Space(uuid4(), 1, dim, matrix_of(secret, dim))


def test_the_matrix_of_a_secret_never_changes() -> None:
    """Templates lie in its space for years: another matrix would make strangers of everybody."""
    here = matrix_of(SECRETS[0], 4)
    assert here == pytest.approx(
        np.array(
            [
                [0.5403412, -0.7498506, 0.303873, -0.2311203],
                [0.0625327, -0.1525627, -0.8578562, -0.4867208],
                [0.3627429, -0.1583512, -0.4112632, 0.8210999],
                [0.7566628, 0.623998, 0.0510554, -0.1883644],
            ]
        ),
        abs=1e-6,
    )
    corner = matrix_of(SECRETS[0], 512)[:2, :3]
    assert corner == pytest.approx(
        np.array([[-0.024592, 0.0211332, -0.0680591], [0.0225062, -0.1157977, 0.044963]]), abs=1e-6
    )


@pytest.mark.parametrize("dim", [64, 65, 128, 512])
def test_a_space_keeps_every_angle_and_can_be_left(dim: int) -> None:
    space, vectors = space_of(SECRETS[0], dim), unit(40, dim)
    entered = space.enter(vectors)
    assert entered.dtype == np.float32
    assert entered @ entered.T == pytest.approx(vectors @ vectors.T, abs=2e-6)
    assert space.leave(entered) == pytest.approx(vectors, abs=2e-6)
    other = space_of(SECRETS[1], dim)
    assert space.to(other).carry(entered[7]) == pytest.approx(other.enter(vectors[7]), abs=2e-6)
    from_plain = plain(dim).to(other).carry(vectors[7])
    assert from_plain == pytest.approx(other.enter(vectors[7]), abs=2e-6)


def test_one_person_is_a_stranger_to_themselves_in_another_space() -> None:
    """So a stolen template finds nobody in a database that was turned by another secret."""
    dim, vectors = 128, unit(1000, 128)
    one, other = (space_of(secret, dim).enter(vectors) for secret in SECRETS)
    across = np.einsum("nd,nd->n", one, other)
    strangers = np.einsum("nd,nd->n", vectors[:-1], vectors[1:])
    assert abs(across).max() < 0.4
    assert across.std() == pytest.approx(strangers.std(), rel=0.2)


def test_a_space_shows_nothing_of_its_secret_and_forgets_it() -> None:
    matrix = matrix_of(SECRETS[0], 64)
    space = Space(uuid4(), 1, 64, matrix)
    assert "[" not in repr(space)
    del space
    assert not matrix.any()


def enrolled(count: int) -> list[Enrolled]:
    return [Enrolled(uuid4(), uuid4(), FOREVER) for _ in range(count)]


def ranking(gallery: Gallery, probe: Floats) -> list[UUID]:
    return [one.visitor for one in gallery.near(HERE, probe, -1.0)]


@pytest.mark.parametrize("dim", [128, 512])
def test_the_gallery_ranks_alike_with_rotation_and_without(dim: int) -> None:
    """All 2,000, for people who are there and for strangers; where two templates are so near to
    each other that half precision cannot tell them apart, either order is right."""
    people, vectors = enrolled(2000), unit(2000, dim)
    off, on, moving = Gallery(dim), Gallery(dim), Gallery(dim)
    first, second = space_of(SECRETS[0], dim), space_of(SECRETS[1], dim)
    off.extend(HERE, people, vectors)
    on.extend(HERE, people, first.enter(vectors), first)
    moving.extend(HERE, people[:700], first.enter(vectors[:700]), first)
    moving.extend(HERE, people[700:], second.enter(vectors[700:]), second)
    noise = unit(20, dim, seed=6)
    probes = [*noise[:10], *(vectors[:10] + noise[10:])]
    for probe in probes:
        probe = np.asarray(probe / np.linalg.norm(probe), np.float32)
        exact = vectors.astype(np.float64) @ probe.astype(np.float64)
        cosine = {one.visitor: score for one, score in zip(people, exact, strict=True)}
        for gallery in (off, on, moving):
            order = [cosine[visitor] for visitor in ranking(gallery, probe)]
            assert len(order) == 2000
            assert np.diff(order).max() < 1e-3
            found = gallery.search(HERE, probe)
            assert found is not None
            best = sorted(exact)[::-1]
            assert found.score == pytest.approx(best[0], abs=1e-3)
            assert found.margin == pytest.approx(best[0] - best[1], abs=2e-3)
    own = [gallery.search(HERE, vectors[3]) for gallery in (off, on, moving)]
    assert {one and one.template for one in own} == {people[3].template}


def test_a_lead_is_over_other_people_in_the_other_space_too() -> None:
    vectors, visitor = unit(3, 64), uuid4()
    gallery, first, second = Gallery(64), space_of(SECRETS[0], 64), space_of(SECRETS[1], 64)
    mine = [Enrolled(uuid4(), visitor, FOREVER) for _ in range(2)]
    gallery.add(HERE, mine[0], first.enter(vectors[0]), first)
    gallery.add(HERE, mine[1], second.enter(vectors[0]), second)
    found = gallery.search(HERE, vectors[0])
    assert found is not None
    assert found.margin == pytest.approx(2.0, abs=1e-3), "nobody else is there"
    gallery.add(HERE, enrolled(1)[0], second.enter(vectors[1]), second)
    found = gallery.search(HERE, vectors[0])
    assert found is not None
    assert found.margin == pytest.approx(1.0 - float(vectors[0] @ vectors[1]), abs=2e-3)
    assert gallery.size(HERE) == 3


def test_a_template_that_is_carried_over_is_held_once() -> None:
    (vector,), (person,) = unit(1, 64), enrolled(1)
    gallery, first, second = Gallery(64), space_of(SECRETS[0], 64), space_of(SECRETS[1], 64)
    for space in (plain(64), first, second):
        gallery.add(HERE, person, space.enter(vector), space)
        assert (len(gallery), gallery.size(HERE)) == (1, 1)
        found = gallery.search(HERE, vector)
        assert found is not None
        assert found.score == pytest.approx(1.0, abs=1e-3)
    assert gallery.evict(person.template)
    assert gallery.size(HERE) == 0
