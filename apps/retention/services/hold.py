"""Place a legal hold, lift it, let it end: see retention.holds for what may be held, and why."""

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from apps.audit import services as audit
from apps.consent.models import Consent, Purpose
from apps.retention.holds import LONGEST, Hold, held_until
from apps.retention.services.erase import lock
from apps.systems import outbox
from apps.visitors import services as visitors
from apps.visitors.models import Visitor
from apps.visits.services import announce_all, boards_of


class HoldRefused(ValueError):
    """This cannot be held; `code` says why: nothing, over or long."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@transaction.atomic
def place(
    *, subject: UUID, ground: Hold.Ground, reason: str, ends_at: datetime, actor: str
) -> Hold:
    """Hold what is left of a person until then. Raises HoldRefused.

    For a claim they are recognised by nobody from now on. Of what was erased nothing comes back.
    """
    now = timezone.now()
    if not now < ends_at <= now + LONGEST:
        raise HoldRefused("over" if ends_at <= now else "long")
    # As an erasure does: the visitor first, then the consents.
    person = Visitor.objects.filter(subject=subject).first()
    if person:
        person = lock(person.pk)
    last = Consent.objects.select_for_update(of=("self",)).filter(subject=subject)
    consent = last.order_by("signed_at").last()
    if consent is None:
        raise HoldRefused("nothing")
    hold = Hold.objects.create(
        subject=subject,
        store=consent.store,
        ground=ground,
        reason=reason,
        author=actor,
        begun_at=now,
        ends_at=ends_at,
    )
    audit.record(
        actor=actor,
        action="hold.placed",
        subject=subject if person else None,
        hold=str(hold.pk),
        consent=str(consent.pk),
        ground=ground.value,
        ends_at=ends_at.isoformat(),
    )
    if person and ground == Hold.Ground.CLAIM and person.restricted_at is None:
        outbox.restricted(subject=person.subject, restricted=True)
        visitors.restrict(visitor=person, restricted=True, actor=actor)
        announce_all(boards_of(person))
    return hold


@transaction.atomic
def lift(*, hold: Hold, actor: str) -> None:
    """End a hold now. What it kept back is due at once; a pause stays until somebody ends it."""
    if Hold.objects.filter(pk=hold.pk).delete()[0]:
        audit.record(actor=actor, action="hold.lifted", hold=str(hold.pk))
        _let_go(hold.subject, actor)


@transaction.atomic
def end(*, actor: str) -> None:
    """Delete the holds that are over."""
    over = list(
        Hold.objects.select_for_update(skip_locked=True)
        .filter(ends_at__lte=Now())
        .values_list("pk", "subject")
    )
    Hold.objects.filter(pk__in=[pk for pk, _subject in over]).delete()
    for pk, subject in over:
        audit.record(actor=actor, action="hold.ended", hold=str(pk))
        _let_go(subject, actor)


def _let_go(subject: UUID, actor: str) -> None:
    """Empty what was kept back in a row that stays, though its purpose was withdrawn. What was kept
    back in rows of its own is due, and the sweep's."""
    person = Visitor.objects.select_for_update().filter(subject=subject).first()
    if person is None or held_until(subject) is not None:
        return
    consents = Consent.objects.live().filter(subject=subject).values_list("purposes", flat=True)
    agreed = {purpose for purposes in consents for purpose in purposes}
    emptied = 0
    if Purpose.CONTACT not in agreed and person.contact:
        person.contact = ""
        person.save(update_fields=["contact"])
        emptied += 1
    if Purpose.HISTORY not in agreed:
        emptied += person.visits.exclude(number=None).update(number=None)
    if emptied:
        audit.record(actor=actor, action="hold.let_go", subject=subject, count=emptied)
