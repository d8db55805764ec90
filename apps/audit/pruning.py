"""Drop entries that nobody may need as proof any more, and keep what proves the rest.

Design. A statement is signed and stored: this many entries went, and this was the root over them.
Behind it the database lets go of the entries (see migration 0005); the hashes over them, the tree's
frontier, stay. So the verifier goes on from the signed root, later proofs are made as before, and a
certificate that was issued carries its own. That it happened is an entry, and the statement leaves
the database with the heads. Only a ledger that was verified whole a moment ago is pruned.
"""

from datetime import timedelta

from django.db import connection, transaction
from django.db.models import Min

from apps.audit import clock, heads, signing, tree
from apps.audit import services as audit
from apps.audit.models import Checkpoint, Entry, LedgerCheck, Pruning
from apps.audit.verification import WALK

# Nothing younger goes, whatever is asked for: the proof period. The database holds to it too.
SHORTEST = heads.SHORTEST
VERIFIED = timedelta(hours=1)
EVERY = timedelta(days=28)
BATCH = 5000


def prune(*, kept: timedelta, actor: str) -> Pruning | None:
    """Drop what is older than `kept`; None while there is nothing, or less than a month passed.

    Safe to be killed: what was stated and not dropped yet goes the next time. Raises ValueError
    when `kept` is shorter than SHORTEST, and HeadsUnwritable, with all done, when the statement
    could not leave the database.
    """
    if kept < SHORTEST:
        raise ValueError("The ledger is kept for as long as a proof at least.")
    pruning = _state(kept, actor)
    last = Pruning.objects.first()
    if last:
        # Not in the transaction of its entry, which holds up who appends until it commits.
        _drop(last.size)
    if pruning:
        heads.export(pruning.signature)
        heads.export(audit.checkpoint().signature)
    return pruning


@transaction.atomic
def _state(kept: timedelta, actor: str) -> Pruning | None:
    with connection.cursor() as cursor:
        # Nobody is in the middle of a walk.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [WALK])
    now = clock.now()
    last, check = Pruning.objects.first(), LedgerCheck.objects.first()
    if last and last.at > now - EVERY:
        return None
    if not (check and check.ok and check.first == 0 and check.at > now - VERIFIED):
        return None
    head = Checkpoint.objects.filter(size__lte=check.entries).first()
    young = Entry.objects.filter(at__gte=now - kept).order_by("seq").first()
    size = min(head.size if head else 0, young.seq - 1 if young else check.entries)
    size &= ~1  # even, so that the frontier is made of nodes alone
    if size <= (last.size if last else 0):
        return None
    root = tree.root(size).hex()
    audit.record(actor=actor, action="ledger.pruned", size=size, root=root)
    signed = {"size": size, "root": root, "at": audit.iso(now)}
    return Pruning.objects.create(
        size=size, root=root, at=now, signature=signing.sign(signed, heads.PRUNING_TYPE)
    )


def _drop(size: int) -> None:
    """Delete the first `size` entries, and all hashes over them but the peaks of their tree."""
    dropped = False
    while (first := Entry.objects.aggregate(seq=Min("seq"))["seq"]) and first <= size:
        Entry.objects.filter(seq__lte=min(size, first + BATCH)).delete()
        dropped = True
    if dropped:
        with connection.cursor() as cursor:
            cursor.execute(
                """DELETE FROM audit_node
                    WHERE (index + 1) << level <= %(size)s
                      AND NOT ((%(size)s >> level) & 1 = 1 AND index = (%(size)s >> level) - 1)""",
                {"size": size},
            )
