"""The time and the waiting that the pipeline uses, so that a test can own both."""

from __future__ import annotations

import time
from threading import Event
from typing import Protocol


class Clock(Protocol):
    """What time it is, and how to wait."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for intervals."""
        ...

    def wait(self, event: Event, seconds: float) -> bool:
        """Waits until `event` is set or `seconds` have passed; returns whether it is set."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, event: Event, seconds: float) -> bool:
        return event.wait(seconds)


class BackOff:
    """How long to wait before the next try: 0.5 s, doubling, up to a limit."""

    FIRST = 0.5
    LONGEST = 30.0

    def __init__(self) -> None:
        self._next = self.FIRST

    def reset(self) -> None:
        """It worked: the next failure waits the shortest time again."""
        self._next = self.FIRST

    def next(self, *, longest: float = LONGEST) -> float:
        """Seconds to wait now."""
        wait = min(self._next, longest)
        self._next = min(wait * 2, self.LONGEST)
        return wait
