"""Self-service from the receipt: no account, the secret in a POST body, never in an address.

What it is good for ends with the consent: from then on it opens the certificate, and the proof of
what was agreed to, and changes nothing.
"""

from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.db import DatabaseError, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.audit import services as audit
from apps.consent import document
from apps.consent.models import Purpose, Receipt
from apps.consent.qr import drawn
from apps.consent.services import ConsentRefused
from apps.consent.signature import said
from apps.privacy import export, paper, renewals, selectors, services
from apps.privacy.requests import intake, packages
from apps.privacy.requests.rows import RequestRefused
from apps.privacy.services import SELF
from apps.privacy.shown import NoPass, shown_pass
from apps.recognition.client import PassRefused, RecognizerDown
from apps.retention.holds import Held, held_until
from apps.retention.models import Erasure, Request
from apps.retention.services.erase import await_acknowledgements, complete, erase
from apps.retention.services.withdraw import withdraw_purpose
from apps.stores.limits import allowed
from apps.visitors import services as visitors
from apps.visitors.cards import CardCode
from apps.visitors.models import Age, Sex, Visitor
from apps.visitors.names import BadName
from apps.visitors.services import TemplatesChanged
from apps.visits import notes

TRIES, WINDOW = 30, 600
# How often what costs work may be asked for with one receipt, in one window.
LABOURS = 20
# How much of what somebody writes is kept.
WORDS = 4000
# How long the page waits for the recognizers' word; longer than that, the certificate follows.
PATIENCE = 2.0

View = Callable[[HttpRequest, Receipt, str], HttpResponse]
Act = Callable[[HttpRequest, Receipt, str, Visitor], HttpResponse]


def with_receipt(view: View) -> Callable[[HttpRequest], HttpResponse]:
    """Find the receipt whose secret was posted. Wrong codes are taken at a limited rate.

    A right one always opens: a whole store shares one address, and withdrawing must not depend on
    Redis (GDPR 7(3)). Nobody guesses 119 bits, at any rate.
    """

    @require_POST
    @wraps(view)
    def wrapped(request: HttpRequest) -> HttpResponse:
        secret = request.POST.get("secret", "")
        receipt = selectors.receipt_of(secret)
        if receipt is not None:
            return view(request, receipt, secret)
        if not allowed(f"receipt:{request.META.get('REMOTE_ADDR')}", limit=TRIES, seconds=WINDOW):
            return _ask(request, _("Too many attempts. Please wait ten minutes."), 429)
        return _ask(request, _("There is no receipt with this code. Please check it."), 404)

    return wrapped


def while_it_holds(act: Act) -> Callable[[HttpRequest], HttpResponse]:
    """Let an act through only while its consent lives and its person is enrolled."""

    @with_receipt
    @wraps(act)
    def wrapped(request: HttpRequest, receipt: Receipt, secret: str) -> HttpResponse:
        visitor = selectors.visitor_of(receipt.consent)
        if visitor is None or not receipt.consent.live:
            return _over(request, receipt, secret)
        try:
            return act(request, receipt, secret, visitor)
        except Visitor.DoesNotExist:
            # Ended in another window, or by the store, this very moment.
            return _over(request, receipt, secret)

    return wrapped


def _ask(request: HttpRequest, error: str = "", status: int = 200) -> HttpResponse:
    return render(request, "receipt/open.html", {"error": error}, status=status)


@require_http_methods(["GET", "POST"])
def open_receipt(request: HttpRequest) -> HttpResponse:
    """Ask for the code, or show the letter."""
    return _opened(request) if request.method == "POST" else _ask(request)


@with_receipt
def _opened(request: HttpRequest, receipt: Receipt, secret: str) -> HttpResponse:
    erasure = selectors.erasure_of(receipt.consent)
    if erasure:
        return _ended(request, complete(erasure), secret)
    _note(receipt, "receipt.opened")
    return _letter(request, receipt, secret)


