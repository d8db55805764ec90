"""The ledger's Merkle tree as the database keeps it: leaves in the entries, subtrees in the nodes.

A root and a proof read O(log n) rows. None of it is trusted: `verification` walks the entries
themselves and compares.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import Any

import rfc8785
from django.db import connection
from django.db.models import Max

from apps.audit import merkle
from apps.audit.models import Entry, Node


class LedgerIncomplete(Exception):
    """A hash of the tree is missing: run `manage.py ledger verify`, it names the first."""


def leaf_data(entry: Entry) -> dict[str, Any]:
    """Return the entry as it stands in its leaf."""
    return {
        "seq": entry.seq,
        "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "detail": entry.detail,
    }


def leaf(entry: Entry) -> bytes:
    """Return SHA-256(0x00 ‖ RFC 8785 canonical JSON of the entry), 32 bytes."""
    return merkle.leaf_hash(rfc8785.dumps(leaf_data(entry)))


def parents(entry: Entry, lefts: Sequence[bytes | None]) -> list[Node]:
    """Return the nodes that this entry completes; `lefts` are their left halves, the leaf first.

    Where somebody took a left half away it stops: what is recorded must not fail for that, and the
    verifier names what is missing.
    """
    nodes, node = [], bytes(entry.leaf)
    for (level, index), left in zip(merkle.completed(entry.seq), lefts, strict=True):
        if left is None:
            break
        node = merkle.node_hash(left, node)
        nodes.append(Node(level=level, index=index, hash=node))
    return nodes


def size() -> int:
    """How many entries the ledger has."""
    return Entry.objects.aggregate(size=Max("seq"))["size"] or 0


def peaks(size: int) -> list[bytes]:
    """Return the hashes of `merkle.subtrees(0, size)`. LedgerIncomplete when one is missing."""
    places = merkle.subtrees(0, size)
    kept = _hashes(places)
    return [kept[place] for place in places]


def root(size: int) -> bytes:
    """Return the tree's head over the first `size` entries, 32 bytes. Raises LedgerIncomplete."""
    return merkle.fold(peaks(size))


def proof(path: Iterable[merkle.Span]) -> list[bytes]:
    """Return the hashes of a path's spans. Raises LedgerIncomplete."""
    spans = [merkle.subtrees(first, last) for first, last in path]
    kept = _hashes([place for places in spans for place in places])
    return [merkle.fold([kept[place] for place in places]) for places in spans]


def _hashes(places: list[merkle.Place]) -> dict[merkle.Place, bytes]:
    leaves = [index + 1 for level, index in places if level == 0]
    found: dict[merkle.Place, bytes] = {
        (0, seq - 1): bytes(hashed)
        for seq, hashed in Entry.objects.filter(seq__in=leaves).values_list("seq", "leaf")
    }
    if len(found) < len(places):
        with connection.cursor() as cursor:
            cursor.execute(
                """SELECT level, index, hash FROM audit_node
                     JOIN unnest(%s::smallint[], %s::bigint[]) AS wanted (level, index)
                    USING (level, index)""",
                [[level for level, _ in places], [index for _, index in places]],
            )
            found |= {(level, index): bytes(hashed) for level, index, hashed in cursor.fetchall()}
    for level, index in places:
        if (level, index) not in found:
            raise LedgerIncomplete(f"The hash of subtree {level}/{index} of the ledger is missing.")
    return found
