"""The one extension of a request's clock (GDPR 12(3)): with a reason, and told in time."""

from datetime import datetime

from django.db import transaction
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from apps.privacy.requests import post, rows
from apps.privacy.requests.rows import RequestRefused, held, must_be, record
from apps.retention.models import Request
from apps.stores import deadlines


def extend(*, request: Request, reason: str, told: Request.Told, actor: str) -> Request:
    """Extend a request once, inside its first period. Raises RequestRefused.

    By e-mail the notice goes out before anything is written: if the writing fails, somebody was
    told of an extension that there is not, which costs them nothing. By letter the officer says
    that it was sent.
    """
    with post.turn(request):
        if told == Request.Told.MAIL:
            with transaction.atomic():
                request, until = _extendable(request, reason)
            _write(request, reason, until)
        return _extend(request, reason, told, actor)


@transaction.atomic
def _extend(request: Request, reason: str, told: Request.Told, actor: str) -> Request:
    request, until = _extendable(request, reason)
    at = rows.now()
    request.extended_at, request.extended_by = at, actor
    request.extension_reason = reason.strip()
    request.notice_sent_at, request.notice_sent = at, told
    request.due_at = until
    request.save()
    record(request, "extended", actor=actor, until=until.isoformat(), told=told.value)
    return request


def _extendable(request: Request, reason: str) -> tuple[Request, datetime]:
    """The request, locked, and until when it can be extended. Raises RequestRefused."""
    request, _visitor = held(request.pk)
    must_be(request, *Request.OPEN)
    if not reason.strip():
        raise RequestRefused("reason", _("Give the reason; the person is told it."))
    if request.extended_at is not None:
        raise RequestRefused("extended", _("It was extended already. There is one extension."))
    if rows.now() >= request.first_due_at:
        raise RequestRefused("late", _("The first period is over, so it cannot be extended."))
    try:
        return request, deadlines.extended(request.first_due_at, request.store.pack.clock)
    except ValueError:
        raise RequestRefused(
            "none",
            _("%(law)s knows no extension.") % {"law": request.store.pack.name},
        ) from None


def _write(request: Request, reason: str, until: datetime) -> None:
    organization = request.store.organization
    post.must_go(organization)
    if "@" not in request.reach:
        raise RequestRefused("reach", _("No e-mail address was given with this request."))
    post.send(
        request.reach,
        "mail/request_extended.txt",
        post.EXTENDED,
        organization,
        rows.locale_of(request),
        number=request.number,
        reason=reason.strip(),
        until=date_format(until, "DATE_FORMAT"),
    )
