"""The keyring: numbered generations of the key that wraps every visitor's data key.

It wraps with the newest generation, unwraps with any that lives, and never hands out a key. A
destroyed generation keeps its number and dates, not its bytes. It refuses a file that others can
read, and to destroy the generation that is in use.
"""

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from apps.audit import keyfile

SCHEMA = "consentry-keyring/1"
KEY_BYTES = 32
NONCE_BYTES = 12  # NIST SP 800-38D, 8.2.2: random, so at most 2^32 wraps in one generation
TAG_BYTES = 16

Secret = bytes | bytearray | memoryview


class SealBroken(Exception):
    """What is sealed differs from what was sealed, or is used for another row, purpose or time.

    Nothing says which: treat the row as unreadable, tell the operator, and never fall back.
    """

    def __init__(self) -> None:
        super().__init__("The seal is broken: this was changed, or was not sealed for this use.")


class UnknownGeneration(Exception):
    """The generation was destroyed or never was here: what it wrapped cannot be opened."""


class NewestGeneration(Exception):
    """The generation in use cannot be destroyed: rotate, rewrap, then destroy."""


class Keyring(Protocol):
    """What a provider must do: a file here, an HSM or a key service elsewhere."""

    @property
    def newest(self) -> int:
        """The generation to wrap with."""

    def refresh(self) -> None:
        """Forget at once what was destroyed elsewhere."""

    def wrap(self, generation: int, secret: Secret, associated: bytes) -> bytes:
        """Seal `secret` (32 bytes) together with `associated`. Raises UnknownGeneration."""

    def unwrap(self, generation: int, wrapped: bytes, associated: bytes) -> bytearray:
        """Return what was wrapped, in memory that the caller overwrites when it is done.

        Raises UnknownGeneration, SealBroken when anything differs.
        """


@dataclass(frozen=True, slots=True)
class Generation:
    """What may be known about a generation: everything but its key. Times are ISO 8601, UTC."""

    number: int
    created_at: str
    state: Literal["live", "destroyed"] = "live"
    destroyed_at: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class _Ring:
    """One reading of the file. AESGCM objects show nothing of their keys."""

    generations: tuple[Generation, ...]
    ciphers: dict[int, AESGCM]
    newest: int


class FileKeyring:
    """A keyring in one local file (JSON, mode 0400), shared by the processes that may read it.

    `newest`, `generations` and `wrap` first look whether another process replaced the file.
    `unwrap` works from memory, because a recognizer opens a whole store when it starts, and reads
    again only for a generation it does not know. So a long-lived process calls `refresh` before it
    acknowledges that a generation is gone. Everything raises KeyFileError when the file is missing,
    damaged, or readable by others.
    """

    __slots__ = ("_identity", "_ring", "path")

    def __init__(self, path: Path) -> None:
        """Use `load` or `create`."""
        self.path = path
        self._identity = keyfile.current(path)
        self._ring = _Document.read(path).ring()

    @classmethod
    def create(cls, path: Path) -> "FileKeyring":
        """Make a keyring with generation 1. KeyFileError when there is one already."""
        document = _Document([], {})
        document.add()
        keyfile.create(path, document.dump())
        return cls(path)

    @classmethod
    def load(cls, path: Path) -> "FileKeyring":
        """Read a keyring."""
        return cls(path)

    @property
    def newest(self) -> int:
        self.refresh()
        return self._ring.newest

    @property
    def generations(self) -> tuple[Generation, ...]:
        """All that ever were, the oldest first."""
        self.refresh()
        return self._ring.generations

    def wrap(self, generation: int, secret: Secret, associated: bytes) -> bytes:
        """Return nonce ‖ ciphertext ‖ tag: 28 bytes longer than the secret."""
        self.refresh()
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher(generation).encrypt(nonce, secret, associated)

    def unwrap(self, generation: int, wrapped: bytes, associated: bytes) -> bytearray:
        """Return the secret. Raises UnknownGeneration or SealBroken."""
        cipher = self._cipher(generation)
        if len(wrapped) < NONCE_BYTES + TAG_BYTES:
            raise SealBroken
        secret = bytearray(len(wrapped) - NONCE_BYTES - TAG_BYTES)
        try:
            cipher.decrypt_into(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], associated, secret)
        except InvalidTag:
            raise SealBroken from None
        return secret

    def rotate(self) -> int:
        """Add a generation and return its number; from now on every process wraps with it."""
        with keyfile.locked(self.path):
            document = _Document.read(self.path)
            number = document.add()
            keyfile.replace(self.path, document.dump())
        self.refresh()
        return number

    def destroy(self, generation: int) -> Generation:
        """Forget a generation's key for ever; doing it again changes nothing. Return its record.

        The caller makes sure that no row is wrapped by it any more and that none is being written.
        Raises NewestGeneration, or UnknownGeneration for one that never was.
        """
        with keyfile.locked(self.path):
            document = _Document.read(self.path)
            if document.destroy(generation):
                keyfile.replace(self.path, document.dump())
        self.refresh()
        return document.find(generation)

    def refresh(self) -> None:
        """Forget what another process destroyed, learn what it added. One stat if nothing did."""
        identity = keyfile.current(self.path)
        if identity is None or identity != self._identity:
            self._ring = _Document.read(self.path).ring()
            # As it was before the reading: a file replaced in between is simply read once more.
            self._identity = identity

    def _cipher(self, generation: int) -> AESGCM:
        if generation not in self._ring.ciphers:
            self.refresh()
        cipher = self._ring.ciphers.get(generation)
        if cipher is None:
            raise UnknownGeneration(_absence(generation, self._ring.generations))
        return cipher

    def __repr__(self) -> str:
        return f"FileKeyring(newest={self._ring.newest}, live={len(self._ring.ciphers)})"

    def __reduce__(self) -> str:
        raise TypeError("A keyring does not leave its process.")


