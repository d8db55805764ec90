"""The ledger only grows, has no gap, and shows whoever tampered with it."""

import io
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.audit import merkle
from apps.audit import services as audit
from apps.audit.models import Checkpoint, Entry, Node, Salt
from apps.audit.services import Act, LedgerOutsideTransaction
from tests.audit.forging import rebuild_nodes
from tests.database import run, without_triggers

# Each of the ledger's tables, and a column of it.
TABLES = {"audit_entry": "at", "audit_checkpoint": "at", "audit_node": "hash"}


@pytest.fixture
def ledger(db: None) -> list[Entry]:
    """Seven entries; a signed head after the fifth."""
    entries = [audit.record(actor="test", action="began", number=number) for number in range(1, 6)]
    audit.checkpoint()
    return entries + [audit.record(actor="test", action="went.on") for _ in range(2)]


# Append-only.


@pytest.fixture
def guarded(db: None) -> None:
    """The triggers that the test runner turned off, within this test's transaction."""
    for table in TABLES:
        run(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_no_truncate")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {table} SET {column} = {column}",
        "UPDATE {table} SET {column} = {column} WHERE true",
        "DELETE FROM {table}",
        "TRUNCATE {table}",
        "TRUNCATE {table} CASCADE",
    ],
)
@pytest.mark.parametrize("table", TABLES)
def test_postgresql_refuses_to_change_drop_or_empty(
    ledger: list[Entry], guarded: None, table: str, statement: str
) -> None:
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        run(statement.format(table=table, column=TABLES[table]))
    assert (Entry.objects.count(), Checkpoint.objects.count()) == (7, 1)
    assert audit.verify().ok


def test_every_guard_holds_for_replicas_too(db: None) -> None:
    """ALWAYS: a session that calls itself a replica would walk past any other trigger."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT tgname, tgenabled FROM pg_trigger
                WHERE tgrelid::regclass::text LIKE 'audit%'
                  AND NOT tgisinternal AND tgname NOT LIKE '%_no_truncate'"""
        )
        guards = [f"{table}_append_only" for table in (*TABLES, "audit_pruning")]
        assert dict(cursor.fetchall()) == dict.fromkeys([*guards, "audit_pruning_lawful"], "A")


# In the transaction of the act.


def test_an_entry_without_a_transaction_is_refused(transactional_db: None) -> None:
    with pytest.raises(LedgerOutsideTransaction):
        audit.record(actor="test", action="loose")
    with pytest.raises(LedgerOutsideTransaction):
        audit.record_all([Act("test", "loose")])
    assert not Entry.objects.exists()


def test_many_that_are_written_together_are_those_of_one_by_one(ledger: list[Entry]) -> None:
    people = [uuid.uuid4(), uuid.uuid4()]
    for count in (1, 2, 3, 8, 30):
        acts = [
            Act("test", "wrote", people[number % 2], number % 3 == 0, {"number": number})
            for number in range(count)
        ]
        entries = audit.record_all(acts)
        assert [entry.detail["number"] for entry in entries] == list(range(count))
        assert [entry.subject for entry in entries] == [
            audit.reference(people[number % 2], whereabouts=number % 3 == 0)
            for number in range(count)
        ]
        audit.record(actor="test", action="between")
        audit.checkpoint()
    leaves = [bytes(leaf) for leaf in Entry.objects.order_by("seq").values_list("leaf", flat=True)]
    assert len(leaves) == 7 + 1 + 2 + 3 + 8 + 30 + 5
    assert audit.checkpoint().root == merkle.root(leaves).hex()
    assert audit.verify().ok
    assert audit.record_all([]) == []


def test_an_act_that_fails_leaves_no_entry_and_no_gap(transactional_db: None) -> None:
    with transaction.atomic():
        audit.record(actor="test", action="first")

    @transaction.atomic
    def fail() -> None:
        audit.record(actor="test", action="undone")
        run("SELECT 1 / 0")

    with pytest.raises(DatabaseError):
        fail()
    with transaction.atomic():
        audit.record(actor="test", action="second")
    assert list(Entry.objects.order_by("seq").values_list("seq", "action")) == [
        (1, "first"),
        (2, "second"),
    ]


