"""The sweep: make gone what is past its deadline.

Design. Reads refuse an expired row already; the sweep only makes it gone, so it may run late, twice
at once, or be killed anywhere. Each row is its own small transaction under SKIP LOCKED. Celery beat
and `manage.py sweep` call this same function and do not meet.
"""

import logging
from dataclasses import asdict, dataclass
from uuid import UUID

from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from apps.audit import services as audit
from apps.consent.models import Consent
from apps.retention.models import Erasure
from apps.retention.services.erase import complete, erase
from apps.visitors.models import Visitor
from apps.visits.models import Visit

log = logging.getLogger(__name__)

ACTOR = "system:sweep"
BATCH = 500


@dataclass(slots=True)
class Swept:
    """What one run removed."""

    people: int = 0
    visits: int = 0
    consents: int = 0
    sessions: int = 0
    certificates: int = 0
    failed: int = 0

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


def sweep() -> Swept:
    """Erase everything that is due and finish pending certificates. Safe to run beside itself."""
    swept = Swept()
    while due := list(
        Visitor.objects.filter(_due()).values_list("pk", flat=True).distinct()[:BATCH]
    ):
        erased = 0
        for visitor in due:
            try:
                erased += _erase_one(visitor)
            except Exception as error:
                # Loud, and left for the next run; the others must not wait for one broken row.
                log.error("visitor %s could not be erased (%s)", visitor, type(error).__name__)
                swept.failed += 1
        swept.people += erased
        if not erased:
            # What is left is another sweep's, or broken.
            break
    swept.visits = _delete_visits()
    swept.consents = _delete_proofs()
    swept.sessions, _ = Session.objects.filter(expire_date__lte=Now()).delete()
    for erasure in Erasure.objects.filter(state=Erasure.State.PENDING):
        swept.certificates += complete(erasure).state == Erasure.State.COMPLETE
    return swept


def _due() -> Q:
    return (
        Q(templates=None)
        | Q(templates__delete_after__lte=Now())
        | Q(templates__consent__expires_at__lte=Now())
        | Q(templates__consent__withdrawn_at__isnull=False)
    )


@transaction.atomic
def _erase_one(visitor: UUID) -> bool:
    person = Visitor.objects.select_for_update(skip_locked=True).filter(pk=visitor).first()
    # Another sweep has it, or has finished it, or the person came back in between.
    if person is None or not Visitor.objects.filter(_due(), pk=visitor).exists():
        return False
    erase(visitor=person, cause=Erasure.Cause.EXPIRY, actor=ACTOR)
    return True


def _delete_visits() -> int:
    total = 0
    while True:
        with transaction.atomic():
            due = list(
                Visit.objects.select_for_update(skip_locked=True)
                .filter(delete_after__lte=Now())
                .values_list("pk", flat=True)[:BATCH]
            )
            if not due:
                return total
            Visit.objects.filter(pk__in=due).delete()
            audit.record(actor=ACTOR, action="visits.swept", count=len(due))
            total += len(due)


@transaction.atomic
def _delete_proofs() -> int:
    due = list(
        Consent.objects.select_for_update(skip_locked=True, of=("self",))
        .filter(delete_after__lte=Now(), templates=None, visits=None)
        .values_list("pk", flat=True)[:BATCH]
    )
    if due:
        Consent.objects.filter(pk__in=due).delete()
        audit.record(actor=ACTOR, action="consents.swept", count=len(due))
    return len(due)
