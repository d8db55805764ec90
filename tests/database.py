"""What only the owner of the database can do: break a table, move time, tamper."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from apps.visitors.models import FaceTemplate


def run(statement: str) -> None:
    """Run one statement past every model."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


@contextmanager
def refusing(act: str, table: str) -> Iterator[None]:
    """PostgreSQL refuses INSERT, UPDATE or DELETE on a table, as a full disk or a bug would."""
    run(
        f"""CREATE FUNCTION test_refusing() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'refused by the test'; END $$;
            CREATE TRIGGER test_refusing BEFORE {act} ON {table}
            FOR EACH ROW EXECUTE FUNCTION test_refusing()"""
    )
    try:
        yield
    finally:
        run("DROP FUNCTION test_refusing() CASCADE")


@contextmanager
def without_triggers(table: str) -> Iterator[None]:
    """Go behind the back of a table's triggers, as its owner can."""
    # A table with checks that wait for the end of the transaction cannot be altered.
    run("SET CONSTRAINTS ALL IMMEDIATE")
    run(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal",
                [table],
            )
            for (trigger,) in cursor.fetchall():
                # The test runner empties tables; everything else is as the migrations left it.
                if not trigger.endswith("_no_truncate"):
                    cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")


def let_templates_expire() -> None:
    """Move the deadline of every template into the past, as the clock would."""
    with without_triggers("visitors_facetemplate"):
        FaceTemplate.objects.update(delete_after=timezone.now() - timedelta(seconds=1))


@contextmanager
def clock_moved(by: timedelta) -> Iterator[None]:
    """PostgreSQL's clock is off by so much, for this session."""
    kinds = {"clock_timestamp": "VOLATILE", "statement_timestamp": "STABLE", "now": "STABLE"}
    run("CREATE SCHEMA moved")
    for name, kind in kinds.items():
        run(
            f"CREATE FUNCTION moved.{name}() RETURNS timestamptz LANGUAGE sql {kind} AS "
            f"$$ SELECT pg_catalog.{name}() + interval '{by.total_seconds()} seconds' $$"
        )
    run("SET search_path = moved, pg_catalog, public")
    try:
        yield
    finally:
        run("RESET search_path")
        run("DROP SCHEMA moved CASCADE")
