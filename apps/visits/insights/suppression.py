"""Which cells of a table are withheld, so that nobody works out a small one (no Django here).

Cell suppression as in Hundepool et al., Statistical Disclosure Control (Wiley, 2012), chapter 4.
*Primary*: every cell below the minimum is withheld, one with nobody in it too. *Secondary*: so many
others with it, sums included, that whoever subtracts what is published cannot tell whether a cell
is below the minimum. What they can tell is audited by two linear programs a cell: the least and
the most that it may be, given every sum and that no count is negative. The two kinds look alike.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy.optimize import linprog

Cell = TypeVar("Cell", bound=Hashable)

# Of the solver, in people.
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Sum:
    """One cell is the sum of others, and everybody knows it. `loose`: its last published part is
    worth more than the sum, as a store's own number is beside that of two stores."""

    total: Hashable
    parts: tuple[Hashable, ...]
    loose: bool = False

    @property
    def cells(self) -> tuple[Hashable, ...]:
        return (self.total, *self.parts)


def suppressed(counts: Mapping[Cell, int], sums: Sequence[Sum], minimum: int) -> set[Cell]:
    """The cells of `counts` to withhold, primary and secondary. Raises ValueError where a sum
    names a cell that is not there, or is none."""
    for each in sums:
        if set(each.cells) - counts.keys():
            raise ValueError("a sum names a cell that the table has not")
        if counts[each.total] != sum(counts[part] for part in each.parts):  # type: ignore[index]
            raise ValueError("a sum is not the sum of its parts")
    primary = {cell for cell, count in counts.items() if count < minimum}
    hidden = set(primary)
    while exposed := _exposed(counts, hidden, primary, sums, minimum):
        hidden |= {_companion(cell, counts, hidden, sums) for cell in exposed}
    return hidden


def bounds(
    counts: Mapping[Cell, int], hidden: set[Cell], sums: Sequence[Sum], of: Sequence[Cell]
) -> dict[Cell, tuple[float, float]]:
    """The least and the most that each hidden cell `of` may be for whoever sees all the others."""
    order = {cell: column for column, cell in enumerate(hidden)}
    rows, known = [], []
    for each in sums:
        row, value = np.zeros(len(order)), 0
        for cell, sign in ((each.total, -1), *((part, 1) for part in each.parts)):
            if cell in order:
                row[order[cell]] += sign  # type: ignore[index]
            else:
                value -= sign * counts[cell]  # type: ignore[index]
        if row.any():
            rows.append(row)
            known.append(value)
    if not rows:
        return dict.fromkeys(of, (0.0, np.inf))
    return {cell: _range(np.array(rows), np.array(known), order[cell]) for cell in of}


def _range(rows: np.ndarray, known: np.ndarray, column: int) -> tuple[float, float]:
    if not rows[:, column].any():
        return 0.0, np.inf
    aim = np.zeros(rows.shape[1])
    ends = []
    for sign in (1, -1):
        aim[column] = sign
        found = linprog(aim, A_eq=rows, b_eq=known, bounds=(0, None), method="highs")
        # 3: without a bound, which least never is.
        ends.append(np.inf if found.status == 3 else sign * found.fun)
    return ends[0], ends[1]


def _exposed(
    counts: Mapping[Cell, int],
    hidden: set[Cell],
    primary: set[Cell],
    sums: Sequence[Sum],
    minimum: int,
) -> list[Cell]:
    """Small cells whose range is narrower than the minimum: the table says too much of them."""
    # A sum with one hidden cell gives it away; the audit of the rest costs more.
    alone = [
        cells[0]
        for each in sums
        if len(cells := [cell for cell in each.cells if cell in hidden]) == 1
        and cells[0] in primary
    ]
    if alone:
        return list(dict.fromkeys(alone))  # type: ignore[arg-type]
    ranges = bounds(counts, hidden, sums, [cell for cell in counts if cell in primary])
    return [cell for cell, (least, most) in ranges.items() if most - least < minimum - TOLERANCE]


def _companion(
    cell: Cell, counts: Mapping[Cell, int], hidden: set[Cell], sums: Sequence[Sum]
) -> Cell:
    """What to withhold with it: the smallest published cell beside it, else the smallest there is.

    A part rather than a sum, which the reader wants more, but for a loose one. There is one: with
    nothing published no cell is exposed.
    """
    totals = {each.total for each in sums}
    beside = [each for each in sums if cell in each.cells]
    for each in beside:
        if each.loose and each.total not in hidden and len(set(each.parts) - hidden) == 1:
            return each.total  # type: ignore[return-value]
    near = {other for each in beside for other in each.cells} - hidden
    candidates = near or counts.keys() - hidden
    chosen = {other for other in candidates if other in counts}
    # The order of the table breaks ties, so that the same table is withheld alike each time.
    place = {other: index for index, other in enumerate(counts)}
    return min(chosen, key=lambda other: (other in totals, counts[other], place[other]))  # type: ignore[arg-type,return-value,index]
