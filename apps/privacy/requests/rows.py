"""What every step on a request begins and ends with: its lock, its word in the ledger, the time."""

from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.utils.translation import gettext as _

from apps.audit.clock import now
from apps.consent.models import PROOF, Consent
from apps.retention.models import Package, Request
from apps.retention.services.intake import RequestRefused, locked, record, visitor_of
from apps.visitors.models import Visitor

SYSTEM = "system:requests"


def held(pk: UUID) -> tuple[Request, Visitor | None]:
    """A request and its person, both locked, the person first. In the caller's transaction."""
    visitor = locked(visitor_of(Request.objects.get(pk=pk)))
    request = Request.objects.select_for_update(of=("self",)).select_related("store").get(pk=pk)
    if visitor is not None and visitor.subject != request.subject:
        # Tied to somebody else while we waited: this one is not theirs.
        visitor = None
    return request, visitor


def must_be(request: Request, *states: str) -> None:
    """Raises RequestRefused when the request is in none of these states (any more)."""
    if request.state not in states:
        raise RequestRefused(
            "state",
            _("This is not possible any more: the request is now “%(state)s”.")
            % {"state": request.get_state_display()},
        )


def close(
    request: Request,
    *,
    state: Request.State,
    told: str,
    actor: str,
    answer: str = "",
    refusal: str = "",
) -> None:
    """Close a locked request; of whoever is erased by then nothing is kept that says who it was."""
    at = now()
    request.state, request.told, request.refusal = state, told, refusal
    request.answer = answer or request.answer
    request.closed_at, request.closed_by = at, actor
    request.delete_after = at + PROOF
    request.problem = ""
    if request.stopped_at:
        start_again(request, at)
    if request.subject is not None and visitor_of(request) is None:
        request.words = request.reach = request.answer = ""
    request.save()
    if state == Request.State.REFUSED:
        Package.objects.filter(request=request).delete()
    record(request, state.value, actor=actor, kind=request.kind, told=told, refusal=refusal)


def stop(request: Request) -> None:
    """Stop the clock of a locked request while identity is awaited, where the law lets it."""
    if request.store.pack.clock.identity_stops and request.stopped_at is None:
        request.stopped_at = now()


def start_again(request: Request, at: datetime) -> None:
    """End a stop: both deadlines move by as long as it lasted."""
    if request.stopped_at is None:
        return
    stood = at - request.stopped_at
    request.stops = [*request.stops, [request.stopped_at.isoformat(), at.isoformat()]]
    request.stopped_for += stood
    request.first_due_at += stood
    request.due_at += stood
    request.stopped_at = None


def locale_of(request: Request) -> str:
    """The language in which its person signed; English where nobody is known."""
    if request.subject is None:
        return settings.LANGUAGE_CODE
    consents = Consent.objects.filter(subject=request.subject).order_by("-signed_at")
    return consents.values_list("locale", flat=True).first() or settings.LANGUAGE_CODE
