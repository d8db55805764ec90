"""Self-service from the receipt: no account, the secret in a POST body, never in an address."""

from collections.abc import Callable
from functools import wraps

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from apps.audit import services as audit
from apps.consent.models import Receipt
from apps.consent.signature import said
from apps.privacy import selectors
from apps.retention.models import Erasure
from apps.retention.services.erase import await_acknowledgements, complete, erase
from apps.stores.limits import allowed
from apps.visitors.models import Visitor

SELF = "self"
TRIES, WINDOW = 30, 600
# How long the page waits for the recognizers' word; longer than that, the certificate follows.
PATIENCE = 2.0

View = Callable[[HttpRequest, Receipt, str], HttpResponse]


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


def _ask(request: HttpRequest, error: str = "", status: int = 200) -> HttpResponse:
    return render(request, "receipt/open.html", {"error": error}, status=status)


@require_http_methods(["GET", "POST"])
def open_receipt(request: HttpRequest) -> HttpResponse:
    """Ask for the code, or show the letter."""
    return _letter(request) if request.method == "POST" else _ask(request)


@with_receipt
def _letter(request: HttpRequest, receipt: Receipt, secret: str) -> HttpResponse:
    consent = receipt.consent
    erasure = selectors.erasure_of(consent)
    if erasure:
        return _ended(request, complete(erasure), secret)
    visitor = selectors.visitor_of(consent)
    with transaction.atomic():
        audit.record(actor=SELF, action="receipt.opened", subject=consent.subject)
    organization = consent.store.organization
    return render(
        request,
        "receipt/letter.html",
        {
            "secret": secret,
            "receipt": {
                "number": str(receipt.pk)[:8],
                "given_at": consent.signed_at,
                "until": consent.expires_at,
                "store": consent.store.name,
                "organization": organization.name,
                "contact_email": organization.contact_email,
                "notice_version": consent.text.notice.version,
                "locale": consent.locale,
                "state": "live" if consent.live and visitor else "ended",
                "signed": said(consent),
                "purposes": selectors.answers(consent),
                "sign_anew": selectors.sign_anew(consent),
                "has_pass": selectors.has_pass(consent, visitor),
            },
            "retired": selectors.retired_of(consent),
            "stopped": selectors.stopped(consent, visitor),
            "holds": selectors.holds(consent, visitor),
            "looks": selectors.looks(consent),
            "visits": [
                {"at": visit.arrived_at, "store": visit.store.name}
                for visit in (visitor.visits.theirs().select_related("store") if visitor else ())
            ],
        },
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
    if erasure is None:
        return _ask(
            request, _("This was ended before. Only the proof of your consent is kept."), 410
        )
    return _ended(request, await_acknowledgements(erasure, PATIENCE), secret)


@with_receipt
def certificate(request: HttpRequest, receipt: Receipt, secret: str) -> HttpResponse:
    """Download the deletion certificate; of those of retired templates, the one that is named."""
    erasure = selectors.erasure_of(receipt.consent)
    for one in selectors.retired_of(receipt.consent):
        if erasure is None or str(one.pk) == request.POST.get("number"):
            erasure = one
    if erasure is None or not erasure.document:
        return _ask(request, _("There is no certificate yet. Please come back in a minute."), 404)
    return _jws(erasure.document, "certificate.jws")


@with_receipt
def download(request: HttpRequest, receipt: Receipt, secret: str) -> HttpResponse:
    """Download the signed receipt, while it is in force."""
    with transaction.atomic():
        audit.record(actor=SELF, action="receipt.downloaded", subject=receipt.consent.subject)
    return _jws(receipt.document, "receipt.jws")


def _ended(request: HttpRequest, erasure: Erasure, secret: str) -> HttpResponse:
    certificate = {
        "state": erasure.state,
        "issued_at": erasure.completed_at,
        "number": str(erasure.pk)[:8],
        "replaced": erasure.cause == Erasure.Cause.REPLACED,
        "retired": erasure.cause == Erasure.Cause.RETIRED,
        "contact_email": erasure.store.organization.contact_email,
    }
    return render(request, "receipt/ended.html", {"secret": secret, "certificate": certificate})


def _jws(document: str, name: str) -> HttpResponse:
    return HttpResponse(
        document,
        content_type="application/jose",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
