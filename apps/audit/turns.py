"""One worker at a time at one thing, for as long as its connection to PostgreSQL lives."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import connection


@contextmanager
def alone(what: int, pk: UUID) -> Iterator[bool]:
    """Whether this worker is the one at it; until the block ends, or the worker dies. what: a
    number (int4) of the kind of work, each kind its own."""
    key = [what, int.from_bytes(pk.bytes[:4], "big", signed=True)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", key)
        (mine,) = cursor.fetchone()
    try:
        yield mine
    finally:
        if mine:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", key)
