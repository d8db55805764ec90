"""Disclose an arrival, mark a greeting.

`disclose` is the only place where a match becomes known to anyone. It is one INSERT that asks again
for consent, restriction, expiry, the stores that are covered and what the camera's mode needs, so
that a stale gallery, a late message or a clock that is off cannot create a visit. The visit is of
the store of the camera, which need not be the one where its person enrolled. A template serves
cameras of its own purpose only: what was agreed to for a pass is of no use to a lane, and the other
way round.
"""

import logging
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import redis
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from apps.audit import services as audit
from apps.consent.coverage import covers_sql
from apps.consent.models import Purpose
from apps.consent.promises import days_sql
from apps.recognition.client import Decision, Match
from apps.stores.devices import live_events
from apps.stores.models import Camera, User
from apps.systems import outbox
from apps.visitors.models import Visitor
from apps.visits.models import Visit

log = logging.getLogger(__name__)

# For how long after an arrival a board shows it.
SHOWN = timedelta(hours=4)
# What needs the dates of visits; staff are told of earlier ones for the history only.
KEEPS_VISITS = frozenset({Purpose.HISTORY.value, Purpose.STATISTICS.value})
# Any other visit is shown to the shift that is there, then goes.
SHIFT = "12 hours"
KEPT = "c.purposes && ARRAY['history', 'statistics']::varchar[]"
# As the longer of the two allows, where both were agreed to; GREATEST leaves out what is null.
VISIT_DAYS = f"""greatest(
    CASE WHEN 'history' = ANY (c.purposes)
         THEN {days_sql("%(store)s", "'history'", "%(visit_days)s")} END,
    CASE WHEN 'statistics' = ANY (c.purposes)
         THEN {days_sql("%(store)s", "'statistics'", "%(visit_days)s")} END)"""
INACTIVITY_DAYS = days_sql("t.store_id", "t.purpose", "%(inactivity_days)s")

MAY_DISCLOSE = f"""
  FROM visitors_facetemplate t
  JOIN consent_consent c ON c.id = t.consent_id
  JOIN visitors_visitor v ON v.id = t.visitor_id AND v.subject = c.subject
  JOIN stores_store s ON s.id = %(store)s
  JOIN stores_camera k ON k.id = %(camera)s AND k.store_id = s.id
 WHERE t.id = %(template)s AND c.store_id = t.store_id AND {covers_sql("s.id")}
   AND t.purpose = k.mode AND t.purpose = ANY (c.purposes)
   AND t.delete_after > clock_timestamp() AND t.not_after > clock_timestamp()
   AND c.withdrawn_at IS NULL AND c.expires_at > clock_timestamp()
   AND v.restricted_at IS NULL
   AND NOT EXISTS (SELECT 1 FROM visitors_formerpack f WHERE f.name = t.pack
                      AND f.version = t.pack_version AND f.ends_at <= clock_timestamp())
   AND k.active AND s.non_face_check_in <> '' AND k.signage_confirmed_at IS NOT NULL
   AND CASE k.mode
       WHEN 'pass' THEN TRUE
       WHEN 'lane' THEN EXISTS (
            SELECT 1 FROM stores_assessment a WHERE a.camera_id = k.id AND a.mode = k.mode
               AND a.signed_at <= clock_timestamp() AND a.expires_at > clock_timestamp())
       ELSE FALSE END
"""  # noqa: S608

# A visit that staff said was someone else holds its stay as any other does: whoever was taken for
# this visitor is not announced as them again before they were out of sight for long enough.
STILL_HERE = f"""
UPDATE visits_visit SET last_seen_at = clock_timestamp()
 WHERE id = (SELECT p.id FROM visits_visit p
              JOIN stores_store s ON s.id = p.store_id
             WHERE p.store_id = %(store)s
               AND p.visitor_id = (SELECT t.visitor_id {MAY_DISCLOSE})
               AND (p.last_seen_at > clock_timestamp() - make_interval(mins => s.absence_minutes)
                 OR p.arrived_at > clock_timestamp() - make_interval(mins => s.cool_down_minutes))
               -- Whoever the lane took for someone else a moment ago still comes in by their pass.
               AND (p.wrong_at IS NULL OR (SELECT t.purpose {MAY_DISCLOSE}) = 'lane')
             ORDER BY p.sequence DESC LIMIT 1)
RETURNING id
"""  # noqa: S608

ARRIVE = f"""
-- Locks as an erasure does, the visitor first, so that the two never wait for each other.
INSERT INTO visits_visit (id, sequence, visitor_id, consent_id, store_id, camera_id, number, score,
                          threshold, seen_at, arrived_at, last_seen_at, template_id, template_due,
                          delete_after)
SELECT %(visit)s, nextval('visits_sequence'), v.id, c.id, s.id, k.id,
       CASE WHEN 'history' = ANY (c.purposes) THEN 1 + coalesce(
           (SELECT max(p.number) FROM visits_visit p
             WHERE p.visitor_id = v.id AND p.store_id = s.id AND p.wrong_at IS NULL), 0)
       END,
       %(score)s, %(threshold)s, %(seen_at)s, clock_timestamp(), clock_timestamp(),
       t.id, t.delete_after,
       CASE WHEN {KEPT}
            THEN least(c.expires_at, clock_timestamp() + make_interval(days => {VISIT_DAYS}))
            ELSE least(c.expires_at, clock_timestamp() + interval '{SHIFT}') END
{MAY_DISCLOSE}
   FOR SHARE OF v, c, t
RETURNING id, sequence, (SELECT subject FROM visitors_visitor WHERE id = visitor_id)
"""  # noqa: S608

