"""The sweep: make gone what is past its deadline.

Design. Reads refuse an expired row already; the sweep only makes it gone, so it may run late, twice
at once, or be killed anywhere. Each row is its own small transaction under SKIP LOCKED, and each
part is on its own: what fails is counted, logged and left for the next run. A person may have
several templates, say for a lane and for a pass: one that is over goes by itself, and the person
goes with the last, unless they have a card, which is as good as one. So does a template whose model
was retired, with a certificate: whoever came by since is known by the model that followed. Whoever
did not goes with it, as if their time were over: what would be left of them could recognise nobody.
What is under a legal hold waits for its end (retention.holds). Celery beat and `manage.py sweep`
call this same function and do not meet.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from uuid import UUID

from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from apps.audit import deletions
from apps.audit import services as audit
from apps.consent.models import Consent, Purpose
from apps.retention.holdings import orphaned_salts
from apps.retention.holds import Hold, held
from apps.retention.models import Erasure, Package, Request
from apps.retention.services import hold, policy
from apps.retention.services.erase import complete, erase, erase_template, lock
from apps.retention.services.supplement import supplement_all
from apps.systems.models import Delivery, Told
from apps.visitors import services as visitors
from apps.visitors.models import (
    Card,
    Eviction,
    FaceTemplate,
    Note,
    Visitor,
    card_overdue,
    cards_held,
    not_agreed,
    overdue,
    retired,
)
from apps.visits.models import Visit

log = logging.getLogger(__name__)

ACTOR = "system:sweep"
BATCH = 500
EVICTIONS_KEPT = timedelta(days=1)


@dataclass(slots=True)
class Swept:
    """What one run removed."""

    people: int = 0
    templates: int = 0
    cards: int = 0
    visits: int = 0
    notes: int = 0
    consents: int = 0
    packages: int = 0
    requests: int = 0
    sessions: int = 0
    certificates: int = 0
    supplements: int = 0
    failed: int = 0

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


def sweep() -> Swept:
    """Erase everything that is due and finish pending certificates. Safe to run beside itself."""
    swept = Swept()
    _part(_end_holds, swept)
    _part(_shorten, swept)
    _erase_people(swept)
    for part in (
        _delete_templates,
        _delete_cards,
        _delete_visits,
        _delete_notes,
        _delete_proofs,
        _delete_packages,
        _delete_requests,
        _delete_told,
        _delete_sessions,
        _delete_orphaned_salts,
        _delete_old_evictions,
        _retire_rotations,
        _enlist_deletions,
    ):
        _part(part, swept)
    _complete_erasures(swept)
    try:
        swept.supplements = supplement_all()
    except Exception as error:
        log.error("certificates are not supplemented (%s)", type(error).__name__)
        swept.failed += 1
    return swept


def _part(part: Callable[[Swept], None], swept: Swept) -> None:
    try:
        part(swept)
    except Exception as error:
        log.error("%s failed (%s)", part.__name__.strip("_"), type(error).__name__)
        swept.failed += 1


def _end_holds(swept: Swept) -> None:
    """Holds that are over: what they kept back is due in this very run."""
    hold.end(actor=ACTOR)


def _shorten(swept: Swept) -> None:
    """Deadlines under a policy that was made shorter by somebody who was killed half-way."""
    policy.enforce()


def _erase_people(swept: Swept) -> None:
    broken: set[UUID] = set()
    while due := list(
        Visitor.objects.filter(_due()).exclude(pk__in=broken).values_list("pk", flat=True)[:BATCH]
    ):
        erased = 0
        for visitor in due:
            try:
                erased += _erase_one(visitor)
            except Exception as error:
                # Loud, and left for the next run; the others must not wait for one broken row.
                log.error("visitor %s could not be erased (%s)", visitor, type(error).__name__)
                broken.add(visitor)
        swept.people += erased
        if not erased and not broken.intersection(due):
            # What is left is another sweep's.
            break
    swept.failed += len(broken)


def _complete_erasures(swept: Swept) -> None:
    for erasure in Erasure.objects.filter(state=Erasure.State.PENDING):
        try:
            swept.certificates += complete(erasure).state == Erasure.State.COMPLETE
        except Exception as error:
            log.error("erasure %s has no certificate (%s)", erasure.pk, type(error).__name__)
            swept.failed += 1


def _due() -> Q:
    """Whoever has no template and no card left that is within its time. A pause ends nothing
    (GDPR 18)."""
    template = FaceTemplate.objects.filter(visitor=OuterRef("pk")).exclude(overdue())
    card = cards_held().filter(visitor=OuterRef("pk"))
    return ~Q(Exists(template)) & ~Q(Exists(card)) & ~held("subject", Hold.Ground.CLAIM)


@transaction.atomic
def _erase_one(visitor: UUID) -> bool:
    person = Visitor.objects.select_for_update(skip_locked=True).filter(pk=visitor).first()
    # Another sweep has it, or has finished it, or the person came back in between.
    if person is None or not Visitor.objects.filter(_due(), pk=visitor).exists():
        return False
    # Somebody ended it and the erasure that belongs to that did not go through.
    ended = Consent.objects.filter(subject=person.subject, withdrawn_at__isnull=False).exists()
    last = person.templates.filter(retired()).order_by("-created_at").first()
    cause, pack = Erasure.Cause.EXPIRY, ""
    if ended:
        cause = Erasure.Cause.WITHDRAWAL
    elif last:
        cause, pack = Erasure.Cause.RETIRED, f"{last.pack} {last.pack_version}"
    erase(visitor=person, cause=cause, actor=ACTOR, pack=pack)
    return True


def _delete_templates(swept: Swept) -> None:
    """Templates that are over, of people who have another one left, or a card."""
    gone_anyway = Visitor.objects.filter(_due())
    due = FaceTemplate.objects.filter(overdue()).exclude(visitor__in=gone_anyway)
    due = due.exclude(held("visitor__subject", Hold.Ground.CLAIM))
    for pk in list(due.values_list("pk", flat=True)):
        try:
            swept.templates += _delete_template(pk)
        except Exception as error:
            log.error("template %s could not be erased (%s)", pk, type(error).__name__)
            swept.failed += 1


@transaction.atomic
def _delete_template(pk: UUID) -> bool:
    owner = FaceTemplate.objects.filter(pk=pk).values("visitor")
    person = Visitor.objects.select_for_update(skip_locked=True).filter(pk__in=owner).first()
    if person is None:
        return False
    lock(person.pk)
    template = (
        FaceTemplate.objects.select_for_update(of=("self",))
        .select_related("visitor", "store")
        .filter(overdue(), ~held("visitor__subject", Hold.Ground.CLAIM), pk=pk)
        .first()
    )
    if template is None:
        return False
    if FaceTemplate.objects.filter(retired(), pk=pk).exists():
        erase_template(template=template, actor=ACTOR)
        return True
    template.delete()
    visitors.drop_key(person)
    audit.record(
        actor=ACTOR,
        action="template.swept",
        subject=template.visitor.subject,
        purpose=template.purpose,
    )
    return True


def _delete_cards(swept: Swept) -> None:
    """Cards that are over, of people who have a template left."""
    due = Card.objects.filter(card_overdue()).exclude(visitor__in=Visitor.objects.filter(_due()))
    due = due.exclude(held("visitor__subject", Hold.Ground.CLAIM))
    for visitor in list(due.values_list("visitor", flat=True)):
        try:
            swept.cards += _delete_card(visitor)
        except Exception as error:
            log.error("a card of %s could not be erased (%s)", visitor, type(error).__name__)
            swept.failed += 1


@transaction.atomic
def _delete_card(visitor: UUID) -> bool:
    person = Visitor.objects.select_for_update(skip_locked=True).filter(pk=visitor).first()
    if person is None:
        return False
    lock(person.pk)
    over = Card.objects.filter(
        card_overdue(), ~held("visitor__subject", Hold.Ground.CLAIM), visitor=person
    )
    if not over.delete()[0]:
        return False
    audit.record(actor=ACTOR, action="card.swept", subject=person.subject)
    return True


def _delete_visits(swept: Swept) -> None:
    while True:
        with transaction.atomic():
            due = list(
                Visit.objects.select_for_update(skip_locked=True)
                .filter(~held("visitor__subject", Hold.Ground.CLAIM), delete_after__lte=Now())
                .values_list("pk", flat=True)[:BATCH]
            )
            if not due:
                return
            Visit.objects.filter(pk__in=due).delete()
            audit.record(actor=ACTOR, action="visits.swept", count=len(due))
        swept.visits += len(due)


@transaction.atomic
def _delete_notes(swept: Swept) -> None:
    """Notes on people whose consent to them is over while something else of theirs goes on."""
    due = Note.objects.select_for_update(skip_locked=True).filter(
        not_agreed("visitor__subject", Purpose.NOTES), ~held("visitor__subject", Hold.Ground.CLAIM)
    )
    people = dict(due.values_list("pk", "visitor__subject")[:BATCH])
    Note.objects.filter(pk__in=people).delete()
    for subject in people.values():
        audit.record(actor=ACTOR, action="note.deleted", subject=subject)
    swept.notes += len(people)


@transaction.atomic
def _delete_proofs(swept: Swept) -> None:
    due = list(
        Consent.objects.select_for_update(skip_locked=True, of=("self",))
        .filter(~held("subject"), delete_after__lte=Now(), templates=None, cards=None, visits=None)
        .values_list("pk", flat=True)[:BATCH]
    )
    if due:
        Erasure.objects.filter(consent__in=due).update(consent=None)
        Consent.objects.filter(pk__in=due).delete()
        audit.record(actor=ACTOR, action="consents.swept", count=len(due))
    swept.consents += len(due)


def _delete_packages(swept: Swept) -> None:
    """Copies that were not fetched in time, or were."""
    swept.packages, _ = Package.objects.filter(
        ~held("request__subject", Hold.Ground.CLAIM), delete_after__lte=Now()
    ).delete()


@transaction.atomic
def _delete_requests(swept: Swept) -> None:
    """Requests whose time as proof is over."""
    due = list(
        Request.objects.select_for_update(skip_locked=True)
        .filter(~held("subject"), delete_after__lte=Now())
        .values_list("pk", flat=True)[:BATCH]
    )
    if due:
        Request.objects.filter(pk__in=due).delete()
        audit.record(actor=ACTOR, action="requests.swept", count=len(due))
    swept.requests += len(due)


def _delete_told(swept: Swept) -> None:
    """What other systems were to be told and nobody needs, or may keep, any more."""
    claimed = held("told__subject", Hold.Ground.CLAIM)
    Delivery.objects.filter(~claimed, delete_after__lte=Now()).delete()
    Told.objects.filter(Q(delete_after__lte=Now()) | Q(subject=None, deliveries=None)).delete()


def _delete_sessions(swept: Swept) -> None:
    swept.sessions, _ = Session.objects.filter(expire_date__lte=Now()).delete()


def _delete_orphaned_salts(swept: Swept) -> None:
    """A look that was written down while its person was being erased made the salt anew."""
    orphaned_salts().delete()


def _delete_old_evictions(swept: Swept) -> None:
    """Certified, and no recognizer needs them: one that was away reads the database anew.

    They name visitors by time, and each start of a recognizer acknowledges them all.
    """
    waiting = Erasure.objects.filter(state=Erasure.State.PENDING).values_list(
        "evictions", flat=True
    )
    needed = {eviction for evictions in waiting for eviction in evictions}
    Eviction.objects.filter(at__lte=Now() - EVICTIONS_KEPT).exclude(pk__in=needed).delete()


def _retire_rotations(swept: Swept) -> None:
    """Secrets that turn nobody's template any more."""
    visitors.retire_rotations(actor=ACTOR)


def _enlist_deletions(swept: Swept) -> None:
    """Those that could not be written beside the database when they happened."""
    deletions.enlist_pending()
