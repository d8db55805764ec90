"""What was deleted, kept where restoring the database cannot lose it: so that it is deleted again.

Design. An old backup brings back whoever was erased since. So each deletion is written twice: as a
row in the transaction that deletes, and then, signed, as one line of a file beside the database
(`CONSENTRY_DELETIONS`): random ids and what was done with them, nothing else. Without an old backup
they lead to nobody. A certificate is issued only when its line is in the file. Each line is a JWS
that names the hash of the line before it: a line that was changed, dropped or moved is found, and a
backup says up to which line it knew, so that an older copy of the file is found too.

A database that lacks a deletion of the file was restored, by whatever tool: until `manage.py
restore` has deleted again, no process of the house gets a connection to it (`require_replayed`).
"""

import fcntl
import hashlib
import json
import os
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID, uuid4

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from apps.audit import signing
from apps.audit.models import Deletion

TYPE = "consentry-deletion+jws"
LONGEST = 4096
# Lines at the end of the file that the database is asked about on every connection. Two deletions
# may be written in the other order than they were committed in, never a hundred.
ASKED = 100

MISSING = """
SELECT count(*) FROM unnest(%s::uuid[]) AS listed (id)
 WHERE NOT EXISTS (SELECT 1 FROM audit_deletion d WHERE d.id = listed.id)
"""
LISTED = "SELECT count(*) FROM (SELECT 1 FROM audit_deletion WHERE listed_at IS NOT NULL LIMIT 1) t"

_replaying = False


class ListBroken(Exception):
    """The list of deletions was changed, or is not this house's. The sentence says where."""


class NotReplayed(OperationalError):
    """The database was restored and may hold people who were erased. Nothing is served from it."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{why} Nothing is served until: manage.py restore --replay")


@transaction.atomic
def intend(kind: str, *, id: UUID | None = None, **ids: str) -> Deletion:
    """Remember in the transaction that deletes what must be deleted again after a restore."""
    deletion = Deletion.objects.create(id=id or uuid4(), detail={"kind": kind, **ids})
    transaction.on_commit(lambda: enlist(deletion.pk), robust=True)
    return deletion


@transaction.atomic
def enlist(pk: UUID) -> None:
    """Write a deletion's line, unless it is there. OSError, KeyFileError when it cannot be."""
    deletion = Deletion.objects.select_for_update().get(pk=pk)
    if deletion.listed_at is None:
        append({"id": str(pk), **deletion.detail})
        deletion.listed_at = timezone.now()
        deletion.save(update_fields=["listed_at"])


def enlist_pending() -> int:
    """Write the lines that could not be written before; how many there were."""
    waiting = list(Deletion.objects.filter(listed_at=None).values_list("pk", flat=True))
    for pk in waiting:
        enlist(pk)
    return len(waiting)


def append(entry: dict[str, Any]) -> None:
    """Sign one line and write it down for good."""
    path = settings.CONSENTRY.deletions_path
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The recognizer, a user of its own, reads it by the group.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    with os.fdopen(descriptor, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        last = _without_half_a_line(file)
        number = _claims(last)["n"] + 1 if last else 1
        line = signing.sign(
            {
                "n": number,
                "previous": digest(last) if last else "",
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                **entry,
            },
            TYPE,
        )
        file.seek(0, os.SEEK_END)
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> list[dict[str, Any]]:
    """Every entry, checked: signature, number, and the hash of the line before. ListBroken."""
    entries: list[dict[str, Any]] = []
    key, previous = signing.public_jwk(), ""
    for number, line in enumerate(lines(path), 1):
        try:
            entry = signing.verify(line, key, TYPE)
        except signing.BadSignature:
            raise ListBroken(f"Line {number} of {path} is not signed by this house.") from None
        if entry["n"] != number or entry["previous"] != previous:
            raise ListBroken(f"Before line {number} of {path} something is missing.")
        previous = digest(line)
        entries.append(entry)
    return entries


def lines(path: Path) -> list[str]:
    """The file's whole lines; none when there is no file."""
    try:
        content = path.read_text(encoding="ascii")
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        raise ListBroken(f"{path} is not a list of deletions.") from None
    return content[: content.rfind("\n") + 1].splitlines()


def digest(line: str) -> str:
    """SHA-256 of a line without its end, as hex."""
    return hashlib.sha256(line.encode()).hexdigest()


def require_replayed(ask: Callable[[str, list[Any]], int]) -> None:
    """Raise NotReplayed when the database lacks a deletion. `ask` runs a query that counts."""
    if _replaying:
        return
    listed = _last_ids(settings.CONSENTRY.deletions_path)
    if listed is None:
        if ask(LISTED, []):
            raise NotReplayed("The list of deletions is missing (CONSENTRY_DELETIONS).")
    elif missing := ask(MISSING, [listed]):
        raise NotReplayed(f"The database lacks {missing} of the last {len(listed)} deletions.")


@contextmanager
def replaying() -> Iterator[None]:
    """Let this process reach a database that was restored: it is the one that deletes again."""
    global _replaying
    _replaying = True
    try:
        yield
    finally:
        _replaying = False
        connection.close()


def _last_ids(path: Path) -> list[str] | None:
    """Ids of the last lines, unchecked; None when there is no file or nothing in it."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return _ids_in(path, (state.st_dev, state.st_ino, state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=1)
def _ids_in(path: Path, _identity: tuple[int, ...]) -> list[str] | None:
    """What stands in one state of the file: every connection asks, and few of them after another
    deletion."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        start = max(0, end - ASKED * LONGEST // 8)
        file.seek(start)
        content = file.read()
    whole = content[: content.rfind(b"\n") + 1].splitlines()
    ids = [str(_claims(line.decode())["id"]) for line in whole[1 if start else 0 :][-ASKED:]]
    return ids or None


def _without_half_a_line(file: BinaryIO) -> str:
    """The last whole line; what a killed process left after it is cut off, nobody relied on it."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - 2 * LONGEST))
    content = file.read()
    whole = content.rfind(b"\n") + 1
    file.truncate(end - len(content) + whole)
    last = content[:whole].splitlines()[-1:]
    return last[0].decode() if last else ""


def _claims(line: str) -> dict[str, Any]:
    body = line.split(".")[1]
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims
