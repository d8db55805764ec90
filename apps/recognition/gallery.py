"""Who may be recognised here and now: the recognizer's templates, in memory only.

Exact search, one index per store and space, never across stores; who agreed to be recognised in
several stores is held for each of them. While a rotation is renewed, a store's templates are in two
spaces, and a probe is taken into both. It answers with identifiers, holds no name, is never written
anywhere, and refuses an entry past its hour even when nobody came to evict it. An evicted vector's
bytes are overwritten before its place is given up, and so is a whole index that is replaced by a
larger one: no copy stays in memory that was given back.

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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

# It tells in four lines which of its builds it could not find.
logging.getLogger("faiss.loader").setLevel(logging.WARNING)

import faiss  # noqa: E402

from apps.recognition.briefly import briefly  # noqa: E402
from apps.recognition.spaces import Floats, Space, plain  # noqa: E402

FIRST_LOOK = 8
"""Neighbours asked for at first; more only when they all belong to one visitor or are past."""


class WrongVector(ValueError):
    """The vector has another length than this gallery's pack, or is not of length 1."""


class Enrolled(NamedTuple):
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
        self._stores: dict[UUID, dict[Space, _Shelf]] = {}
        # Where each template is held; most of a store have one and the same of these.
        self._homes: dict[UUID, Mapping[UUID, Space]] = {}

    def __len__(self) -> int:
        """How many templates are held, each once."""
        with self._lock:
            return len(self._homes)

    def size(self, store: UUID) -> int:
        """How many templates are held for `store`."""
        with self._lock:
            return sum(len(shelf.entries) for shelf in self._shelves(store))

    def knows(self, store: UUID, visitors: set[UUID]) -> bool:
        """Whether all of `visitors` have a template in `store`."""
        with self._lock:
            held = (entry for shelf in self._shelves(store) for entry in shelf.entries)
            return visitors <= {entry.visitor for entry in held}

    def held(self) -> set[tuple[UUID, UUID]]:
        """Every store with each template held for it, to compare with the database's."""
        with self._lock:
            return {
                (store, template) for template, stores in self._homes.items() for store in stores
            }

    def add(
        self, store: UUID, enrolled: Enrolled, vector: Floats, space: Space | None = None
    ) -> None:
        """Holds a template for `store`; one that is already held for it is replaced.

        vector: float32 (D,) of length 1, in `space`, by default plain. Raises WrongVector.
        """
        self.extend(store, [enrolled], vector[None], space)

    def extend(
        self,
        store: UUID,
        entries: Sequence[Enrolled],
        vectors: Floats,
        space: Space | None = None,
        *,
        room: int = 0,
    ) -> None:
        """`add` for many at once: vectors float32 (N, D), one row an entry. All or none.

        room: how many are about to be held for `store`, if that is known.
        """
        space = space or plain(self.dim)
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
        if rows.shape != (len(entries), self.dim):
            raise WrongVector(f"one vector of {self.dim} numbers is needed for each template")
        if not (np.abs(np.einsum("nd,nd->n", rows, rows) - 1.0) <= 2e-3).all():
            raise WrongVector("vectors must have length 1")
        here = {store: space}
        homes: dict[UUID, Mapping[UUID, Space]] = dict.fromkeys(
            (entry.template for entry in entries), here
        )
        if len(homes) != len(entries):
            raise WrongVector("a template is named twice")
        with self._lock:
            for template in [each for each in homes if each in self._homes]:
                self._take_from(store, template)
                homes[template] = {**self._homes.get(template, {}), **here}
            shelves = self._stores.setdefault(store, {})
            if space not in shelves:
                shelves[space] = _Shelf(space)
            shelves[space].extend(entries, rows, room)
            self._homes.update(homes)

    def evict(self, template: UUID) -> bool:
        """Forgets a template in every store; False when it was not held."""
        with self._lock:
            return self._evict(template)

    def take_from(self, store: UUID, template: UUID) -> bool:
        """Forgets a template in one store; False when it was not held there."""
        with self._lock:
            return self._take_from(store, template)

    def evict_visitor(self, visitor: UUID) -> int:
        """Forgets all templates of a visitor in every store; how many there were."""
        with self._lock:
            held = {
                entry.template
                for store in self._stores
                for shelf in self._shelves(store)
                for entry in shelf.entries
                if entry.visitor == visitor
            }
            return sum(self._evict(template) for template in held)

    def clear(self) -> None:
        """Forgets everybody: on losing the database, and at the end of the process."""
        with self._lock:
            for store in self._stores:
                for shelf in self._shelves(store):
                    shelf.clear()
            self._stores.clear()
            self._homes.clear()

    def search(self, store: UUID, probe: Floats) -> Candidate | None:
        """The nearest live template of `store` to a plain probe, float32 (D,) of length 1.

        None when the store has nobody. Raises WrongVector.
        """
        if probe.shape != (self.dim,):
            raise WrongVector(f"a probe of {self.dim} numbers is needed")
        with self._lock:
            now = self._clock()
            return _nearest([shelf.nearest(probe, now) for shelf in self._shelves(store)])

    def near(self, store: UUID, probe: Floats, least: float) -> list[Neighbour]:
        """Every visitor of `store` with a live template whose cosine with a plain probe, float32
        (D,) of length 1, is above `least`; nearest first. Raises WrongVector.
        """
        if probe.shape != (self.dim,):
            raise WrongVector(f"a probe of {self.dim} numbers is needed")
        best: dict[UUID, float] = {}
        with self._lock:
            for shelf in self._shelves(store):
                for visitor, score in shelf.near(probe, least, self._clock()):
                    best[visitor] = max(score, best.get(visitor, -1.0))
        return sorted(
            (Neighbour(visitor, score) for visitor, score in best.items()),
            key=lambda neighbour: -neighbour.score,
        )

    def _shelves(self, store: UUID) -> Iterable[_Shelf]:
        return self._stores.get(store, {}).values()

    def live(self, store: UUID) -> frozenset[UUID]:
        """The live templates of `store`."""
        with self._lock:
            now = self._clock()
            return frozenset(
                entry.template
                for shelf in self._shelves(store)
                for entry in shelf.entries
                if now < entry.not_after
            )

    def snapshot(self, store: UUID, *, most: int) -> tuple[list[Enrolled], Floats]:
        """The live templates of `store` as they are now: plain vectors, float32 (N, D), of length
        about 1.

        Nothing when there are more than `most`. Whoever asked overwrites the copy.
        """
        with self._lock:
            if not 0 < self.size(store) <= most:
                return [], np.empty((0, self.dim), np.float32)
            now = self._clock()
            copies = [shelf.copied(now) for shelf in self._shelves(store)]
        # The rest without the lock: searches and evictions wait for it.
        parts = []
        for space, _held, codes in copies:
            with briefly(codes), briefly(codes.view(np.float16).astype(np.float32)) as turned:
                parts.append(space.leave(turned))
        whole = np.concatenate(parts)
        for part in parts:
            part.fill(0)
        return [entry for _space, held, _codes in copies for entry in held], whole

    def _evict(self, template: UUID) -> bool:
        stores = list(self._homes.get(template, ()))
        for store in stores:
            self._take_from(store, template)
        return bool(stores)

    def _take_from(self, store: UUID, template: UUID) -> bool:
        homes = dict(self._homes.get(template, {}))
        space = homes.pop(store, None)
        if space is None:
            return False
        if homes:
            self._homes[template] = homes
        else:
            del self._homes[template]
        shelves = self._stores[store]
        shelves[space].remove(template)
        if not shelves[space].entries:
            # The space goes with its last template: nobody else keeps its matrix.
            del shelves[space]
        if not shelves:
            del self._stores[store]
        return True


