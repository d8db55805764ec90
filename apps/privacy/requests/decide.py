"""What becomes of a request: proposed and approved, carried out, refused, answered.

An erasure needs four eyes. It is carried out after the approval has committed, and whatever fails
then is *partial*: visible, tried again each minute, and never answered as done before everything of
it is, the certificate included.
"""

import logging
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from apps.consent.models import Consent
from apps.privacy import services as privacy
from apps.privacy.requests import packages, post, rows
from apps.privacy.requests.rows import RequestRefused, close, held, must_be, record
from apps.retention.holds import Held, held_until
from apps.retention.models import Erasure, Request
from apps.retention.services.erase import await_acknowledgements, complete, erase
from apps.visitors.models import Visitor
from apps.visitors.names import BadName

log = logging.getLogger(__name__)

CAUSES = {
    Request.Kind.ERASURE: Erasure.Cause.REQUEST,
    Request.Kind.WITHDRAWAL: Erasure.Cause.WITHDRAWAL,
}
NOT_ERASED, NOT_CERTIFIED, ON_HOLD = "not erased", "not certified", "on hold"


@transaction.atomic
def propose(*, request: Request, actor: str) -> Request:
    """The first pair of eyes on an erasure: this officer has read what it would do."""
    request, visitor = held(request.pk)
    must_be(request, Request.State.VERIFIED)
    if request.kind != Request.Kind.ERASURE or visitor is None:
        raise RequestRefused("kind", _("There is nothing to erase."))
    request.proposed_at, request.proposed_by = rows.now(), actor
    request.save()
    record(request, "proposed", actor=actor)
    return request


def may_approve(request: Request, actor: str) -> str:
    """Why this officer may not approve it, in one sentence; empty: they may."""
    if request.state != Request.State.VERIFIED:
        return _("Nothing is approved before the identity is verified, and nothing twice.")
    if request.verified_how == Request.Proof.WITNESS and request.verified_by == actor:
        return _("You vouched for the person. Somebody else has to approve it.")
    if request.kind != Request.Kind.ERASURE:
        return ""
    if not request.proposed_by:
        return _("Read first what it would do, and propose it to a second person.")
    if actor in (request.proposed_by, request.opened_by):
        return _("A second person has to approve it.")
    return ""


def approve(
    *,
    request: Request,
    actor: str,
    answer: str = "",
    name: str = "",
    say_as: str = "",
    asks_for: str = "",
    patience: float = 0.0,
) -> tuple[Request, str]:
    """Approve a request and carry it out. Returns it with the passphrase of its package, if it gets
    one: shown once, kept nowhere.

    answer: what the person is told. name, say_as, asks_for: what is corrected of the name to greet
    them by, how it is said and whom they ask for; what is empty stays. patience: for how many
    seconds to wait for the recognizers' word of an erasure. Raises RequestRefused.
    """
    passphrase = ""
    # Not while somebody writes to them that it is refused.
    with post.turn(request), transaction.atomic():
        request, visitor = held(request.pk)
        if problem := may_approve(request, actor):
            raise RequestRefused("approve", problem)
        gone = visitor is None
        if gone and (request.kind not in Request.ENDS or erasure_of(request) is None):
            raise RequestRefused("gone", _("Nothing is held about them any more."))
        request.state = Request.State.APPROVED
        request.approved_at, request.approved_by = rows.now(), actor
        request.answer = answer.strip()
        request.save()
        record(request, "approved", actor=actor, kind=request.kind)
        name, say_as, asks_for = (each.strip() for each in (name, say_as, asks_for))
        if request.kind == Request.Kind.RECTIFICATION and (name or say_as or asks_for) and visitor:
            try:
                privacy.rename(
                    visitor=visitor,
                    greeting_name=name or visitor.greeting_name,
                    say_as=say_as or None,
                    asks_for=asks_for or None,
                    actor=actor,
                )
            except BadName:
                raise RequestRefused("name", _("Please give a name of 1 to 60 signs.")) from None
        if request.kind in Request.COPIES:
            passphrase = packages.begin(request=request, actor=actor)
        elif request.kind not in Request.ENDS:
            _answer_on_receipt(request, actor)
    if request.kind in Request.ENDS:
        request = carry_out(request.pk, patience=patience)
    return request, passphrase


def carry_out(pk: UUID, *, patience: float = 0.0) -> Request:
    """Erase whose request this is and certify it, or say what of that is not done yet.

    Safe to repeat: what is done is not done twice. Raises RequestRefused when nobody approved it.
    """
    request = Request.objects.get(pk=pk)
    must_be(request, Request.State.APPROVED, Request.State.PARTIAL)
    visitor = rows.visitor_of(request)
    problem, failed = "", ""
    if visitor is not None:
        try:
            erase(
                visitor=visitor,
                cause=CAUSES[Request.Kind(request.kind)],
                actor=request.approved_by,
            )
        except Visitor.DoesNotExist:
            pass  # The sweep, or the person, was faster.
        except Held:
            problem = ON_HOLD
        except Exception as error:
            failed = type(error).__name__
            problem = NOT_ERASED
            log.error("request %s: the erasure failed (%s)", pk, failed)
    erasure = erasure_of(request)
    if not problem and erasure is not None:
        try:
            erasure = await_acknowledgements(erasure, patience) if patience else complete(erasure)
        except Exception as error:
            failed = type(error).__name__
            log.error("request %s: the certificate failed (%s)", pk, failed)
        if erasure.state != Erasure.State.COMPLETE:
            problem = NOT_CERTIFIED
    return _carried(pk, erasure, problem, failed)


