"""Walk the ledger and find whatever was changed, dropped, moved or put in since it was signed.

Every leaf is made anew from its row, every kept subtree from the leaves, and every signed head must
be the root of the tree at its size: those of the database, and those that were exported from it,
which alone tell when all of the database was replaced by another that agrees with itself.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from apps.audit import clock, heads, merkle, signing, tree
from apps.audit.models import Checkpoint, Entry, Pruning

CHUNK = 5000
# Nothing is pruned under a walk's feet: an advisory lock, shared by walks.
WALK = 0x4C434845


@dataclass(frozen=True, slots=True)
class Verification:
    """What a walk over the ledger found. `exported`: heads outside the database that agree with it,
    and when the last of them was signed."""

    entries: int
    root: str
    ok: bool
    problem: str = ""
    exported: int = 0
    exported_at: datetime | None = None


class Broken(Exception):
    """What does not fit, in one sentence."""


@dataclass(frozen=True, slots=True)
class _Signed:
    """A head to be compared, and how to name it when it does not fit."""

    size: int
    root: str
    called: str


@dataclass(frozen=True, slots=True)
class Start:
    """Where an earlier walk ended well."""

    size: int = 0
    root: str = ""


def verify(start: Start | None = None) -> Verification:
    """Walk the entries: each leaf from its row, no gap, each head as it was signed.

    From the first one, or from where an earlier walk ended; then heads before that are not compared
    again, but the tree must still be the one that was found there.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [WALK])
        return _Walk(start or Start(), clock.now()).run()


class _Walk:
    """One walk, from where it starts to the last entry."""

    def __init__(self, start: Start, now: datetime) -> None:
        self.start = start
        self._now = now
        self.tree = merkle.Frontier()
        self._key = signing.public_jwk()
        self._pruned: heads.Head | None = None
        self.exported = 0
        self.exported_at: datetime | None = None

    def run(self) -> Verification:
        try:
            self._go()
            problem = ""
        except Broken as broken:
            problem = str(broken)
        return Verification(
            self.tree.size,
            self.tree.root().hex(),
            ok=not problem,
            problem=problem,
            exported=self.exported,
            exported_at=self.exported_at,
        )

    def _go(self) -> None:
        self._begin()
        self._heads = deque(sorted(self._signed(), key=lambda head: head.size))
        self._compare()
        for chunk in _chunks(self.tree.size):
            kept = _nodes(self.tree.size, chunk[-1].seq)
            for entry in chunk:
                self._append(entry, kept)
                self._compare()
        if self._heads:
            head = self._heads[0]
            raise Broken(f"entries after {self.tree.size} are missing: {head.called} has more")

    def _begin(self) -> None:
        """Go to where the walk starts: what is before it was checked, or dropped, earlier."""
        pruning = Pruning.objects.first()
        if pruning:
            base = _read(pruning.signature, self._key, f"the pruning up to {pruning.size}")
            if not base.pruned or base.size != pruning.size or base.at > self._now:
                raise Broken(f"the pruning up to {pruning.size} is not the one that was signed")
            self._pruned = base
        if self._pruned and self._pruned.size >= self.start.size:
            self._resume(self._pruned.size, self._pruned.root, "it was dropped")
        elif self.start.size:
            self._resume(self.start.size, self.start.root, "it was checked")

    def _resume(self, size: int, root: str, since: str) -> None:
        try:
            self.tree = merkle.Frontier.at(size, tree.peaks(size))
        except tree.LedgerIncomplete:
            raise Broken(f"a hash over the entries up to {size} is missing") from None
        if self.tree.root().hex() != root:
            raise Broken(f"an entry up to {size} was changed after {since}")

    def _signed(self) -> Iterator[_Signed]:
        for row in Checkpoint.objects.filter(size__gte=self.start.size):
            head = _read(row.signature, self._key, f"the checkpoint at {row.size}")
            if head.size != row.size or head.pruned:
                raise Broken(f"the checkpoint at {row.size} is not the one that was signed")
            yield _Signed(head.size, head.root, "its checkpoint")
        try:
            lines = heads.exported()
        except OSError as error:
            raise Broken(f"the exported heads cannot be read: {error.strerror}") from None
        for number in range(len(lines), 0, -1):
            head = _read(lines[number - 1], self._key, f"line {number} of the exported heads")
            self.exported_at = self.exported_at or head.at
            if head.size < self.start.size:
                break
            self._dropped_in_time(head)
            yield _Signed(head.size, head.root, "the head that was exported")
            self.exported += 1

    def _append(self, entry: Entry, kept: dict[merkle.Place, bytes]) -> None:
        seq = self.tree.size + 1
        if entry.seq != seq:
            raise Broken(f"entry {seq} is missing")
        if tree.leaf(entry) != bytes(entry.leaf):
            raise Broken(f"entry {seq} was changed")
        done = self.tree.append(bytes(entry.leaf))
        for place, hashed in zip(merkle.completed(seq), done, strict=True):
            if kept.get(place) != hashed:
                raise Broken(f"a hash over the entries up to {seq} was changed or is missing")

    def _dropped_in_time(self, head: heads.Head) -> None:
        """What came after this head is younger than it, and must not be gone too soon."""
        base = self._pruned
        if base and base.size > head.size and base.at - head.at < heads.SHORTEST:
            raise Broken(f"entries after {head.size} were dropped before their time")

    def _compare(self) -> None:
        while self._heads and self._heads[0].size <= self.tree.size:
            head = self._heads.popleft()
            if head.size < self.tree.size:
                continue  # over entries that were dropped: its signature holds, and there it ends
            if head.root != self.tree.root().hex():
                raise Broken(f"an entry up to {head.size} was changed after {head.called}")


def _read(document: str, key: dict[str, str], called: str) -> heads.Head:
    try:
        return heads.read(document, key)
    except signing.BadSignature:
        raise Broken(f"{called} is not signed by this house") from None


def _chunks(after: int) -> Iterator[list[Entry]]:
    while chunk := list(Entry.objects.filter(seq__gt=after).order_by("seq")[:CHUNK]):
        yield chunk
        after = chunk[-1].seq


def _nodes(first: int, last: int) -> dict[merkle.Place, bytes]:
    """The kept subtrees that end with one of the entries first + 1 … last."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT node.level, node.index, node.hash FROM generate_series(1, 62) AS l (level)
                 JOIN audit_node node ON node.level = l.level
                  AND node.index >= %s >> l.level AND node.index < %s >> l.level""",
            [first, last],
        )
        return {(level, index): bytes(hashed) for level, index, hashed in cursor.fetchall()}
