"""Keeps each pack's gallery equal to the database, and knows when it may not be trusted any more.

Design. Every end of a template is announced by PostgreSQL itself (LISTEN/NOTIFY, in the order of
commits). Once a second the keeper sends itself a beat through the same channel: a beat that comes
back proves that the database lives and that everything announced before it has been heard. Trust
lasts `SILENCE` seconds from when the beat was sent, not from when it came back: only up to there is
the gallery known to be complete. Later, or when the database's clock runs backwards, `trusted` is
False and the recognizer answers nobody. After a lost connection the gallery is rebuilt from the
database before it is trusted again.
"""

import gc
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

import numpy as np
import psycopg
from django.db import connection
from numpy.typing import NDArray
from psycopg.rows import namedtuple_row

from apps.audit import deletions
from apps.consent.coverage import ELSEWHERE
from apps.recognition.benches import Bench, Benches
from apps.recognition.briefly import briefly
from apps.recognition.engine.packs import Pack
from apps.recognition.gallery import Enrolled
from apps.recognition.leaving import declare
from apps.recognition.presentation import Windows
from apps.recognition.rotations import Rotations
from apps.recognition.sealed import COLUMNS, LIVE, TEMPLATES, sealed_row, use_of_row
from apps.recognition.spaces import Space
from apps.visitors.vault import FileKeyring, SealBroken, UnknownGeneration, Use, unseal_all

log = logging.getLogger(__name__)

BEAT = 1.0
SILENCE = 5.0
# Templates opened in one go: few enough to stay in the processor's cache, and not to keep
# PostgreSQL waiting: a socket's buffer holds about ninety of 512 numbers.
BATCH = 80
# The database's clock may be stepped by its time service; more than this backwards stops us.
BACKWARDS = 2.0

# Only a lane searches among people. A pass template never comes here: its pass alone opens it.
GALLERY = f"""
SELECT {COLUMNS}, {ELSEWHERE} AS elsewhere {TEMPLATES}
 WHERE {LIVE} AND t.purpose = 'lane' AND t.pack = %(pack)s AND t.pack_version = %(version)s
"""

Fault = SealBroken | UnknownGeneration
Opened = tuple[uuid.UUID, list[Enrolled], NDArray[np.float32], Space]


@dataclass(slots=True)
class _Lot:
    """Rows of one reading that were sealed alike and that the same stores hold, in one space."""

    use: Use
    space: Space
    stores: tuple[uuid.UUID, ...]
    numbers: list[int] = field(default_factory=list)
    entries: list[Enrolled] = field(default_factory=list)


class Keeper(threading.Thread):
    """The thread that owns the gallery's connection to the database."""

    def __init__(
        self,
        *,
        database: str,
        benches: Benches,
        keyring: FileKeyring,
        windows: Windows,
    ) -> None:
        super().__init__(name="keeper", daemon=True)
        self.id = uuid.uuid4()
        self.benches = benches
        self.windows = windows
        self.rotations = Rotations(keyring)
        self.loaded = threading.Event()
        self._database = database
        self._keyring = keyring
        self._stopping = threading.Event()
        self._confirmed = float("-inf")
        self._high_water: datetime | None = None
        self._backwards = False

    @property
    def trusted(self) -> bool:
        """Whether the gallery is known to be as fresh as the database."""
        fresh = time.monotonic() - self._confirmed <= SILENCE
        return fresh and not self._backwards

    def stop(self) -> None:
        """End the thread; the row in the database says that this recognizer has stopped."""
        self._stopping.set()
        self.join(timeout=3)

    def run(self) -> None:
        """Follow the database until stopped, reconnecting for as long as it takes."""
        while not self._stopping.is_set():
            try:
                with ExitStack() as stack:
                    listen, work = (stack.enter_context(self._connect()) for _ in range(2))
                    self._follow(listen, work)
            except psycopg.Error as error:
                log.warning(
                    "database lost (%s); answering nobody until it is back", type(error).__name__
                )
                self._stopping.wait(0.5)
            except Exception as error:
                # This thread must not end before its process does: nobody would start it again.
                log.error("the gallery is rebuilt after a fault (%s)", type(error).__name__)
                self._stopping.wait(0.5)

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            self._database, autocommit=True, row_factory=namedtuple_row, connect_timeout=3
        )

    def _follow(self, listen: psycopg.Connection[Any], work: psycopg.Connection[Any]) -> None:
        channel = f"beat_{self.id.hex}"
        # Who agreed to what is looked up for every template: in memory, not in a temporary file.
        work.execute("SET work_mem = '64MB'")
        # Listen before loading: what ends while we load is then heard after it.
        listen.execute("LISTEN gallery")
        listen.execute(f"LISTEN {channel}")
        deletions.require_replayed(lambda *asked: next(iter(work.execute(*asked)))[0])
        self._remember_time(work)
        self._register(work)
        self._reconcile(work)
        due = 0.0
        while not self._stopping.is_set():
            if time.monotonic() >= due:
                self._beat(work, channel)
                self.windows.expire()
                due = time.monotonic() + BEAT
            for notice in listen.notifies(timeout=max(0.0, due - time.monotonic()), stop_after=1):
                if notice.channel == channel:
                    self._confirmed = float(notice.payload)
                    self.loaded.set()
                else:
                    self._hear(work, notice.payload)
        work.execute(
            "UPDATE recognition_recognizer SET stopped_at = clock_timestamp() WHERE id = %s",
            [self.id],
        )

    def _declare(self) -> None:
        try:
            declare(self.benches)
        finally:
            connection.close()  # this thread needs no other of Django's

    def _register(self, work: psycopg.Connection[Any]) -> None:
        """Count among the recognizers again, or for the first time with the packs it leaves."""
        known = work.execute(
            "UPDATE recognition_recognizer SET seen_at = clock_timestamp() WHERE id = %s", [self.id]
        )
        if known.rowcount:
            return
        self._declare()
        pack, former = self.benches.present.pack, self.benches.former
        work.execute(
            """INSERT INTO recognition_recognizer
                   (id, pack, pack_version, licence, commercial, dim, former, templates, generation,
                    oldest, started_at, seen_at)
               VALUES (%s, %s, %s, %s, %s, %s, %s, 0, %s, %s, clock_timestamp(),
                       clock_timestamp())""",
            [
                self.id,
                pack.name,
                pack.version,
                pack.licence[:120],
                pack.commercial,
                pack.dim,
                f"{former.pack.name} {former.pack.version}" if former else "",
                self._keyring.newest,
                self._keyring.oldest,
            ],
        )

    def _remember_time(self, work: psycopg.Connection[Any]) -> None:
        """A clock set back while no recognizer ran is noticed too."""
        row = work.execute("SELECT max(seen_at) AS latest FROM recognition_recognizer").fetchone()
        if row and row.latest:
            self._high_water = max(self._high_water or row.latest, row.latest)

    def _beat(self, work: psycopg.Connection[Any], channel: str) -> None:
        # Taken before `seen_at` is written, so that we fall silent before others count us out.
        sent = time.monotonic()
        row = work.execute(
            """UPDATE recognition_recognizer
                  SET seen_at = clock_timestamp(), templates = %s, generation = %s, oldest = %s
                WHERE id = %s RETURNING seen_at AS now""",
            [len(self.benches), self._keyring.newest, self._keyring.oldest, self.id],
        ).fetchone()
        if row is None:
            # Another database, as after a restore.
            self._register(work)
        elif self._high_water and (self._high_water - row.now).total_seconds() > BACKWARDS:
            if not self._backwards:
                log.error(
                    "the database's clock runs backwards; answering nobody until it caught up"
                )
            self._backwards = True
        else:
            self._backwards = False
            self._high_water = max(self._high_water or row.now, row.now)
        work.execute("SELECT pg_notify(%s, %s)", [channel, repr(sent)])

    def _hear(self, work: psycopg.Connection[Any], payload: str) -> None:
        verb, *rest = payload.split()
        if verb in ("evict", "narrow"):
            template = uuid.UUID(rest[0])
            self.benches.evict(template)
            self.windows.forget(template)
            if verb == "narrow":
                # Forgotten everywhere, then held again where its consent still covers it.
                self._enrol(work, [template])
            self._acknowledge(work, "e.id = %s", [int(rest[1])])
        elif verb == "enrol":
            self._enrol(work, [uuid.UUID(template) for template in rest])
        elif verb == "retire":
            self.rotations.retire(uuid.UUID(rest[0]), int(rest[1]))
        elif verb == "reload":
            # Many deadlines moved at once.
            self._reconcile(work)

    def _enrol(self, work: psycopg.Connection[Any], templates: list[uuid.UUID]) -> None:
        some = GALLERY + " AND t.id = ANY(%(templates)s)"
        for bench in self.benches:
            for opened in self._open(work, bench, some, templates):
                bench.gallery.extend(*opened)

    def _reconcile(self, work: psycopg.Connection[Any]) -> None:
        with _uncollected():
            self._load(work)

    def _load(self, work: psycopg.Connection[Any]) -> None:
        # Read before the templates are: these are done once they are loaded, also the one of a
        # template that is held on, in fewer stores. A later one is heard.
        ended = work.execute("SELECT id FROM visitors_eviction").fetchall()
        # A window that was opened before the database was lost may be of a pass that ended since.
        self.windows.clear()
        self.rotations.clear()
        for bench in self.benches:
            stale = bench.gallery.held()
            room = self._counted(work, bench.pack)
            for store, entries, vectors, space in self._open(work, bench, GALLERY):
                bench.gallery.extend(store, entries, vectors, space, room=room.get(store, 0))
                if stale:
                    stale.difference_update((store, entry.template) for entry in entries)
            for store, template in stale:
                bench.gallery.take_from(store, template)
        self._acknowledge(work, "e.id = ANY(%s)", [[row.id for row in ended]])

    def _counted(self, work: psycopg.Connection[Any], pack: Pack) -> dict[uuid.UUID, int]:
        """About how many templates each store has, and an eighth more: a gallery that knows it
        beforehand is not moved to larger memory again and again."""
        rows = work.execute(
            """SELECT store_id, count(*) * 9 / 8 AS room FROM visitors_facetemplate
                WHERE purpose = 'lane' AND pack = %s AND pack_version = %s GROUP BY store_id""",
            [pack.name, pack.version],
        )
        return {row.store_id: row.room for row in rows}

    def _acknowledge(self, work: psycopg.Connection[Any], which: str, values: list[Any]) -> None:
        work.execute(
            f"""WITH done AS (
                   INSERT INTO recognition_acknowledgement (eviction_id, recognizer_id, at)
                   SELECT e.id, %s, clock_timestamp() FROM visitors_eviction e WHERE {which}
                   ON CONFLICT DO NOTHING RETURNING eviction_id)
                SELECT pg_notify('acknowledged', eviction_id::text) FROM done""",  # noqa: S608
            [self.id, *values],
        )

    def _open(
        self,
        work: psycopg.Connection[Any],
        bench: Bench,
        query: str,
        templates: list[uuid.UUID] | None = None,
    ) -> Iterator[Opened]:
        """A pack's unsealed templates by space and by each store that their consent covers, of at
        most BATCH at a time: PostgreSQL reads the next ones while these are opened, and memory
        holds few of them twice."""
        pack = bench.pack
        which = {"pack": pack.name, "version": pack.version, "templates": templates}
        with work.cursor(binary=True) as cursor:
            rows = cursor.stream(query, which, size=BATCH)
            while batch := list(islice(rows, BATCH)):
                yield from self._opened(batch, pack)

    def _opened(self, rows: list[Any], pack: Pack) -> Iterator[Opened]:
        lots: dict[tuple[object, ...], _Lot | Fault] = {}
        found: list[tuple[Any, _Lot]] = []
        for row in rows:
            alike = (
                *(row.organization_id, row.store_id, row.purpose, row.rotation),
                *(*row.group_stores, None, *row.elsewhere),
            )
            lot = lots.get(alike) or lots.setdefault(alike, self._lot(row, pack))
            if isinstance(lot, _Lot):
                found.append((row, lot))
            else:
                _complain(row, lot)
        with briefly(np.empty((len(found), pack.dim), np.float32)) as vectors:
            sealed = [sealed_row(row, lot.use) for row, lot in found]
            faults = unseal_all(sealed, keyring=self._keyring, into=vectors)
            for number, ((row, lot), fault) in enumerate(zip(found, faults, strict=True)):
                if fault:
                    _complain(row, fault)
                else:
                    lot.numbers.append(number)
                    lot.entries.append(Enrolled(row.template, row.visitor_id, row.delete_after))
            for lot in lots.values():
                if not isinstance(lot, _Lot) or not lot.numbers:
                    continue
                # Mostly all were sealed alike.
                alone = len(lot.numbers) == len(vectors)
                with briefly(vectors if alone else vectors[lot.numbers]) as some:
                    for store in lot.stores:
                        yield store, lot.entries, some, lot.space

    def _lot(self, row: Any, pack: Pack) -> _Lot | Fault:
        try:
            space = self.rotations.of(row, pack.dim)
        except (SealBroken, UnknownGeneration) as error:
            return error.with_traceback(None)
        return _Lot(use_of_row(row, pack=pack), space, (row.store_id, *row.elsewhere))


def _complain(row: Any, error: Exception) -> None:
    # Swapped, extended or foreign: it stays closed, and the log says which row.
    log.error("template %s cannot be opened (%s)", row.template, type(error).__name__)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep Python from looking for circles among what is loaded, then and later: there are none,
    and looking again and again took a quarter of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was:
            gc.enable()
