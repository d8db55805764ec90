"""Who may be recognised here and now: the recognizer's templates, in memory only.

Exact search, one index per store, never across stores. It answers with identifiers, holds no
name, is never written anywhere, and refuses an entry past its hour even when nobody came to
evict it. An evicted vector's bytes are overwritten before its place is given up; copies that a
growing index left in memory it gave back are out of reach, so the process must write no core dump.

Past a million templates in one store exact search still answers as a bare index does, but no longer
at once: it reads every vector, so time and memory grow with their number. A million of 512 numbers
hold 1.4 GiB and one search reads 1 GiB, 0.16 s on a machine that was busy eight times over; adding
or evicting one stays below 0.1 ms. A lane asks up to four times, so that is where a house should
give each store its own recognizer, or a group of stores an index that looks at a part only
(faiss IVF), whose misses must then be measured as false non-matches. Nothing switches by itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

# It tells in four lines which of its builds it could not find.
logging.getLogger("faiss.loader").setLevel(logging.WARNING)

import faiss  # noqa: E402

Floats = NDArray[np.float32]

FIRST_LOOK = 8
"""Neighbours asked for at first; more only when they all belong to one visitor or are past."""


class WrongVector(ValueError):
    """The vector has another length than this gallery's pack, or is not of length 1."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A template in the gallery. not_after: unix seconds; from then on it is never an answer."""

    template: UUID
    visitor: UUID
    not_after: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """The nearest template. score: cosine. margin: its lead over the nearest template of another
    visitor (over -1, the lowest cosine, when there is no other visitor).

    Whether the score is enough is the caller's decision, with the pack's threshold.
    """

    template: UUID
    visitor: UUID
    score: float
    margin: float


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A visitor whose nearest template reaches some cosine."""

    visitor: UUID
    score: float


class Gallery:
    """Sealed off by one lock: any thread may add, evict and search."""

    def __init__(self, dim: int, *, clock: Callable[[], float] = time.time) -> None:
        """dim: length of a vector. clock: unix seconds."""
        self.dim = dim
        self._clock = clock
        self._lock = threading.RLock()
        self._stores: dict[UUID, _Shelf] = {}
        self._home: dict[UUID, UUID] = {}

    def __len__(self) -> int:
        with self._lock:
            return len(self._home)

    def size(self, store: UUID) -> int:
        """How many templates are held for `store`."""
        with self._lock:
            shelf = self._stores.get(store)
            return len(shelf.entries) if shelf else 0

    def templates(self) -> set[UUID]:
        """Every template held, to compare with the database's."""
        with self._lock:
            return set(self._home)

    def add(self, store: UUID, enrolled: Enrolled, vector: Floats) -> None:
        """Holds a template for `store`; one that is already held is replaced.

        vector: float32 (D,) of length 1. Raises WrongVector.
        """
        self.extend(store, [enrolled], vector[None])

    def extend(self, store: UUID, entries: Sequence[Enrolled], vectors: Floats) -> None:
        """`add` for many at once: vectors float32 (N, D), one row an entry. All or none."""
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
        if rows.shape != (len(entries), self.dim):
            raise WrongVector(f"one vector of {self.dim} numbers is needed for each template")
        if not np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-3):
            raise WrongVector("vectors must have length 1")
        if len({entry.template for entry in entries}) != len(entries):
            raise WrongVector("a template is named twice")
        with self._lock:
            for entry in entries:
                self._evict(entry.template)
            self._stores.setdefault(store, _Shelf(self.dim)).extend(entries, rows)
            self._home.update((entry.template, store) for entry in entries)

    def evict(self, template: UUID) -> bool:
        """Forgets a template; False when it was not held."""
        with self._lock:
            return self._evict(template)

    def evict_visitor(self, visitor: UUID) -> int:
        """Forgets all templates of a visitor in every store; how many there were."""
        with self._lock:
            held = [
                entry.template
                for shelf in self._stores.values()
                for entry in shelf.entries
                if entry.visitor == visitor
            ]
            return sum(self._evict(template) for template in held)

    def clear(self) -> None:
        """Forgets everybody: on losing the database, and at the end of the process."""
        with self._lock:
            for shelf in self._stores.values():
                shelf.clear()
            self._stores.clear()
            self._home.clear()

    def search(self, store: UUID, probe: Floats) -> Candidate | None:
        """The nearest live template of `store` to a probe, float32 (D,) of length 1.

        None when the store has nobody. Raises WrongVector.
        """
        if probe.shape != (self.dim,):
            raise WrongVector(f"a probe of {self.dim} numbers is needed")
        query = np.ascontiguousarray(probe[None], dtype=np.float32)
        with self._lock:
            shelf = self._stores.get(store)
            return shelf.nearest(query, self._clock()) if shelf else None

    def near(self, store: UUID, probe: Floats, least: float) -> list[Neighbour]:
        """Every visitor of `store` with a live template whose cosine with a probe, float32 (D,) of
        length 1, is above `least`; nearest first. Raises WrongVector.
        """
        if probe.shape != (self.dim,):
            raise WrongVector(f"a probe of {self.dim} numbers is needed")
        query = np.ascontiguousarray(probe[None], dtype=np.float32)
        with self._lock:
            shelf = self._stores.get(store)
            return shelf.near(query, least, self._clock()) if shelf else []

    def _evict(self, template: UUID) -> bool:
        store = self._home.pop(template, None)
        if store is None:
            return False
        shelf = self._stores[store]
        shelf.remove(template)
        if not shelf.entries:
            del self._stores[store]
        return True


