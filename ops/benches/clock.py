"""A clock that a bench moves: for Python, and for one throw-away database, while the code that asks
for the time stays as it is.

PostgreSQL looks for a function along `search_path`, so a schema before `pg_catalog` answers in the
place of its own `now()`, `clock_timestamp()` and `statement_timestamp()`. Django's `timezone.now`
asks the class `datetime`, which is taken from its module and replaced there. For a database that
holds nothing else: it is never undone.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Any

from django.db import connection
from django.utils import timezone

NAMES = {"clock_timestamp": "VOLATILE", "statement_timestamp": "STABLE", "now": "STABLE"}


class Clock:
    """The one simulated time. It stands still until it is moved, and only goes forward."""

    def __init__(self, begin: datetime) -> None:
        self.now = begin
        self._told = begin

    def install(self) -> None:
        """Take over both clocks. Needs the tables to be there already: new ones would go into the
        schema of the clock."""
        clock = self
        with connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA clock")
            cursor.execute("CREATE TABLE clock.simulated (at timestamptz NOT NULL)")
            cursor.execute("INSERT INTO clock.simulated VALUES (%s)", [self.now])
            for name, kind in NAMES.items():
                cursor.execute(
                    f"CREATE FUNCTION clock.{name}() RETURNS timestamptz LANGUAGE sql {kind} "  # noqa: S608
                    "AS 'SELECT at FROM clock.simulated'"
                )
            database = connection.ops.quote_name(connection.settings_dict["NAME"])
            cursor.execute(f"ALTER DATABASE {database} SET search_path = clock, pg_catalog, public")
        connection.close()

        class Simulated(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Any:
                return clock.now.astimezone(tz)

        timezone.datetime = Simulated  # type: ignore[attr-defined]

    def move(self, to: datetime) -> None:
        """Let it be this time, for Python; for the database as soon as `tell` is called."""
        self.now = max(self.now, to)

    def tell(self) -> None:
        """Let it be this time for the database as well."""
        if self._told != self.now:
            with connection.cursor() as cursor:
                cursor.execute("UPDATE clock.simulated SET at = %s", [self.now])
            self._told = self.now

    def seconds(self) -> float:
        """Unix seconds, as `time.time`."""
        return self.now.astimezone(UTC).timestamp()
