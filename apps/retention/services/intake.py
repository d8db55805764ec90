"""Write down what a person asks and start its clock, whichever door it came through: their receipt,
the kiosk, staff, or a letter that the officer types in. Nothing is verified here.
"""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.audit.clock import now
from apps.retention.models import Request
from apps.retention.services.erase import lock
from apps.stores import deadlines
from apps.stores.models import Store
from apps.visitors.models import Visitor


class RequestRefused(ValueError):
    """This step is not possible now. `code` is for machines, the text for whoever tried it."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def visitor_of(request: Request) -> Visitor | None:
    """Whose request it is, while they are enrolled."""
    if request.subject is None:
        return None
    return Visitor.objects.select_related("store").filter(subject=request.subject).first()


def locked(visitor: Visitor | None) -> Visitor | None:
    """Lock a person; None when there is none, or they were erased meanwhile."""
    try:
        return lock(visitor.pk) if visitor else None
    except Visitor.DoesNotExist:
        return None


def record(request: Request, action: str, *, actor: str, **detail: Any) -> None:
    """Write a step into the ledger; of somebody who is erased it does not begin to speak again."""
    audit.record(
        actor=actor,
        action=f"request.{action}",
        subject=request.subject if visitor_of(request) else None,
        request=str(request.pk),
        **detail,
    )


def save_once(request: Request, *, insert: bool = False) -> None:
    """Save a request that is tied to a person. Raises RequestRefused for a second of its kind."""
    try:
        with transaction.atomic():
            request.save(force_insert=insert)
    except IntegrityError as error:
        if "one_open_request_a_kind" not in str(error):
            raise
        first = Request.objects.open().get(subject=request.subject, kind=request.kind)
        raise RequestRefused(
            "duplicate",
            _("Request %(number)s of the same kind is open for this person already.")
            % {"number": first.number},
        ) from None


@transaction.atomic
def take(
    *,
    store: Store,
    kind: Request.Kind,
    source: Request.Source,
    actor: str,
    words: str = "",
    reach: str = "",
    received_at: datetime | None = None,
    subject: UUID | None = None,
    pk: UUID | None = None,
) -> Request:
    """Write down a request. Its clock runs from `received_at`, by the store's jurisdiction.

    `pk` is what its sender knows it by, where an answer may get lost on the way.

    Raises RequestRefused: "duplicate" when one of the kind is open for this person, "time" when it
    would have come in later than now.
    """
    at = now()
    received_at = received_at or at
    if received_at > at:
        raise RequestRefused("time", _("It cannot have come in later than now."))
    # The person before the ledger: what is asked with a proof pauses them in this transaction.
    locked(Visitor.objects.filter(subject=subject).first() if subject else None)
    due = deadlines.due(received_at, store.pack.clock)
    request = Request(
        pk=pk or uuid4(),
        store=store,
        kind=kind,
        source=source,
        subject=subject,
        words=words.strip(),
        reach=reach.strip(),
        opened_by=actor,
        received_at=received_at,
        first_due_at=due,
        due_at=due,
    )
    save_once(request, insert=True)
    record(request, "received", actor=actor, kind=kind.value, source=source.value)
    return request
