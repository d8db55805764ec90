"""The floor board and its live events. Staff see their own store, and nobody who did not sign."""

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, connection, transaction
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.stores import witnesses
from apps.stores.access import actor, stores_of
from apps.stores.devices import NonceStoreDown
from apps.stores.limits import allowed
from apps.stores.models import Role, Store, User
from apps.visitors import cards
from apps.visitors.models import Visitor
from apps.visitors.names import BadNote
from apps.visits import checkin, feed, look_alikes, looks, notes, selectors, sensitive
from apps.visits.handing import colleagues
from apps.visits.handing import hand_on as hand
from apps.visits.mistakes import mark_wrong, take_back
from apps.visits.models import Visit
from apps.visits.services import greet as mark_greeted

# In ten minutes, for one member of staff.
WITNESS_CODES, CARDS = 20, 60


def _store(request: HttpRequest, slug: str) -> Store:
    return get_object_or_404(stores_of(request.user, Role.Kind.STAFF), slug=slug)


@require_GET
@login_required
def choose(request: HttpRequest) -> HttpResponse:
    """Go to the first store in which this user works."""
    store = stores_of(request.user, Role.Kind.STAFF).first()
    if store is None:
        raise PermissionDenied
    return redirect("floor:board", store.slug)


@require_GET
@login_required
def board(request: HttpRequest, slug: str) -> HttpResponse:
    """The board as it is now; `floor.js` keeps it live, without it the page refreshes."""
    return _board(request, _store(request, slug))


@require_GET
@login_required
def wall(request: HttpRequest, slug: str) -> HttpResponse:
    """The same for a display that is read across a room, where nobody taps."""
    return _board(request, _store(request, slug), None, "floor/wall.html")


