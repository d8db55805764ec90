"""Who asks: by the code of their receipt, else a code sent to their contact, else a member of staff
who saw them. No new photo is ever asked for, and no copy of a document.

None of the three is in the hands of the officer who decides. A code is for one request, is used
once, and dies after `TRIES` wrong ones.
"""

import hashlib
import hmac
import re
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import CharField
from django.db.models.functions import Cast
from django.utils.translation import gettext as _

from apps.consent import codes
from apps.consent.models import Receipt
from apps.privacy import selectors
from apps.privacy import services as privacy
from apps.privacy.requests import post, rows
from apps.privacy.requests.rows import RequestRefused, held, must_be, record
from apps.retention.models import Request
from apps.retention.services.intake import save_once
from apps.stores import witnesses
from apps.visitors.models import Visitor

SIGNS, TRIES, LIFE = 8, 5, timedelta(days=3)
WAITING = (Request.State.RECEIVED, Request.State.IDENTITY)


@transaction.atomic
def tie(*, request: Request, whom: str, actor: str) -> Request:
    """Say whose request this would be, if they prove it: by the number of a receipt, the contact on
    record, or the number of a record. Raises RequestRefused."""
    request, _before = held(request.pk)
    must_be(request, *WAITING)
    visitor = _found(request, whom.strip())
    if visitor is None:
        raise RequestRefused("unknown", _("Nobody in this store is known by that."))
    request.subject = visitor.subject
    request.code_digest, request.code_expires_at = "", None
    save_once(request)
    record(request, "tied", actor=actor)
    return request


def _found(request: Request, whom: str) -> Visitor | None:
    here = Visitor.objects.filter(store=request.store)
    try:
        return here.filter(pk=UUID(whom)).first()
    except ValueError:
        pass
    if re.fullmatch(r"[0-9a-fA-F]{8}", whom):
        receipts = Receipt.objects.annotate(number=Cast("pk", CharField()))
        subjects = receipts.filter(number__startswith=whom.lower()).values("consent__subject")
        found = list(here.filter(subject__in=subjects)[:2])
    else:
        found = list(here.filter(contact__iexact=whom)[:2]) if "@" in whom else []
    return found[0] if len(found) == 1 else None


@transaction.atomic
def await_proof(*, request: Request, actor: str) -> Request:
    """Ask the person for a proof of identity; the clock stands still where the law lets it."""
    request, _visitor = held(request.pk)
    must_be(request, Request.State.RECEIVED)
    _wait(request)
    request.save()
    record(request, "identity_asked", actor=actor, stopped=request.stopped_at is not None)
    return request


def _wait(request: Request) -> None:
    request.state = Request.State.IDENTITY
    rows.stop(request)


def send_code(*, request: Request, actor: str) -> Request:
    """Send a code to the contact on record, which the person then tells us. Raises RequestRefused.

    It is kept as a keyed digest before it is sent, and is of no use when it could not be.
    """
    code = codes.draw(SIGNS)
    with transaction.atomic():
        request, visitor = held(request.pk)
        must_be(request, *WAITING)
        if visitor is None:
            raise RequestRefused("unknown", _("Say first whose request it is."))
        if "@" not in visitor.contact:
            raise RequestRefused("contact", _("There is no e-mail address on their record."))
        post.must_go(request.store.organization)
        _wait(request)
        request.code_digest = _digest(request, code)
        request.code_expires_at = rows.now() + LIFE
        request.code_tries = 0
        request.save()
        record(request, "code_sent", actor=actor)
    try:
        post.send(
            visitor.contact,
            "mail/request_code.txt",
            post.CODE,
            request.store.organization,
            rows.locale_of(request),
            code=f"{code[:4]}-{code[4:]}",
            number=request.number,
            days=LIFE.days,
        )
    except RequestRefused:
        Request.objects.filter(pk=request.pk).update(code_digest="", code_expires_at=None)
        raise
    return request


def check_code(*, request: Request, code: str, actor: str) -> Request:
    """Verify by the code that was sent. Used once; raises RequestRefused."""
    with transaction.atomic():
        request, _visitor = held(request.pk)
        must_be(request, *WAITING)
        alive = request.code_expires_at is not None and request.code_expires_at > rows.now()
        known = bool(request.code_digest) and alive and request.code_tries < TRIES
        if known and hmac.compare_digest(request.code_digest, _digest(request, code)):
            return verify(request=request, how=Request.Proof.CODE, by="contact", actor=actor)
        request.code_tries += 1
        if request.code_tries >= TRIES:
            request.code_digest, request.code_expires_at = "", None
        request.save()
        record(request, "code_refused", actor=actor)
    raise RequestRefused("code", _("This code is wrong, used, or too old. You can send another."))


def check_receipt(*, request: Request, secret: str, actor: str) -> Request:
    """Verify by the code of the receipt, as it stands in a letter. Raises RequestRefused."""
    receipt = selectors.receipt_of(secret)
    with transaction.atomic():
        request, _visitor = held(request.pk)
        must_be(request, *WAITING)
        consent = receipt.consent if receipt else None
        if (
            consent is None
            or consent.store_id != request.store_id
            or request.subject not in (None, consent.subject)
        ):
            raise RequestRefused("code", _("No receipt of this person has that code."))
        request.subject = consent.subject
        return verify(request=request, how=Request.Proof.RECEIPT, by="receipt", actor=actor)


def check_witness(*, request: Request, code: str, actor: str) -> Request:
    """Verify by the word of a member of staff who saw the person: a one-time code from their floor
    board. Raises RequestRefused."""
    with transaction.atomic():
        request, visitor = held(request.pk)
        must_be(request, *WAITING)
        if visitor is None:
            raise RequestRefused("unknown", _("Say first whose request it is."))
        try:
            staff = witnesses.vouched(code=code, store=request.store)
        except witnesses.WitnessRefused:
            raise RequestRefused(
                "code", _("This code is not known here: wrong, used, or too old.")
            ) from None
        except witnesses.NonceStoreDown:
            raise RequestRefused(
                "down", _("Something here is not working right now. Please try again.")
            ) from None
        by = f"user:{staff.pk}"
        if by == actor:
            raise RequestRefused("own", _("Somebody else of the staff has to have seen them."))
        return verify(request=request, how=Request.Proof.WITNESS, by=by, actor=actor)


@transaction.atomic
def verify(*, request: Request, how: Request.Proof, by: str, actor: str) -> Request:
    """Write down that it is them. What they object to, pause or withdraw holds from this moment.

    Raises RequestRefused.
    """
    # Tied to somebody only now, perhaps: that one is locked, and the row stays locked.
    visitor = rows.visitor_of(request)
    at = rows.now()
    rows.start_again(request, at)
    request.state = Request.State.VERIFIED
    request.verified_at, request.verified_by, request.verified_how = at, by, how
    request.code_digest, request.code_expires_at = "", None
    if visitor and request.kind in Request.PAUSES and visitor.restricted_at is None:
        request.restricts = True
        privacy.pause(visitor=visitor, paused=True, actor=actor)
    save_once(request)
    record(request, "verified", actor=actor, how=how.value, by=by)
    return request


def _digest(request: Request, code: str) -> str:
    signs = re.sub(r"[^A-Z0-9]", "", code.upper())
    message = f"request {request.pk} {request.subject} {signs}".encode()
    return hmac.new(settings.SECRET_KEY.encode(), message, hashlib.sha256).hexdigest()
