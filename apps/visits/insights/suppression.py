"""Which cells of a table are withheld, so that nobody works out a small one (no Django here).

Cell suppression as in Hundepool et al., Statistical Disclosure Control (Wiley, 2012), chapter 4.
*Primary*: every cell below the minimum is withheld, one with nobody in it too. *Secondary*: so many
others with it, sums included, that whoever subtracts what is published cannot tell whether a cell
is below the minimum. What they can tell is audited by two linear programs a cell: the least and
the most that it may be, given every sum and that no count is negative. The two kinds look alike.

That one figure is never above another is a sum too: the larger one is the smaller and a *rest*,
a cell that nobody is told, and that is protected like any other where few are in it.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import lil_array

Cell = TypeVar("Cell", bound=Hashable)

# Of the solver, in people.
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Sum(Generic[Cell]):
    """One cell is the sum of others, and everybody knows it. `loose`: its parts are worth more than
    the sum, as a store's own number is beside that of all stores: who manages one sees no other."""

    total: Cell
    parts: tuple[Cell, ...]
    loose: bool = False

    @property
    def cells(self) -> tuple[Cell, ...]:
        return (self.total, *self.parts)


def suppressed(
    counts: Mapping[Cell, int],
    sums: Sequence[Sum[Cell]],
    minimum: int,
    *,
    untold: Collection[Cell] = (),
    plain: Collection[Cell] = (),
) -> set[Cell]:
    """The cells of `counts` to withhold, primary and secondary, with the `untold` ones, which are
    published nowhere; `plain` ones are published however small. Raises ValueError where a sum names
    a cell that is not there, or is none."""
    for each in sums:
        if set(each.cells) - counts.keys():
            raise ValueError("a sum names a cell that the table has not")
        if counts[each.total] != sum(counts[part] for part in each.parts):
            raise ValueError("a sum is not the sum of its parts")
    # In the order of the table, so that the same table is withheld alike each time.
    primary = [cell for cell, count in counts.items() if count < minimum and cell not in plain]
    hidden = {*primary, *untold}

    def known(cell: Cell) -> bool:
        """Whether it can be worked out anyway, so that telling it gives nothing more away."""
        least, most = bounds(cell, counts, hidden, sums)
        return most - least < TOLERANCE

    for cell in primary:
        # Whatever is withheld later makes the range of this one no narrower.
        while _exposed(cell, counts, hidden, sums, minimum):
            hidden.add(_companion(cell, counts, hidden.union(plain), sums))
    return hidden - {each for each in hidden.difference(primary, untold) if known(each)}


def bounds(
    cell: Cell, counts: Mapping[Cell, int], hidden: set[Cell], sums: Sequence[Sum[Cell]]
) -> tuple[float, float]:
    """The least and the most that a hidden cell may be for whoever sees all that are not."""
    unknown = {
        each: column for column, each in enumerate(each for each in counts if each in hidden)
    }
    about = [each for each in sums if hidden.intersection(each.cells)]
    if not any(cell in each.cells for each in about):
        return 0.0, np.inf
    signs = lil_array((len(about), len(unknown)))
    known = np.zeros(len(about))
    for row, each in enumerate(about):
        for one, sign in ((each.total, -1), *((part, 1) for part in each.parts)):
            if one in unknown:
                signs[row, unknown[one]] += sign
            else:
                known[row] -= sign * counts[one]
    aim = np.zeros(len(unknown))
    ends = []
    for sign in (1, -1):
        aim[unknown[cell]] = sign
        found = linprog(aim, A_eq=signs.tocsr(), b_eq=known, bounds=(0, None), method="highs")
        # 3: without a bound, which the least never is.
        ends.append(np.inf if found.status == 3 else sign * found.fun)
    return ends[0], ends[1]


def _exposed(
    cell: Cell,
    counts: Mapping[Cell, int],
    hidden: set[Cell],
    sums: Sequence[Sum[Cell]],
    minimum: int,
) -> bool:
    """Whether its range is narrower than the minimum: the table says too much of it."""
    if any(hidden.intersection(each.cells) == {cell} for each in sums):
        return True
    least, most = bounds(cell, counts, hidden, sums)
    return most - least < minimum - TOLERANCE


def _companion(
    cell: Cell, counts: Mapping[Cell, int], fixed: set[Cell], sums: Sequence[Sum[Cell]]
) -> Cell:
    """What to withhold with it, of what is not `fixed`: the smallest cell in a sum with it, else in
    a sum with one of those, and so on.

    A part rather than a sum, which the reader wants more, but for a loose one. There is one: with
    nothing published near it no cell is exposed.
    """
    totals = {each.total for each in sums}
    place = {other: index for index, other in enumerate(counts)}
    reach, near = {cell}, set[Cell]()
    # No cell is further away than there are sums.
    for _step in sums:
        beside = [each for each in sums if reach.intersection(each.cells)]
        for each in beside:
            if each.loose and each.total not in fixed:
                return each.total
        reach = {other for each in beside for other in each.cells}
        if near := reach - fixed:
            break
    return min(near, key=lambda other: (other in totals, counts[other], place[other]))
