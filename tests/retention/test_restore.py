"""A backup that is restored brings nobody back who was erased, and opens nobody's face."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.cluster import Cluster, cluster

# Thirty people of real sealed templates; what identifies them goes to this test alone.
OPEN = """
import json
import numpy as np
from apps.recognition.engine import starter
from apps.recognition.sealed import PackName
from apps.visitors.models import DataKey
from apps.visitors.vault import open_keyring, unwrap
from django.conf import settings
from ops.benches.house import enrol
from tests.conftest import build_house
house = build_house()
vectors = np.random.default_rng(7).normal(size=(30, 128)).astype(np.float32)
templates = enrol(house.store, vectors, pack=PackName(starter.NAME, starter.VERSION))
keyring = open_keyring(settings.CONSENTRY)
print(json.dumps([{
    "visitor": str(each.visitor_id), "template": str(each.pk), "sealed": each.sealed.hex(),
    "name": each.visitor.greeting_name,
    "wrapped": bytes(each.visitor.data_key.wrapped).hex(),
    "key": bytes(unwrap(bytes(each.visitor.data_key.wrapped), visitor=each.visitor_id,
        organization=house.organization.pk, keyring=keyring)._secret).hex(),
    "vector": vector.tobytes().hex(),
} for each, vector in zip(templates, vectors)]))
"""
ERASE = """
from apps.retention.models import Erasure
from apps.retention.services.erase import complete, erase
from apps.visitors.models import Visitor
for pk in {ids!r}:
    done = complete(erase(visitor=Visitor.objects.get(pk=pk), cause=Erasure.Cause.REQUEST, actor="t"))
    assert done.state == "complete"
"""
ROTATE = """
from datetime import timedelta
from django.conf import settings
from apps.recognition.upkeep import Policy, tend
from apps.visitors.vault import open_keyring
done = tend(keyring=open_keyring(settings.CONSENTRY), actor="t", rotate=True,
            policy=Policy(keep=timedelta(days={keep}), grace=timedelta(0)))
print(done.rewrapped, done.lost, done.destroyed)
"""
# Everybody whose template opens, as a recognizer would find them.
OPENED = """
import json
from django.conf import settings
from apps.recognition.keeper import GALLERY
from apps.recognition.engine import starter
from apps.recognition.sealed import PackName, open_row, rows_of
from apps.visitors.vault import SealBroken, UnknownGeneration, open_keyring
keyring, opened = open_keyring(settings.CONSENTRY), []
for row in rows_of(GALLERY, {"pack": starter.NAME, "version": starter.VERSION}):
    try:
        open_row(row, pack=PackName(row.pack, row.pack_version), keyring=keyring)
    except (SealBroken, UnknownGeneration):
        continue
    opened.append(str(row.visitor_id))
print(json.dumps(opened))
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
            old.manage("migrate", "-v0")
            old.manage("keys", "init")
            self.people = json.loads(old.python(OPEN).splitlines()[-1])
            made = json.loads(old.manage("backup", str(self.backup)).splitlines()[-1])
            assert made["deletions"] == 0
            old.python(ERASE.format(ids=[each["visitor"] for each in self.erased]))


def bytes_of(people: list[dict[str, str]], *names: str) -> dict[str, bytes]:
    return {
        f"{name} of {index}": bytes.fromhex(each[name])
        for index, each in enumerate(people)
        for name in names
    }


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


def last(said: str) -> Any:
    return json.loads(said.splitlines()[-1])


