"""Roles of PostgreSQL for the processes, so that none of them owns what it writes into.

Who owns a table can switch its triggers off. As these roles a process can add to the ledger and
neither change, drop nor empty it, whatever it was made to run. They cannot log in: give each
process a user of its own that is a member. Run it as the owner, and again after every `migrate`.
"""

from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection, transaction

WEB, RETENTION, AUDITOR = "consentry_web", "consentry_retention", "consentry_auditor"
# What each may do with the ledger. Everything else is read and written by both processes' roles.
LEDGER: dict[str, dict[str, str]] = {
    WEB: {
        "audit_entry": "SELECT, INSERT",
        "audit_node": "SELECT, INSERT",
        "audit_checkpoint": "SELECT, INSERT",
        "audit_pruning": "SELECT",
        "audit_ledgercheck": "SELECT",
        "audit_salt": "SELECT, INSERT, DELETE",
    },
    RETENTION: {
        # Dropping is refused by the tables themselves but behind a signed statement: see 0005.
        "audit_entry": "SELECT, INSERT, DELETE",
        "audit_node": "SELECT, INSERT, DELETE",
        "audit_checkpoint": "SELECT, INSERT",
        "audit_pruning": "SELECT, INSERT",
        "audit_ledgercheck": "SELECT, INSERT, UPDATE, DELETE",
        "audit_salt": "SELECT, INSERT, DELETE",
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


class Command(BaseCommand):
    help = "Make the database roles consentry_web, consentry_retention and consentry_auditor."

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
                    quoted = connection.ops.quote_name(table)
                    cursor.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {quoted} TO {role}")
        self.stdout.write(f"granted: {', '.join(LEDGER)}")
