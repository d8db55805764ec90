"""A backup that is restored brings nobody back who was erased, and opens nobody's face."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings

from apps.audit.services import LOCK
from ops.local import _postgresql_program
from tests.cluster import Cluster, cluster
from tests.conftest import ROOT
from tests.waiting import until

WRITING = 1
# Ten whose faces a lane knows, one known by a pass and one by a card.
GONE = 12

# Thirty people of real sealed templates; then a backup; then ten are erased. What identifies them
# goes to this test alone.
LIVE = """
import json
import numpy as np
from django.conf import settings
from django.core.management import call_command
from apps.recognition.engine import starter
from apps.recognition.sealed import PackName
from apps.retention.models import Erasure
from apps.retention.services.erase import complete, erase
from apps.visitors.models import Visitor
from apps.visitors.vault import open_keyring, unwrap
from ops.benches.house import enrol
from tests.conftest import build_house

call_command("migrate", verbosity=0)
call_command("keys", "init")
house = build_house()
vectors = np.random.default_rng(7).normal(size=(30, 128)).astype(np.float32)
templates = enrol(house.store, vectors, pack=PackName(starter.NAME, starter.VERSION))
Visitor.objects.update(greeting_name=MD5(Cast("pk", CharField())))
for person in Visitor.objects.all():
    letter(house, Request.Kind.ACCESS)
    Request.objects.filter(subject=None).update(
        subject=person.subject, words=md5(f"words {person.pk}".encode()).hexdigest(),
        state="refused", refusal="grounds", told="letter",
        closed_at=Now(), delete_after=Now() + YEAR)
keyring = open_keyring(settings.CONSENTRY)

def told(template, vector):
    wrapped = bytes(template.visitor.data_key.wrapped)
    key = unwrap(wrapped, visitor=template.visitor_id,
                 organization=house.organization.pk, keyring=keyring)
    return {
        "visitor": str(template.visitor_id), "key": key._secret.hex(),
        # Without their headers, which are the same for everybody.
        "wrapped": wrapped[8:].hex(), "sealed": template.sealed[6:].hex(),
        "vector": vector.tobytes().hex(),
    }

people = [told(*each) for each in zip(templates, vectors)]
# Two more, known by a pass and by a card: what is left of their rows is a row too.
noise = np.random.default_rng(8).integers(0, 256, (3, 112, 112, 3), np.uint8)
by_pass, _ = enrolled_before(house, load_pack(settings.CONSENTRY.packs), noise, Purpose.PASS)
by_card = house.visitor(purposes=[Purpose.CARD])
call_command("backup", sys.argv[1])
gone = [*(each["visitor"] for each in people[:10]), by_pass.pk, by_card.pk]
for person in Visitor.objects.filter(pk__in=gone):
    done = complete(erase(visitor=person, cause=Erasure.Cause.REQUEST, actor="t"))
    assert done.state == "complete"
print(json.dumps(people))
""".replace(
    "import json\n",
    "import json, sys\nfrom datetime import timedelta\nfrom hashlib import md5\n"
    "from django.db.models import CharField\n"
    "from django.db.models.functions import Cast, MD5, Now\n"
    "from apps.retention.models import Request\n"
    "from apps.consent.models import Purpose\n"
    "from apps.recognition.engine.packs import load_pack\n"
    "from tests.packs import enrolled_before\nfrom tests.privacy.requests import letter\n"
    "YEAR = timedelta(days=365)\n",
    1,
)
# Whose template opens, as a recognizer would find them; then the keyring is rotated and the older
# generations are kept for so many days; and so on.
ROTATE = """
import json, sys
from datetime import timedelta
from django.conf import settings
from apps.recognition.engine import starter
from apps.recognition.keeper import GALLERY
from apps.recognition.sealed import PackName, open_row, rows_of
from apps.recognition.upkeep import Policy, tend
from apps.visitors.vault import SealBroken, UnknownGeneration, open_keyring

keyring, told = open_keyring(settings.CONSENTRY), []

def opened():
    found = []
    for row in rows_of(GALLERY, {"pack": starter.NAME, "version": starter.VERSION}):
        try:
            open_row(row, pack=PackName(row.pack, row.pack_version), keyring=keyring)
        except (SealBroken, UnknownGeneration):
            continue
        found.append(str(row.visitor_id))
    return found

told.append(opened())
for keep in map(int, sys.argv[1:]):
    done = tend(keyring=keyring, actor="t", rotate=True,
                policy=Policy(keep=timedelta(days=keep), grace=timedelta(0)))
    told += [[done.rewrapped, done.lost, done.destroyed], opened()]
