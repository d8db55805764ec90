"""The keyring is tended while the store is open: a new generation, keys moved, the old one gone."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import psycopg
import pytest
from django.conf import settings as _settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from numpy.typing import NDArray

from apps.audit.models import Entry
from apps.recognition import models
from apps.recognition.client import MatchRequest, Recognizer
from apps.recognition.engine import starter
from apps.recognition.sealed import PackName
from apps.recognition.upkeep import BATCH, LOCK, Policy, tend
from apps.visitors.models import DataKey, KeyGeneration, Rotation
from apps.visitors.vault import FileKeyring, generation_of, unwrap
from apps.visits.models import Visit
from ops.benches.house import enrol
from tests.conftest import ROOT, House, Process, build_house, test_database_url
from tests.people import enrolled_for_good, manage
from tests.waiting import until

AT_ONCE = Policy(keep=timedelta(0), grace=timedelta(0))
PACK = PackName(starter.NAME, starter.VERSION)
# Opens every template again and again, as a recognizer that loads its gallery.
READER = """
import django, sys
django.setup()
from django.conf import settings
from apps.recognition.sealed import COLUMNS, TEMPLATES, PackName, open_row, rows_of
from apps.visitors.vault import FileKeyring
keyring = FileKeyring.load(settings.CONSENTRY.keyring_path)
reads = failed = 0
print("ready", flush=True)
import select
while not select.select([sys.stdin], [], [], 0)[0]:
    for row in rows_of(f"SELECT {COLUMNS} {TEMPLATES}", {}):
        try:
            open_row(row, pack=PackName(row.pack, row.pack_version), keyring=keyring)
            reads += 1
        except Exception as error:
            failed += 1
            print(type(error).__name__, file=sys.stderr)
