"""Roles of PostgreSQL for the processes, so that none of them owns what it writes into.

Who owns a table can switch its triggers off. As these roles a process can add to the ledger and
neither change, drop nor empty it, whatever it was made to run. They cannot log in: give each
process a user of its own that is a member. Run it as the owner, and again after every `migrate`.
"""

from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection, transaction

WEB, RECOGNIZER = "consentry_web", "consentry_recognizer"
RETENTION, AUDITOR = "consentry_retention", "consentry_auditor"
ADDING = {
    "audit_entry": "SELECT, INSERT",
    "audit_node": "SELECT, INSERT",
    "audit_checkpoint": "SELECT, INSERT",
    "audit_pruning": "SELECT",
    "audit_ledgercheck": "SELECT",
    "audit_salt": "SELECT, INSERT, DELETE",
    "audit_deletion": "SELECT, INSERT, UPDATE",
}
# What each may do with the ledger. All but the auditor read and write everything else, and none
# but the recognizer reads these keys, not even wrapped.
LEDGER: dict[str, dict[str, str]] = {
    WEB: ADDING,
    RECOGNIZER: ADDING,
    RETENTION: {
        # Dropping is refused by the tables themselves but behind a signed statement: see 0005.
        "audit_entry": "SELECT, INSERT, DELETE",
        "audit_node": "SELECT, INSERT, DELETE",
        "audit_checkpoint": "SELECT, INSERT",
        "audit_pruning": "SELECT, INSERT",
        "audit_ledgercheck": "SELECT, INSERT, UPDATE, DELETE",
        "audit_salt": "SELECT, INSERT, DELETE",
        "audit_deletion": "SELECT, INSERT, UPDATE",
    },
    # Enough for `manage.py ledger verify`; not the salts, which say whom an entry is about.
    AUDITOR: {
        "audit_entry": "SELECT",
        "audit_node": "SELECT",
        "audit_checkpoint": "SELECT",
        "audit_pruning": "SELECT",
        "audit_ledgercheck": "SELECT",
    },
}
# What the recognizer may do with the outbox of other systems, in which it only writes arrivals: it
# reads no secret of theirs, and takes no message away.
OUTBOX = {
    "systems_client": "SELECT",
    "systems_client_stores": "SELECT",
    "systems_token": "",
    "systems_webhook": "SELECT (client_id, arrivals)",
    "systems_told": "SELECT, INSERT, UPDATE",
    "systems_delivery": "INSERT",
}
# A column of each of these tables is for the recognizer alone.
KEYS = {"visitors_datakey": "wrapped", "visitors_rotation": "wrapped"}


class Command(BaseCommand):
    help = "Make the database roles of the processes, or grant them what a migration added."

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        tables = [
            name
            for name in connection.introspection.table_names()
            if not name.startswith("audit_") and name != "django_migrations"
        ]
        with connection.cursor() as cursor:
            for role, ledger in LEDGER.items():
                cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE ROLE {role} NOLOGIN")
                cursor.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}")
                cursor.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
                for table, may in ledger.items():
                    cursor.execute(f"GRANT {may} ON {table} TO {role}")
                if role == AUDITOR:
                    continue
                cursor.execute(f"GRANT SELECT ON django_migrations TO {role}")
                cursor.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}")
                for table in tables:
                    may = "SELECT, INSERT, UPDATE, DELETE"
                    if table in KEYS and role != RECOGNIZER:
                        columns = self._columns(table)
                        may = f"SELECT ({columns}), UPDATE ({columns}), INSERT, DELETE"
                    if table in OUTBOX and role == RECOGNIZER:
                        may = OUTBOX[table]
                    if not may:
                        continue
                    cursor.execute(f"GRANT {may} ON {connection.ops.quote_name(table)} TO {role}")
        self.stdout.write(f"granted: {', '.join(LEDGER)}")

    def _columns(self, table: str) -> str:
        """All but the key."""
        with connection.cursor() as cursor:
            described = connection.introspection.get_table_description(cursor, table)
        names = [column.name for column in described if column.name != KEYS[table]]
        return ", ".join(map(connection.ops.quote_name, names))
