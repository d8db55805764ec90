"""Files that hold keys: made whole or not at all, read only when nobody else can read them.

A replaced file is overwritten before its blocks are given back, so that a destroyed key does not
wait in free space. That is the best a file can do: a copy-on-write file system, a flash disk or a
backup may still hold it, which is why key files belong in no backup.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PRIVATE = 0o400
LARGEST = 1 << 20  # bytes; a keyring of weekly generations for a thousand years stays below it


class KeyFileError(Exception):
    """A key file is missing, unsafe or already there. The sentence says what to do next."""


def read(path: Path) -> bytes:
    """Return the file's bytes, or raise KeyFileError when anyone but its owner could read it."""
    for _ in range(10):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise KeyFileError(
                f"There is no key file at {path}. Run: manage.py keys init"
            ) from None
        except OSError as error:
            raise KeyFileError(f"{path} cannot be read: {error.strerror}.") from None
        try:
            state = os.fstat(descriptor)
            _refuse_unsafe(path, state)
            content = _read_all(descriptor)
        finally:
            os.close(descriptor)
        # Replaced while we read: what we hold may be half overwritten, so read the new one.
        if current(path) == _identity(state):
            break
    if len(content) > LARGEST:
        raise KeyFileError(f"{path} is too large to be a key file.")
    return content


def current(path: Path) -> tuple[int, int, int] | None:
    """What changes whenever the file is replaced; None when it is gone. Costs one stat."""
    try:
        return _identity(os.stat(path))  # noqa: PTH116 - half the cost, and called per unwrap
    except OSError:
        return None


def create(path: Path, content: bytes) -> None:
    """Write a new key file, mode 0400. Raises KeyFileError when there is one: keys are not lost."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(path):
        if path.exists() or path.is_symlink():
            raise KeyFileError(f"{path} exists. A key is never written over another.")
        _write(path, content, owner=None)


def replace(path: Path, content: bytes) -> None:
    """Put new content in place of the old, then overwrite the old. Hold `locked(path)`."""
    path = path.resolve()
    _discard(_beside(path))
    with open(path, "rb") as old:  # noqa: PTH123 - the descriptor outlives the name
        _write(path, content, owner=os.fstat(old.fileno()))
        # From here on no name leads to the old bytes; a reader who still has them reads again.
        _overwrite(old.fileno())


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the folder of key files: one process at a time reads, changes and writes."""
    descriptor = os.open(path.resolve().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read_all(descriptor: int) -> bytes:
    content = b""
    while len(content) <= LARGEST and (more := os.read(descriptor, LARGEST + 1)):
        content += more
    return content


def _write(path: Path, content: bytes, *, owner: os.stat_result | None) -> None:
    new = _beside(path)
    _discard(new)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), PRIVATE)
            if owner is not None and owner.st_uid != os.geteuid():
                # root rotated the keys of a service account, which must still be able to read them.
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        _discard(new)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _beside(path: Path) -> Path:
    """One name, not a random one: what a killed process left is found and overwritten next time."""
    return path.with_name(f".{path.name}.new")


def _discard(path: Path) -> None:
    with suppress(FileNotFoundError), open(path, "rb") as left:  # noqa: PTH123 - as above
        path.unlink()
        _overwrite(left.fileno())


def _overwrite(descriptor: int) -> None:
    """Zero the file behind an open descriptor. It is 0400, so it is opened again to be written."""
    os.fchmod(descriptor, 0o600)
    writable = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        left = os.fstat(writable).st_size
        while left > 0:
            left -= os.write(writable, bytes(min(left, 1 << 16)))
        os.fsync(writable)
    finally:
        os.close(writable)


def _identity(state: os.stat_result) -> tuple[int, int, int]:
    return state.st_dev, state.st_ino, state.st_mtime_ns


def _refuse_unsafe(path: Path, state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise KeyFileError(f"{path} is not a file.")
    if state.st_mode & 0o077:
        raise KeyFileError(
            f"{path} holds keys and others can read it (mode {stat.S_IMODE(state.st_mode):04o}). "
            f"Treat its keys as known: rotate them after running: chmod 400 {path}"
        )
