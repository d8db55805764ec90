"""Record what was done, in the transaction that did it, and verify that nothing was changed since.

A leaf holds no personal data: a person appears as HMAC(their own salt, their subject), and once
the salt is gone nobody can tell whom an entry was about, while the tree still verifies. The signed
consent is kept as proof for longer and says whom its own entries are about; so the entries that say
where a person was bear another name, which only the salt could join to the first.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from apps.audit import clock, merkle, signing, tree
from apps.audit.heads import CHECKPOINT_TYPE
from apps.audit.models import Checkpoint, Entry, Node, Salt
from apps.audit.tree import leaf, leaf_data
from apps.audit.verification import Verification, verify

__all__ = [
    "Act",
    "LedgerOutsideTransaction",
    "Verification",
    "about",
    "checkpoint",
    "consistency",
    "forget",
    "inclusion",
    "iso",
    "leaf",
    "leaf_data",
    "record",
    "record_all",
    "reference",
    "verify",
]

# Appends are serialised by one advisory lock, so that `seq` has no gaps; held until commit.
LOCK = 0x4C454447
# The next number, the time, and the left half of each subtree that an entry of that number ends.
NEXT = """
WITH next AS (SELECT coalesce(max(seq), 0) + 1 AS seq, clock_timestamp() AS at FROM audit_entry)
SELECT next.seq, next.at, ARRAY(
    SELECT CASE level
           WHEN 0 THEN (SELECT leaf FROM audit_entry WHERE seq = next.seq - 1)
           ELSE (SELECT hash FROM audit_node
                  WHERE level = l.level AND index = (next.seq >> l.level) - 2)
           END
      FROM generate_series(0, 60) AS l (level)
     WHERE next.seq & ((2::bigint << level) - 1) = 0
     ORDER BY level)
  FROM next
"""


class LedgerOutsideTransaction(RuntimeError):
    """An entry must be written with the row that it is about, or not at all."""


def reference(subject: UUID, *, whereabouts: bool = False) -> str:
    """Return how the ledger calls this person, creating their salt on first use.

    `whereabouts` asks for the name under which it says where and when they were.
    """
    salt, _ = Salt.objects.get_or_create(
        subject=subject, defaults={"secret": secrets.token_bytes(32)}
    )
    message = subject.bytes + (b"whereabouts" if whereabouts else b"")
    return hmac.new(bytes(salt.secret), message, hashlib.sha256).hexdigest()


def record(
    *,
    actor: str,
    action: str,
    subject: UUID | None = None,
    whereabouts: bool = False,
    **detail: Any,
) -> Entry:
    """Append one entry. `detail` holds ids, counts and codes; never a name, a face or a token.

    With `whereabouts`, what it says of the subject is where they were: see `reference`. Its detail
    then holds no id that another kind of entry holds too.
    """
    if not connection.in_atomic_block:
        raise LedgerOutsideTransaction("Call audit.record inside the transaction of the act.")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        cursor.execute(NEXT)
        seq, at, lefts = cursor.fetchone()
    entry = Entry(
        seq=seq,
        at=at,
        actor=actor,
        action=action,
        subject=reference(subject, whereabouts=whereabouts) if subject else "",
        # Through JSON once, so that the leaf is computed from what the database will give back.
        detail=json.loads(json.dumps(detail, default=str)),
    )
    entry.leaf = leaf(entry)
    entry.save(force_insert=True)
    # Every other entry completes no subtree; the others take one statement for all of theirs.
    if nodes := tree.parents(entry, lefts):
        Node.objects.bulk_create(nodes)
    return entry


@dataclass(frozen=True, slots=True)
class Act:
    """What `record` takes, as a value."""

    actor: str
    action: str
    subject: UUID | None = None
    whereabouts: bool = False
    detail: dict[str, Any] = field(default_factory=dict)


def record_all(acts: Sequence[Act]) -> list[Entry]:
    """Append many entries in their order, as `record` does one, for the price of a few: what takes
    time is the turn at the ledger, and they take one together."""
    if not connection.in_atomic_block:
        raise LedgerOutsideTransaction("Call audit.record_all inside the transaction of the acts.")
    if not acts:
        return []
    named = {(act.subject, act.whereabouts) for act in acts if act.subject}
    names = {(who, where): reference(who, whereabouts=where) for who, where in named}
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
    at = clock.now()
    try:
        size = tree.size()
        grown = merkle.Frontier.at(size, tree.peaks(size))
    except tree.LedgerIncomplete:
        # What is recorded must not fail for that: see tree.parents.
        return [
            record(
                actor=act.actor,
                action=act.action,
                subject=act.subject,
                whereabouts=act.whereabouts,
                **act.detail,
            )
            for act in acts
        ]
    entries, nodes = [], []
    for seq, act in enumerate(acts, size + 1):
        entry = Entry(
            seq=seq,
            at=at,
            actor=act.actor,
            action=act.action,
            subject=names[act.subject, act.whereabouts] if act.subject else "",
            detail=json.loads(json.dumps(act.detail, default=str)),
        )
        entry.leaf = leaf(entry)
        entries.append(entry)
        places = merkle.completed(seq)
        nodes += [
            Node(level=level, index=index, hash=node)
            for (level, index), node in zip(places, grown.append(entry.leaf), strict=True)
        ]
    Entry.objects.bulk_create(entries)
    Node.objects.bulk_create(nodes)
    return entries


def about(subject: UUID) -> list[Entry]:
    """Every entry about one person, newest first; empty once their salt is gone."""
    if not Salt.objects.filter(subject=subject).exists():
        return []
    names = [reference(subject), reference(subject, whereabouts=True)]
    return list(Entry.objects.filter(subject__in=names))


def forget(subject: UUID) -> None:
    """Destroy the salt: from now on no entry can be tied to this person."""
    Salt.objects.filter(subject=subject).delete()


@transaction.atomic
def checkpoint() -> Checkpoint:
    """Sign the tree's head as it is now; the same head is not signed twice."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
    at = clock.now()
    size = tree.size()
    existing = Checkpoint.objects.filter(size=size).first()
    if existing:
        return existing
    root = tree.root(size).hex()
    head = {"size": size, "root": root, "at": iso(at)}
    return Checkpoint.objects.create(
        size=size, root=root, at=at, signature=signing.sign(head, CHECKPOINT_TYPE)
    )


def inclusion(entry: Entry, head: Checkpoint) -> list[str]:
    """Return the RFC 6962 audit path of an entry in a checkpoint's tree, as hex."""
    return [node.hex() for node in tree.proof(merkle.inclusion_path(entry.seq - 1, head.size))]


def consistency(since: int, head: Checkpoint) -> list[str]:
    """Return the RFC 6962 proof that a checkpoint's tree began with the tree of `since` entries.

    IndexError when that had no `since` entries.
    """
    return [node.hex() for node in tree.proof(merkle.consistency_path(since, head.size))]


def iso(at: datetime) -> str:
    """A time as signed documents write it."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")
