"""The keyring: numbered generations of the key that wraps every visitor's data key.

It wraps with the newest generation, unwraps with any that lives, and never hands out a key. A
destroyed generation keeps its number and dates, not its bytes. It refuses a file that others can
read, and to destroy the generation that is in use.

A custodian (an HSM, a key service) may seal what lies in the file: each generation under a key of
its own that never leaves the custodian. It is asked once a generation, not once a person, and
destroying the generation destroys its key there: an old copy of the file then opens nothing.
"""

import base64
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from apps.audit import keyfile
from apps.visitors.vault.custodian import Custodian, CustodianFailed, new_name

log = logging.getLogger(__name__)

SCHEMA = "consentry-keyring/1"
KEY_BYTES = 32
NONCE_BYTES = 12  # NIST SP 800-38D, 8.2.2: random, so at most 2^32 wraps in one generation
TAG_BYTES = 16
# Seconds until a custodian that could not open a new generation is asked again.
ASKED_AGAIN = 60.0

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

    def unwrap_into(
        self, generation: int, wrapped: bytes, associated: bytes, into: bytearray | memoryview
    ) -> None:
        """Write what was wrapped, 32 bytes, into memory that the caller overwrites in the end.

        Raises UnknownGeneration, SealBroken when anything differs.
        """


@dataclass(frozen=True, slots=True)
class Generation:
    """What may be known about a generation: everything but its key. Times are ISO 8601, UTC.

    One that is `ending` opens nothing any more, but its custodian could still bring its key back.
    handle: under which a custodian holds its key; None where the key lies in the file.
    """

    number: int
    created_at: str
    state: Literal["live", "ending", "destroyed"] = "live"
    destroyed_at: str | None = None
    handle: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class _Ring:
    """One reading of the file. AESGCM objects show nothing of their keys."""

    generations: tuple[Generation, ...]
    ciphers: dict[int, AESGCM]
    newest: int


