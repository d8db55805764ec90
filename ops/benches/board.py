"""`ops/bench board`: many floor boards at once, from a visit in the database to its card on each.

One web process runs as in a shop, on the run's own PostgreSQL and Redis. Each board is a log-in of
its own that holds a stream open; in every round somebody comes into each store. One board in forty
loses its line just then and comes back, to see that it misses nothing and gets nothing twice.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import numpy as np
import psutil
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db import connection

from apps.audit.models import Entry
from apps.audit.services import verify
from apps.recognition.client import Match
from apps.recognition.engine.packs import load_pack
from apps.stores.models import Camera, Device, Role, Store, User
from apps.visits.models import Visit
from apps.visits.services import disclose
from ops.benches import house
from ops.benches.fleet import lane
from ops.benches.outcome import Outcome, memory_mib, percentile

LONGEST = 10.0
"""Seconds after which a card that is not there is missed."""
CUT = 40
"""One board in so many loses its line in a round."""
AGAIN = 2.0
"""Seconds after which a browser comes back, when the server ended the stream."""
APART = 0.5
"""Seconds between a round that is over and the next."""


@dataclass(slots=True)
class Board:
    """One open board. came: when each card was there in whole (Unix seconds), by its sequence."""

    store: Store
    session: str
    came: dict[int, float] = field(default_factory=dict)
    twice: int = 0
    ended: int = 0
    lost: set[int] = field(default_factory=set)
    last: int = 0
    task: asyncio.Task[None] | None = None
    here: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self, port: int) -> None:
        """Begin to listen, as a browser does that was there before; wait for the first word."""
        self.here.clear()
        self.task = asyncio.create_task(self._listen(port))
        waiting = asyncio.create_task(self.here.wait())
        await asyncio.wait({self.task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            waiting.cancel()
            self.task.result()
            raise RuntimeError("a board's stream ended at once")

    async def close(self) -> None:
        if self.task:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task

    async def _listen(self, port: int) -> None:
        while True:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._stream(port)
            self.ended += 1
            await asyncio.sleep(AGAIN)

    async def _stream(self, port: int) -> None:
        head = f"Host: 127.0.0.1:{port}\r\nCookie: sessionid={self.session}"
        if self.last:
            head += f"\r\nLast-Event-ID: {self.last}"
        async with _opened(port, f"/floor/{self.store.slug}/events/", head) as events:
            async for event in events:
                now = time.time()
                if event.get("event") == "here":
                    self.here.set()
                elif event.get("event") == "visit":
                    sequence = int(event["id"])
                    if 'data-testid="visit-card"' not in event["data"]:
                        raise RuntimeError("an event without its card")
                    self.twice += sequence in self.came
                    self.came.setdefault(sequence, now)
                    self.last = sequence


@asynccontextmanager
async def _opened(port: int, path: str, head: str) -> AsyncIterator[AsyncIterator[dict[str, str]]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\n{head}\r\n\r\n".encode())
        status = await reader.readuntil(b"\r\n\r\n")
        first = status.decode().splitlines()[0]
        if " 200 " not in first:
            raise RuntimeError(f"a board was refused: {first}")
        yield _events(reader)
    finally:
        writer.close()


async def _events(reader: asyncio.StreamReader) -> AsyncIterator[dict[str, str]]:
    """The fields of each event, its data in one; chunks end where they like."""
    text = ""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        text += (await reader.readexactly(size + 2))[:-2].decode()
        while "\n\n" in text:
            block, text = text.split("\n\n", 1)
            fields: dict[str, str] = {}
            for line in block.splitlines():
                name, _, value = line.partition(": ")
                fields[name] = f"{fields[name]}\n{value}" if name in fields else value
            yield fields


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--boards", type=int, default=200)
    parser.add_argument("--stores", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=20)


def measure(given: argparse.Namespace) -> Outcome:
    house.own_database("board")
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        stores, matches = set_up(Path(made), given.stores, given.rounds)
        boards = [
            Board(store := stores[number % len(stores)], log_in(store, number))
            for number in range(given.boards)
        ]
        connection.close()
        with web() as (process, port):
            came_back, cpu_s = asyncio.run(play(boards, matches, port, psutil.Process(process)))
            memory = memory_mib(process)
    visits = {visit.sequence: visit for visit in Visit.objects.all()}
    late = [
        (at - visits[sequence].arrived_at.timestamp()) * 1000
        for board in boards
        for sequence, at in board.came.items()
        if sequence not in board.lost
    ]
    arrived = Counter(visit.store_id for visit in visits.values())
    due = sum(arrived[board.store.pk] for board in boards)
    outcome = Outcome(
        {
            "boards": given.boards,
            "stores": given.stores,
            "visits": len(visits),
            "p50_ms": percentile(late, 50) if late else None,
            "p95_ms": percentile(late, 95) if late else None,
            "max_ms": percentile(late, 100) if late else None,
            "missed": due - sum(len(board.came) for board in boards),
            "twice": sum(board.twice for board in boards),
            "came_back": came_back,
            "ended": sum(board.ended for board in boards),
            "looks": Entry.objects.filter(action="visit.shown").count(),
            "web_cpu_s": round(cpu_s, 1),
            "mib": round(memory, 1),
        }
    )
    outcome.at_most("missed", 0)
    outcome.at_most("twice", 0)
    if late:
        outcome.at_most("p95_ms", 500)
    if outcome.values["looks"] != due or not verify().ok:
        outcome.missed.append(f"{outcome.values['looks']} of {due} looks are in the ledger")
    if len(visits) != given.stores * given.rounds:
        outcome.missed.append(f"{len(visits)} people came in")
    return outcome


def set_up(folder: Path, count: int, rounds: int) -> tuple[list[Store], list[list[Match]]]:
    """Stores with a lawful lane, and who comes into each of them, round by round."""
    demo = house.prepare(folder / "nobody.mp4")
    Camera.objects.update(active=False)
    pack = load_pack(settings.CONSENTRY.packs)
    vectors = np.random.default_rng(5).normal(size=(rounds, 128)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    stores, people = [], []
    for number in range(count):
        store = Store.objects.create(
            organization=demo.organization,
            name=f"Store {number + 1}",
            slug=f"store-{number + 1}",
            jurisdiction=demo.jurisdiction,
            non_face_check_in=demo.non_face_check_in,
        )
        Device.objects.create(store=store, name="Tablet")
        lane(store, folder / "nobody.mp4")
        camera = Camera.objects.get(store=store)
        stores.append(store)
        people.append(
            [
                Match(template.pk, camera.pk, store.pk, 0.8, 0.4, time.time())
                for template in house.enrol(store, vectors, pack=pack)
            ]
        )
    return stores, [list(matches) for matches in zip(*people, strict=True)]


def log_in(store: Store, number: int) -> str:
    """A sales person of this store with a session; its key."""
    user = User.objects.create(username=f"staff-{number}", first_name=f"Staff {number}")
    Role.objects.create(user=user, store=store, kind=Role.Kind.STAFF)
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return str(session.session_key)


async def play(
    boards: list[Board], rounds: list[list[Match]], port: int, process: psutil.Process
) -> tuple[int, float]:
    """Open the boards and let people come in, round by round; how often a board came back, and the
    processor seconds of the web process once all were open."""
    came_back = 0
    for board in boards:
        await board.open(port)
    begun = process.cpu_times()
    for number, matches in enumerate(rounds):
        before = [len(board.came) for board in boards]
        cut = boards[number % CUT :: CUT]
        await asyncio.gather(*(board.close() for board in cut))
        arriving = asyncio.gather(*(asyncio.to_thread(_arrive, match) for match in matches))
        await asyncio.gather(*(board.open(port) for board in cut))
        came_back += len(cut)
        written = await arriving
        for board in cut:
            board.lost.update(written)
        until = time.monotonic() + LONGEST
        while time.monotonic() < until:
            if all(len(board.came) > had for board, had in zip(boards, before, strict=True)):
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(APART)
    ended = process.cpu_times()
    await asyncio.gather(*(board.close() for board in boards))
    return came_back, ended.user + ended.system - begun.user - begun.system


def _arrive(match: Match) -> int:
    """Somebody comes in; the number of their visit."""
    try:
        visit = disclose(match).visit
        if visit is None:
            raise RuntimeError("somebody was not let in")
        return Visit.objects.values_list("sequence", flat=True).get(pk=visit)
    finally:
        connection.close()


@contextmanager
def web() -> Iterator[tuple[int, int]]:
    """The web process as `ops/up` runs it: its id, and the port where it answers."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen(512)
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "uvicorn", "apps.config.asgi:application"),
                *("--fd", str(door.fileno()), "--no-access-log", "--no-server-header"),
                *("--timeout-graceful-shutdown", "2", "--log-level", "warning"),
            ],
            env=dict(os.environ),
            pass_fds=[door.fileno()],
        )
        try:
            yield process.pid, door.getsockname()[1]
        finally:
            process.terminate()
            process.wait(timeout=60)