def _nearest(found: Iterable[Candidate | None]) -> Candidate | None:
    """The nearest of the answers of several shelves, with its lead over everybody else in them."""
    best: Candidate | None = None
    rival = -1.0
    for one in sorted((each for each in found if each), key=lambda each: -each.score):
        if best is None:
            best, rival = one, one.score - one.margin
        else:
            rival = max(rival, one.score if one.visitor != best.visitor else one.score - one.margin)
    return best and replace(best, margin=best.score - rival)


class _Shelf:
    """One store's templates in one space: row i of the index belongs to entries[i].

    Half precision: measured on 100,000 templates it is twice as fast as float32 and half the size
    (0.8 against 1.5 ms for 128 numbers, 3.5 against 6.3 ms for 512), and moves a cosine by less
    than 0.0005. Rows are kept dense by moving the last one into a gap, so removing costs the same
    however many there are, and needs no map of identifiers inside faiss.
    """

    def __init__(self, space: Space) -> None:
        self.entries: list[Enrolled] = []
        self._space = space
        self._row: dict[UUID, int] = {}
        self._index = _index(space.dim)

    def extend(self, entries: Sequence[Enrolled], vectors: Floats, room: int) -> None:
        _alone()
        first = len(self.entries)
        self._make_room(first + len(entries), room)
        # Into their place at once: there is no copy to overwrite.
        self._index.sa_encode(vectors, self._codes()[first : first + len(entries)])
        self._row.update(zip((entry.template for entry in entries), count(first), strict=False))
        self.entries.extend(entries)
        self._index.ntotal = len(self.entries)

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
        self.entries.pop()
        self._index.ntotal = last

    def clear(self) -> None:
        self._codes()[:] = 0
        self._index.ntotal = 0
        self.entries.clear()
        self._row.clear()

    def _make_room(self, wanted: int, room: int) -> None:
        """A larger index, half as large again at least, in place of one that is too small.

        faiss would move to larger memory by itself and give the smaller back as it was.
        """
        old = self._codes()
        if wanted <= len(old):
            return
        larger = _index(self._space.dim)
        larger.codes.resize(max(wanted, room, len(old) * 3 // 2, 64) * larger.code_size)
        _codes(larger)[: len(old)] = old
        old[:] = 0
        del old  # a view of memory that goes with the next line
        self._index = larger

    def _codes(self) -> NDArray[np.uint8]:
        return _codes(self._index)

    def nearest(self, probe: Floats, now: float) -> Candidate | None:
        """Asks for more and more neighbours until a live one and a rival visitor are among them."""
        _alone()
        with briefly(self._space.enter(probe)) as query:
            return self._nearest(query[None], now)

    def _nearest(self, query: Floats, now: float) -> Candidate | None:
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

    def near(self, probe: Floats, least: float, now: float) -> Iterator[tuple[UUID, float]]:
        """The visitor and the score of each live template above `least`."""
        _alone()
        with briefly(self._space.enter(probe)) as query:
            _limits, scores, rows = self._index.range_search(query[None], least)
        for score, row in zip(scores, rows, strict=True):
            entry = self.entries[row]
            if now < entry.not_after:
                yield entry.visitor, float(score)

    def copied(self, now: float) -> tuple[Space, list[Enrolled], NDArray[np.uint8]]:
        """The space, the entries that are not past, and a copy of their codes, one row each."""
        rows = [row for row, entry in enumerate(self.entries) if now < entry.not_after]
        return self._space, [self.entries[row] for row in rows], self._codes()[rows]


def _index(dim: int) -> faiss.IndexScalarQuantizer:
    return faiss.IndexScalarQuantizer(
        dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )


def _codes(index: faiss.IndexScalarQuantizer) -> NDArray[np.uint8]:
    """The index's own bytes, one row a template and rows to spare: a view, dropped before the index
    is. Only the first `ntotal` rows are searched.
    """
    raw = faiss.rev_swig_ptr(index.codes.data(), index.codes.size())
    return np.asarray(raw).reshape(-1, index.code_size)


def _alone() -> None:
    """Keep OpenMP from sharing the calling thread's faiss work between cores.

    One probe is searched by one thread anyway, and the idle threads spin: they take the cores from
    unsealing, embedding and the cameras. Loading 20,000 templates of 512 numbers took 63 µs of
    processor time each with two threads, 23 with one. OpenMP keeps the number by thread.
    """
    faiss.omp_set_num_threads(1)
