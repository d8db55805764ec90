"""What waits for an answer, by the day on which it is due: requests, and certificates of erasures.

The same lines stand on the portal's first page and on the board of requests.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.retention.models import Erasure, Request
from apps.retention.services.watchdog import LATE
from apps.stores.models import Store

WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that waits. `percent` of its time is left; `stopped`: its clock stands still."""

    title: str
    url: str
    due_at: datetime
    left: timedelta
    percent: float
    state: str = ""
    bad: bool = False
    stopped: bool = False

    @property
    def overdue(self) -> bool:
        return self.left < timedelta()

    @property
    def days_left(self) -> int:
        return max(0, self.left.days)


@dataclass(frozen=True, slots=True)
class Board:
    """Everything open, the next due first."""

    lines: list[Line]

    @property
    def numbers(self) -> dict[str, int]:
        """How many are overdue, how many more are due within seven days, how many are open."""
        overdue = sum(line.overdue for line in self.lines)
        soon = sum(line.left <= WEEK for line in self.lines)
        return {"overdue": overdue, "due_this_week": soon - overdue, "open": len(self.lines)}


def board(stores: QuerySet[Store]) -> Board:
    """What waits in these stores."""
    requests = Request.objects.open().filter(store__in=stores).select_related("store")
    pending = Erasure.objects.filter(store__in=stores, state=Erasure.State.PENDING)
    # One that a request asked for is on the board as that request.
    lines = [*map(asked_line, requests), *map(_certificate, _unasked(pending, requests))]
    return Board(sorted(lines, key=lambda line: line.due_at))


def _unasked(pending: Iterable[Erasure], requests: Iterable[Request]) -> list[Erasure]:
    asked = {request.erasure_id for request in requests}
    return [erasure for erasure in pending if erasure.pk not in asked]


def asked_line(request: Request) -> Line:
    """How a request stands now."""
    now = timezone.now()
    return Line(
        title=str(request),
        url=reverse("admin:retention_request_change", args=[request.pk]),
        due_at=request.due(now),
        left=request.left(now),
        percent=100 * max(0.0, min(1.0, 1 - request.spent(now))),
        state=str(request.get_state_display()),
        bad=request.state == Request.State.PARTIAL,
        stopped=request.stopped_at is not None,
    )


def _certificate(erasure: Erasure) -> Line:
    due = erasure.requested_at + LATE
    left = due - timezone.now()
    return Line(
        title=_("Certificate of an erasure, waiting for a recognizer"),
        url=reverse("admin:retention_erasure_change", args=[erasure.pk]),
        due_at=due,
        left=left,
        percent=max(0.0, min(100.0, 100 * (left / LATE))),
    )