print(json.dumps(told))
"""

COUNT = """
from apps.visitors.models import FaceTemplate
print(FaceTemplate.objects.count())
"""


class Shop:
    """Thirty people, ten of whom are erased after the backup; keys and list outlive the server."""

    def __init__(self, folder: Path) -> None:
        self.backup = folder / "backup"
        self.environment = {
            "CONSENTRY_KEYRING": str(folder / "keys" / "keyring.json"),
            "CONSENTRY_SIGNING_KEY": str(folder / "keys" / "signing.pem"),
            "CONSENTRY_DELETIONS": str(folder / "deletions.jws"),
            "CONSENTRY_PACK_DIR": str(settings.CONSENTRY.packs),
        }
        self.people: list[dict[str, str]] = []

    @property
    def erased(self) -> list[dict[str, str]]:
        return self.people[:10]

    @property
    def stayed(self) -> list[dict[str, str]]:
        return self.people[10:]

    def live(self) -> None:
        """Open, enrol, back up, erase ten. The server is gone afterwards."""
        with cluster(**self.environment) as old:
            self.people = last(old.python(LIVE, str(self.backup)))


def bytes_of(people: list[dict[str, str]], *names: str) -> dict[str, bytes]:
    return {
        f"{name} of {index}": bytes.fromhex(each[name])
        for index, each in enumerate(people)
        for name in names
    }


def last(said: str) -> Any:
    return json.loads(said.splitlines()[-1])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    shop.live()
    return shop


@pytest.fixture
def new(shop: Shop) -> Iterator[Cluster]:
    """A new server with an empty database."""
    with cluster(**shop.environment) as server:
        yield server


def test_ten_who_were_erased_do_not_come_back_and_nothing_of_them_is_written(
    shop: Shop, new: Cluster
) -> None:
    """The test that matters."""
    restored = last(new.manage("restore", str(shop.backup)))
    assert (restored["deleted_again"], restored["left"]) == (GONE, GONE)
    # Not a byte of theirs, open or wrapped, in any table, index or write-ahead log of the server …
    names = {
        each["visitor"]: md5(each["visitor"].encode(), usedforsecurity=False).hexdigest().encode()
        for each in shop.people
    }
    erased = [each["visitor"] for each in shop.erased]
    stayed = [each["visitor"] for each in shop.stayed]
    words = {
        f"words {each}": md5(f"words {each}".encode(), usedforsecurity=False).hexdigest().encode()
        for each in names
    }
    closed = bytes_of(shop.erased, "key", "wrapped", "sealed", "vector")
    found = new.found({**closed, **names, **words})
    # … where this search finds what is there of the others, and only what is sealed.
    assert found == {*stayed, *(f"words {each}" for each in stayed)}
    found = new.found(bytes_of(shop.stayed, "key", "wrapped", "sealed", "vector"))
    assert found == set(bytes_of(shop.stayed, "wrapped", "sealed"))
    # Rotated, and the week over: what the old backup holds of anybody opens nowhere any more.
    at_first, kept, later, ended, at_last = last(new.python(ROTATE, "7", "0"))
    assert set(at_first) == set(later) == set(at_last) == set(stayed)
    assert not set(erased).intersection(at_first)
    assert (kept, ended) == ([20, 0, []], [20, 0, [1, 2]])
    with cluster(**shop.environment) as third:
        assert last(third.manage("restore", str(shop.backup)))["left"] == GONE
        assert third.found(bytes_of(shop.erased, "key", "wrapped", "sealed", "vector")) == set()
        assert last(third.python(ROTATE, "7")) == [[], [0, 20, []], []]


def test_a_database_restored_by_other_means_is_served_by_nobody(shop: Shop, new: Cluster) -> None:
    """As after `pg_restore` by hand, or when the disk's snapshot is put back."""
    subprocess.run(
        [
            *(_postgresql_program("pg_restore"), "--no-owner", "--dbname"),
            *(new.environment["DATABASE_URL"], shop.backup / "database.dump"),
        ],
        check=True,
        capture_output=True,
    )
    assert "manage.py restore --replay" in new.manage("recognizer", succeeds=False)
    answers = new.python(
        "import json\n"
        "from django.test import Client\n"
        "client = Client(raise_request_exception=False)\n"
        "print(json.dumps([client.get(path, headers={'host': 'localhost'}).status_code"
        " for path in ('/healthz', '/', '/login/')]))"
    )
    assert last(answers)[:2] == [500, 500]
    restored = last(new.manage("restore", "--replay"))
    assert (restored["deleted_again"], restored["left"]) == (GONE, GONE)
    # Now anybody may; and the list, which is longer by ten, is known to the end.
    assert last(new.python(COUNT)) == len(shop.stayed)


