"""The keyring: rotated, rewrapped, destroyed; read by its owner alone; never shown."""

import base64
import copy
import json
import os
import pickle
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from apps.audit import keyfile
from apps.audit.keyfile import KeyFileError
from apps.visitors import vault
from apps.visitors.vault import FileKeyring, NewestGeneration, SealBroken, UnknownGeneration

ROW: dict[str, UUID] = {"visitor": uuid4(), "organization": uuid4()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "keyring.json"


@pytest.fixture
def keyring(path: Path) -> FileKeyring:
    return FileKeyring.create(path)


def secrets_in(path: Path) -> list[str]:
    records = json.loads(path.read_bytes())["generations"]
    return [record["key"] for record in records if record["key"]]


def write(path: Path, content: bytes, mode: int = 0o400) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def test_a_new_keyring_has_one_generation_and_is_its_owners_alone(
    path: Path, keyring: FileKeyring
) -> None:
    (only,) = keyring.generations
    assert (keyring.newest, only.number, only.state) == (1, 1, "live")
    assert only.created_at.endswith("+00:00")
    assert path.stat().st_mode & 0o777 == 0o400
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["keyring.json"]


def test_a_keyring_is_never_written_over_another(path: Path, keyring: FileKeyring) -> None:
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="never written over"):
        FileKeyring.create(path)
    assert path.read_bytes() == before


def test_rotation_reads_the_old_and_writes_the_new(keyring: FileKeyring, path: Path) -> None:
    key = vault.new_data_key()
    old = vault.wrap(key, **ROW, keyring=keyring)
    assert keyring.rotate() == keyring.newest == 2
    assert vault.unwrap(old, **ROW, keyring=keyring) == key
    assert vault.generation_of(vault.wrap(key, **ROW, keyring=keyring)) == 2
    assert path.stat().st_mode & 0o777 == 0o400
    assert [entry.name for entry in path.parent.iterdir()] == ["keyring.json"]


def test_a_rewrapped_key_survives_the_end_of_its_generation(keyring: FileKeyring) -> None:
    key = vault.new_data_key()
    old = vault.wrap(key, **ROW, keyring=keyring)
    keyring.rotate()
    new = vault.rewrap(old, **ROW, keyring=keyring)
    assert vault.generation_of(new) == 2
    assert vault.rewrap(new, **ROW, keyring=keyring) is new
    destroyed = keyring.destroy(1)
    assert (destroyed.number, destroyed.state) == (1, "destroyed")
    assert vault.unwrap(new, **ROW, keyring=keyring) == key
    with pytest.raises(UnknownGeneration, match="was destroyed at"):
        vault.unwrap(old, **ROW, keyring=keyring)


def test_a_destroyed_generation_is_gone_from_the_file_and_stays_gone(
    keyring: FileKeyring, path: Path
) -> None:
    (secret,) = secrets_in(path)
    old = vault.wrap(vault.new_data_key(), **ROW, keyring=keyring)
    keyring.rotate()
    first = keyring.destroy(1)
    assert secret not in path.read_text()
    assert keyring.destroy(1) == first  # again changes nothing
    again = FileKeyring.load(path)
    assert [generation.state for generation in again.generations] == ["destroyed", "live"]
    with pytest.raises(UnknownGeneration):
        vault.unwrap(old, **ROW, keyring=again)
    with pytest.raises(UnknownGeneration):
        again.wrap(1, b"\0" * 32, b"")


def test_the_old_file_is_overwritten_not_only_unlinked(keyring: FileKeyring, path: Path) -> None:
    """A reader who still has the old file open is the disk's own view of it."""
    (secret,) = secrets_in(path)
    with path.open("rb") as old:
        keyring.rotate()
        content = old.read()
    assert secret.encode() not in content
    assert content.strip(b"\0") == b""


def test_the_generation_in_use_cannot_be_destroyed(keyring: FileKeyring, path: Path) -> None:
    keyring.rotate()
    before = path.read_bytes()
    with pytest.raises(NewestGeneration, match="Rotate and rewrap"):
        keyring.destroy(2)
    assert path.read_bytes() == before


@pytest.mark.parametrize("number", [-1, 0, 3])
def test_a_generation_that_never_was_is_said_so(keyring: FileKeyring, number: int) -> None:
    keyring.rotate()
    with pytest.raises(UnknownGeneration, match="has no generation"):
        keyring.destroy(number)


def test_another_process_follows_a_rotation_and_a_destruction(
    keyring: FileKeyring, path: Path
) -> None:
    other = FileKeyring.load(path)
    key = vault.new_data_key()
    old = vault.wrap(key, **ROW, keyring=other)
    keyring.rotate()
    new = vault.wrap(key, **ROW, keyring=keyring)
    assert vault.unwrap(new, **ROW, keyring=other) == key  # a generation it had not heard of
    assert vault.generation_of(vault.wrap(key, **ROW, keyring=other)) == 2
    keyring.destroy(1)
    other.refresh()
    with pytest.raises(UnknownGeneration):
        vault.unwrap(old, **ROW, keyring=other)


