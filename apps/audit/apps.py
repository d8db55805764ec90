"""No connection to a database that was restored and still holds who was erased."""

from typing import Any

from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.utils import ProgrammingError


class AuditConfig(AppConfig):
    name = "apps.audit"

    def ready(self) -> None:
        connection_created.connect(_require_replayed, dispatch_uid="deletions")


def _require_replayed(sender: Any, connection: Any, **_: Any) -> None:
    from apps.audit import deletions

    def ask(query: str, values: list[Any]) -> int:
        with connection.cursor() as cursor:
            cursor.execute(query, values)
            return int(cursor.fetchone()[0])

    try:
        deletions.require_replayed(ask)
    except ProgrammingError:
        # Its tables are yet to be made, or are not for this role: the auditor, who serves nobody.
        return
    except deletions.NotReplayed:
        connection.close()
        raise