# The clock is the person's: who comes with a pass has not been away from the lane either.
STAY_ALIVE = f"""
UPDATE visitors_facetemplate t
   SET delete_after = least(
           t.not_after, clock_timestamp() + make_interval(days => {INACTIVITY_DAYS}))
  FROM visitors_facetemplate seen, consent_consent c
 WHERE seen.id = %(template)s AND t.visitor_id = seen.visitor_id AND c.id = t.consent_id
   AND t.delete_after > clock_timestamp() AND t.purpose = ANY (c.purposes)
   AND c.withdrawn_at IS NULL AND c.expires_at > clock_timestamp()
"""  # noqa: S608


COUNT_ARRIVAL = """
INSERT INTO visits_disclosure (store_id, day, count)
VALUES (%(store)s, (clock_timestamp() AT TIME ZONE 'UTC')::date, 1)
    ON CONFLICT (store_id, day) DO UPDATE SET count = visits_disclosure.count + 1
"""


@transaction.atomic
def disclose(match: Match) -> Decision:
    """Make a visit of a match, if the law of this moment allows it; tell the store's boards."""
    camera = Camera.objects.select_related("store").get(pk=match.camera)
    pack = camera.store.pack
    values: dict[str, Any] = {
        "template": match.template,
        "camera": match.camera,
        "store": match.store,
        "score": match.score,
        "threshold": match.threshold,
        "seen_at": datetime.fromtimestamp(match.seen_at, UTC),
        "visit": uuid.uuid4(),
        "visit_days": pack.visit_days,
        "inactivity_days": pack.inactivity_days,
    }
    with connection.cursor() as cursor:
        one_at_a_time(cursor, match.store)
        cursor.execute(STILL_HERE, values)
        if cursor.fetchone():
            return Decision(None, "still_here")
        cursor.execute(ARRIVE, values)
        row = cursor.fetchone()
        if row is None:
            return Decision(None, "refused")
        visit, sequence, subject = row
        cursor.execute(STAY_ALIVE, values)
        cursor.execute(COUNT_ARRIVAL, values)
    outbox.arrived(visit=visit, store=match.store, subject=subject)
    audit.record(
        actor=f"camera:{match.camera}",
        action="visit.disclosed",
        subject=subject,
        whereabouts=True,
        visit=str(visit),
        store=str(match.store),
        mode=camera.mode,
    )
    transaction.on_commit(lambda: announce(match.store, sequence))
    return Decision(visit, "visit")


@transaction.atomic
def greet(*, visit: Visit, user: User) -> Visit:
    """Mark that somebody walks up, so that two people don't. The first tap wins."""
    with connection.cursor() as cursor:
        one_at_a_time(cursor, visit.store_id)
        cursor.execute("SELECT nextval('visits_sequence')")
        (sequence,) = cursor.fetchone()
    greeted = (
        Visit.objects.theirs()
        .filter(pk=visit.pk, greeted_at=None)
        .update(greeted_at=timezone.now(), greeted_by=user, sequence=sequence)
    )
    visit.refresh_from_db()
    if greeted:
        audit.record(
            actor=f"user:{user.pk}",
            action="visit.greeted",
            subject=visit.visitor.subject,
            whereabouts=True,
            visit=str(visit.pk),
        )
        transaction.on_commit(lambda: announce(visit.store_id, sequence))
    return visit


def one_at_a_time(cursor: CursorWrapper, store: uuid.UUID) -> None:
    """Wait for whoever changes this store's board: a person seen by two cameras at once is one
    visit, and boards receive sequence numbers in the order in which they become visible."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [str(store)])


def show_anew(visitor: Visitor, stores: Iterable[uuid.UUID]) -> None:
    """Have the open boards of these stores read this visitor's cards again. In a transaction in
    which `one_at_a_time` came first for each: a board must not see a later number before these."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE visits_visit SET sequence = nextval('visits_sequence') "
            "WHERE visitor_id = %s AND store_id = ANY (%s) AND wrong_at IS NULL "
            "AND arrived_at > clock_timestamp() - make_interval(secs => %s) RETURNING store_id",
            [visitor.pk, list(stores), SHOWN.total_seconds()],
        )
        announce_all({store for (store,) in cursor.fetchall()})


@transaction.atomic
def redraw(*, visitor: Visitor) -> None:
    """Have every open board that shows this visitor read their cards again."""
    stores = sorted(boards_of(visitor))
    with connection.cursor() as cursor:
        for store in stores:
            one_at_a_time(cursor, store)
    show_anew(visitor, stores)


def boards_of(visitor: Visitor) -> list[uuid.UUID]:
    """The stores whose boards may show this person: where they enrolled, and where they were."""
    return list({visitor.store_id, *visitor.visits.values_list("store", flat=True)})


def announce_all(stores: Iterable[uuid.UUID]) -> None:
    """Once this transaction is committed, have the boards of these stores look again."""
    for store in stores:
        transaction.on_commit(partial(announce, store, 0))


def announce(store: uuid.UUID, sequence: int) -> None:
    """Tell the boards of a store that there is something new; the message is a number."""
    try:
        live_events().publish(f"floor:{store}", sequence)
    except redis.RedisError:
        log.warning("Redis does not answer; boards catch up from the database")
