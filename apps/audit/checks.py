"""The scheduled verification: the new part every hour, everything once a day, each result kept.

A ledger that was found broken is walked in full until it is whole again: a good new part says
nothing of what lies before it.
"""

from datetime import timedelta

from django.db import connection, transaction

from apps.audit import clock
from apps.audit.models import LedgerCheck
from apps.audit.verification import WALK, Start, verify

FULL_EVERY = timedelta(days=1)
KEPT = timedelta(days=90)


@transaction.atomic
def check(*, full: bool = False) -> LedgerCheck:
    """Verify and keep the result. The whole ledger with `full`, or when that was a day ago."""
    with connection.cursor() as cursor:
        # One check at a time; it does not hold up who appends.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [WALK])
    now = clock.now()
    LedgerCheck.objects.filter(at__lt=now - KEPT).delete()
    last = LedgerCheck.objects.first()
    whole = LedgerCheck.objects.filter(first=0, at__gt=now - FULL_EVERY).exists()
    start = Start()
    if last and last.ok and whole and not full:
        start = Start(last.entries, last.root)
    found = verify(start)
    return LedgerCheck.objects.create(
        at=now,
        first=start.size,
        entries=found.entries,
        root=found.root,
        ok=found.ok,
        problem=found.problem,
        exported=found.exported,
        exported_at=found.exported_at,
    )


def untold() -> LedgerCheck | None:
    """The latest check, if it is bad and nobody was told since the ledger was last whole."""
    last = LedgerCheck.objects.first()
    if last is None or last.ok:
        return None
    good = LedgerCheck.objects.filter(ok=True).first()
    row_of_bad = LedgerCheck.objects.filter(ok=False, pk__gt=good.pk if good else 0)
    return None if row_of_bad.filter(told_at__isnull=False).exists() else last