def killed_where_it_waits(new: Cluster, backup: Path, lock: int) -> None:
    """Start a restore and end it by SIGKILL where it wants this advisory lock."""
    with administrator(new) as server:
        server.execute("SELECT pg_advisory_lock(%s)", [lock])
        process = subprocess.Popen(
            [sys.executable, "manage.py", "restore", str(backup)], cwd=ROOT, env=new.environment
        )
        waits = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        until(lambda: server.execute(waits).rowcount or process.poll() is not None, seconds=120)
        assert process.poll() is None
        process.kill()
        process.wait()
        server.execute("SELECT pg_advisory_unlock(%s)", [lock])
        others = (
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        until(lambda: not server.execute(others).rowcount, seconds=60)


def administrator(new: Cluster) -> psycopg.Connection:
    host = str(new.folder.run / "servers")
    return psycopg.connect(host=host, user="postgres", dbname="consentry", autocommit=True)


def test_a_restore_that_is_killed_serves_nobody_and_is_completed(shop: Shop, new: Cluster) -> None:
    # While it is written, with more to come than lies between two processes: nothing of it stays.
    with administrator(new) as server:
        server.execute(
            "CREATE FUNCTION waiting() RETURNS event_trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN PERFORM pg_advisory_xact_lock({WRITING}); END $$"
        )
        server.execute(
            "CREATE EVENT TRIGGER waiting ON ddl_command_end WHEN TAG IN ('CREATE TABLE') "
            "EXECUTE FUNCTION waiting()"
        )
    killed_where_it_waits(new, shop.backup, WRITING)
    with administrator(new) as server:
        left = server.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        assert left.fetchall() == []
        server.execute("DROP FUNCTION waiting() CASCADE")
    # While it deletes again: all rows are there, and nobody gets at them.
    killed_where_it_waits(new, shop.backup, LOCK)
    with administrator(new) as server:
        (people,) = server.execute("SELECT count(*) FROM visitors_visitor").fetchone() or (0,)
    assert people == len(shop.stayed) + GONE
    assert "manage.py restore --replay" in new.manage("recognizer", succeeds=False)
    assert "not empty" in new.manage("restore", str(shop.backup), succeeds=False)
    restored = last(new.manage("restore", "--replay"))
    assert (restored["deleted_again"], restored["left"]) == (GONE, GONE)
    assert last(new.python(COUNT)) == len(shop.stayed)


def test_what_does_not_fit_is_refused_before_anything_is_written(
    shop: Shop, new: Cluster, tmp_path: Path
) -> None:
    changed, listed = tmp_path / "changed", Path(shop.environment["CONSENTRY_DELETIONS"])
    shutil.copytree(shop.backup, changed)
    with (changed / "database.dump").open("ab") as dump:
        dump.write(b"!")
    lines = listed.read_bytes().splitlines(keepends=True)
    lists = {
        "cut": lines[1:],
        "gap": [*lines[:3], *lines[4:]],
        "forged": [lines[0].replace(b".", b"A.", 1)],
    }
    for name, content in lists.items():
        (tmp_path / name).write_bytes(b"".join(content))
    good = str(shop.backup)
    said = last(
        new.python(
            "import json, sys\n"
            "from pathlib import Path\n"
            "from django.conf import settings\n"
            "from django.core.management import CommandError, call_command\n"
            "from django.db import connection\n"
            "said = []\n"
            "for folder, listed in zip(sys.argv[1::2], sys.argv[2::2]):\n"
            "    new = settings.CONSENTRY.model_copy(update={'deletions': Path(listed)})\n"
            "    settings.CONSENTRY = new\n"
            "    try:\n"
            "        call_command('restore', folder)\n"
            "    except CommandError as error:\n"
            "        said.append(str(error))\n"
            "    assert connection.introspection.table_names() == []\n"
            "print(json.dumps(said))",
            *(str(changed), str(listed), str(tmp_path), str(listed)),
            *(word for name in lists for word in (good, str(tmp_path / name))),
        )
    )
    for sentence, why in zip(
        said,
        (
            "not the one that its manifest was signed for",
            "holds no backup",
            "something is missing",
            "something is missing",
            "not signed by this house",
        ),
        strict=True,
    ):
        assert why in sentence