class _Document:
    """The file's content while it is being read or changed. Lives for a few lines, holds keys."""

    __slots__ = ("_keys", "generations")

    def __init__(self, generations: list[Generation], keys: dict[int, bytes]) -> None:
        self.generations = generations
        self._keys = keys

    @classmethod
    def read(cls, path: Path) -> "_Document":
        document = cls._parse(keyfile.read(path))
        # Raised here, outside any `except`: a parser's own error would carry the file's text.
        if document is None:
            raise keyfile.KeyFileError(
                f"{path} is not a keyring, or is damaged. Restore it from where you keep it; "
                "without it no template can be opened."
            )
        return document

    @classmethod
    def _parse(cls, content: bytes) -> "_Document | None":
        try:
            document = json.loads(content)
            if document["schema"] != SCHEMA:
                return None
            generations = []
            keys = {}
            for record in document["generations"]:
                key = record.pop("key")
                generation = Generation(**record)
                generations.append(generation)
                if generation.state == "live":
                    keys[generation.number] = base64.b64decode(key, validate=True)
                elif key is not None:
                    return None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        numbers = [generation.number for generation in generations]
        whole = (
            numbers == list(range(1, len(numbers) + 1))
            and numbers[-1:] == [number for number in numbers if number in keys][-1:]
            and all(len(key) == KEY_BYTES for key in keys.values())
        )
        return cls(generations, keys) if whole and numbers else None

    def ring(self) -> _Ring:
        ciphers = {number: AESGCM(key) for number, key in self._keys.items()}
        return _Ring(tuple(self.generations), ciphers, max(ciphers))

    def add(self) -> int:
        number = len(self.generations) + 1
        self.generations.append(Generation(number, _now()))
        self._keys[number] = os.urandom(KEY_BYTES)
        return number

    def find(self, number: int) -> Generation:
        if not 1 <= number <= len(self.generations):
            raise UnknownGeneration(_absence(number, self.generations))
        return self.generations[number - 1]

    def destroy(self, number: int) -> bool:
        """Whether there was anything to destroy."""
        generation = self.find(number)
        if number == len(self.generations):
            raise NewestGeneration(
                f"Generation {number} is the one in use. Rotate and rewrap before destroying it."
            )
        if generation.state == "destroyed":
            return False
        self.generations[number - 1] = replace(generation, state="destroyed", destroyed_at=_now())
        del self._keys[number]
        return True

    def dump(self) -> bytes:
        records = [
            {**asdict(generation), "key": self._encoded(generation.number)}
            for generation in self.generations
        ]
        return json.dumps({"schema": SCHEMA, "generations": records}, indent=1).encode()

    def _encoded(self, number: int) -> str | None:
        key = self._keys.get(number)
        return None if key is None else base64.b64encode(key).decode()

    def __repr__(self) -> str:
        return f"_Document({self.generations})"


def _absence(number: int, generations: Sequence[Generation]) -> str:
    for generation in generations:
        if generation.number == number:
            return (
                f"Generation {number} was destroyed at {generation.destroyed_at}: "
                "what it wrapped is gone for ever, as it was meant to be."
            )
    return f"This keyring has no generation {number}. Is it the right keyring?"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
