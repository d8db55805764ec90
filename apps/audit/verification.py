"""Walk the ledger and find whatever was changed, dropped, moved or put in since it was signed.

Every leaf is made anew from its row, every kept subtree from the leaves, and every signed head must
be the root of the tree at its size.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from django.db import connection

from apps.audit import merkle, signing, tree
from apps.audit.models import Checkpoint, Entry

CHECKPOINT_TYPE = "consentry-checkpoint+jws"
CHUNK = 5000


@dataclass(frozen=True, slots=True)
class Verification:
    """What a walk over the ledger found."""

    entries: int
    root: str
    ok: bool
    problem: str = ""


class Broken(Exception):
    """What does not fit, in one sentence."""


def verify() -> Verification:
    """Walk everything once: each leaf from its row, no gap, each checkpoint as it was signed."""
    walk = merkle.Frontier()
    try:
        _walk(walk)
    except Broken as problem:
        return Verification(walk.size, walk.root().hex(), ok=False, problem=str(problem))
    return Verification(walk.size, walk.root().hex(), ok=True)


def _walk(walk: merkle.Frontier) -> None:
    key = signing.public_jwk()
    heads = list(Checkpoint.objects.order_by("size"))
    for chunk in _chunks(walk.size):
        kept = _nodes(walk.size, chunk[-1].seq)
        for entry in chunk:
            _append(walk, entry, kept)
            while heads and heads[0].size <= walk.size:
                _compare(walk, heads.pop(0), key)
    if heads:
        raise Broken(f"entries after {walk.size} are missing")


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


def _append(walk: merkle.Frontier, entry: Entry, kept: dict[merkle.Place, bytes]) -> None:
    seq = walk.size + 1
    if entry.seq != seq:
        raise Broken(f"entry {seq} is missing")
    if tree.leaf(entry) != bytes(entry.leaf):
        raise Broken(f"entry {seq} was changed")
    done = walk.append(bytes(entry.leaf))
    for place, hashed in zip(merkle.completed(seq), done, strict=True):
        if kept.get(place) != hashed:
            raise Broken(f"a hash over the entries up to {seq} was changed or is missing")


def _compare(walk: merkle.Frontier, head: Checkpoint, key: dict[str, str]) -> None:
    try:
        signed = signing.verify(head.signature, key, CHECKPOINT_TYPE)
    except signing.BadSignature:
        raise Broken(f"the checkpoint at {head.size} is not signed by this house") from None
    if signed["size"] != head.size or signed["root"] != walk.root().hex():
        raise Broken(f"an entry up to {head.size} was changed after its checkpoint")
