"""Old entries go on time, behind a signed statement, and everything else goes on being proved."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from apps.audit import checks, heads, merkle, pruning, signing, tree
from apps.audit import services as audit
from apps.audit.models import Checkpoint, Entry, LedgerCheck, Node, Pruning
from apps.consent.models import PROOF
from apps.visits import hourly
from tests.audit.forging import aged, rewrite
from tests.database import run, without_triggers

KEPT = timedelta(days=4 * 365)


def wrote(count: int) -> None:
    for number in range(count):
        audit.record(actor="test", action="wrote", number=number)


@pytest.fixture
def long_ago(db: None) -> Checkpoint:
    """Eleven entries of five years ago under a head; six of now, verified in full."""
    wrote(11)
    rewrite(aged(5 * 365))
    old = Checkpoint.objects.latest("size")
    wrote(6)
    heads.export(audit.checkpoint().signature)
    assert checks.check(full=True).ok
    return old


def test_old_entries_go_and_the_ledger_goes_on(long_ago: Checkpoint) -> None:
    proof = audit.inclusion(Entry.objects.get(seq=7), long_ago)
    leaves = [bytes(entry.leaf) for entry in Entry.objects.order_by("seq")]
    stated = pruning.prune(kept=KEPT, actor="test")
    assert stated is not None
    assert (stated.size, stated.root) == (10, merkle.root(leaves[:10]).hex())
    kept = Entry.objects.order_by("seq")
    assert [entry.seq for entry in kept] == list(range(11, 19))
    assert kept[7].detail == {"size": 10, "root": stated.root}
    # Of the hashes over what went, the frontier alone.
    assert set(Node.objects.filter(index=0).values_list("level", flat=True)) == {3, 4}
    assert [heads.read(line, signing.public_jwk()).pruned for line in heads.exported()] == [
        *(False, True, False)
    ]
    wrote(5)
    leaves += [bytes(entry.leaf) for entry in Entry.objects.filter(seq__gt=17).order_by("seq")]
    head = audit.checkpoint()
    assert head.root == merkle.root(leaves).hex()
    for index in (10, 13, len(leaves) - 1):
        path = [bytes.fromhex(node) for node in audit.inclusion(kept.get(seq=index + 1), head)]
        assert path == merkle.inclusion_proof(index, leaves)
    found = audit.verify()
    assert (found.ok, found.entries, found.problem) == (True, 23, "")
    assert [checks.check().first, checks.check(full=True).ok] == [17, True]
    # A proof that was given before needs nothing of what went.
    assert merkle.verify_inclusion(
        leaf=leaves[6],
        index=6,
        size=long_ago.size,
        proof=[bytes.fromhex(node) for node in proof],
        root=bytes.fromhex(long_ago.root),
    )


def test_it_happens_once_a_month_after_a_full_check_alone(long_ago: Checkpoint) -> None:
    LedgerCheck.objects.update(first=3)
    assert pruning.prune(kept=KEPT, actor="test") is None
    LedgerCheck.objects.update(first=0, ok=False)
    assert pruning.prune(kept=KEPT, actor="test") is None
    LedgerCheck.objects.all().delete()
    hourly.run()
    assert Pruning.objects.count() == 1
    hourly.run(full=True)
    assert Pruning.objects.count() == 1
    assert LedgerCheck.objects.latest("pk").ok


def test_what_a_killed_pruning_left_goes_the_next_time(long_ago: Checkpoint) -> None:
    assert pruning._state(KEPT, "test")
    assert Entry.objects.filter(seq__lte=10).count() == 10
    assert audit.verify().ok
    assert pruning.prune(kept=KEPT, actor="test") is None
    assert not Entry.objects.filter(seq__lte=10).exists()
    assert audit.verify().ok


def test_nothing_goes_before_the_proof_period_is_over(long_ago: Checkpoint) -> None:
    assert pruning.SHORTEST == PROOF
    assert hourly.LEDGER_KEPT > PROOF
    with pytest.raises(ValueError, match="as long as a proof"):
        pruning.prune(kept=PROOF - timedelta(days=1), actor="test")
    # Nor by whoever writes the statement themselves: PostgreSQL holds to it.
    for size in (12, 11, 400):
        with pytest.raises(DatabaseError, match="past the proof period"), transaction.atomic():
            Pruning.objects.create(size=size, root="", at=timezone.now(), signature="")
    for statement in ("DELETE FROM audit_entry WHERE seq = 1", "DELETE FROM audit_node"):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            run(statement)
    pruning.prune(kept=KEPT, actor="test")
    for statement in (
        "DELETE FROM audit_entry",
        "DELETE FROM audit_node",
        "UPDATE audit_entry SET actor = 'x'",
        "DELETE FROM audit_pruning",
        "UPDATE audit_pruning SET size = 12",
    ):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            run(statement)


def test_young_entries_that_were_pruned_by_force_are_told_by_what_was_exported(
    long_ago: Checkpoint,
) -> None:
    """With the house's key, and past every trigger: the head that left says how young they were."""
    wrote(4)
    size, root, now = 20, tree.root(20).hex(), timezone.now()
    signed = {"size": size, "root": root, "at": audit.iso(now)}
    document = signing.sign(signed, heads.PRUNING_TYPE)
    with without_triggers("audit_pruning"):
        Pruning.objects.create(size=size, root=root, at=now, signature=document)
    pruning._drop(size)
    assert audit.verify().problem == "entries after 17 were dropped before their time"
    heads.path().unlink()
    assert audit.verify().ok


def test_the_frontier_and_the_statement_cannot_be_changed_unseen(long_ago: Checkpoint) -> None:
    pruning.prune(kept=KEPT, actor="test")
    with without_triggers("audit_node"), without_triggers("audit_pruning"):
        run("UPDATE audit_node SET hash = sha256('x') WHERE level = 3 AND index = 0")
        assert audit.verify().problem == "an entry up to 10 was changed after it was dropped"
        run("DELETE FROM audit_node WHERE level = 3 AND index = 0")
        assert audit.verify().problem == "a hash over the entries up to 10 is missing"
        run("UPDATE audit_pruning SET signature = replace(signature, '.', '.A')")
        assert audit.verify().problem == "the pruning up to 10 is not signed by this house"