def test_ten_who_were_erased_do_not_come_back_and_nothing_of_them_is_written(
    shop: Shop, new: Cluster
) -> None:
    """The test that matters."""
    before = {visitor["visitor"] for visitor in shop.people}
    restored = last(new.manage("restore", str(shop.backup)))
    assert (restored["deleted_again"], restored["left"]) == (10, 10)
    stayed = {each["visitor"] for each in shop.stayed}
    assert set(last(new.python(OPENED))) == stayed < before
    # Not a byte of theirs, open or wrapped, in any table, index or write-ahead log of the server …
    secret = ("key", "wrapped", "sealed", "vector")
    assert new.found(bytes_of(shop.erased, *secret)) == set()
    assert new.found({each["name"]: each["name"].encode() + b"\0" for each in shop.erased}) == set()
    # … where this search finds what is there of the others, and only what is sealed.
    assert new.found(bytes_of(shop.stayed, *secret)) == set(
        bytes_of(shop.stayed, "wrapped", "sealed")
    )
    assert new.python(ROTATE.format(keep=7)).split() == ["20", "0", "[]"]
    assert set(last(new.python(OPENED))) == stayed
    # The week is over: what the old backup holds of anybody opens nowhere any more.
    assert new.python(ROTATE.format(keep=0)).split() == ["20", "0", "[1,", "2]"]
    assert set(last(new.python(OPENED))) == stayed
    with cluster(**shop.environment) as third:
        assert last(third.manage("restore", str(shop.backup)))["left"] == 10
        assert last(third.python(OPENED)) == []
        assert third.python(ROTATE.format(keep=7)).split() == ["0", "20", "[]"]
        assert third.found(bytes_of(shop.erased, *secret)) == set()


def test_a_database_restored_by_other_means_is_served_by_nobody(shop: Shop, new: Cluster) -> None:
    """As after `pg_restore` by hand, or when the disk's snapshot is put back."""
    from ops.local import _postgresql_program

    url = new.environment["DATABASE_URL"]
    subprocess.run(
        [_postgresql_program("pg_restore"), "--no-owner", "-d", url, shop.backup / "database.dump"],
        check=True,
        capture_output=True,
    )
    for act in (("sweep",), ("recognizer",), ("backup", str(shop.backup.with_name("b")))):
        assert "manage.py restore --replay" in new.manage(*act, succeeds=False)
    answer = new.python(
        "from django.test import Client\n"
        "client = Client(raise_request_exception=False)\n"
        "print([client.get(path, headers={'host': 'localhost'}).status_code"
        " for path in ('/healthz', '/', '/login/')])"
    )
    assert answer.split("\n")[-2] == "[500, 500, 500]"
    restored = last(new.manage("restore", "--replay"))
    assert (restored["deleted_again"], restored["left"]) == (10, 10)
    new.manage("sweep")
    again = last(new.manage("restore", "--replay"))
    assert again["deleted_again"] == 0
    # What the list gained by the second deletion is on it once, and known.
    new.manage("ledger", "verify")


def test_what_does_not_fit_is_refused_before_anything_is_written(
    shop: Shop, new: Cluster, tmp_path: Path
) -> None:
    def refused(*arguments: str) -> str:
        said = new.manage("restore", *arguments, succeeds=False)
        assert new.python(
            "from django.db import connection\nprint(connection.introspection.table_names())"
        ).endswith("[]\n")
        return said

    changed = tmp_path / "changed"
    shutil.copytree(shop.backup, changed)
    with (changed / "database.dump").open("ab") as dump:
        dump.write(b"!")
    assert "not the one that its manifest was signed for" in refused(str(changed))
    assert "holds no backup" in refused(str(tmp_path))
    assert "Name the folder" in refused()

    listed = Path(shop.environment["CONSENTRY_DELETIONS"])
    lines = listed.read_bytes().splitlines(keepends=True)
    for wrong, why in (
        (lines[1:], "something is missing"),
        ([*lines[:3], *lines[4:]], "something is missing"),
        ([lines[0].replace(b".", b"A.", 1)], "not signed by this house"),
    ):
        elsewhere = tmp_path / "list.jws"
        elsewhere.write_bytes(b"".join(wrong))
        new.environment["CONSENTRY_DELETIONS"] = str(elsewhere)
        assert why in refused(str(shop.backup))
    new.environment["CONSENTRY_DELETIONS"] = str(listed)
