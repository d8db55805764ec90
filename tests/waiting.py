"""Wait for what another process is about to do, as long as it may take and no longer."""

import time
from collections.abc import Callable
from threading import Event


def until(done: Callable[[], object], *, seconds: float = 5.0) -> float:
    """Ask again and again; fail when it has not happened in time. Returns how long it took."""
    begun, pause = time.monotonic(), Event()
    while not done():
        assert time.monotonic() - begun < seconds, f"not within {seconds:g} s"
        pause.wait(0.02)  # two cores: whoever waits must not take one from whom it waits for
    return time.monotonic() - begun
