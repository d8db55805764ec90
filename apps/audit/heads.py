"""Signed heads of the ledger, in the database and in a file outside it.

Whoever owns the database can rewrite all of it, its signed heads too if they hold the house's key:
then it agrees with itself. So every hour the head is appended to a file that the database cannot
reach, best on a share that is written once (CONSENTRY_CHECKPOINT_DIR). One line a head, each the
compact JWS that was signed; the file is only ever appended to.
"""

import fcntl
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings

from apps.audit import signing

CHECKPOINT_TYPE = "consentry-checkpoint+jws"
# The root over entries that were dropped, see `pruning`; it leaves the database like a head.
PRUNING_TYPE = "consentry-pruning+jws"
# No entry is dropped that is younger: the proof period.
SHORTEST = timedelta(days=3 * 365)
FILE = "checkpoints.jws"
LONGEST = 4096  # bytes of a line; a head has some four hundred


class HeadsUnwritable(Exception):
    """The file of exported heads cannot be written. The sentence says which and why."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a signed head says: the root over the first `size` entries, and when it was signed.

    `pruned`: it was signed when these entries were dropped.
    """

    size: int
    root: str
    at: datetime
    pruned: bool


def read(document: str, key: dict[str, str]) -> Head:
    """Return a head that this house signed, or raise signing.BadSignature."""
    try:
        signed, pruned = signing.verify(document, key, CHECKPOINT_TYPE), False
    except signing.BadSignature:
        signed, pruned = signing.verify(document, key, PRUNING_TYPE), True
    try:
        at = datetime.fromisoformat(signed["at"])
        return Head(int(signed["size"]), str(signed["root"]), at, pruned)
    except (KeyError, ValueError, TypeError):
        raise signing.BadSignature("The document is no head of a ledger.") from None


def path() -> Path:
    """Where the exported heads are."""
    return settings.CONSENTRY.checkpoints / FILE


def exported() -> list[str]:
    """Return the exported lines, oldest first; none when there is no file.

    A last line without its end was being written when the machine stopped, and does not count.
    Raises OSError when there is a file that cannot be read.
    """
    try:
        content = path().read_text("ascii", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return []
    return content.split("\n")[:-1]


def export(document: str) -> bool:
    """Append a signed head, on disk when this returns; False when it is the last line already.

    Raises HeadsUnwritable.
    """
    file = path()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            appended = _append(descriptor, document.encode("ascii"))
        finally:
            os.close(descriptor)
        if appended:
            _sync_folder(file.parent)
    except OSError as error:
        raise HeadsUnwritable(f"{file} cannot be written: {error.strerror}.") from None
    return appended


def _append(descriptor: int, line: bytes) -> bool:
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, 2 * LONGEST, max(0, size - 2 * LONGEST))
    whole, _newline, torn = tail.rpartition(b"\n")
    if whole.rpartition(b"\n")[2] == line:
        return False
    if torn:
        # What was not whole when the machine stopped was never relied upon.
        os.ftruncate(descriptor, size - len(torn))
    # One write: whoever reads meanwhile sees the line or does not.
    if os.write(descriptor, line + b"\n") != len(line) + 1:
        raise OSError(0, "it took only a part of a line")
    os.fsync(descriptor)
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
