"""`ops/bench chaos`: everything that is due goes once, whatever dies while it goes.

Real rows in PostgreSQL, all past their deadline, many of them people. Celery workers, beat and
`manage.py sweep` go for them under a supervisor, as `ops/up` runs them, beat with a shorter tick.
At moments that a seed draws something is ended by SIGKILL: a process of these, Redis, PostgreSQL,
or one of its connections inside a transaction, after which PostgreSQL restarts itself; or the clock
of the database jumps two hours ahead or back. Nothing but the supervisors starts anything again. In
between somebody whose time is over walks through a lane, and must not be disclosed.

It kills the PostgreSQL and the Redis that it runs beside, and therefore only those of `ops/run`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from time import monotonic, perf_counter, sleep, time
from typing import TypeVar
from uuid import UUID

import psutil
import redis
from django.db import InterfaceError, OperationalError, connection

from apps.audit import services as audit
from apps.audit.models import Deletion
from apps.recognition.client import Match
from apps.retention.models import Erasure
from apps.stores.devices import live_events
from apps.stores.models import Camera, Store
from apps.visitors.models import FaceTemplate
from apps.visits.services import disclose
from ops.benches import house
from ops.benches.outcome import Outcome
from ops.benches.sweep import left, make_due, said_in_ledger
from ops.console import Refusal
from ops.supervision import MARK, PROCESSES, Program, Supervisor, supervised

A_PERSON_IN = 4
BLOWS = ("worker", "beat", "timer", "Redis", "PostgreSQL", "transaction", "ahead", "back")
HOURS = {"ahead": 2, "back": -2}
PATIENCE = 900.0
TIMER_S = 5
BACK_S = 2.0
POLL = 0.02
# The moments lie in this part of the work: all of them while there is something to be in.
FIRST, LAST = 0.02, 0.85

CLOCK = """
CREATE SCHEMA moved;
CREATE TABLE moved.by (hours int NOT NULL);
INSERT INTO moved.by VALUES (0);
"""
TELLS = """
CREATE FUNCTION moved.{name}() RETURNS timestamptz LANGUAGE sql {kind} AS
$$ SELECT pg_catalog.{name}() + make_interval(hours => (SELECT hours FROM moved.by)) $$
"""
KINDS = {"clock_timestamp": "VOLATILE", "statement_timestamp": "STABLE", "now": "STABLE"}
# Whoever is in the middle of something.
BUSY = """
SELECT pid FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()
   AND backend_type = 'client backend' AND xact_start IS NOT NULL
