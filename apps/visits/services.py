"""Disclose an arrival, mark a greeting.

`arrive` is the only place where anybody becomes known to be here: by a match (`disclose`), or by a
card (visits.checkin). It is one INSERT that asks again for consent, restriction, expiry, the stores
that are covered and what the camera's mode needs, so that a stale gallery, a late message or a
clock that is off cannot create a visit. The visit is of the store of the camera, or of where the
card was read, which need not be the one where its person enrolled. A template serves cameras of its
own purpose only: what was agreed to for a pass is of no use to a lane, and the other way round.
"""

import logging
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
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
from apps.stores.jurisdictions import Pack
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
# A card is kept for as long as a pass.
CARD_DAYS = days_sql("t.store_id", "'pass'", "%(inactivity_days)s")

# Of what is known here as `t`: a template that matched, or a card. `v` is whose it is.
WHOSE = """
  JOIN consent_consent c ON c.id = t.consent_id
  JOIN visitors_visitor v ON v.id = t.visitor_id AND v.subject = c.subject
  JOIN stores_store s ON s.id = %(store)s
"""
LAWFUL = f"""
   AND c.store_id = t.store_id AND {covers_sql("s.id")}
   AND t.delete_after > clock_timestamp()
   AND c.withdrawn_at IS NULL AND c.expires_at > clock_timestamp()
   AND v.restricted_at IS NULL AND s.non_face_check_in <> ''
"""
FACE_MAY = f"""
  FROM visitors_facetemplate t {WHOSE}
  JOIN stores_camera k ON k.id = %(camera)s AND k.store_id = s.id
 WHERE t.id = %(template)s AND t.purpose = k.mode AND t.purpose = ANY (c.purposes)
   AND t.not_after > clock_timestamp() {LAWFUL}
   AND NOT EXISTS (SELECT 1 FROM visitors_formerpack f WHERE f.name = t.pack
                      AND f.version = t.pack_version AND f.ends_at <= clock_timestamp())
   AND k.active AND k.signage_confirmed_at IS NOT NULL
   AND CASE k.mode
       WHEN 'pass' THEN TRUE
       WHEN 'lane' THEN EXISTS (
            SELECT 1 FROM stores_assessment a WHERE a.camera_id = k.id AND a.mode = k.mode
               AND a.signed_at <= clock_timestamp() AND a.expires_at > clock_timestamp())
       ELSE FALSE END
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Way:
    """A way by which people are known again, as SQL.

    may: from where on whom may be disclosed. column: of `visits_disclosure`, where it is counted.
    held: true where a wrong visit holds the stay as any other does. The others are columns of the
    visit: what a face leaves in it, and a card does not.
    """

    may: str
    column: str
    held: str
    template: str = "NULL::uuid"
    camera: str = "NULL::uuid"
    score: str = "NULL::float"
    threshold: str = "NULL::float"
    seen_at: str = "clock_timestamp()"

    @property
    def still_here(self) -> str:
        """Lengthen the stay of who was here just now."""
        return f"""
UPDATE visits_visit SET last_seen_at = clock_timestamp()
 WHERE id = (SELECT p.id FROM visits_visit p
              JOIN stores_store s ON s.id = p.store_id
             WHERE p.store_id = %(store)s
               AND p.visitor_id = (SELECT v.id {self.may})
               AND (p.last_seen_at > clock_timestamp() - make_interval(mins => s.absence_minutes)
                 OR p.arrived_at > clock_timestamp() - make_interval(mins => s.cool_down_minutes))
               AND (p.wrong_at IS NULL OR {self.held})
             ORDER BY p.sequence DESC LIMIT 1)
RETURNING id
"""  # noqa: S608

    @property
    def arrive(self) -> str:
        """Make the visit. Locks as an erasure does, the visitor first, so that the two never wait
        for each other."""
        return f"""
INSERT INTO visits_visit (id, sequence, visitor_id, consent_id, store_id, camera_id, number, score,
                          threshold, seen_at, arrived_at, last_seen_at, template_id, template_due,
                          delete_after)
