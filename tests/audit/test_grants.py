"""As the role of its process, nobody can do to the ledger more than add to it."""

from collections.abc import Callable

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from apps.audit import checks
from apps.audit import services as audit
from apps.audit.management.commands.grants import (
    AUDITOR,
    KEYS,
    LEDGER,
    RECOGNIZER,
    RETENTION,
    WEB,
)
from apps.audit.models import Entry
from apps.retention.models import Erasure
from apps.retention.services.erase import complete, erase
from apps.retention.services.sweep import sweep
from apps.systems.models import Delivery
from apps.visitors.models import DataKey
from apps.visits import hourly
from apps.visits.services import disclose
from tests.clients import browser
from tests.conftest import House
from tests.database import run
from tests.systems.others import listening
from tests.visits.test_disclose import match_of

Become = Callable[[str], None]


@pytest.fixture
def become(house: House) -> Become:
    """Go on as one of the roles, until this test's transaction is rolled back."""
    call_command("grants")
    call_command("grants")  # as after every migration

    def as_role(role: str) -> None:
        run(f"GRANT {role} TO CURRENT_USER; SET LOCAL ROLE {role}")

    return as_role


def refused(statement: str) -> None:
    with (
        pytest.raises(DatabaseError, match=r"permission denied|must be owner"),
        transaction.atomic(),
    ):
        run(statement)


@pytest.mark.parametrize("role", [WEB, RECOGNIZER, RETENTION, AUDITOR])
def test_no_process_can_change_the_ledger_or_switch_its_guards_off(
    become: Become, role: str
) -> None:
    become(role)
    for table in LEDGER[role]:
        if table not in ("audit_salt", "audit_ledgercheck", "audit_deletion"):
            column = "hash" if table == "audit_node" else "at"
            refused(f"UPDATE {table} SET {column} = {column}")  # noqa: S608
        refused(f"TRUNCATE {table}")
        refused(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
        refused(f"DROP TABLE {table}")
    refused("SET session_replication_role = replica")
    refused("CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE sql AS 'SELECT 1'")
    if role != RETENTION:
        for table in ("audit_entry", "audit_node", "audit_pruning"):
            refused(f"DELETE FROM {table}")  # noqa: S608


def test_none_but_the_recognizer_reads_a_wrapped_key(become: Become, house: House) -> None:
    house.visitor()
    for role in (WEB, RETENTION):
        become(role)
        for table, column in KEYS.items():
            refused(f"SELECT {column} FROM {table}")  # noqa: S608
            refused(f"UPDATE {table} SET {column} = ''")  # noqa: S608
        run("RESET ROLE")
    become(RECOGNIZER)
    assert bytes(DataKey.objects.get().wrapped) == b"wrapped"


def test_the_recognizer_writes_an_arrival_for_another_system_and_reads_nothing_of_it(
    become: Become, house: House
) -> None:
    listening(house)
    match = match_of(house.visitor(), house)
    become(RECOGNIZER)
    assert disclose(match).visit
    for statement in (
        "SELECT sealed FROM systems_webhook",
        "SELECT digest FROM systems_token",
        "SELECT id FROM systems_delivery",
        "DELETE FROM systems_delivery",
        "DELETE FROM systems_told",
    ):
        refused(statement)
    run("RESET ROLE")
    assert Delivery.objects.get().told.subject


def test_as_web_a_guest_is_greeted_and_forgotten_and_the_portal_answers(
    become: Become, house: House
) -> None:
    become(WEB)
    disclose(match_of(house.visitor(), house))
    erasure = erase(visitor=house.visitor("Mr Okafor"), cause=Erasure.Cause.REQUEST, actor="test")
    document = complete(erasure).document
    assert document
    page = browser().post("/verify/", {"certificate": document}).content.decode()
    assert 'data-verdict="good"' in page
    for path in ("/admin/", "/admin/audit/entry/", f"/public/{house.store.slug}/"):
        assert browser(house.dpo).get(path).status_code == 200


def test_as_retention_what_is_due_is_swept_and_the_ledger_is_checked(
    become: Become, house: House
) -> None:
    visitor = house.visitor()
    visitor.templates.all().delete()
    become(RETENTION)
    swept = sweep()
    assert (swept.people, swept.failed) == (1, 0)
    assert hourly.run(full=True).check.ok


def test_an_auditor_verifies_and_learns_of_nobody(become: Become, house: House) -> None:
    house.visitor()
    audit.checkpoint()
    become(AUDITOR)
    found = audit.verify()
    assert (found.ok, found.entries) == (True, Entry.objects.count())
    for table in ("audit_salt", "visitors_visitor", "consent_consent", "visitors_facetemplate"):
        refused(f"SELECT 1 FROM {table}")  # noqa: S608
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        checks.check()
    assert connection.is_usable()
