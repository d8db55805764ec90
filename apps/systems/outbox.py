"""What other systems are to be told, written in the transaction of what it tells.

Whoever tells a client of somebody, or is about to, writes `Told` in the same transaction, under a
lock on the visitor. An erasure locks the visitor too: it either comes first, and then there is
nobody to tell of, or it finds the row and tells the client of the end. No client can know of
somebody without being told that it is over. `Told` is locked after visitor and visits, before its
deliveries, and before the ledger, which is last.

An arrival that was not sent yet is not sent to anybody after a withdrawal.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet

from apps.audit import clock
from apps.consent.models import Purpose
from apps.systems.models import Delivery, Event, Told

# For how long an arrival is news, unless the visit goes sooner.
NEWS_DAYS = 3
# No client learns of these, so none is told that they are over.
NEVER_TOLD = frozenset({Purpose.CONTACT, Purpose.NOTES})

# One statement, in the recognizer's transaction, which holds the visitor. It costs two look-ups in
# an index where nobody has subscribed. `since` is written over by itself so that the row is
# returned and locked.
ARRIVED = f"""
WITH hears AS (
    SELECT c.id FROM systems_client_stores s
      JOIN systems_client c ON c.id = s.client_id AND c.ended_at IS NULL
      JOIN systems_webhook w ON w.client_id = c.id AND w.arrivals
     WHERE s.store_id = %(store)s
), told AS (
    INSERT INTO systems_told (id, client_id, subject, person, since)
    SELECT gen_random_uuid(), h.id, %(subject)s, gen_random_uuid(), clock_timestamp()
      FROM hears h ORDER BY h.id
        ON CONFLICT (client_id, subject) DO UPDATE SET since = systems_told.since
    RETURNING id
)
INSERT INTO systems_delivery (id, told_id, event, store_id, visit, purpose, at, due_at, attempts,
                              outcome, delete_after)
SELECT gen_random_uuid(), t.id, '{Event.ARRIVED.value}', v.store_id, v.id, '', v.arrived_at,
       clock_timestamp(), 0, '',
       least(v.delete_after, clock_timestamp() + interval '{NEWS_DAYS} days')
  FROM told t CROSS JOIN visits_visit v WHERE v.id = %(visit)s
"""  # noqa: S608

TELL = """
INSERT INTO systems_told (id, client_id, subject, person, since)
SELECT gen_random_uuid(), %(client)s, subject, gen_random_uuid(), clock_timestamp()
  FROM unnest(%(subjects)s::uuid[]) AS subject ORDER BY subject
    ON CONFLICT (client_id, subject) DO NOTHING
"""


def arrived(*, visit: UUID, store: UUID, subject: UUID) -> None:
    """Have the systems that listen to a store told of a visit that this transaction makes."""
    with connection.cursor() as cursor:
        cursor.execute(ARRIVED, {"visit": visit, "store": store, "subject": subject})


def tell(*, client: UUID, subjects: Iterable[UUID]) -> dict[UUID, UUID]:
    """Write down that a client is told of these people by this transaction, which holds a lock on
    each of them; the id that the client knows each by."""
    wanted = sorted(set(subjects))
    with connection.cursor() as cursor:
        cursor.execute(TELL, {"client": client, "subjects": wanted})
    told = Told.objects.filter(client=client, subject__in=wanted)
    return {row.subject: row.person for row in told if row.subject}


def lock(subject: UUID) -> None:
    """Let nobody be told of a person, nor acknowledge it, until this transaction has ended."""
    list(Told.objects.select_for_update().filter(subject=subject).order_by("client_id"))


def retracted(*, visit: UUID, store: UUID, subject: UUID) -> None:
    """A visit was someone else's: who may have heard of it hears that too, nobody else is told."""
    lock(subject)
    Delivery.objects.filter(event=Event.ARRIVED, visit=visit).delete()
    told = Told.objects.filter(subject=subject, client__stores=store)
    _put(told, Event.RETRACTED, visit=visit)


def told_after_all(*, visit: UUID, store: UUID, subject: UUID) -> None:
    """It was them: what was not told of `retracted` is not, and the arrival is told again."""
    lock(subject)
    Delivery.objects.filter(event=Event.RETRACTED, visit=visit).delete()
    arrived(visit=visit, store=store, subject=subject)


def restricted(*, subject: UUID, restricted: bool) -> None:
    """A person's data may be used for nothing, or may be again (GDPR 18, 19). As `withdrawn`."""
    # The last word holds: an earlier one that is tried again must not come after it.
    earlier = (Event.RESTRICTED, Event.RESUMED)
    Delivery.objects.filter(told__subject=subject, event__in=earlier).delete()
    if restricted:
        _stop_news(subject)
    event = Event.RESTRICTED if restricted else Event.RESUMED
    _put(Told.objects.filter(subject=subject), event)


def rectified(*, subject: UUID) -> None:
    """How a person is named was corrected (GDPR 16, 19): every system that was told of them hears
    it, and reads what it may anew. As `withdrawn`."""
    # One word of it is enough: at whichever comes last, what holds by then is read.
    Delivery.objects.filter(told__subject=subject, event=Event.RECTIFIED).delete()
    _put(Told.objects.filter(subject=subject), Event.RECTIFIED)


def withdrawn(*, subject: UUID, purpose: Purpose | None = None) -> None:
    """A person took back one purpose, or everything: every system that was told of them hears it.
    The caller holds a lock on the visitor, and `lock`."""
    if purpose in NEVER_TOLD:
        return
    _stop_news(subject)
    _put(Told.objects.filter(subject=subject), Event.WITHDRAWN, purpose=purpose or "")


def erased(*, subject: UUID) -> None:
    """A person is erased in this transaction: every system that was told of them hears it. From now
    on nothing here says who they were; the rows go when the systems have acknowledged."""
    _stop_news(subject)
    told = Told.objects.filter(subject=subject)
    # There is nothing to be read anew.
    Delivery.objects.filter(told__in=told, event=Event.RECTIFIED).delete()
    _put(told, Event.ERASED)
    told.update(subject=None, delete_after=clock.now() + Told.LIMIT)


def _stop_news(subject: UUID) -> None:
    Delivery.objects.filter(told__subject=subject, event=Event.ARRIVED).delete()


def _put(told: QuerySet[Told], event: Event, **values: Any) -> None:
    at = clock.now()
    rows = [
        Delivery(told=row, event=event, at=at, due_at=at, delete_after=at + Told.LIMIT, **values)
        for row in told.order_by("client_id")
    ]
    Delivery.objects.bulk_create(rows)
    for client in {row.told.client_id for row in rows}:
        nudge(client)


def nudge(client: UUID) -> None:
    """Once this transaction is committed, have a worker look at once; beat looks anyway."""
    from apps.systems import tasks

    transaction.on_commit(partial(tasks.nudge, client), robust=True)