def _letter(
    request: HttpRequest,
    receipt: Receipt,
    secret: str,
    *,
    done: str = "",
    error: str = "",
    pass_svg: str = "",
    card: CardCode | None = None,
    passphrase: str = "",
    asking: dict[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    """The letter as things stand now, below what was just done or why it was not."""
    consent = receipt.consent
    # Only what an act may have changed: all that was read with it stays.
    consent.refresh_from_db(fields=("purposes", "expires_at", "withdrawn_at", "delete_after"))
    visitor = selectors.visitor_of(consent)
    organization = consent.store.organization
    visits = visitor.visits.theirs().select_related("store") if visitor else ()
    return render(
        request,
        "receipt/letter.html",
        {
            "secret": secret,
            "done": done,
            "error": error,
            "pass_svg": pass_svg,
            "card": {"svg": drawn(card.text(), error="m"), "typed": card.typed()} if card else None,
            "passphrase": passphrase,
            "asking": asking or {},
            "kinds": [(kind.value, kind.label) for kind in intake.AT_RECEIPT],
            "asked": selectors.asked(consent),
            "receipt": {
                "number": str(receipt.pk)[:8],
                "given_at": consent.signed_at,
                "until": consent.expires_at,
                "store": consent.store.name,
                "where": selectors.where(consent),
                "elsewhere": Purpose.GROUP in consent.purposes,
                "organization": organization.name,
                "contact_email": organization.contact_email,
                "notice_version": consent.text.notice.version,
                "locale": consent.locale,
                "state": "live" if consent.live and visitor else "ended",
                "signed": said(consent),
                "purposes": selectors.answers(consent),
                "sign_anew": selectors.sign_anew(consent),
                "has_pass": selectors.has_pass(consent, visitor),
                "has_lane": selectors.has_lane(visitor),
                "has_card": selectors.has_card(consent, visitor),
                "known_by": selectors.known_by(consent),
            },
            "visitor": visitor,
            "going_on": renewals.going_on(receipt, visitor),
            "former": selectors.former_of(consent),
            "retired": selectors.retired_of(consent),
            "taken": selectors.taken_of(consent),
            "stopped": selectors.stopped(consent, visitor),
            "note": getattr(visitor, "note", None),
            "stating": [
                ("sex", _("Sex"), visitor.sex, Sex.choices),
                ("age", _("Age"), visitor.age, Age.choices),
            ]
            if visitor and Purpose.STATISTICS in consent.purposes
            else (),
            "fewest": settings.CONSENTRY.insights_minimum,
            "holds": selectors.holds(consent, visitor),
            "looks": selectors.looks(consent),
            "visits": [{"at": visit.arrived_at, "store": visit.store.name} for visit in visits],
        },
        status=status,
    )


@with_receipt
def withdraw(request: HttpRequest, receipt: Receipt, secret: str) -> HttpResponse:
    """End everything. Pressing twice, or after the end, shows the same page."""
    erasure = selectors.erasure_of(receipt.consent)
    visitor = selectors.visitor_of(receipt.consent)
    if erasure is None and visitor is not None:
        try:
            erasure = erase(visitor=visitor, cause=Erasure.Cause.WITHDRAWAL, actor=SELF)
        except Visitor.DoesNotExist:
            # A second tap of the same finger was faster.
            erasure = selectors.erasure_of(receipt.consent)
        except Held as held:
            return _held(request, receipt, secret, held)
    if erasure is None:
        return _ask(
            request, _("This was ended before. Only the proof of your consent is kept."), 410
        )
    return _ended(request, await_acknowledgements(erasure, PATIENCE), secret)


def _held(request: HttpRequest, receipt: Receipt, secret: str, held: Held) -> HttpResponse:
    """Withdrawn, and not erased yet."""
    done = _(
        "Ended: no camera recognises you any more. A legal claim needs what we hold until "
        "%(day)s; it is used for nothing else, and erased then."
    ) % {"day": date_format(held.until, "DATE_FORMAT")}
    return _letter(request, receipt, secret, done=done)


@while_it_holds
def stop(request: HttpRequest, receipt: Receipt, secret: str, visitor: Visitor) -> HttpResponse:
    """Withdraw one purpose; with the last that recognises, everything."""
    try:
        purpose = Purpose(request.POST.get("purpose", ""))
    except ValueError:
        return _letter(request, receipt, secret, error=_("Nothing was changed."), status=400)
    try:
        begun = withdraw_purpose(visitor=visitor, purpose=purpose, actor=SELF)
    except Held as held:
        return _held(request, receipt, secret, held)
    until = held_until(visitor.subject)
    if until and not begun:
        done = _(
            "Stopped: %(purpose)s. A legal claim needs what was kept for it until %(day)s; it is "
            "erased then."
        ) % {"purpose": purpose.label, "day": date_format(until, "DATE_FORMAT")}
        return _letter(request, receipt, secret, done=done)
    erasures = [await_acknowledgements(erasure, PATIENCE) for erasure in begun]
    for erasure in erasures:
        if erasure.whole:
            return _ended(request, erasure, secret)
    done = _("Stopped: %(purpose)s. What was kept for it alone is erased.") % {
        "purpose": purpose.label
    }
    return _letter(request, receipt, secret, done=done)


@while_it_holds
def rename(request: HttpRequest, receipt: Receipt, secret: str, visitor: Visitor) -> HttpResponse:
    """Change the name to be greeted by, how it is said, and whom they ask for."""
    try:
        services.rename(
            visitor=visitor,
            greeting_name=request.POST.get("name", ""),
            say_as=request.POST.get("say_as"),
            asks_for=request.POST.get("asks_for"),
            actor=SELF,
        )
    except BadName:
        error = _("Please give a name of 1 to 60 signs. The one before still holds.")
        return _letter(request, receipt, secret, error=error, status=422)
    return _letter(request, receipt, secret, done=_("From now on we greet you by the new name."))


@while_it_holds
def state(request: HttpRequest, receipt: Receipt, secret: str, visitor: Visitor) -> HttpResponse:
    """Keep what a person says of their sex and age, for the statistics that they agreed to."""
    try:
        visitors.state(
            visitor=visitor,
            sex=request.POST.get("sex", ""),
            age=request.POST.get("age", ""),
            actor=SELF,
        )
    except (ValueError, DatabaseError):
        # No such answer; or taken back, or ended, this very moment.
        return _letter(request, receipt, secret, error=_("Nothing was changed."), status=400)
    return _letter(request, receipt, secret, done=_("Kept as you said it."))


@while_it_holds
def delete_note(
    request: HttpRequest, receipt: Receipt, secret: str, visitor: Visitor
) -> HttpResponse:
    """Delete the note that staff wrote; they may write another, for as long as that is agreed."""
    notes.delete(visitor=visitor, actor=SELF)
    return _letter(request, receipt, secret, done=_("The note about you is deleted."))


@while_it_holds
def pause(request: HttpRequest, receipt: Receipt, secret: str, visitor: Visitor) -> HttpResponse:
    """Stop being recognised for a while, or go on."""
    paused = request.POST.get("paused") == "yes"
    services.pause(visitor=visitor, paused=paused, actor=SELF)
    done = _("Paused. Nothing here recognises you until you resume.") if paused else ""
    return _letter(request, receipt, secret, done=done or _("You are recognised again."))


@while_it_holds
def new_pass(request: HttpRequest, receipt: Receipt, secret: str, visitor: Visitor) -> HttpResponse:
    """Show a new pass, once; the old one is dead from now on."""
    consent = receipt.consent
    if not selectors.has_pass(consent, visitor):
        return _letter(request, receipt, secret, error=_("You have no pass."), status=409)
    if not _may_labour(receipt):
        return _too_often(request, receipt, secret)
    try:
        key_share = services.new_pass(visitor=visitor, consent=consent, actor=SELF)
    except PassRefused:
        error = _("A new pass needs new pictures. Please agree anew at the kiosk.")
        return _letter(request, receipt, secret, error=error, status=409)
    except RecognizerDown:
        error = _("Something here is not working right now. Your pass is as it was.")
        return _letter(request, receipt, secret, error=error, status=503)
    return _letter(
        request,
        receipt,
        secret,
        done=_("This is your new pass. The old one opens nothing any more."),
        pass_svg=drawn(key_share.text(), error="l"),
    )


@while_it_holds
def new_card(request: HttpRequest, receipt: Receipt, secret: str, visitor: Visitor) -> HttpResponse:
    """Show a new card, once; whoever has the old one checks nobody in any more."""
    if not _may_labour(receipt):
        return _too_often(request, receipt, secret)
    card = services.new_card(visitor=visitor, consent=receipt.consent, actor=SELF)
    if card is None:
        return _letter(request, receipt, secret, error=_("You have no card."), status=409)
    done = _("This is your new card. The old one is good for nothing any more.")
    return _letter(request, receipt, secret, done=done, card=card)


@while_it_holds
def renew(request: HttpRequest, receipt: Receipt, secret: str, visitor: Visitor) -> HttpResponse:
    """Go on for as long as before; a text that changed is shown first, to be agreed to."""
    going_on = renewals.going_on(receipt, visitor)
    if going_on is None or going_on.offer is None:
        return _letter(request, receipt, secret, error=_("Nothing was changed."), status=409)
    notice, digest = (request.POST.get(name, "") for name in ("notice", "digest"))
    if not notice:
        return _to_be_read(request, receipt, secret, going_on)
    if not _may_labour(receipt):
        return _too_often(request, receipt, secret)

    def refused(error: str, status: int) -> HttpResponse:
        if going_on.offer and going_on.offer.changed:
            return _to_be_read(request, receipt, secret, going_on, error=error, status=status)
        return _letter(request, receipt, secret, error=error, status=status)

    try:
        done = renewals.renew(
            visitor=visitor,
            receipt=receipt,
            notice=notice,
            digest=digest,
            shown=shown_pass(request) if going_on.show_pass else None,
            actor=SELF,
        )
    except NoPass as reason:
        return refused(str(reason), 422)
    except ConsentRefused as refusal:
        if refusal.code == "notice_changed":
            return _to_be_read(request, receipt, secret, going_on, error=refusal.text, status=409)
        return _letter(request, receipt, secret, error=_("Nothing was changed."), status=409)
    except TemplatesChanged:
        error = _("Something changed this very moment, so nothing was renewed. Please try again.")
        return _letter(request, receipt, secret, error=error, status=409)
    except PassRefused:
        if going_on.show_pass:
            error = _(
                "This pass is not the one of this receipt, or it opens nothing any more. Nothing "
                "was changed. Please show the pass that you got last."
            )
            return refused(error, 409)
        error = _("This cannot be renewed here. Please agree anew at the kiosk.")
        return _letter(request, receipt, secret, error=error, status=409)
    except RecognizerDown:
        error = _("Something here is not working right now. What you agreed to is as it was.")
        return _letter(request, receipt, secret, error=error, status=503)
    return _letter(
        request,
        done.receipt,
        secret,
        done=_renewed(going_on),
        pass_svg=drawn(done.key_share.text(), error="l") if done.key_share else "",
    )


def _renewed(going_on: renewals.GoingOn) -> str:
    """What of what they hold stays good."""
    if going_on.show_pass:
        return _("Renewed. The code and the pass that you have stay the same.")
    if going_on.card:
        return _("Renewed. The code and the card that you have stay the same.")
    return _("Renewed. The code that you have stays the same.")


def _to_be_read(
    request: HttpRequest,
    receipt: Receipt,
    secret: str,
    going_on: renewals.GoingOn,
    *,
    error: str = "",
    status: int = 200,
) -> HttpResponse:
    """The text in force, what changed in it, and a yes and a no that are equally big."""
    consent, offer = receipt.consent, going_on.offer
    assert offer is not None
    context = {
        "secret": secret,
        "error": error,
        "offer": offer,
        "going_on": going_on,
        "text": offer.text,
        "before": consent.text.notice.version,
        "changed": renewals.changed(consent, offer.text),
        "purposes": [each for each in selectors.answers(consent) if each.granted],
    }
    return render(request, "receipt/renew.html", context, status=status)


@with_receipt
def certificate(request: HttpRequest, receipt: Receipt, secret: str) -> HttpResponse:
    """Download the deletion certificate; of those of single templates, the one that is named."""
    erasure = selectors.erasure_of(receipt.consent)
    for one in selectors.partial_of(receipt.consent):
        if erasure is None or str(one.pk) == request.POST.get("number"):
            erasure = one
    if erasure is None or not erasure.document:
        return _ask(request, _("There is no certificate yet. Please come back in a minute."), 404)
    return _file(erasure.papers, "certificate.jws", "application/jose")


@with_receipt
def download(request: HttpRequest, receipt: Receipt, secret: str) -> HttpResponse:
    """Download the signed receipt, or the former one that is named, for as long as it is kept."""
    for former in selectors.former_of(receipt.consent):
        if str(former.pk) == request.POST.get("record"):
            receipt = former.receipt
    signed = document.current_jws(receipt)
    _note(receipt, "receipt.downloaded")
    return _file(signed, "receipt.jws", "application/jose")


@with_receipt
def on_paper(request: HttpRequest, receipt: Receipt, secret: str) -> HttpResponse:
    """Download the receipt as a PDF, made now, for as long as it is kept."""
    if not _may_labour(receipt):
        return _too_often(request, receipt, secret)
    try:
        pdf = paper.receipt_pdf(receipt, secret)
    except paper.PaperUnavailable:
        error = _(
            "This store cannot make a PDF yet. Whoever runs it needs to install Debian’s packages "
            "%(packages)s. Until then you can print this page."
        ) % {"packages": paper.DEBIAN}
        return _letter(request, receipt, secret, error=error, status=503)
    _note(receipt, "receipt.downloaded")
    return _file(pdf, "receipt.pdf", "application/pdf")


@while_it_holds
def everything(
    request: HttpRequest, receipt: Receipt, secret: str, visitor: Visitor
) -> HttpResponse:
    """Download everything held on the person, as JSON."""
    _note(receipt, "receipt.exported")
    text = export.everything(visitor).model_dump_json(indent=2)
    return _file(text, "everything.json", "application/json")


@require_GET
def schema(request: HttpRequest) -> HttpResponse:
    """What stands in `everything.json`, for machines: its JSON Schema."""
    return JsonResponse(export.schema(), content_type="application/schema+json")


@while_it_holds
def ask(request: HttpRequest, receipt: Receipt, secret: str, visitor: Visitor) -> HttpResponse:
    """Ask for what this page does not do by itself; the clock of the law runs from now."""
    if not _may_labour(receipt):
        return _too_often(request, receipt, secret)
    try:
        kind = Request.Kind(request.POST.get("kind", ""))
        asked, passphrase = intake.ask(
            receipt=receipt, kind=kind, words=request.POST.get("words", "")[:WORDS]
        )
    except ValueError as error:
        text = error.text if isinstance(error, RequestRefused) else _("Nothing was changed.")
        return _letter(
            request,
            receipt,
            secret,
            error=text,
            asking=request.POST.dict(),
            status=409,
        )
    done = _("We have your request %(number)s. You have our answer here by %(due)s.") % {
        "number": asked.number,
        "due": date_format(asked.due_at, "DATE_FORMAT"),
    }
    return _letter(request, receipt, secret, done=done, passphrase=passphrase)


@with_receipt
def package(request: HttpRequest, receipt: Receipt, secret: str) -> HttpResponse:
    """Download the package that answered a request."""
    theirs = packages.ready().filter(request__subject=receipt.consent.subject)
    for one in theirs.filter(request__source=Request.Source.RECEIPT):
        if str(one.request_id) == request.POST.get("request"):
            file = packages.fetch(one)
            if file is not None:
                return _file(file, "everything.pdf", "application/pdf")
    return _letter(request, receipt, secret, error=_("This package is gone."), status=410)


def _over(request: HttpRequest, receipt: Receipt, secret: str) -> HttpResponse:
    erasure = selectors.erasure_of(receipt.consent)
    if erasure:
        return _ended(request, complete(erasure), secret, status=410)
    return _letter(request, receipt, secret, error=_("Nothing was changed."), status=410)


def _ended(
    request: HttpRequest, erasure: Erasure, secret: str, *, status: int = 200
) -> HttpResponse:
    certificate = {
        "state": erasure.state,
        "issued_at": erasure.completed_at,
        "number": str(erasure.pk)[:8],
        "replaced": erasure.cause == Erasure.Cause.REPLACED,
        "retired": erasure.cause == Erasure.Cause.RETIRED,
        "pressed": erasure.cause == Erasure.Cause.WITHDRAWAL,
        "known_by": selectors.known_by_then(erasure),
        "sealed": selectors.sealed_in_backups(erasure),
        "contact_email": erasure.store.organization.contact_email,
    }
    context = {"secret": secret, "certificate": certificate}
    return render(request, "receipt/ended.html", context, status=status)


def _may_labour(receipt: Receipt) -> bool:
    return allowed(f"labour:{receipt.pk}", limit=LABOURS, seconds=WINDOW)


def _too_often(request: HttpRequest, receipt: Receipt, secret: str) -> HttpResponse:
    error = _("That was asked for very often. Please wait ten minutes.")
    return _letter(request, receipt, secret, error=error, status=429)


def _note(receipt: Receipt, action: str) -> None:
    # Of somebody who is erased the ledger must not begin to speak again.
    known = selectors.visitor_of(receipt.consent) is not None
    with transaction.atomic():
        audit.record(actor=SELF, action=action, subject=receipt.consent.subject if known else None)


def _file(content: str | bytes, name: str, kind: str) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(content, content_type=kind, headers=headers)