print(reads, failed, flush=True)
"""


@pytest.fixture
def keyring(settings: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FileKeyring:
    """One for this test alone, here and in every process that it starts."""
    path = tmp_path / "keys" / "keyring.json"
    made = FileKeyring.create(path)
    monkeypatch.setenv("CONSENTRY_KEYRING", str(path))
    changed = _settings.CONSENTRY.model_copy(update={"keyring": str(path)})
    settings.CONSENTRY = changed  # type: ignore[attr-defined]
    return made


@pytest.fixture
def crowd(transactional_db: None, keyring: FileKeyring) -> House:
    """Four hundred people; every template opens."""
    return crowded(400)


def crowded(people: int) -> House:
    house = build_house()
    vectors = np.random.default_rng(1).normal(size=(people, 128)).astype(np.float32)
    enrol(house.store, vectors, pack=PACK)  # type: ignore[arg-type]
    return house


def opened(keyring: FileKeyring) -> int:
    """How many data keys open."""
    for key in DataKey.objects.select_related("visitor__store"):
        store = key.visitor.store
        unwrap(
            bytes(key.wrapped),
            visitor=key.visitor_id,
            organization=store.organization_id,
            keyring=keyring,
        )
        assert generation_of(bytes(key.wrapped)) == key.generation
    return DataKey.objects.count()


def under(generation: int) -> int:
    return DataKey.objects.filter(generation=generation).count()


@contextmanager
def reading(count: int = 1) -> Iterator[list[tuple[int, int]]]:
    """Processes that read all the time; afterwards how many reads, and how many failed."""
    found: list[tuple[int, int]] = []
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", READER],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": test_database_url()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    yield found
    for process in processes:
        said, _ = process.communicate("stop\n", timeout=120)
        reads, failed = map(int, said.split())
        found.append((reads, failed))


def test_no_read_fails_while_generations_come_and_go(crowd: House, keyring: FileKeyring) -> None:
    with reading(2) as found:
        for _ in range(5):
            tended = tend(keyring=keyring, policy=AT_ONCE, actor="test", rotate=True)
            assert tended is not None
            assert (tended.rewrapped, tended.broken, tended.lost) == (400, 0, 0)
            # Readers hold transactions open: what must wait for them waits, and goes in time.
            until(lambda: _destroyed_all_but_newest(keyring), seconds=120)
    assert [failed for _reads, failed in found] == [0, 0]
    assert all(reads >= 400 for reads, _failed in found)
    assert [each.state for each in keyring.generations] == ["destroyed"] * 5 + ["live"]
    assert opened(keyring) == under(6) == 400
    told = Entry.objects.filter(action="keyring.destroyed").order_by("seq")
    assert [entry.detail["generation"] for entry in told] == [1, 2, 3, 4, 5]


def _destroyed_all_but_newest(keyring: FileKeyring) -> bool:
    tend(keyring=keyring, policy=AT_ONCE, actor="test")
    return all(each.state == "destroyed" for each in keyring.generations[:-1])


def test_killed_in_the_middle_each_key_is_whole_and_the_next_run_goes_on(
    transactional_db: None, keyring: FileKeyring
) -> None:
    crowded(2 * BATCH + 100)
    with psycopg.connect(test_database_url()) as other:
        # Holds a key of the third batch, so that a run stops there.
        last = DataKey.objects.order_by("-visitor_id").values_list("pk", flat=True)[0]
        other.execute("SELECT 1 FROM visitors_datakey WHERE visitor_id = %s FOR UPDATE", [last])
        run = manage("keys", "rotate")
        until(_somebody_waits, seconds=60)
        run.send_signal(signal.SIGKILL)
        run.communicate()
        # A session that waits for a lock does not see that nobody is there any more.
        with connection.cursor() as cursor:
            cursor.execute(WAITING.replace("SELECT pid", "SELECT pg_terminate_backend(pid)"))
        until(lambda: not _somebody_waits(), seconds=60)
    assert (under(1), under(2)) == (100, 2 * BATCH)
    assert opened(keyring) == 2 * BATCH + 100
    again = manage("keys", "tend")
    said, _ = again.communicate(timeout=120)
    done = json.loads(said.splitlines()[-1])
    assert (again.returncode, done["rewrapped"], done["rotated"]) == (0, 100, False)
    assert under(2) == opened(keyring) == 2 * BATCH + 100
    assert done["waiting"] == {"1": "backups of its time are kept restorable"}


WAITING = """SELECT pid FROM pg_stat_activity
              WHERE datname = current_database() AND wait_event_type = 'Lock'"""


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(WAITING)
        return bool(cursor.fetchall())


def test_a_key_that_is_erased_while_it_is_rewrapped_stays_erased(
    crowd: House, keyring: FileKeyring
) -> None:
    gone = DataKey.objects.values_list("pk", flat=True)[0]

    def work() -> None:
        try:
            tend(keyring=keyring, policy=AT_ONCE, actor="test", rotate=True)
        finally:
            connection.close()

    worker = threading.Thread(target=work)
    with psycopg.connect(test_database_url()) as other:
        other.execute("DELETE FROM visitors_datakey WHERE visitor_id = %s", [gone])
        worker.start()
        until(_somebody_waits, seconds=60)
        other.commit()
    worker.join()
    assert not DataKey.objects.filter(pk=gone).exists()
    assert under(2) == opened(keyring) == 399


def test_a_generation_stays_while_somebody_may_need_it(crowd: House, keyring: FileKeyring) -> None:
    keep = Policy(keep=timedelta(days=7), grace=timedelta(0))

    def waits(policy: Policy, rotate: bool = False) -> str:
        tended = tend(keyring=keyring, policy=policy, actor="test", rotate=rotate)
        assert tended is not None
        return tended.waiting.get(1, "")

    # A recognizer of another machine that has not heard of the new generation yet.
    beside = models.Recognizer.objects.create(
        pack="p",
        pack_version="1",
        licence="",
        commercial=True,
        generation=1,
        oldest=1,
        started_at=timezone.now(),
        seen_at=timezone.now() + timedelta(hours=1),
    )
    assert waits(keep, rotate=True) == "backups of its time are kept restorable"
    assert waits(Policy(keep=timedelta(0))) == "whoever read a key under it may still be at it"
    assert waits(AT_ONCE) == "a recognizer still wraps with it"
    beside.generation = 2
    beside.save()
    with psycopg.connect(test_database_url()) as reader:
        KeyGeneration.objects.update(emptied_at=None)
        reader.execute("SELECT 1")
        assert waits(AT_ONCE) == "1 transactions are older than its last key"
    with psycopg.connect(test_database_url()) as elsewhere:
        elsewhere.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        assert tend(keyring=keyring, policy=AT_ONCE, actor="test") is None
        elsewhere.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
    assert waits(AT_ONCE) == ""
    assert keyring.generations[0].state == "destroyed"
    assert KeyGeneration.objects.get(pk=1).destroyed_at is not None
    # From now on PostgreSQL takes no key under it, whoever was slow.
    key = DataKey.objects.all()[0]
    with pytest.raises(IntegrityError, match="is being destroyed"), transaction.atomic():
        DataKey.objects.filter(pk=key.pk).update(generation=1)


def test_recognizers_rotate_by_themselves_and_everybody_is_recognised_on(
    transactional_db: None,
    keyring: FileKeyring,
    crops_of: Callable[[int], NDArray[np.uint8]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Two recognizers, each looking five times a second; the keyring is eight days old."""
    house, sockets = build_house(), [str(tmp_path / name) for name in ("a.sock", "b.sock")]
    document = json.loads(keyring.path.read_bytes())
    document["generations"][0]["created_at"] = (timezone.now() - timedelta(days=8)).isoformat()
    keyring.path.chmod(0o600)
    keyring.path.write_text(json.dumps(document))
    monkeypatch.setenv("CONSENTRY_RECOGNIZER_SOCKET", ":".join(sockets))
    processes = [Process("recognizer", "--upkeep", "3600") for _ in range(2)]
    both = [Recognizer(Path(name)) for name in sockets]
    enrolled_for_good(house, both, crops_of(2))
    assert [key.generation for key in DataKey.objects.all()] == [1]
    for process in processes:
        process.stop()
    processes = [Process("recognizer", "--upkeep", "0.2") for _ in range(2)]
    try:
        until(lambda: under(2) == 1, seconds=60)
        until(
            lambda: generation_of(bytes(Rotation.objects.get().wrapped), b"CRO1") == 2, seconds=60
        )
        running = models.Recognizer.objects.running()
        until(lambda: set(running.values_list("generation", flat=True)) == {2}, seconds=60)
        for recognizer in both:
            Visit.objects.all().delete()
            asked = MatchRequest(house.camera.pk, house.store.pk, time.time())
            assert recognizer.match(asked, crops_of(2)).outcome == "visit"
        keyring.refresh()
        assert [each.state for each in keyring.generations] == ["live", "live"]
        # The operator wants the old one gone now; both recognizers say that they forgot it.
        KeyGeneration.objects.update(emptied_at=timezone.now() - timedelta(minutes=5))
        until(_destroyed_by_operator, seconds=60)
        until(lambda: set(running.values_list("oldest", flat=True)) == {2}, seconds=60)
    finally:
        for process in processes:
            process.stop()
    assert Entry.objects.filter(action="keyring.rotated").count() == 1


def _destroyed_by_operator() -> bool:
    run = manage("keys", "tend", "--destroy")
    said, wrong = run.communicate(timeout=120)
    assert run.returncode == 0 or "just now" in wrong, wrong
    return run.returncode == 0 and json.loads(said.splitlines()[-1])["destroyed"] == [1]


def test_the_operator_sees_generations_and_no_key(crowd: House, keyring: FileKeyring) -> None:
    tend(keyring=keyring, policy=Policy(), actor="test", rotate=True)
    run = manage("keys", "show")
    said, _ = run.communicate(timeout=60)
    shown = json.loads(said)
    assert (shown["held_by"], shown["rotate_days"], shown["keep_days"]) == ("file", 7, 7)
    assert [(each["number"], each["state"], each["keys"]) for each in shown["generations"]] == [
        (1, "live", 0),
        (2, "live", 400),
    ]
    for record in json.loads(keyring.path.read_bytes())["generations"]:
        assert record["key"] not in said
