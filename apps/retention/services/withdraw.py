"""Withdraw one purpose: the consent is narrowed and what rested on the purpose goes, at once.

Design. As in an erasure the visitor is locked, then their visits, then the consent. One
transaction narrows the consent, deletes what rested on the purpose and writes what was done;
PostgreSQL tells every recognizer when it commits. Whatever else was agreed to rests on being
recognised, so taking back the last way of it is ending everything, with a certificate for all.
"""

from uuid import UUID

from django.db import connection, transaction
from django.db.models.functions import Now

from apps.audit import deletions
from apps.audit import services as audit
from apps.consent import services as consents
from apps.consent.models import RECOGNITION, Consent, Purpose
from apps.retention.holdings import CARD, CONTACT, NOTE, NUMBER, STATED, VISIT
from apps.retention.holds import held_until
from apps.retention.models import Erasure
from apps.retention.services.erase import (
    erase,
    erase_elsewhere,
    erase_template,
    erased_with,
    lock,
)
from apps.systems import outbox
from apps.visitors.models import Card, Note, Visitor
from apps.visits import notes
from apps.visits.services import KEEPS_VISITS, announce_all, boards_of, one_at_a_time, show_anew


def is_last(consent: Consent, purpose: Purpose) -> bool:
    """Whether without this purpose nothing would recognise the person any more."""
    left = set(consent.purposes) - {purpose.value}
    return not left.intersection(RECOGNITION)


def withdraw_purpose(*, visitor: Visitor, purpose: Purpose, actor: str) -> list[Erasure]:
    """End one purpose of a person's live consent now; the erasures that will be certified.

    Doing it twice does nothing. Raises Visitor.DoesNotExist when somebody else was faster to end
    everything, and Held when that must not be erased yet: withdrawn it is all the same.
    """
    with transaction.atomic():
        # Cards on open boards may be shown anew, in every store where this person may be: their
        # order is locked first of all, as by cameras, and that of several as when a store leaves.
        stores = _stores_of(visitor)
        with connection.cursor() as cursor:
            for store in stores:
                one_at_a_time(cursor, store)
        visitor = lock(visitor.pk)
        agreed = Consent.objects.live().filter(subject=visitor.subject)
        consent = agreed.filter(purposes__contains=[purpose]).first()
        if consent is None:
            return []
        if not is_last(consent, purpose):
            kept = held_until(visitor.subject) is not None
            noted = stated = 0
            if purpose is Purpose.NOTES and not kept:
                noted = Note.objects.filter(visitor=visitor).count()
                notes.delete(visitor=visitor, actor=actor)
            if purpose is Purpose.STATISTICS:
                # PostgreSQL empties both with the purpose.
                stated = bool(visitor.sex) + bool(visitor.age)
            consents.withdraw_purpose(consent=consent, purpose=purpose, actor=actor)
            outbox.withdrawn(subject=visitor.subject, purpose=purpose)
            left = [each for each in consent.purposes if each != purpose]
            if kept:
                deletions.intend("purpose", visitor=str(visitor.pk), purpose=purpose.value)
                return _leave_to_the_sweep(visitor, consent.store_id, left)
            if purpose == Purpose.GROUP:
                return [erase_elsewhere(visitor=visitor, consent=consent, actor=actor)]
            rested = _erase_what_rested_on(purpose, left, visitor, stores, actor)
            scope = [(NOTE, noted), (STATED, stated), *rested]
            if any(count for _what, count in scope):
                return [
                    erased_with(
                        visitor=visitor, consent=consent, purpose=purpose, scope=scope, actor=actor
                    )
                ]
            deletions.intend("purpose", visitor=str(visitor.pk), purpose=purpose.value)
            return _erase_templates(purpose, visitor, actor)
    return [erase(visitor=visitor, cause=Erasure.Cause.WITHDRAWAL, actor=actor)]


def _stores_of(visitor: Visitor) -> list[UUID]:
    """Where a person was, and where they may come: in the order in which all lock them."""
    agreed = Consent.objects.live().filter(subject=visitor.subject)
    named = [store for stores in agreed.values_list("group_stores", flat=True) for store in stores]
    return sorted({*boards_of(visitor), *named})


def _leave_to_the_sweep(visitor: Visitor, home: UUID, left: list[str]) -> list[Erasure]:
    """Have what rested on a purpose of somebody who is held go when that ends; nobody uses it from
    now on. Templates and notes are due without their purpose; visits are told so."""
    announce_all(boards_of(visitor))
    over = visitor.visits.all()
    if KEEPS_VISITS.intersection(left):
        over = over.none() if Purpose.GROUP in left else over.exclude(store=home)
    over.update(delete_after=Now())
    return []


def _erase_what_rested_on(
    purpose: Purpose, left: list[str], visitor: Visitor, stores: list[UUID], actor: str
) -> list[tuple[str, int]]:
    """Erase what is no template; what it was, and how much of it."""
    match purpose:
        case Purpose.HISTORY | Purpose.STATISTICS if not KEEPS_VISITS.intersection(left):
            # One that was of someone else goes with its shift; until then it holds their stay.
            announce_all(boards_of(visitor))
            count, _models = visitor.visits.theirs().delete()
            audit.record(actor=actor, action="visits.erased", subject=visitor.subject, count=count)
            return [(VISIT, count)]
        case Purpose.HISTORY:
            # The dates stay for the statistics alone; nobody on the floor is told a number.
            count = visitor.visits.exclude(number=None).update(number=None)
            show_anew(visitor, stores)
            return [(NUMBER, count)]
        case Purpose.CARD:
            count, _models = Card.objects.filter(visitor=visitor).delete()
            audit.record(actor=actor, action="card.withdrawn", subject=visitor.subject)
            return [(CARD, count)]
        case Purpose.CONTACT:
            held, visitor.contact = bool(visitor.contact), ""
            visitor.save(update_fields=["contact"])
            return [(CONTACT, int(held))]
    return []


def _erase_templates(purpose: Purpose, visitor: Visitor, actor: str) -> list[Erasure]:
    templates = visitor.templates.select_related("visitor", "store").filter(purpose=purpose)
    return [
        erase_template(template=template, actor=actor, cause=Erasure.Cause.PURPOSE)
        for template in templates.select_for_update(of=("self",))
    ]
