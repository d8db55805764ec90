"""Nobody works a small cell out of what is published: an attacker with a solver tries."""

import itertools
import random
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp

from apps.visits.insights.suppression import Sum, suppressed

MINIMUM = 10
# More people than these do not live.
EVERYONE = 10_000


def attacked(
    counts: Mapping[str, int],
    hidden: set[str],
    sums: Sequence[Sum[str]],
    aim: str | Mapping[str, int],
    never_below: Sequence[tuple[str, Sequence[str]]] = (),
) -> tuple[float, float]:
    """What whole numbers a cell, or a difference of cells {cell: sign}, may be for whoever knows
    what is published, every sum, and which cell is `never_below` the sum of which others.

    Written apart from what it attacks: all cells are unknowns, the published ones pinned, whole."""
    names = list(counts)
    one = np.eye(len(names))

    def row(signs: Mapping[str, int]) -> NDArray[np.float64]:
        return np.sum([sign * one[names.index(each)] for each, sign in signs.items()], axis=0)

    rows = [row({each: 1}) for each in counts if each not in hidden]
    least = [counts[each] for each in counts if each not in hidden]
    rows += [row({str(part): 1 for part in each.parts} | {each.total: -1}) for each in sums]
    least += [0] * len(sums)
    most = list(least)
    for more, less in never_below:
        rows.append(row({more: 1} | dict.fromkeys(less, -1)))
        least.append(0)
        most.append(EVERYONE)
    wanted = row({aim: 1} if isinstance(aim, str) else aim)
    ends = []
    for sign in (1, -1):
        found = milp(
            sign * wanted,
            constraints=LinearConstraint(np.array(rows), least, most),
            integrality=np.ones(len(names)),
            bounds=Bounds(0, EVERYONE),
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


@pytest.mark.parametrize("seed", range(8))
def test_a_figure_that_is_never_below_another_gives_no_small_one_away(seed: int) -> None:
    """Guests arrived at least once each: whoever knows how many arrivals there were knows more."""
    rng = random.Random(seed)
    counts, sums = table(rng, stores=1 + seed % 4)
    stores = range(1 + seed % 4)
    for store in stores:
        counts[f"{store} arrivals"] = counts[f"{store} guests"] + rng.choice((0, 3, 12, 300))
    counts["all arrivals"] = sum(counts[f"{store} arrivals"] for store in stores)
    sums.append(Sum("all arrivals", tuple(f"{store} arrivals" for store in stores), loose=True))
    rests = {
        f"{store} again": counts[f"{store} arrivals"] - counts[f"{store} guests"]
        for store in stores
    }
    known = [
        Sum(f"{store} arrivals", (f"{store} guests", f"{store} again"), loose=True)
        for store in stores
    ]
    hidden = suppressed(counts | rests, [*sums, *known], MINIMUM, untold=rests)
    assert set(rests) < hidden
    never_below = [(f"{store} arrivals", [f"{store} guests"]) for store in stores]
    for cell in hidden - set(rests):
        if counts[cell] < MINIMUM:
            least, most = attacked(counts, hidden, sums, cell, never_below)
            assert least <= counts[cell] < MINIMUM <= most, cell
            assert most - least >= MINIMUM, cell
    for store in stores:
        if rests[f"{store} again"] < MINIMUM:
            difference = {f"{store} arrivals": 1, f"{store} guests": -1}
            least, most = attacked(counts, hidden, sums, difference, never_below)
            assert most - least >= MINIMUM, store


def test_what_guests_are_at_most_narrows_what_is_withheld_of_them() -> None:
    """How many guests there were is withheld, and so how many came back; but 12 came for the first
    time, and there were 17 arrivals, so at most five did."""
    counts = {"all": 55, "guests": 15, "others": 40, "once": 12, "returned": 3, "arrivals": 17}
    sums: list[Sum[str]] = [
        Sum("guests", ("once", "returned")),
        Sum("all", ("guests", "others")),
    ]
    alone = {"returned", "guests", "others"}
    never_below = [("arrivals", ["guests"])]
    assert attacked(counts, alone, sums, "returned") == pytest.approx((0, 43))
    assert attacked(counts, alone, sums, "returned", never_below) == pytest.approx((0, 5))
    rest = {"again": 2}
    known = Sum("arrivals", ("guests", "again"), loose=True)
    hidden = suppressed(counts | rest, [*sums, known], MINIMUM, untold=rest)
    least, most = attacked(counts, hidden, sums, "returned", never_below)
    assert most - least >= MINIMUM


def test_what_is_plain_is_told_however_small() -> None:
    counts = {"arrivals": 40, "guests": 36, "wrong": 1, "again": 3}
    known = Sum("arrivals", ("guests", "wrong", "again"), loose=True)
    hidden = suppressed(counts, [known], MINIMUM, untold={"again"}, plain={"wrong"})
    assert hidden == {"again", "arrivals"}


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