def test_processes_that_rotate_at_once_lose_no_generation(path: Path, keyring: FileKeyring) -> None:
    def rotate(_: int) -> int:
        return FileKeyring.load(path).rotate()

    with ThreadPoolExecutor(8) as pool:
        numbers = sorted(pool.map(rotate, range(16)))
    assert numbers == list(range(2, 18))
    assert keyring.newest == 17
    assert len(set(secrets_in(path))) == 17


def test_readers_never_see_a_half_written_keyring(path: Path, keyring: FileKeyring) -> None:
    code = (
        "import sys; from pathlib import Path; from apps.visitors.vault import FileKeyring\n"
        "ring = FileKeyring.load(Path(sys.argv[1])); print('ready', flush=True)\n"
        "for _ in range(40): ring.rotate()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, cwd=Path.cwd()
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        seen = 0
        while writer.poll() is None:
            newest = FileKeyring.load(path).newest
            assert newest >= seen
            seen = newest
    assert writer.returncode == 0
    assert keyring.newest == 41


def test_what_a_killed_writer_left_is_cleared_away(path: Path, keyring: FileKeyring) -> None:
    write(path.with_name(".keyring.json.new"), b"half a keyring")
    assert keyring.rotate() == 2
    assert [entry.name for entry in path.parent.iterdir()] == ["keyring.json"]


def test_a_failed_write_keeps_the_old_keyring(
    path: Path, keyring: FileKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def disk_full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(keyfile.os, "fsync", disk_full)
        with pytest.raises(OSError, match="No space left"):
            keyring.rotate()
    assert path.read_bytes() == before
    assert keyring.rotate() == 2


@pytest.mark.parametrize("mode", [0o404, 0o440, 0o444, 0o420, 0o402, 0o401, 0o644])
def test_a_file_that_others_can_read_is_refused(
    path: Path, keyring: FileKeyring, mode: int
) -> None:
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=r"others can read it.*chmod 400"):
        FileKeyring.load(path)


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_its_owners_modes_are_accepted(path: Path, keyring: FileKeyring, mode: int) -> None:
    path.chmod(mode)
    assert FileKeyring.load(path).newest == 1


def test_a_missing_keyring_says_how_to_make_one(path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"manage\.py keys init"):
        FileKeyring.load(path)


def test_a_folder_is_not_a_keyring(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="not a file"):
        FileKeyring.load(tmp_path)


def test_a_keyring_that_vanishes_stops_what_would_write(path: Path, keyring: FileKeyring) -> None:
    path.unlink()
    with pytest.raises(KeyFileError, match="no key file"):
        vault.wrap(vault.new_data_key(), **ROW, keyring=keyring)


def record(number: int = 1, **changes: Any) -> dict[str, Any]:
    key = base64.b64encode(os.urandom(32)).decode()
    created = "2026-05-01T00:00:00+00:00"
    return {
        "number": number,
        "created_at": created,
        "state": "live",
        "destroyed_at": None,
        "key": key,
        **changes,
    }


def document(*records: Any, schema: str = "consentry-keyring/1") -> bytes:
    return json.dumps({"schema": schema, "generations": list(records)}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        document(),
        document(record(), schema="consentry-keyring/2"),
        document(record(2)),
        document(record(1), record(1)),
        document(record(1), record(3)),
        document(record(key="short")),
        document(record(key=base64.b64encode(b"x" * 31).decode())),
        document(record(key="*" * 44)),
        document(record(key=None)),
        document(record(key=7)),
        document(record(state="lost")),
        document(record(state="destroyed", key=None)),
        document(record(state="destroyed"), record(2)),
        document(record(surplus=1)),
        document(7),
    ],
)
def test_a_damaged_keyring_is_refused_and_not_quoted(path: Path, content: bytes) -> None:
    write(path, content)
    with pytest.raises(KeyFileError, match="not a keyring, or is damaged") as caught:
        FileKeyring.load(path)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_a_keyring_shows_its_keys_nowhere(path: Path, keyring: FileKeyring) -> None:
    keyring.rotate()
    told = [repr(keyring), str(keyring), f"{keyring}", repr(keyring.generations)]
    told.append(repr(keyring._ring) + repr(keyring._ring.ciphers))
    into = bytearray(32)
    for act in (lambda: keyring.unwrap_into(9, b"", b"", into), lambda: keyring.destroy(2)):
        try:
            act()
        except (UnknownGeneration, NewestGeneration) as error:
            told.append("".join(traceback.format_exception(error)))
    with pytest.raises(SealBroken):
        keyring.unwrap_into(1, b"\0" * 60, b"", into)
    assert len(told) == 7
    for secret in secrets_in(path):
        raw = base64.b64decode(secret)
        for text in told:
            assert secret not in text
            assert raw.hex() not in text
            assert repr(raw)[2:-1] not in text
    assert repr(keyring) == "FileKeyring(newest=2, live=2)"
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="does not leave"):
            leave(keyring)
