"""What the camera tests share: a clock of their own, clips, and a door that really embeds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Event, Lock
from uuid import UUID

import numpy as np

from apps.recognition.engine.packs import Pack
from apps.recognition.engine.types import Crops, Floats, Image
from apps.visits.pipeline.stream import Frame, Recording

START = 1_766_000_000.0
"""Unix seconds, a quarter hour's 800th second."""
WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
CAMERA, STORE = UUID(int=1), UUID(int=2)


class FastClock:
    """Time passes only by waiting, and waiting takes none. After `limit` waits it waits truly."""

    def __init__(self, limit: int = 10_000) -> None:
        self.waits: list[float] = []
        self._time = START
        self._limit = limit
        self._lock = Lock()
        self.exhausted = Event()

    def now(self) -> float:
        return self._time

    def monotonic(self) -> float:
        return self._time

    def wait(self, event: Event, seconds: float) -> bool:
        with self._lock:
            self.waits.append(seconds)
            self._time += seconds
        if len(self.waits) >= self._limit:
            self.exhausted.set()
            event.wait(20)
        return event.is_set()


def recording(images: Iterable[Image], *, fps: float = 10, start: float = START) -> Recording:
    """Pictures as a camera's frames."""
    return Recording(Frame(image, start + i / fps, i) for i, image in enumerate(images))


@dataclass
class Answer:
    outcome: str


@dataclass
class Door:
    """Compares with the people who are enrolled, as a recognizer does, and remembers no face."""

    pack: Pack
    enrolled: list[Floats]
    asked_at: list[float] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)

    def ask(self, crops: Crops, seen_at: float) -> Answer:
        self.asked_at.append(seen_at)
        self.shapes.append(crops.shape)
        probe = mean(self.pack.embedder.embed(crops))
        known = any(float(one @ probe) >= self.pack.threshold for one in self.enrolled)
        self.outcomes.append("visit" if known else "unknown")
        return Answer(self.outcomes[-1])


def mean(vectors: Floats) -> Floats:
    total = vectors.mean(axis=0)
    return np.asarray(total / np.linalg.norm(total), dtype=np.float32)
