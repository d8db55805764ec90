"""The two visitors of a store who look most alike to the pack: how much, and never who."""

from __future__ import annotations

from uuid import UUID

import numpy as np

from apps.recognition.briefly import briefly
from apps.recognition.gallery import Gallery

MOST = 10_000
"""Templates up to which everybody is compared with everybody; the work grows with the square."""
BLOCK = 512
"""Rows compared at a time: two megabytes of scores for a thousand templates."""


class Closest:
    """Answers from memory while the gallery holds the same templates."""

    def __init__(self) -> None:
        self._known: dict[UUID, tuple[int, float | None]] = {}

    def of(self, gallery: Gallery, store: UUID) -> float | None:
        """The highest cosine between live templates of two visitors of `store`.

        Rounded to hundredths. None for fewer than two visitors, and beyond MOST templates.
        """
        # Python's own hash: only to notice a change, within this process.
        known = self._known.get(store)
        if known is not None and known[0] == hash(gallery.live(store)):
            return known[1]
        entries, vectors = gallery.snapshot(store, most=MOST)
        with briefly(vectors):
            owners = {visitor: i for i, visitor in enumerate({e.visitor for e in entries})}
            whose = np.array([owners[entry.visitor] for entry in entries], dtype=np.int64)
            found = _highest(vectors, whose)
        self._known[store] = hash(frozenset(entry.template for entry in entries)), found
        return found


def _highest(vectors: np.ndarray, whose: np.ndarray) -> float | None:
    """vectors: float32 (N, D) of length 1. whose: int64 (N,), equal for one visitor's."""
    best = -np.inf
    for start in range(0, len(vectors), BLOCK):
        # Each pair once: a block with itself and with all that follow.
        scores = vectors[start : start + BLOCK] @ vectors[start:].T
        scores[whose[start : start + BLOCK, None] == whose[None, start:]] = -np.inf
        best = max(best, float(scores.max()))
    return round(best, 2) if np.isfinite(best) else None
