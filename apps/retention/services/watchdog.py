"""The watchdog: is anything personal still there although its time is over?

Design. It asks for rows, not for whether a task ran: a sweep that runs and fails is as late as one
that does not run. Each kind of holding has at most one alarm, which lives from the first late row
that was seen to the first look without any. It is told when the oldest is late by more than
`PATIENCE`, which a sweep each minute never lets it be, and told again when none is; the alarm is
locked while the message is handed over, so two that look at once tell it once, and what the mail
server did not take is told in the next minute. Counts and times only, of no person.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import Count, Min, Q
from django.db.models.functions import Now
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.audit import clock
from apps.retention.alarms import Alarm
from apps.retention.holdings import HOLDINGS
from apps.retention.models import Erasure
from apps.stores.models import Role, User

log = logging.getLogger(__name__)

PATIENCE = timedelta(minutes=5)
# How long an erasure may wait for its certificate before it counts as late (mission: 15 minutes).
LATE = timedelta(minutes=15)
CERTIFICATE = gettext_noop("certificate of an erasure")


@dataclass(frozen=True, slots=True)
class Seen:
    """What is late of one kind. since: the oldest deadline that was missed, as far as it is known;
    held: rows past their deadline that a legal hold keeps."""

    kind: str
    what: str
    count: int
    since: datetime | None
    held: int = 0

    def seconds(self, now: datetime) -> int:
        """By how much the oldest is late."""
        return max(0, int((now - self.since).total_seconds())) if self.since else 0


def look() -> list[Seen]:
    """One line for each kind of holding, and one for certificates that are waited for."""
    now, alarms = clock.now(), dict(Alarm.objects.values_list("kind", "since"))
    seen = []
    for holding in HOLDINGS:
        past = holding.annotated()
        free = Q(is_held=False)
        oldest = {"oldest": Min(holding.due, filter=free)} if holding.due else {}
        found = past.aggregate(
            count=Count("pk", filter=free), held=Count("pk", filter=~free), **oldest
        )
        kind = holding.model._meta.model_name or ""
        since = found.get("oldest")
        if found["count"] and (since is None or since > now):
            # It has no deadline of its own, or ended before that: late from when it was seen.
            since = alarms.get(kind)
        seen.append(Seen(kind, holding.what, found["count"], since, found["held"]))
    waiting = Erasure.objects.filter(
        state=Erasure.State.PENDING, requested_at__lte=Now() - LATE
    ).aggregate(count=Count("pk"), oldest=Min("requested_at"))
    since = waiting["oldest"] + LATE if waiting["oldest"] else None
    return [*seen, Seen("certificate", CERTIFICATE, waiting["count"], since)]


def watch() -> list[Seen]:
    """Look, begin and end alarms, and tell whom it concerns. Safe beside itself."""
    seen = look()
    now = clock.now()
    for each in seen:
        if each.count:
            Alarm.objects.get_or_create(kind=each.kind, defaults={"since": each.since or now})
    for each in seen:
        try:
            _tell(each, now)
        except Exception as error:
            # Not told is told in the next minute; the others must not wait for it.
            log.error("the alarm on %s was not mailed (%s)", each.kind, type(error).__name__)
    return look()


def late(seen: Iterable[Seen]) -> list[Seen]:
    """Those that are late by more than a sweep explains."""
    now = clock.now()
    return [each for each in seen if each.count and each.since and each.since <= now - PATIENCE]


@transaction.atomic
def _tell(seen: Seen, now: datetime) -> None:
    alarm = Alarm.objects.select_for_update(skip_locked=True).filter(kind=seen.kind).first()
    if alarm is None:
        return
    late = bool(seen.count) and (seen.since or alarm.since) <= now - PATIENCE
    if not late and (alarm.told_at or not seen.count):
        if alarm.told_at:
            log.warning("nothing of the kind %s is overdue any more", seen.kind)
            _mail(_("Over: nothing is overdue any more (%(kind)s)"), "mail/alarm_over.txt", seen)
        alarm.delete()
    elif late and alarm.told_at is None:
        log.error("%s of the kind %s overdue since %s", seen.count, seen.kind, seen.since)
        _mail(_("Alarm: overdue and not erased (%(kind)s)"), "mail/alarm.txt", seen)
        alarm.told_at = now
        alarm.save(update_fields=["told_at"])


def _mail(subject: str, template: str, seen: Seen) -> None:
    addresses = recipients()
    if settings.CONSENTRY.mail_url is None or not addresses:
        return
    words = {
        "seen": seen,
        "kind": _(seen.what),
        "portal": f"{settings.CONSENTRY.public_url}/admin/",
    }
    EmailMessage(
        subject % {"kind": _(seen.what)},
        render_to_string(template, words),
        # Nobody learns from it who else is told.
        bcc=addresses,
        # RFC 3834: no machine answers it.
        headers={"Auto-Submitted": "auto-generated"},
    ).send()


def recipients() -> list[str]:
    """The operator, if one is named, and every data protection officer with an address."""
    officers = User.objects.filter(is_active=True, roles__kind=Role.Kind.DPO).exclude(email="")
    named = settings.CONSENTRY.alarm_addresses
    return list(dict.fromkeys([*named, *officers.values_list("email", flat=True).distinct()]))