class _Shelf:
    """One store's templates: row i of the index belongs to entries[i].

    Half precision: measured on 100,000 templates it is twice as fast as float32 and half the size
    (0.8 against 1.5 ms for 128 numbers, 3.5 against 6.3 ms for 512), and moves a cosine by less
    than 0.0005. Rows are kept dense by moving the last one into a gap, so removing costs the same
    however many there are, and needs no map of identifiers inside faiss.
    """

    def __init__(self, dim: int) -> None:
        self.entries: list[Enrolled] = []
        self._row: dict[UUID, int] = {}
        self._index = faiss.IndexScalarQuantizer(
            dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )

    def extend(self, entries: Iterable[Enrolled], vectors: Floats) -> None:
        _alone()
        self._index.add(vectors)
        for entry in entries:
            self._row[entry.template] = len(self.entries)
            self.entries.append(entry)

    def remove(self, template: UUID) -> None:
        row = self._row.pop(template)
        last = len(self.entries) - 1
        codes = self._codes()
        if row != last:
            codes[row] = codes[last]
            moved = self.entries[last]
            self.entries[row] = moved
            self._row[moved.template] = row
        codes[last] = 0
        del codes  # a view of memory that the next line may move
        self.entries.pop()
        self._index.codes.resize(last * self._index.code_size)
        self._index.ntotal = last

    def clear(self) -> None:
        if self.entries:
            self._codes()[:] = 0
        self._index.reset()
        self.entries.clear()
        self._row.clear()

    def nearest(self, query: Floats, now: float) -> Candidate | None:
        """Asks for more and more neighbours until a live one and a rival visitor are among them."""
        _alone()
        wanted = FIRST_LOOK
        while True:
            wanted = min(wanted, len(self.entries))
            scores, rows = self._index.search(query, wanted)
            live = [
                (float(score), self.entries[row])
                for score, row in zip(scores[0], rows[0], strict=True)
                if row >= 0 and now < self.entries[row].not_after
            ]
            best = live[0] if live else None
            rival = next((s for s, e in live if best and e.visitor != best[1].visitor), None)
            if wanted == len(self.entries) or rival is not None:
                break
            wanted *= 8
        if best is None:
            return None
        score, entry = best
        return Candidate(
            template=entry.template,
            visitor=entry.visitor,
            score=score,
            margin=score - (rival if rival is not None else -1.0),
        )

    def near(self, query: Floats, least: float, now: float) -> list[Neighbour]:
        """The best score of each visitor above `least`, nearest first."""
        _limits, scores, rows = self._index.range_search(query, least)
        best: dict[UUID, float] = {}
        for score, row in zip(scores, rows, strict=True):
            entry = self.entries[row]
            if now < entry.not_after:
                best[entry.visitor] = max(float(score), best.get(entry.visitor, -1.0))
        return sorted(
            (Neighbour(visitor, score) for visitor, score in best.items()),
            key=lambda neighbour: -neighbour.score,
        )

    def _codes(self) -> NDArray[np.uint8]:
        """The index's own bytes, one row a template: a view, to be dropped before it grows."""
        size = self._index.code_size
        raw = faiss.rev_swig_ptr(self._index.codes.data(), self._index.ntotal * size)
        return np.asarray(raw).reshape(-1, size)


def _alone() -> None:
    """Keep OpenMP from sharing the calling thread's faiss work between cores.

    One probe is searched by one thread anyway, and the idle threads spin: they take the cores from
    unsealing, embedding and the cameras. Loading 20,000 templates of 512 numbers took 63 µs of
    processor time each with two threads, 23 with one. OpenMP keeps the number by thread.
    """
    faiss.omp_set_num_threads(1)
