"""Wait for what another process is about to do, as long as it may take and no longer."""

import time
from collections.abc import Callable


def until(done: Callable[[], object], *, seconds: float = 5.0) -> None:
    """Ask again and again; fail when it has not happened in time."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