SELECT %(visit)s, nextval('visits_sequence'), v.id, c.id, s.id, {self.camera},
       CASE WHEN 'history' = ANY (c.purposes) THEN 1 + coalesce(
           (SELECT max(p.number) FROM visits_visit p
             WHERE p.visitor_id = v.id AND p.store_id = s.id AND p.wrong_at IS NULL), 0)
       END,
       {self.score}, {self.threshold}, {self.seen_at}, clock_timestamp(), clock_timestamp(),
       {self.template}, t.delete_after,
       CASE WHEN {KEPT}
            THEN least(c.expires_at, clock_timestamp() + make_interval(days => {VISIT_DAYS}))
            ELSE least(c.expires_at, clock_timestamp() + interval '{SHIFT}') END
{self.may}
   FOR SHARE OF v, c, t
RETURNING id, sequence, visitor_id, (SELECT subject FROM visitors_visitor WHERE id = visitor_id)
"""  # noqa: S608

    @property
    def count(self) -> str:
        """Count the arrival."""
        return f"""
INSERT INTO visits_disclosure (store_id, day, {self.column})
VALUES (%(store)s, (clock_timestamp() AT TIME ZONE 'UTC')::date, 1)
    ON CONFLICT (store_id, day) DO UPDATE SET {self.column} = visits_disclosure.{self.column} + 1
"""  # noqa: S608


BY_FACE = Way(
    may=FACE_MAY,
    column="count",
    # Whoever is taken for this visitor in a lane is not announced as them again before they were
    # out of sight for long enough. Who shows a pass is another matter: whoever the lane took for
    # someone else a moment ago still comes in by it.
    held=f"(SELECT t.purpose {FACE_MAY}) = 'lane'",
    template="t.id",
    camera="k.id",
    score="%(score)s",
    threshold="%(threshold)s",
    seen_at="%(seen_at)s",
)

# The clock is the person's: who comes with a pass has not been away from the lane either.
STAY_ALIVE = f"""
WITH cards AS (
    UPDATE visitors_card t SET delete_after = least(
               c.expires_at, clock_timestamp() + make_interval(days => {CARD_DAYS}))
      FROM consent_consent c
     WHERE t.visitor_id = %(visitor)s AND c.id = t.consent_id
       AND t.delete_after > clock_timestamp() AND 'card' = ANY (c.purposes)
       AND c.withdrawn_at IS NULL AND c.expires_at > clock_timestamp())
UPDATE visitors_facetemplate t
   SET delete_after = least(
           t.not_after, clock_timestamp() + make_interval(days => {INACTIVITY_DAYS}))
  FROM consent_consent c
 WHERE t.visitor_id = %(visitor)s AND c.id = t.consent_id
   AND t.delete_after > clock_timestamp() AND t.purpose = ANY (c.purposes)
   AND c.withdrawn_at IS NULL AND c.expires_at > clock_timestamp()
"""  # noqa: S608


def disclose(match: Match) -> Decision:
    """Make a visit of a match, if the law of this moment allows it; tell the store's boards."""
    camera = Camera.objects.select_related("store").get(pk=match.camera)
    return arrive(
        BY_FACE,
        store=match.store,
        pack=camera.store.pack,
        actor=f"camera:{match.camera}",
        mode=camera.mode,
        template=match.template,
        camera=match.camera,
        score=match.score,
        threshold=match.threshold,
        seen_at=datetime.fromtimestamp(match.seen_at, UTC),
    )


@transaction.atomic
def arrive(
    way: Way, *, store: uuid.UUID, pack: Pack, actor: str, mode: str, **known: Any
) -> Decision:
    """Make a visit of who is known by this way, or lengthen the one that is; tell the boards.

    known: what the way's SQL asks for. Whatever forbids it, the answer is "refused" and no more.
    """
    values: dict[str, Any] = {
        **known,
        "store": store,
        "visit": uuid.uuid4(),
        "visit_days": pack.visit_days,
        "inactivity_days": pack.inactivity_days,
    }
    with connection.cursor() as cursor:
        one_at_a_time(cursor, store)
        cursor.execute(way.still_here, values)
        if cursor.fetchone():
            return Decision(None, "still_here")
        cursor.execute(way.arrive, values)
        row = cursor.fetchone()
        if row is None:
            return Decision(None, "refused")
        visit, sequence, visitor, subject = row
        cursor.execute(STAY_ALIVE, {**values, "visitor": visitor})
        cursor.execute(way.count, values)
    outbox.arrived(visit=visit, store=store, subject=subject)
    audit.record(
        actor=actor,
        action="visit.disclosed",
        subject=subject,
        whereabouts=True,
        visit=str(visit),
        store=str(store),
        mode=mode,
    )
    transaction.on_commit(lambda: announce(store, sequence))
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
