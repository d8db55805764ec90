"""Who of the staff saw whom: an entry of the ledger for each, in the transaction of the reading."""

from collections.abc import Iterable

from apps.audit import services as audit
from apps.audit.models import Entry
from apps.visits.models import Visit

SHOWN = "visit.shown"


def record(looks: Iterable[tuple[str, Visit]]) -> None:
    """Write down which actor saw which visit: once, however often a page refreshes."""
    wanted = {(actor, str(visit.pk)): visit for actor, visit in looks}
    if not wanted:
        return
    people = {visit.visitor.subject for visit in wanted.values()}
    known = Entry.objects.filter(
        action=SHOWN,
        subject__in=[audit.reference(subject, whereabouts=True) for subject in people],
        detail__visit__in=sorted({visit for _actor, visit in wanted}),
    ).values_list("actor", "detail__visit")
    written = set(known)
    audit.record_all(
        [
            audit.Act(
                actor=actor,
                action=SHOWN,
                subject=seen.visitor.subject,
                whereabouts=True,
                detail={"visit": visit},
            )
            for (actor, visit), seen in wanted.items()
            if (actor, visit) not in written
        ]
    )
