"""Told to the officers when half, four fifths and all of a request's time is over: each once.

As with the message to a visitor, the mark is set before the mail goes out. Where no e-mail is set
up, or it fails, the board says the same.
"""

from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import override

from apps.privacy.requests import rows
from apps.privacy.requests.rows import held, record
from apps.retention.models import Request
from apps.stores.alarms import tell_officers

MARKS = (50, 80, 100)


def mark_of(request: Request, at: datetime) -> int:
    """The last mark that a request has passed, in percent of its period; 0 before the first."""
    return max((mark for mark in MARKS if request.spent(at) * 100 >= mark), default=0)


def escalate() -> int:
    """Set every mark that was passed, tell the officers, and return how many messages went out."""
    sent = 0
    # A clock that stands still passes nothing.
    running = Request.objects.open().filter(stopped_at=None, alarmed__lt=MARKS[-1])
    at = rows.now()
    for request in running.select_related("store"):
        mark = mark_of(request, at)
        if mark > request.alarmed and _claim(request.pk, mark):
            sent += _tell(request, mark)
    return sent


@transaction.atomic
def _claim(pk: UUID, mark: int) -> bool:
    request, _visitor = held(pk)
    if not request.is_open or request.alarmed >= mark:
        return False
    request.alarmed = mark
    request.save(update_fields=["alarmed"])
    record(request, "alarm", actor=rows.SYSTEM, percent=mark)
    return True


def _tell(request: Request, mark: int) -> int:
    with override(settings.LANGUAGE_CODE):
        words = {
            "request": request,
            "mark": mark,
            "overdue": mark == MARKS[-1],
            "address": f"{settings.CONSENTRY.public_url}/admin/retention/request/",
        }
        title = (
            _("Overdue: request %(number)s at %(store)s")
            if mark == MARKS[-1]
            else _("%(mark)s %% of the time is over: request %(number)s at %(store)s")
        ) % {"mark": mark, "number": request.number, "store": request.store.name}
        return tell_officers(
            subject=" ".join(title.split()),
            text=render_to_string("mail/request_alarm.txt", words),
            store=request.store,
        )