def test_writers_at_once_leave_no_gap_and_lose_nothing(transactional_db: None) -> None:
    writers, each = 6, 15

    def write(writer: int) -> None:
        try:
            for number in range(each):
                with transaction.atomic():
                    audit.record(actor=f"writer:{writer}", action="wrote", number=number)
                    if number % 5 == 4:
                        transaction.set_rollback(True)
                if number == each // 2:
                    audit.checkpoint()
        finally:
            connection.close()

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(write, range(writers)))
    found = audit.verify()
    assert (found.ok, found.entries) == (True, writers * each * 4 // 5)
    for writer in range(writers):
        numbers = Entry.objects.filter(actor=f"writer:{writer}").order_by("seq")
        kept = [number for number in range(each) if number % 5 != 4]
        assert [entry.detail["number"] for entry in numbers] == kept


# Tampering by whoever owns the database.


@dataclass(frozen=True, slots=True)
class Tampering:
    """What a superuser does, and what `verify` says of it."""

    statements: tuple[str, ...]
    problem: str


TAMPERINGS = {
    "an actor": Tampering(("UPDATE audit_entry SET actor = 'x' WHERE seq = 3",), "entry 3 was"),
    "an action": Tampering(("UPDATE audit_entry SET action = 'x' WHERE seq = 7",), "entry 7 was"),
    "a time": Tampering(
        ("UPDATE audit_entry SET at = at + interval '1 microsecond' WHERE seq = 1",), "entry 1 was"
    ),
    "a person": Tampering(("UPDATE audit_entry SET subject = 'x' WHERE seq = 2",), "entry 2 was"),
    "a detail": Tampering(
        ("""UPDATE audit_entry SET detail = '{"number": 9}' WHERE seq = 4""",), "entry 4 was"
    ),
    "a leaf": Tampering(
        ("UPDATE audit_entry SET leaf = sha256('x') WHERE seq = 5",), "entry 5 was"
    ),
    "the first is gone": Tampering(("DELETE FROM audit_entry WHERE seq = 1",), "entry 1 is"),
    "one is gone": Tampering(("DELETE FROM audit_entry WHERE seq = 3",), "entry 3 is"),
    "one is gone and the gap closed": Tampering(
        (
            "DELETE FROM audit_entry WHERE seq = 3",
            "UPDATE audit_entry SET seq = seq - 1 WHERE seq = 4",
            "UPDATE audit_entry SET seq = seq - 1 WHERE seq = 5",
        ),
        "entry 3 was",
    ),
    "two changed places": Tampering(
        (
            "UPDATE audit_entry SET seq = 99 WHERE seq = 2",
            "UPDATE audit_entry SET seq = 2 WHERE seq = 4",
            "UPDATE audit_entry SET seq = 4 WHERE seq = 99",
        ),
        "entry 2 was",
    ),
    "the end is cut before a head": Tampering(
        ("DELETE FROM audit_entry WHERE seq > 4",), "entries after 4 are missing"
    ),
    "all is gone": Tampering(("DELETE FROM audit_entry",), "entries after 0 are missing"),
    "a head says another root": Tampering(
        ("UPDATE audit_checkpoint SET signature = replace(signature, '.', '.A')",),
        "the checkpoint at 5 is not signed by this house",
    ),
    "a head is moved": Tampering(
        ("UPDATE audit_checkpoint SET size = 4",), "checkpoint at 4 is not the one that was signed"
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_what_the_owner_of_the_database_changed_is_found(ledger: list[Entry], name: str) -> None:
    assert audit.verify().ok
    tampering = TAMPERINGS[name]
    with without_triggers("audit_entry"), without_triggers("audit_checkpoint"):
        for statement in tampering.statements:
            run(statement)
    found = audit.verify()
    assert not found.ok
    assert tampering.problem in found.problem


def test_a_change_with_its_leaf_made_anew_is_found_by_the_signed_head(ledger: list[Entry]) -> None:
    entry = ledger[2]
    entry.actor = "somebody else"
    entry.leaf = audit.leaf(entry)
    with without_triggers("audit_entry"):
        entry.save()
    assert "over the entries up to 4 was changed" in audit.verify().problem
    with without_triggers("audit_node"):
        rebuild_nodes()
    found = audit.verify()
    assert (found.ok, found.problem) == (
        False,
        "an entry up to 5 was changed after its checkpoint",
    )


def test_a_kept_hash_that_was_taken_away_is_found_and_stops_no_act(ledger: list[Entry]) -> None:
    with without_triggers("audit_node"):
        run("DELETE FROM audit_node WHERE level = 2")
    audit.record_all([Act("test", "goes.on") for _ in range(2)])
    assert Entry.objects.count() == 9
    found = audit.verify()
    assert (found.ok, found.problem) == (
        False,
        "a hash over the entries up to 4 was changed or is missing",
    )


# Proofs from what is kept.


def test_proofs_are_those_of_the_tree_over_all_leaves(db: None) -> None:
    leaves: list[bytes] = []
    for number in range(1, 38):
        entry = audit.record(actor="test", action="wrote", number=number)
        leaves.append(bytes(entry.leaf))
        head = audit.checkpoint()
        assert head.root == merkle.root(leaves).hex()
        for index in {0, number // 2, number - 1}:
            proof = [node.hex() for node in merkle.inclusion_proof(index, leaves)]
            assert audit.inclusion(Entry.objects.get(seq=index + 1), head) == proof
            proof = [node.hex() for node in merkle.consistency_proof(index, leaves)]
            assert audit.consistency(index, head) == proof


def test_a_ledger_from_before_is_filled_with_its_subtrees(ledger: list[Entry]) -> None:
    with without_triggers("audit_node"):
        Node.objects.all().delete()
    assert not audit.verify().ok
    import_module("apps.audit.migrations.0003_kept_subtrees").fill(apps, None)
    assert audit.verify().ok
    assert audit.inclusion(ledger[2], audit.checkpoint())


def test_a_proof_reads_a_few_rows_however_long_the_ledger_is(db: None) -> None:
    entries = [audit.record(actor="test", action="wrote") for _ in range(65)]
    head = audit.checkpoint()
    with CaptureQueriesContext(connection) as asked:
        audit.inclusion(entries[40], head)
    assert len(asked) == 2
    # An append: the lock, its number, the row; and the subtrees that it completes, if any.
    for statements in (4, 3):
        with CaptureQueriesContext(connection) as asked:
            audit.record(actor="test", action="wrote")
        assert len(asked) == statements


def test_the_same_head_is_not_signed_twice(ledger: list[Entry]) -> None:
    first = audit.checkpoint()
    assert audit.checkpoint() == first
    assert Checkpoint.objects.count() == 2


def test_the_command_says_what_it_found_and_fails_when_it_must(ledger: list[Entry]) -> None:
    said = io.StringIO()
    call_command("ledger", "verify", stdout=said)
    assert json.loads(said.getvalue()) == {
        "entries": 7,
        "root": audit.verify().root,
        "ok": True,
        "problem": "",
        "exported": 0,
        "exported_at": None,
    }
    with without_triggers("audit_entry"):
        run("DELETE FROM audit_entry WHERE seq = 6")
    said = io.StringIO()
    with pytest.raises(CommandError, match="entry 6 is missing") as failure:
        call_command("ledger", "verify", stdout=said)
    assert failure.value.returncode == 1
    assert json.loads(said.getvalue())["ok"] is False


# Whom an entry is about.


@pytest.fixture
def somebody(db: None) -> uuid.UUID:
    subject = uuid.uuid4()
    audit.record(actor="test", action="visitor.looked", subject=subject)
    audit.record(actor="test", action="visit.shown", subject=subject, whereabouts=True)
    return subject


def test_all_entries_about_a_person_are_found_until_they_are_forgotten(
    somebody: uuid.UUID,
) -> None:
    audit.record(actor="test", action="visitor.looked", subject=uuid.uuid4())
    about = audit.about(somebody)
    assert [entry.action for entry in about] == ["visit.shown", "visitor.looked"]
    audit.forget(somebody)
    assert audit.about(somebody) == []
    assert not Salt.objects.filter(subject=somebody).exists()
    assert audit.verify().ok


def test_an_entry_names_nobody_and_its_two_names_share_nothing(somebody: uuid.UUID) -> None:
    names = {entry.subject for entry in audit.about(somebody)}
    assert len(names) == 2
    assert all(len(name) == 64 for name in names)
    assert not any(somebody.hex in str(audit.leaf_data(entry)) for entry in Entry.objects.all())
    # The same person under a new salt is another one.
    audit.forget(somebody)
    assert audit.reference(somebody) not in names