def _board(
    request: HttpRequest,
    store: Store,
    redrawn: selectors.Card | None = None,
    template: str = "floor/board.html",
    /,
    **more: object,
) -> HttpResponse:
    with transaction.atomic():
        visits = list(selectors.current(store))
        looks.record((actor(request.user), visit) for visit in visits)
    staff = selectors.staff(store)
    return render(
        request,
        template,
        {
            "store": store,
            "stores": stores_of(request.user, Role.Kind.STAFF),
            "visits": [
                redrawn if redrawn and redrawn.id == visit.pk else selectors.card(visit, staff)
                for visit in visits
            ],
            "mistakes": [
                selectors.mistake(visit)
                for visit in selectors.mistakes(
                    store,
                    request.user,  # type: ignore[arg-type]
                    selectors.OFFERED,
                )
            ],
            "last_arrival": selectors.last_arrival(store),
            "look_alike_at": look_alikes.lately(store),
            "look_alike_seconds": int(look_alikes.SHOWN.total_seconds()),
            "fade_minutes": int(selectors.FADES.total_seconds() // 60),
            "events_url": reverse("floor:events", args=[store.slug])
            + f"?since={max((visit.sequence for visit in visits), default=0)}",
            "now": timezone.now(),
            **more,
        },
    )


@require_POST
@login_required
def witness(request: HttpRequest, slug: str) -> HttpResponse:
    """A code by which this member of staff vouches at the kiosk for what they saw signed."""
    store = _store(request, slug)
    seconds = int(witnesses.LIFE.total_seconds())
    shown: dict[str, object] = {"witness_minutes": seconds // 60, "witness_seconds": seconds}
    try:
        if allowed(f"witness-code:{request.user.pk}", limit=WITNESS_CODES, seconds=600):
            shown["witness_code"] = witnesses.new_code(user=request.user, store=store)  # type: ignore[arg-type]
        else:
            shown["witness_problem"] = _("Too many codes. Please wait ten minutes.")
    except NonceStoreDown:
        shown["witness_problem"] = _("Something here is not working right now. Please try again.")
    if request.headers.get("Consentry-Partial"):
        return render(request, "floor/_witness.html", {"store": store, **shown})
    return _board(request, store, None, "floor/board.html", **shown)


@require_http_methods(["GET", "POST"])
@login_required
def check_in(request: HttpRequest, slug: str) -> HttpResponse:
    """Take a card instead of a face: scanned, or its signs typed. Of whose it is, only the board
    tells; without JavaScript this is a page of its own, which does not refresh under a hand."""
    store = _store(request, slug)
    partial = bool(request.headers.get("Consentry-Partial"))
    typed, status, problem = request.POST.get("card", ""), 200, ""
    if request.method == "POST":
        code = cards.read(typed)
        if not allowed(f"card:{request.user.pk}", limit=CARDS, seconds=600):
            status, problem = 429, _("Too many attempts. Please wait ten minutes.")
        elif (
            code is None
            or checkin.check_in(code=code, store=store, actor=actor(request.user)).outcome
            == "refused"
        ):
            status, problem = 422, _("No card with this code is good here.")
        elif not partial:
            return redirect("floor:board", slug)
    shown = {"store": store, "problem": problem, "typed": typed if problem else ""}
    if partial:
        done = request.method == "POST" and not problem
        return render(request, "floor/_card_in.html", {**shown, "done": done}, status=status)
    return render(request, "floor/card_in.html", shown, status=status)


async def events(request: HttpRequest, slug: str) -> HttpResponseBase:
    """Server-Sent Events of one store, each with its sequence number as id.

    A board that reconnects names the last id it saw and is given everything after it, once.
    """
    store, board = await sync_to_async(_opened)(request, slug)
    response = StreamingHttpResponse(_stream(store, board), content_type="text/event-stream")
    response["X-Accel-Buffering"] = "no"
    return response


def _opened(request: HttpRequest, slug: str) -> tuple[Store, feed.Board]:
    """The store and the reader of a stream that begins. Raises Http404."""
    store = stores_of(request.user, Role.Kind.STAFF).filter(slug=slug).first()
    if store is None:
        raise Http404
    since = request.headers.get("Last-Event-ID") or request.GET.get("since", "0")
    board = feed.Board(
        user=request.user,  # type: ignore[arg-type]
        session=request.session.session_key or "",
        language=request.LANGUAGE_CODE,
        token=get_token(request),
        seen=int(since) if since.isdecimal() and len(since) < 20 else 0,
    )
    # A stream lives for hours; it must not hold a database connection meanwhile.
    connection.close()
    return store, board


async def _stream(store: Store, board: feed.Board) -> AsyncIterator[str]:
    yield "retry: 2000\n\n"
    with feed.following(store, board):
        while (text := await board.next()) is not None:
            yield text


@require_POST
@login_required
def greet(request: HttpRequest, slug: str, visit: UUID) -> HttpResponse:
    """One tap: I walk up."""
    store = _store(request, slug)
    found = get_object_or_404(selectors.current(store), pk=visit)
    try:
        mark_greeted(visit=found, user=request.user)  # type: ignore[arg-type]
    except Visit.DoesNotExist as gone:
        # Withdrawn between the tap and here.
        raise Http404 from gone
    return _redrawn(request, store, visit)


@require_POST
@login_required
def hand_on(request: HttpRequest, slug: str, visit: UUID) -> HttpResponse:
    """Say which colleague is to greet; nobody named is whoever is free."""
    store = _store(request, slug)
    found = get_object_or_404(selectors.current(store), pk=visit)
    named = request.POST.get("to", "")
    if named and not (named.isdecimal() and len(named) < 10):
        raise Http404
    try:
        to = colleagues(store).get(pk=int(named)) if named else None
        hand(visit=found, to=to, user=request.user)  # type: ignore[arg-type]
    except (User.DoesNotExist, Visit.DoesNotExist) as gone:
        # They work here no more, or the visitor withdrew between the tap and here.
        raise Http404 from gone
    return _redrawn(request, store, visit)


def _redrawn(request: HttpRequest, store: Store, visit: UUID) -> HttpResponse:
    """The card as it is now, in the place of the one that was tapped; or the board."""
    if not request.headers.get("Consentry-Partial"):
        return redirect("floor:board", store.slug)
    fresh = get_object_or_404(selectors.current(store), pk=visit)
    card = selectors.card(fresh, selectors.staff(store))
    return render(request, "floor/_card.html", {"visit": card})


@require_POST
@login_required
def note(request: HttpRequest, slug: str, visit: UUID) -> HttpResponse:
    """Keep one sentence about who came, where they agreed to that; an empty one deletes it."""
    store = _store(request, slug)
    found = get_object_or_404(selectors.current(store), pk=visit)
    if not selectors.may_note(found):
        raise Http404
    text, problem = request.POST.get("note", ""), ""
    warning = [] if "sure" in request.POST else sensitive.found(text)
    try:
        if not warning:
            notes.write(visit=found, text=text, actor=actor(request.user))
    except BadNote:
        problem = _("At most 200 signs, please. Nothing was changed.")
    except (Visitor.DoesNotExist, IntegrityError) as gone:
        # Withdrawn between the tap and here.
        raise Http404 from gone
    if not problem and not warning:
        return _redrawn(request, store, visit)
    fresh = get_object_or_404(selectors.current(store), pk=visit)
    card = replace(
        selectors.card(fresh, selectors.staff(store)),
        note_problem=problem,
        note_warning=_(", ").join(warning),
        note_draft=text,
    )
    if request.headers.get("Consentry-Partial"):
        return render(request, "floor/_card.html", {"visit": card}, status=422)
    return _board(request, store, card)


@require_POST
@login_required
def wrong(request: HttpRequest, slug: str, visit: UUID) -> HttpResponse:
    """One tap: this is someone else."""
    store = _store(request, slug)
    found = get_object_or_404(selectors.lawful(store), pk=visit)
    marked = mark_wrong(visit=found, user=request.user)  # type: ignore[arg-type]
    if not request.headers.get("Consentry-Partial"):
        return redirect("floor:board", slug)
    if marked.wrong_by_id != request.user.pk:
        # A colleague was faster, and theirs is the undo.
        return HttpResponse(status=204)
    return render(request, "floor/_mistake.html", {"mistake": selectors.mistake(marked)})


@require_POST
@login_required
def undo(request: HttpRequest, slug: str, visit: UUID) -> HttpResponse:
    """One tap: it is them after all."""
    store = _store(request, slug)
    found = selectors.mistakes(store, request.user).filter(pk=visit).first()  # type: ignore[arg-type]
    if found is not None:
        take_back(visit=found, user=request.user)  # type: ignore[arg-type]
    return _redrawn(request, store, visit)