@transaction.atomic
def _carried(pk: UUID, erasure: Erasure | None, problem: str, failed: str) -> Request:
    request, _visitor = held(pk)
    if request.state not in (Request.State.APPROVED, Request.State.PARTIAL):
        return request
    before = request.state, request.problem
    request.erasure, request.problem = erasure, problem
    request.state = Request.State.PARTIAL if problem else Request.State.APPROVED
    request.save()
    if problem and before != (request.state, request.problem):
        record(request, "partial", actor=rows.SYSTEM, problem=problem, error=failed)
    if not problem:
        if before[0] == Request.State.PARTIAL or request.kind in Request.ENDS:
            record(request, "carried_out", actor=rows.SYSTEM)
        _answer_on_receipt(request, rows.SYSTEM)
    return request


def erasure_of(request: Request) -> Erasure | None:
    """The erasure that ended everything of a request's person."""
    if request.subject is None:
        return None
    theirs = Consent.objects.filter(subject=request.subject).values("pk")
    return Erasure.objects.filter(consent__in=theirs, template=None, purpose="").first()


def unfinished() -> list[UUID]:
    """Approved erasures that are not carried out, or only in part."""
    waiting = Request.objects.filter(kind__in=Request.ENDS)
    waiting = waiting.filter(state=Request.State.PARTIAL) | waiting.filter(
        state=Request.State.APPROVED, erasure=None
    )
    return list(waiting.values_list("pk", flat=True))


def _answer_on_receipt(request: Request, actor: str) -> None:
    """Whoever asked on the receipt page reads the answer there."""
    if request.source == Request.Source.RECEIPT:
        close(
            request,
            state=Request.State.ANSWERED,
            told=Request.Told.RECEIPT,
            actor=actor,
        )


def answer(*, request: Request, told: Request.Told, text: str, actor: str) -> Request:
    """Close a request that was carried out: the person was told. By e-mail it is sent now.

    Raises RequestRefused; also while any part of it is not done.
    """
    with post.turn(request):
        with transaction.atomic():
            request = _answerable(request)
        _tell(request, told, text)
        with transaction.atomic():
            request = _answerable(request)
            close(request, state=Request.State.ANSWERED, told=told, actor=actor, answer=text)
    return request


def _answerable(request: Request) -> Request:
    """The request, locked, once everything of it is done. Raises RequestRefused."""
    request, _visitor = held(request.pk)
    must_be(request, Request.State.APPROVED)
    if request.kind in Request.ENDS and request.erasure is None:
        raise RequestRefused("undone", _("It is not carried out yet."))
    if request.kind in Request.COPIES and not packages.is_ready(request):
        raise RequestRefused("undone", _("The package is not ready yet."))
    return request


def refuse(
    *, request: Request, reason: Request.Refusal, told: Request.Told, text: str, actor: str
) -> Request:
    """Close a request without doing it, with the reason and the way to complain (GDPR 12(4)).

    A pause that was made for it ends. Raises RequestRefused.
    """
    if not text.strip():
        raise RequestRefused("reason", _("Say why, and where they can complain."))
    with post.turn(request):
        with transaction.atomic():
            request, _visitor = _refusable(request)
        _tell(request, told, text)
        with transaction.atomic():
            request, visitor = _refusable(request)
            if request.restricts and visitor:
                _resume(request, visitor, actor)
            close(
                request,
                state=Request.State.REFUSED,
                told=told,
                actor=actor,
                answer=text.strip(),
                refusal=reason.value,
            )
    return request


def _refusable(request: Request) -> tuple[Request, Visitor | None]:
    """The request and its person, locked, while it is not approved. Raises RequestRefused."""
    request, visitor = held(request.pk)
    must_be(request, Request.State.RECEIVED, Request.State.IDENTITY, Request.State.VERIFIED)
    return request, visitor


@transaction.atomic
def lift(*, request: Request, actor: str) -> Request:
    """Recognise a person again whom an answered request had paused (GDPR 18(3): they are told
    before)."""
    request, visitor = held(request.pk)
    must_be(request, Request.State.APPROVED, Request.State.ANSWERED)
    paused = visitor is not None and visitor.restricted_at is not None
    # Once lifted, a later pause is the person's own.
    if visitor is None or not paused or not request.restricts or request.lifted_at:
        raise RequestRefused("lift", _("Nothing is paused for this request."))
    if until := held_until(visitor.subject):
        raise RequestRefused("held", Held(until).paused)
    _resume(request, visitor, actor)
    request.lifted_at = rows.now()
    request.save()
    record(request, "lifted", actor=actor)
    return request


def _resume(request: Request, visitor: Visitor, actor: str) -> None:
    """End the pause of a request; where another one asks for it too, it is that one's from now, and
    where a legal claim needs it, the claim's."""
    others = Request.objects.select_for_update().filter(
        subject=request.subject,
        kind__in=Request.PAUSES,
        verified_at__isnull=False,
        lifted_at=None,
    )
    other = others.exclude(pk=request.pk).exclude(state=Request.State.REFUSED).first()
    if other is None:
        if held_until(visitor.subject) is None:
            privacy.pause(visitor=visitor, paused=False, actor=actor)
        return
    other.restricts = True
    other.save(update_fields=["restricts"])


def _tell(request: Request, told: Request.Told, text: str) -> None:
    if told == Request.Told.RECEIPT and request.source != Request.Source.RECEIPT:
        raise RequestRefused("told", _("They did not ask on the receipt page."))
    if told != Request.Told.MAIL:
        return
    organization = request.store.organization
    post.must_go(organization)
    if "@" not in request.reach:
        raise RequestRefused("reach", _("No e-mail address was given with this request."))
    if not text.strip():
        raise RequestRefused("text", _("Write what they are told."))
    post.send(
        request.reach,
        "mail/request_answer.txt",
        post.ANSWER,
        organization,
        rows.locale_of(request),
        number=request.number,
        text=text.strip(),
    )
