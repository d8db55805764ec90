"""What is written down, signed, put out of the database's reach and checked every hour."""

import logging
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.audit import checks, heads, pruning
from apps.audit import services as audit
from apps.audit.models import Checkpoint, LedgerCheck
from apps.audit.tree import LedgerIncomplete
from apps.consent.models import PROOF
from apps.stores.alarms import tell_officers
from apps.visits import counters

log = logging.getLogger(__name__)

ACTOR = "system:hourly"
# What was written when a consent was signed is needed for its term, a year at most, and its proof.
LEDGER_KEPT = PROOF + timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Hour:
    """What one run did. `head` is None when the ledger could not be signed."""

    cameras: int
    head: Checkpoint | None
    exported: bool
    check: LedgerCheck


def run(*, full: bool = False) -> Hour:
    """Put the counters into the ledger, sign its head, export it, verify, and raise the alarm."""
    cameras = counters.publish()
    head, exported = None, False
    try:
        head = audit.checkpoint()
        heads.export(head.signature)
        exported = True
    except (LedgerIncomplete, heads.HeadsUnwritable) as error:
        # The check below and the portal say so too; the rest of the hour goes on.
        log.error("the ledger's head was not exported: %s", error)
    check = checks.check(full=full)
    if not check.ok:
        log.error("the ledger does not verify: %s", check.problem)
        _alarm()
    elif check.first == 0:
        _prune()
    return Hour(cameras, head, exported, check)


def _prune() -> None:
    try:
        pruning.prune(kept=LEDGER_KEPT, actor=ACTOR)
    except heads.HeadsUnwritable as error:
        log.error("that the ledger was pruned was not exported: %s", error)


def _alarm() -> None:
    """Write to the officers once for each time that the ledger breaks; again when nobody got it."""
    check = checks.untold()
    if check is None:
        return
    told = tell_officers(
        subject=_("Consentry: the ledger does not verify"),
        text=_(
            "The scheduled check of the ledger found: %(problem)s.\n\n"
            "Somebody changed what must never change, or an old database was put back. Keep the "
            "database and the exported heads as they are, stop whoever can write to them, and "
            "compare with the last good check in the portal: %(url)s"
        )
        % {"problem": check.problem, "url": f"{settings.CONSENTRY.public_url}/admin/"},
    )
    if told:
        check.told_at = timezone.now()
        check.save(update_fields=["told_at"])
