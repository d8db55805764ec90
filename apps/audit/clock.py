"""The one clock of the house: the database's, which its triggers and its queries compare with."""

from datetime import datetime

from django.db import connection


def now() -> datetime:
    """What time it is now, also within a transaction that began earlier."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (moment,) = cursor.fetchone()
    return moment
