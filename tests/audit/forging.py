"""What whoever owns the database, and the house's key too, does to the ledger."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta

from apps.audit import heads, merkle, signing, tree
from apps.audit.models import Checkpoint, Entry, Node
from tests.database import without_triggers

TABLES = ("audit_entry", "audit_node", "audit_checkpoint")


def rebuild_nodes() -> None:
    """Make every kept hash fit the leaves as they are now."""
    Node.objects.all().delete()
    walk, nodes = merkle.Frontier(), list[Node]()
    for leaf in Entry.objects.order_by("seq").values_list("leaf", flat=True):
        done = walk.append(bytes(leaf))
        nodes += [
            Node(level=level, index=index, hash=node)
            for (level, index), node in zip(merkle.completed(walk.size), done, strict=True)
        ]
    Node.objects.bulk_create(nodes)


def aged(days: int) -> Callable[[list[Entry]], list[Entry]]:
    """The same entries, written so many days earlier."""

    def earlier(entries: list[Entry]) -> list[Entry]:
        for entry in entries:
            entry.at -= timedelta(days=days)
        return entries

    return earlier


def rewrite(change: Callable[[list[Entry]], list[Entry]]) -> None:
    """Put another ledger in place of this one: numbered, hashed and signed anew, without a trace.

    Its signed heads are at the same sizes, as far as it is that long, and at its end.
    """
    entries = change(list(Entry.objects.order_by("seq")))
    for seq, entry in enumerate(entries, start=1):
        entry.seq = seq
        entry.leaf = tree.leaf(entry)
    sizes = set(Checkpoint.objects.filter(size__lte=len(entries)).values_list("size", flat=True))
    with ExitStack() as off:
        for table in TABLES:
            off.enter_context(without_triggers(table))
        Checkpoint.objects.all().delete()
        Entry.objects.all().delete()
        Entry.objects.bulk_create(entries)
        rebuild_nodes()
        for size in {*sizes, len(entries)}:
            at = entries[-1].at
            root = tree.root(size).hex()
            head = {"size": size, "root": root, "at": at.isoformat()}
            Checkpoint.objects.create(
                size=size,
                root=root,
                at=at,
                signature=signing.sign(head, heads.CHECKPOINT_TYPE),
            )
