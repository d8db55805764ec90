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
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import rfc8785
from django.db import connection, transaction

from apps.audit import merkle, signing
from apps.audit.models import Checkpoint, Entry, Salt

# Appends are serialised by one advisory lock, so that `seq` has no gaps; held until commit.
LOCK = 0x4C454447
CHECKPOINT_TYPE = "consentry-checkpoint+jws"


class LedgerOutsideTransaction(RuntimeError):
    """An entry must be written with the row that it is about, or not at all."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What a walk over the whole ledger found."""

    entries: int
    root: str
    ok: bool
    problem: str = ""


def reference(subject: UUID, *, whereabouts: bool = False) -> str:
    """Return how the ledger calls this person, creating their salt on first use.

    `whereabouts` asks for the name under which it says where and when they were.
    """
    salt, _ = Salt.objects.get_or_create(
        subject=subject, defaults={"secret": secrets.token_bytes(32)}
    )
    message = subject.bytes + (b"whereabouts" if whereabouts else b"")
    return hmac.new(bytes(salt.secret), message, hashlib.sha256).hexdigest()


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
        cursor.execute("SELECT coalesce(max(seq), 0) + 1, clock_timestamp() FROM audit_entry")
        seq, at = cursor.fetchone()
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
    return entry


def about(subject: UUID) -> list[Entry]:
    """Every entry about one person, newest first; empty once their salt is gone."""
    if not Salt.objects.filter(subject=subject).exists():
        return []
    names = [reference(subject), reference(subject, whereabouts=True)]
    return list(Entry.objects.filter(subject__in=names))


def forget(subject: UUID) -> None:
    """Destroy the salt: from now on no entry can be tied to this person."""
    Salt.objects.filter(subject=subject).delete()


def leaves() -> list[bytes]:
    """All leaf hashes in order of `seq`."""
    return [bytes(row) for row in Entry.objects.order_by("seq").values_list("leaf", flat=True)]


@transaction.atomic
def checkpoint() -> Checkpoint:
    """Sign the tree's head as it is now; the same head is not signed twice."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        cursor.execute("SELECT clock_timestamp()")
        (at,) = cursor.fetchone()
    hashes = leaves()
    existing = Checkpoint.objects.filter(size=len(hashes)).first()
    if existing:
        return existing
    root = merkle.root(hashes).hex()
    head = {"size": len(hashes), "root": root, "at": _iso(at)}
    return Checkpoint.objects.create(
        size=len(hashes), root=root, at=at, signature=signing.sign(head, CHECKPOINT_TYPE)
    )


def inclusion(entry: Entry, head: Checkpoint) -> list[str]:
    """Return the RFC 6962 audit path of an entry in a checkpoint's tree, as hex."""
    hashes = leaves()[: head.size]
    return [node.hex() for node in merkle.inclusion_proof(entry.seq - 1, hashes)]


def verify() -> Verification:
    """Walk everything once: each leaf from its row, no gap, each checkpoint as it was signed."""
    tree = merkle.Frontier()
    heads = list(Checkpoint.objects.order_by("size"))
    key = signing.public_jwk()
    for entry in Entry.objects.order_by("seq").iterator(chunk_size=5000):
        if entry.seq != tree.size + 1:
            return _broken(tree, f"entry {tree.size + 1} is missing")
        if leaf(entry) != bytes(entry.leaf):
            return _broken(tree, f"entry {entry.seq} was changed")
        tree.append(bytes(entry.leaf))
        while heads and heads[0].size == tree.size:
            if problem := _head_problem(heads.pop(0), tree, key):
                return _broken(tree, problem)
    if heads:
        return _broken(tree, f"entries after {tree.size} are missing")
    return Verification(tree.size, tree.root().hex(), ok=True)


def _head_problem(head: Checkpoint, tree: merkle.Frontier, key: dict[str, str]) -> str:
    try:
        signed = signing.verify(head.signature, key, CHECKPOINT_TYPE)
    except signing.BadSignature:
        return f"the checkpoint at {head.size} is not signed by this house"
    if signed["size"] != head.size or signed["root"] != tree.root().hex():
        return f"an entry up to {head.size} was changed after its checkpoint"
    return ""


def _broken(tree: merkle.Frontier, problem: str) -> Verification:
    return Verification(tree.size, tree.root().hex(), ok=False, problem=problem)


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
