"""Nobody works a small cell out of what is published: an attacker with a solver tries."""

import itertools
import random

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from apps.visits.insights.suppression import Sum, suppressed

MINIMUM = 10


def attacked(
    counts: dict[str, int], hidden: set[str], sums: list[Sum[str]], cell: str
) -> tuple[float, float]:
    """What whole numbers a cell may be for whoever subtracts published cells from each other.

    Written apart from what it attacks: all cells are unknowns, the published ones pinned, whole."""
    names = list(counts)
    one = np.eye(len(names))
    rows = [one[names.index(each)] for each in counts if each not in hidden]
    known = [counts[each] for each in counts if each not in hidden]
    for each in sums:
        parts = sum(one[names.index(str(part))] for part in each.parts)
        rows.append(parts - one[names.index(str(each.total))])
        known.append(0)
    # More people than these do not live.
    everyone = Bounds(0, 10_000)
    ends = []
    for sign in (1, -1):
        found = milp(
            sign * one[names.index(cell)],
            constraints=LinearConstraint(np.array(rows), known, known),
            integrality=np.ones(len(names)),
            bounds=everyone,
        )
        assert found.success, found.message
        ends.append(sign * found.fun)
    return ends[0], ends[1]


def table(rng: random.Random, stores: int) -> tuple[dict[str, int], list[Sum[str]]]:
    """A made population: guests of stores by two things they said, with every sum there is."""
    said = {"sex": 3, "age": 4}
    counts: dict[str, int] = {}
    sums: list[Sum[str]] = []
    columns = ["guests", *(f"{what}{n}" for what, many in said.items() for n in range(many))]
    for store in range(stores):
        guests = rng.choice([rng.randrange(12), rng.randrange(40), rng.randrange(400)])
        counts |= {f"{store} {column}": 0 for column in columns}
        counts[f"{store} guests"] = guests
        for what, many in said.items():
            weights = [rng.random() ** 3 + 0.001 for _ in range(many)]
            for chosen in rng.choices(range(many), weights, k=guests):
                counts[f"{store} {what}{chosen}"] += 1
            parts = tuple(f"{store} {what}{n}" for n in range(many))
            sums.append(Sum(f"{store} guests", parts))
    for column in columns:
        parts = tuple(f"{store} {column}" for store in range(stores))
        counts[f"all {column}"] = sum(counts[part] for part in parts)
        sums.append(Sum(f"all {column}", parts))
    sums += [
        Sum("all guests", tuple(f"all {what}{n}" for n in range(many)))
        for what, many in said.items()
    ]
    return counts, sums


@pytest.mark.parametrize("seed", range(8))
def test_no_solver_finds_a_small_cell_in_what_is_published(seed: int) -> None:
    counts, sums = table(random.Random(seed), stores=1 + seed % 4)
    hidden = suppressed(counts, sums, MINIMUM)
    assert {cell for cell, count in counts.items() if count < MINIMUM} <= hidden
    for cell in hidden:
        if counts[cell] < MINIMUM:
            least, most = attacked(counts, hidden, sums, cell)
            assert least <= counts[cell] < MINIMUM <= most, cell
            assert most - least >= MINIMUM, cell


def test_subtracting_any_cells_of_a_small_table_from_each_other_gives_no_small_one() -> None:
    """Every table of two by two with few people, every signed sum of published cells."""
    sums: list[Sum[str]] = [
        Sum("ab", ("a", "b")),
        Sum("cd", ("c", "d")),
        Sum("ac", ("a", "c")),
        Sum("bd", ("b", "d")),
        Sum("all", ("ab", "cd")),
        Sum("all", ("ac", "bd")),
    ]
    as_cells: dict[str, tuple[int, ...]] = {
        "a": (1, 0, 0, 0),
        "b": (0, 1, 0, 0),
        "c": (0, 0, 1, 0),
        "d": (0, 0, 0, 1),
    }
    for each in sums:
        as_cells[str(each.total)] = tuple(
            map(sum, zip(*(as_cells[str(part)] for part in each.parts), strict=True))
        )
    shown = 0
    for few in itertools.product((0, 4, 30), repeat=4):
        counts = {name: int(np.dot(weights, few)) for name, weights in as_cells.items()}
        hidden = suppressed(counts, sums, 5)
        published = [as_cells[name] for name in counts if name not in hidden]
        shown += len(published)
        for signs in itertools.product((-1, 0, 1), repeat=len(published)):
            got = np.dot(signs, published) if published else np.zeros(4)
            # One of the four people-cells or a sum of them with fewer than five in it.
            if np.isin(got, (0, 1)).all() and got.any():
                assert np.dot(got, few) >= 5, (few, hidden, got)
    assert shown > 81, "hiding everything is no statistics"


def test_what_is_large_is_published() -> None:
    counts = {"all": 100, "one": 60, "other": 40}
    assert suppressed(counts, [Sum("all", ("one", "other"))], MINIMUM) == set()


def test_a_complement_is_withheld_with_it() -> None:
    counts = {"all": 103, "one": 60, "other": 40, "few": 3}
    hidden = suppressed(counts, [Sum("all", ("one", "other", "few"))], MINIMUM)
    assert hidden == {"few", "other"}


def test_a_table_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(ValueError, match="sum"):
        suppressed({"all": 5, "one": 4}, [Sum("all", ("one",))], MINIMUM)
