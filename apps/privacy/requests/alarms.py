"""Told to the officers when half, four fifths and all of a request's time is over: each once.

As with the message to a visitor, the mark is set before the mail goes out. Where no e-mail is set
up, or it fails, the board says the same.
"""

import logging
import smtplib
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db import transaction
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import override

from apps.privacy.requests import rows
from apps.privacy.requests.rows import held, record
from apps.retention.models import Request
from apps.stores.models import Role, User

log = logging.getLogger(__name__)

MARKS = (50, 80, 100)


def mark_of(request: Request) -> int:
    """The last mark that a request has passed, in percent of its period; 0 before the first."""
    at = rows.now()
    return max((mark for mark in MARKS if request.spent(at) * 100 >= mark), default=0)


def escalate() -> int:
    """Set every mark that was passed, tell the officers, and return how many messages went out."""
    sent = 0
    # A clock that stands still passes nothing.
    running = Request.objects.open().filter(stopped_at=None, alarmed__lt=MARKS[-1])
    for request in running.select_related("store"):
        mark = mark_of(request)
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
    officers = User.objects.filter(
        roles__store=request.store_id, roles__kind=Role.Kind.DPO, is_active=True
    )
    addresses = sorted({user.email for user in officers if "@" in user.email})
    if settings.CONSENTRY.mail_url is None or not addresses:
        return 0
    try:
        with get_connection() as postman:
            return int(postman.send_messages([_message(request, mark, to) for to in addresses]))
    except (OSError, smtplib.SMTPException, ValueError) as error:
        log.warning("the mail server took no alarm (%s)", type(error).__name__)
        return 0


def _message(request: Request, mark: int, address: str) -> EmailMessage:
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
        return EmailMessage(
            " ".join(title.split()),
            render_to_string("mail/request_alarm.txt", words),
            to=[address],
            headers={"Auto-Submitted": "auto-generated"},
        )