"""

Answer = TypeVar("Answer")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)


def measure(given: argparse.Namespace) -> Outcome:
    require_own_servers()
    house.own_database("chaos")
    store = house.prepare(Path("nobody.mp4"))
    print(f"Writing {given.rows} rows that are due …", flush=True)
    kept = make_due(store, given.rows, a_person_in=A_PERSON_IN)
    let_the_clock_move()
    people = given.rows // A_PERSON_IN
    begun = perf_counter()
    chaos = Chaos(store, people, kept, random.Random(given.seed))  # noqa: S311  no secret
    print(f"Sweeping, with {given.kills} blows …", flush=True)
    chaos.strike(given.kills, workers=given.workers)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(DISTINCT (kind, id)) FROM bench_gone")
        done, distinct = cursor.fetchone()
    certificates = Erasure.objects.filter(state=Erasure.State.COMPLETE)
    outcome = Outcome(
        {
            "rows": given.rows,
            "seed": given.seed,
            "done": done,
            "distinct": distinct,
            "left": left(),
            "blows": chaos.blows.total(),
            "certificates": certificates.count(),
            "certified_people": certificates.values("subject").distinct().count(),
            "unlisted": Deletion.objects.filter(listed_at=None).count(),
            "said_in_ledger": said_in_ledger(),
            "ledger_ok": audit.verify().ok,
            "walked_by": chaos.walked_by,
            "disclosed": chaos.disclosed,
            "kept_disclosed": chaos.walks_by(kept),
            "by_kind": dict(chaos.blows),
            "wall_s": round(perf_counter() - begun, 1),
        }
    )
    for name, reach in (
        ("done", given.rows),
        ("distinct", given.rows),
        ("left", 0),
        ("blows", given.kills),
        ("certificates", people),
        ("certified_people", people),
        ("unlisted", 0),
        ("said_in_ledger", given.rows),
        ("ledger_ok", True),
        ("disclosed", 0),
        ("kept_disclosed", True),
    ):
        if outcome.values[name] != reach:
            outcome.missed.append(f"{name} is {outcome.values[name]}, not {reach}")
    return outcome


class Chaos:
    """What strikes, and what it counted on the way. `blows`: by kind."""

    def __init__(self, store: Store, people: int, kept: set[UUID], chance: random.Random) -> None:
        self.store = store
        self.lane = Camera.objects.get(store=store, mode=Camera.Mode.LANE)
        self.people = people
        self.due = list(FaceTemplate.objects.exclude(visitor__in=kept).values_list("pk", flat=True))
        self.chance = chance
        self.blows: Counter[str] = Counter()
        self.walked_by = self.disclosed = 0
        self.orphans: list[psutil.Process] = []
        self.hours = 0
        self.end = monotonic() + PATIENCE

    def strike(self, times: int, *, workers: int) -> None:
        """Let all go at it, strike so many times, and return when nothing is left to do."""
        begun = monotonic()
        moments = sorted(self.chance.uniform(FIRST, LAST) for _ in range(times))
        # Each kind comes before any comes again.
        rounds = (self.chance.sample(BLOWS, len(BLOWS)) for _ in repeat(None))
        with self._without_orphans(), running(workers) as supervisor:
            for moment, blow in zip(moments, chain.from_iterable(rounds), strict=False):
                if self.hours < 0:
                    # Nobody's time is over yet, as the clock has it: no progress to wait for.
                    sleep(self.chance.uniform(0, BACK_S))
                else:
                    self._await(partial(erased_at_least, moment * self.people))
                self._walk_by()
                self._blow(blow, supervisor)
                self.blows[blow] += 1
                print(f"{monotonic() - begun:6.1f} s: {blow}", flush=True)
            self._set_clock(0)
            self._await(lambda: not left())

    @contextmanager
    def _without_orphans(self) -> Iterator[None]:
        """In the end, without the children of workers that were killed."""
        try:
            yield
        finally:
            for orphan in self.orphans:
                with contextlib.suppress(psutil.NoSuchProcess):
                    orphan.kill()

    def walks_by(self, kept: set[UUID]) -> bool:
        """Whether one of those who stay is disclosed: else that nobody was would mean nothing."""
        template = FaceTemplate.objects.filter(visitor__in=kept).values_list("pk", flat=True)[0]
        return disclose(self._match(template)).outcome == "visit"

    def _walk_by(self) -> None:
        """Somebody whose time is over, unless the clock says that it is not."""
        if self.hours < 0:
            return
        match = self._match(self.chance.choice(self.due))
        outcome = self._answered(lambda: disclose(match).outcome)
        self.walked_by += 1
        self.disclosed += outcome in ("visit", "still_here")

    def _match(self, template: UUID) -> Match:
        return Match(
            template=template,
            camera=self.lane.pk,
            store=self.store.pk,
            score=0.9,
            threshold=0.5,
            seen_at=time(),
        )

    def _blow(self, blow: str, supervisor: Supervisor) -> None:
        """Strike once. The clock is wrong until after the next one."""
        if blow in HOURS:
            return self._set_clock(HOURS[blow])
        pid = self._awaited(lambda: self._whom(blow, supervisor))
        with contextlib.suppress(ProcessLookupError):  # it ended by itself a moment ago
            os.kill(pid, signal.SIGKILL)
        if self.hours:
            self._set_clock(0)
        return None

    def _whom(self, blow: str, supervisor: Supervisor) -> int | None:
        """The process that this blow ends; None while there is none."""
        match blow:
            case "Redis":
                try:
                    return int(live_events().info("server")["process_id"])
                except redis.RedisError:
                    return None
            case "PostgreSQL":
                return postmaster()
            case "transaction":
                with connection.cursor() as cursor:
                    cursor.execute(BUSY)
                    busy = [pid for (pid,) in cursor.fetchall()]
                return self.chance.choice(busy) if busy else None
        names = [name for name in supervisor.pids() if name.startswith(blow)]
        pid = supervisor.pids()[self.chance.choice(sorted(names))]
        try:
            # The worker's own child as well, which is the one that has the task.
            family = [psutil.Process(pid), *psutil.Process(pid).children()] if pid else []
        except psutil.NoSuchProcess:
            return None
        self.orphans += family[1:]
        return self.chance.choice(family).pid if family else None

    def _set_clock(self, hours: int) -> None:
        def move() -> None:
            with connection.cursor() as cursor:
                cursor.execute("UPDATE moved.by SET hours = %s", [hours])

        self._answered(move)
        self.hours = hours

    def _await(self, holds: Callable[[], bool]) -> None:
        self._awaited(lambda: holds() or None)

    def _awaited(self, ask: Callable[[], Answer | None]) -> Answer:
        """What it says at last."""
        while (said := self._answered(ask)) is None:
            sleep(POLL)
        return said

    def _answered(self, ask: Callable[[], Answer]) -> Answer:
        """What it says once the database is there again."""
        while monotonic() < self.end:
            try:
                return ask()
            except (OperationalError, InterfaceError):
                connection.close()
                sleep(POLL)
        raise RuntimeError(f"the work is not done after {PATIENCE:.0f} s")


@contextmanager
def running(workers: int) -> Iterator[Supervisor]:
    """Workers, beat and the timer, kept running by a supervisor of their own."""
    celery = [sys.executable, "-W", "ignore", "-m", "celery", "--app", "ops.benches.hasty"]
    worker = [*celery, "worker", "--concurrency", "1", "--without-gossip", "--without-mingle"]
    with tempfile.TemporaryDirectory(prefix="chaos-", dir="/tmp") as name:
        folder = Path(name)
        timer = f"sleep {TIMER_S}; exec {sys.executable} -W ignore manage.py sweep"
        programs = [
            # Each counts as started at once: a supervisor that gives up is not what is measured.
            *(
                Program(name=f"worker-{n}", command=[*worker, "-n", f"w{n}"], settles_after=0)
                for n in range(workers)
            ),
            Program(
                name="beat",
                command=[*celery, "beat", "--pidfile", "", "--schedule", str(folder / "beat")],
                settles_after=0,
            ),
            Program(name="timer", command=["sh", "-c", timer], settles_after=0),
        ]
        with supervised(programs, run=folder, logs=folder, environment=dict(os.environ)) as ours:
            ours.start(PROCESSES)
            yield ours


def let_the_clock_move() -> None:
    """Give the database a clock that is off by as many hours as a row of its own says."""
    with connection.cursor() as cursor:
        cursor.execute(CLOCK)
        for name, kind in KINDS.items():
            cursor.execute(TELLS.format(name=name, kind=kind))
        database = connection.ops.quote_name(connection.settings_dict["NAME"])
        cursor.execute(f"ALTER DATABASE {database} SET search_path = moved, pg_catalog, public")
    connection.close()


def erased_at_least(people: float) -> bool:
    """Whether so many were."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM bench_gone WHERE kind = 'visitors_visitor'")
        return bool(cursor.fetchone()[0] >= people)


def postmaster() -> int:
    """The process that all of PostgreSQL's others come from. Raises psutil.Error."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
    return psutil.Process(backend).ppid()


def require_own_servers() -> None:
    """Refuse to kill servers that were not started for this run."""
    try:
        server = psutil.Process(postmaster()).environ().get(MARK)
        broker = live_events().info("server")["process_id"]
        ours = server == psutil.Process(broker).environ().get(MARK) == os.environ[MARK]
    except (psutil.Error, KeyError):
        ours = False
    if not ours:
        raise Refusal("This bench kills its servers: unset DATABASE_URL and REDIS_URL.")
