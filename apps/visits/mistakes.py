"""“Not this person”: a greeting that was for someone else, marked by one tap and taken back by one.

Design. The visit leaves every board and every count of the person it named. What is learnt for the
threshold is a `FalseGreeting`, which names nobody, where a face was looked at; no picture or vector
is touched, so nothing is trained, and a template that was taken anew at this visit is erased. The
wrong visit itself stays for the rest of the shift, and only then is erased: it holds the stay, so
that staff are not told the same wrong thing again (services.Way), and it makes undoing possible. It
does not prolong the template or the card that made it.
"""

from datetime import timedelta

from django.db import connection, transaction

from apps.audit import services as audit
from apps.stores.models import User
from apps.systems import outbox
from apps.visitors.models import FaceTemplate
from apps.visitors.services import drop_key
from apps.visits.models import FalseGreeting, Visit
from apps.visits.services import (
    KEPT,
    SHIFT,
    STAY_ALIVE,
    VISIT_DAYS,
    announce,
    one_at_a_time,
)

# For how long whoever tapped may take it back.
UNDO = timedelta(minutes=2)
# Finer than this a score says nothing about a threshold.
DIGITS = 3

MARK = f"""
UPDATE visits_visit
   SET wrong_at = clock_timestamp(), wrong_by_id = %(user)s, false_greeting_id = %(false_greeting)s,
       delete_after = least(delete_after, clock_timestamp() + interval '{SHIFT}')
 WHERE id = %(visit)s AND wrong_at IS NULL
RETURNING id
"""  # noqa: S608

# Back to what held before the wrong visits since the last right one. A minute at least: the
# database takes no deadline in the past, and the sweep comes after it. `t` is what made the visit,
# {w} and {p} are the visits that it made.
PROLONG_NOTHING = """
UPDATE {table} t
   SET delete_after = least(t.delete_after,
                            greatest(before.due, clock_timestamp() + interval '1 minute'))
  FROM consent_consent c,
       (SELECT min(w.template_due) AS due FROM visits_visit w
         WHERE {w} AND w.wrong_at IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM visits_visit p
                            WHERE {p} AND p.wrong_at IS NULL AND p.arrived_at > w.arrived_at)
        HAVING min(w.template_due) IS NOT NULL) AS before
 WHERE {t} AND c.id = t.consent_id
   AND c.withdrawn_at IS NULL AND c.expires_at > clock_timestamp()
   AND t.delete_after > clock_timestamp()
"""
THE_TEMPLATE = PROLONG_NOTHING.format(
    table="visitors_facetemplate",
    t="t.id = %(template)s",
    w="w.template_id = %(template)s",
    p="p.template_id = %(template)s",
)
THE_CARD = PROLONG_NOTHING.format(
    table="visitors_card",
    t="t.visitor_id = %(visitor)s AND 'card' = ANY (c.purposes)",
    # Of this card, not of one that it replaced.
    w="w.visitor_id = %(visitor)s AND w.score IS NULL AND w.arrived_at >= "
    "(SELECT d.created_at FROM visitors_card d WHERE d.visitor_id = %(visitor)s)",
    p="p.visitor_id = %(visitor)s AND p.score IS NULL",
)

UNMARK = f"""
UPDATE visits_visit p
   SET wrong_at = NULL, wrong_by_id = NULL, false_greeting_id = NULL,
       sequence = nextval('visits_sequence'),
       delete_after = CASE WHEN {KEPT}
           THEN least(c.expires_at, p.arrived_at + make_interval(days => {VISIT_DAYS}))
           ELSE least(c.expires_at, p.arrived_at + interval '{SHIFT}') END
  FROM consent_consent c
 WHERE p.id = %(visit)s AND c.id = p.consent_id AND p.wrong_by_id = %(user)s
   AND p.wrong_at > clock_timestamp() - make_interval(secs => %(undo)s)
RETURNING p.sequence
"""  # noqa: S608


@transaction.atomic
def mark_wrong(*, visit: Visit, user: User) -> Visit:
    """Say that the person who was seen is not the one this visit names. The first tap counts."""
    with connection.cursor() as cursor:
        one_at_a_time(cursor, visit.store_id)
        false_greeting = _false_greeting(visit)
        cursor.execute(
            MARK,
            {
                "visit": visit.pk,
                "user": user.pk,
                "false_greeting": false_greeting.pk if false_greeting else None,
            },
        )
        marked = cursor.fetchone()
        if marked:
            cursor.execute(
                THE_CARD if visit.score is None else THE_TEMPLATE,
                {"template": visit.template_id, "visitor": visit.visitor_id},
            )
            # Taken anew from somebody else's face (recognition.recapture).
            undone, _ = FaceTemplate.objects.filter(visit=visit.pk).delete()
            if undone:
                drop_key(visit.visitor)
        elif false_greeting:
            false_greeting.delete()
    visit.refresh_from_db()
    if marked:
        outbox.retracted(visit=visit.pk, store=visit.store_id, subject=visit.visitor.subject)
        _record("visit.wrong", visit, user)
        if undone:
            _record("template.undone", visit, user)
        transaction.on_commit(lambda: announce(visit.store_id, 0))
    return visit


@transaction.atomic
def take_back(*, visit: Visit, user: User) -> bool:
    """Undo one's own `mark_wrong` within `UNDO`; the visit is on every board again, as it was."""
    with connection.cursor() as cursor:
        one_at_a_time(cursor, visit.store_id)
        visit.refresh_from_db()
        false_greeting = visit.false_greeting
        cursor.execute(
            UNMARK,
            {
                "visit": visit.pk,
                "user": user.pk,
                "undo": UNDO.total_seconds(),
                "visit_days": visit.store.pack.visit_days,
                "store": visit.store_id,
            },
        )
        row = cursor.fetchone()
        if row is None:
            return False
        if false_greeting:
            false_greeting.delete()
        cursor.execute(
            STAY_ALIVE,
            {
                "visitor": visit.visitor_id,
                "inactivity_days": visit.store.pack.inactivity_days,
            },
        )
    visit.refresh_from_db()
    # Whoever pauses or ends a consent locks the visits too, so what is read here holds.
    person = visit.visitor
    if person.restricted_at is None and visit.consent.live:
        outbox.told_after_all(visit=visit.pk, store=visit.store_id, subject=person.subject)
    _record("visit.wrong_undone", visit, user)
    transaction.on_commit(lambda: announce(visit.store_id, row[0]))
    return True


def _false_greeting(visit: Visit) -> FalseGreeting | None:
    """What a wrong visit says of the threshold; nothing, where a card was shown."""
    if visit.score is None or visit.threshold is None:
        return None
    return FalseGreeting.objects.create(
        store_id=visit.store_id,
        camera_id=visit.camera_id,
        day=visit.arrived_at.date(),
        score=round(visit.score, DIGITS),
        threshold=visit.threshold,
    )


def _record(action: str, visit: Visit, user: User) -> None:
    audit.record(
        actor=f"user:{user.pk}",
        action=action,
        subject=visit.visitor.subject,
        whereabouts=True,
        visit=str(visit.pk),
    )
