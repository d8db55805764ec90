"""What a bench hands back, and the few sums that all of them need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np


@dataclass
class Outcome:
    """values: the JSON line. missed: sentences, one for each reach that was not held."""

    values: dict[str, Any] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)

    def at_most(self, name: str, limit: float) -> None:
        """Hold a value to its reach from above."""
        if not self.values[name] <= limit:
            self.missed.append(f"{name} is {self.values[name]}, not at most {limit}")


def milliseconds(calls: Sequence[Callable[[], object]], times: int) -> list[list[float]]:
    """Each call's times in ms, taken in turns, so that a busy moment meets all of them."""
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(times):
        for call, times_of in zip(calls, taken, strict=True):
            begun = perf_counter()
            call()
            times_of.append((perf_counter() - begun) * 1000)
    return taken


def percentile(values: Sequence[float], percent: float) -> float:
    return round(float(np.percentile(values, percent)), 3)


def memory_mib(pid: int | str = "self", *, peak: bool = False) -> float:
    """Resident memory of a process, now or at its highest, MiB (Linux)."""
    name = "VmHWM:" if peak else "VmRSS:"
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return round(int(line.split()[1]) / 1024, 1)
    raise RuntimeError("this system does not tell a process's memory")