class FileKeyring:
    """A keyring in one local file (JSON, mode 0400), shared by the processes that may read it.

    `newest`, `generations` and `wrap` first look whether another process replaced the file.
    `unwrap_into` works from memory, because a recognizer opens a whole store when it starts, and
    reads again only for a generation it does not know. So a long-lived process calls `refresh`
    before it acknowledges that a generation is gone. Everything raises KeyFileError when the file
    is missing, damaged, or readable by others, and CustodianFailed, which is one, when what lies in
    it is sealed by a custodian that cannot be asked.
    """

    __slots__ = ("_custodian", "_identity", "_retry_at", "_ring", "path")

    def __init__(self, path: Path, custodian: Custodian | None = None) -> None:
        """Use `load` or `create`."""
        self.path = path
        self._custodian = custodian
        self._retry_at = 0.0
        self._identity = keyfile.current(path)
        document = _Document.read(path)
        self._ring = document.ring(document.opened(custodian, document.at_hand()))

    @classmethod
    def create(cls, path: Path, custodian: Custodian | None = None) -> "FileKeyring":
        """Make a keyring with generation 1. KeyFileError when there is one already."""
        document = _Document([], {})
        document.add(custodian)
        keyfile.create(path, document.dump())
        return cls(path, custodian)

    @classmethod
    def load(cls, path: Path, custodian: Custodian | None = None) -> "FileKeyring":
        """Read a keyring."""
        return cls(path, custodian)

    @property
    def newest(self) -> int:
        self.refresh()
        return self._ring.newest

    @property
    def oldest(self) -> int:
        """The oldest generation that this process can still open anything with."""
        self.refresh()
        return min(self._ring.ciphers)

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

    def unwrap_into(
        self, generation: int, wrapped: bytes, associated: bytes, into: bytearray | memoryview
    ) -> None:
        """Write the secret into 32 bytes. Raises UnknownGeneration or SealBroken."""
        cipher = self._cipher(generation)
        if len(wrapped) != NONCE_BYTES + KEY_BYTES + TAG_BYTES:
            raise SealBroken
        try:
            cipher.decrypt_into(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], associated, into)
        except InvalidTag:
            # Written before the tag was looked at.
            into[:] = bytes(KEY_BYTES)
            raise SealBroken from None

    def rotate(self) -> int:
        """Add a generation and return its number; from now on every process wraps with it."""
        with keyfile.locked(self.path):
            document = _Document.read(self.path)
            number = document.add(self._custodian)
            keyfile.replace(self.path, document.dump())
        self.refresh()
        return number

    def destroy(self, generation: int) -> Generation:
        """Forget a generation's key for ever; doing it again changes nothing. Return its record.

        The key goes out of the file first, then its custodian destroys its own; where that takes
        days (AWS KMS), or was cut short, the generation is `ending`: call it again. The caller
        makes sure that no row is wrapped by it any more and that none is being written.
        Raises NewestGeneration, or UnknownGeneration for one that never was; CustodianFailed.
        """
        with keyfile.locked(self.path):
            document = _Document.read(self.path)
            if document.end(generation):
                keyfile.replace(self.path, document.dump())
        ending = document.find(generation)
        if ending.state == "ending" and held_by(self._custodian, ending).destroy(_name(ending)):
            with keyfile.locked(self.path):
                document = _Document.read(self.path)
                document.destroyed(generation)
                keyfile.replace(self.path, document.dump())
        self.refresh()
        return document.find(generation)

    def refresh(self) -> None:
        """Forget what another process destroyed, learn what it added. One stat if nothing did.

        While the custodian cannot open a generation that was added, the one before it stays the
        newest here.
        """
        identity = keyfile.current(self.path)
        same = identity is not None and identity == self._identity
        if same and not (self._retry_at and time.monotonic() >= self._retry_at):
            return
        document, self._retry_at = _Document.read(self.path), 0.0
        # What is destroyed is forgotten before anybody is asked about what is new.
        ciphers = document.at_hand(self._ring)
        if ciphers:
            self._ring = document.ring(ciphers)
        try:
            self._ring = document.ring(document.opened(self._custodian, ciphers))
        except CustodianFailed as error:
            if not ciphers:
                raise
            log.error("a new key generation cannot be opened: %s", error)
            self._retry_at = time.monotonic() + ASKED_AGAIN
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
                if generation.state not in ("live", "ending", "destroyed"):
                    return None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        numbers = [generation.number for generation in generations]
        whole = (
            numbers == list(range(1, len(numbers) + 1))
            and numbers[-1:] == [number for number in numbers if number in keys][-1:]
            and all(
                len(key) == KEY_BYTES
                for number, key in keys.items()
                if generations[number - 1].handle is None
            )
        )
        return cls(generations, keys) if whole and numbers else None

    def ring(self, ciphers: dict[int, AESGCM]) -> _Ring:
        return _Ring(tuple(self.generations), ciphers, max(ciphers))

    def at_hand(self, ring: _Ring | None = None) -> dict[int, AESGCM]:
        """What opens without a custodian: keys in the file, and what `ring` has open already."""
        before = {each.number: each for each in ring.generations} if ring else {}
        ciphers = {}
        for each in self.generations:
            if each.number not in self._keys:
                continue
            if each.handle is None:
                ciphers[each.number] = AESGCM(self._keys[each.number])
            elif ring and each == before.get(each.number) and each.number in ring.ciphers:
                ciphers[each.number] = ring.ciphers[each.number]
        return ciphers

    def opened(
        self, custodian: Custodian | None, at_hand: Mapping[int, AESGCM]
    ) -> dict[int, AESGCM]:
        """Every live generation; the custodian opens what is not at hand. CustodianFailed."""
        ciphers = dict(at_hand)
        for number in self._keys.keys() - ciphers.keys():
            generation = self.generations[number - 1]
            key = held_by(custodian, generation).open(
                _name(generation), self._keys[number], _context(number)
            )
            if len(key) != KEY_BYTES:
                raise CustodianFailed(
                    f"What the custodian opened as generation {number} is no key."
                )
            ciphers[number] = AESGCM(key)
            key[:] = bytes(KEY_BYTES)
        return ciphers

    def add(self, custodian: Custodian | None) -> int:
        number = len(self.generations) + 1
        key, handle = os.urandom(KEY_BYTES), None
        if custodian is not None:
            name = custodian.make(new_name(number))
            key = custodian.seal(name, key, _context(number))
            handle = f"{custodian.scheme}:{name}"
        self.generations.append(Generation(number, _now(), handle=handle))
        self._keys[number] = key
        return number

    def find(self, number: int) -> Generation:
        if not 1 <= number <= len(self.generations):
            raise UnknownGeneration(_absence(number, self.generations))
        return self.generations[number - 1]

    def end(self, number: int) -> bool:
        """Take a generation's key out; whether there was one."""
        generation = self.find(number)
        if number == len(self.generations):
            raise NewestGeneration(
                f"Generation {number} is the one in use. Rotate and rewrap before destroying it."
            )
        if generation.state != "live":
            return False
        self.generations[number - 1] = replace(generation, state="ending")
        del self._keys[number]
        if generation.handle is None:
            self.destroyed(number)
        return True

    def destroyed(self, number: int) -> None:
        """Nobody can bring the key of a generation back from now on."""
        if self.generations[number - 1].state == "ending":
            self.generations[number - 1] = replace(
                self.generations[number - 1], state="destroyed", destroyed_at=_now()
            )

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


def held_by(custodian: Custodian | None, generation: Generation) -> Custodian:
    """The custodian that holds the key of a generation. CustodianFailed when it is another one."""
    scheme = (generation.handle or "").partition(":")[0]
    if custodian is None or custodian.scheme != scheme:
        raise CustodianFailed(
            f"Generation {generation.number} is held by {scheme}. "
            f"CONSENTRY_KEYRING must name it: {scheme}:…"
        )
    return custodian


def _name(generation: Generation) -> str:
    return (generation.handle or "").partition(":")[2]


def _context(number: int) -> bytes:
    return b"consentry keyring " + number.to_bytes(4, "big")


def _absence(number: int, generations: Sequence[Generation]) -> str:
    for generation in generations:
        if generation.number != number:
            continue
        if generation.state == "live":
            return f"Generation {number} cannot be opened now: its custodian does not answer."
        when = f" at {generation.destroyed_at}" if generation.destroyed_at else ""
        return (
            f"Generation {number} was destroyed{when}: "
            "what it wrapped is gone for ever, as it was meant to be."
        )
    return f"This keyring has no generation {number}. Is it the right keyring?"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
