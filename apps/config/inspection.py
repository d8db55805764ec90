"""For an inspector, or anyone with a certificate: what it proves, checked without keeping it.

The check is the very script that runs without us, `ops/verify-certificate`, loaded as it lies.
"""

import json
from datetime import datetime
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from apps.audit import services as audit
from apps.audit import signing
from apps.audit.models import Checkpoint
from apps.audit.tree import LedgerIncomplete
from apps.stores.limits import allowed

SCRIPT = Path(settings.BASE_DIR) / "ops" / "verify-certificate"
CAUSES = {
    "withdrawal": gettext_lazy("the person ended it"),
    "request": gettext_lazy("the person asked for it"),
    "expiry": gettext_lazy("its time was over"),
    "replaced": gettext_lazy("the same face said yes again, and that took its place"),
    "retired": gettext_lazy("the model that recognised them was replaced"),
    "purpose": gettext_lazy("the person took one purpose back"),
}


class NotInLedger(Exception):
    """There is no proof from that size: the ledger never had it, or it lies before what is kept."""


@require_GET
@never_cache
def checkpoints(request: HttpRequest) -> HttpResponse:
    """The ledger's latest signed head; with `since`, the proof that it only grew from there.

    Whoever keeps a head can tell later that nothing up to it was rewritten.
    """
    head = Checkpoint.objects.first()
    if head is None:
        return JsonResponse({"error": "Nothing is signed yet. Ask again in an hour."}, status=404)
    if "since" not in request.GET:
        return JsonResponse(_head(head))
    since = request.GET["since"]
    try:
        size = int(since) if since.isascii() and since.isdigit() and len(since) < 17 else 0
        return JsonResponse(_grown(size, head))
    except NotInLedger as error:
        return JsonResponse({"error": str(error)}, status=404)


@require_GET
def verifier(request: HttpRequest) -> HttpResponse:
    """The script that checks a certificate without us."""
    return HttpResponse(
        SCRIPT.read_bytes(),
        content_type="text/x-python; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="verify-certificate"'},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def inspect(request: HttpRequest) -> HttpResponse:
    """The inspector's page; a certificate that is posted is checked, shown, and not kept."""
    context: dict[str, Any] = {"key": signing.public_jwk(), "head": Checkpoint.objects.first()}
    if request.method == "POST":
        if not allowed(f"inspect:{request.META.get('REMOTE_ADDR')}", limit=60, seconds=600):
            return render(request, "429.html", status=429)
        context |= _inspected(_document(request))
    return render(request, "public/verify.html", context)


def _document(request: HttpRequest) -> bytes:
    """The certificate as a file, or else as text; a little more than is read of either."""
    largest = _script().LARGEST + 1
    uploaded = request.FILES.get("file")
    if uploaded:
        return uploaded.read(largest)
    return _pasted(request.POST.get("certificate", "")).encode()[:largest]


def _pasted(text: str) -> str:
    """A certificate and its supplement, a line each, however the text was broken."""
    papers: list[str] = []
    for piece in text.split():
        if papers and not (papers[-1].count(".") == 2 and piece.startswith("eyJ")):
            papers[-1] += piece
        else:
            papers.append(piece)
    return "\n".join(papers)


def _inspected(document: bytes) -> dict[str, Any]:
    if not document:
        return {"problem": _("Choose the file of a certificate, or paste its text.")}
    script = _script()
    key = json.dumps(signing.public_jwk()).encode()
    try:
        found = script.checked(document, key)
    except script.Invalid as invalid:
        return {"verdict": "bad", "reason": str(invalid)}
    certificate, part = found.certificate, found.certificate["key"]["row"] != "deleted"
    acknowledged = [each for each in certificate["recognizers"] if each["acknowledged_at"]]
    return {
        "verdict": "part" if certificate["partial"] else "good",
        "certificate": certificate,
        "kid": found.kid,
        "signed": found.head,
        "cause": CAUSES[certificate["cause"]],
        "scope": [
            {"what": _word(line["what"]), "count": line["count"], "how": _word(line["how"])}
            for line in certificate["scope"]
        ],
        "part": part,
        "horizon": (found.supplement or certificate)["backup_horizon"],
        "acknowledged": len(acknowledged),
        **{
            name: datetime.fromisoformat(certificate[name]) if certificate[name] else None
            for name in ("issued_at", "requested_at", "unmatchable_at", "erased_at")
        },
        "signed_at": datetime.fromisoformat(found.head["at"]),
        **_followed(document, key, found.head["size"]),
    }


def _followed(document: bytes, key: bytes, size: int) -> dict[str, Any]:
    """Whether today's ledger began with the certificate's: True, False, or None where that cannot
    be told any more."""
    script, head = _script(), Checkpoint.objects.first()
    if head is None or head.size < size:
        return {"grown": False}
    try:
        later = json.dumps(_grown(size, head)).encode()
        return {"grown": True, "later": script.checked(document, key, later).later}
    except NotInLedger:
        return {"grown": None}
    except script.Invalid:
        return {"grown": False}


def _head(head: Checkpoint) -> dict[str, Any]:
    return {
        "checkpoint": head.signature,
        "size": head.size,
        "root": head.root,
        "at": head.at.isoformat(),
    }


def _grown(since: int, head: Checkpoint) -> dict[str, Any]:
    if not 0 < since <= head.size:
        raise NotInLedger(f"since must be a number of entries, from 1 to {head.size}.")
    try:
        return {**_head(head), "since": since, "consistency": audit.consistency(since, head)}
    except LedgerIncomplete:
        raise NotInLedger("There is no proof from there any more.") from None


def _word(text: str) -> str:
    """A word of ours in the reader's language; whatever else stands in a certificate as it is."""
    return _(text) if text else ""


class _Script(SourceFileLoader):
    def set_data(self, *args: object, **options: object) -> None:
        """Nothing compiled is written beside the source."""


@cache
def _script() -> ModuleType:
    loader = _Script("verify_certificate", str(SCRIPT))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module
