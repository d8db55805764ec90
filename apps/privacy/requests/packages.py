"""The access package: everything held, made by a worker, encrypted, fetched, and gone.

Design. It is one PDF, encrypted with AES-256 as PDF 2.0 has it, which every phone opens; the same
facts as JSON, and their schema, are attached in it. The passphrase is made and shown once: to the
person on the receipt page when they ask, or to the officer who approves, and who tells it on
another way than the link. Until the worker has used it, it lies sealed under a key of the house,
bound to its package; then it is forgotten, and with it any way of ours to open the file. The link's
secret stands in the fragment of an address, which no server and no log ever sees, and is kept as
its digest. Both die with `delete_after`, which is read at each fetch: two weeks after the package
was made, or an hour after it was first fetched.

A worker holds an advisory lock of PostgreSQL while it builds. It goes with the worker's connection,
so that a package whose worker was killed is built by the next one, and never by two.
"""

import hashlib
import logging
import secrets
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.audit.turns import alone
from apps.config import sealing
from apps.config.celery import app as celery
from apps.consent import codes
from apps.privacy import export, paper
from apps.privacy.requests import rows
from apps.privacy.requests.rows import RequestRefused, close, held, must_be, record
from apps.retention.models import Package, Request

log = logging.getLogger(__name__)

LIFE = timedelta(days=14)
# So that a download that broke off can be begun again.
AFTER_FETCH = timedelta(hours=1)
# An order that nobody approves goes with its passphrase.
ORDERED = timedelta(days=365)
GROUPS, SIGNS = 5, 4
LOCK = 0x504B4147
USE = b"consentry package passphrase"
NO_PACKAGE = "no package"


def order(request: Request) -> str:
    """Make room for the package of a locked request and return its passphrase, to be shown once.

    A package that there was goes, and with it its link.
    """
    passphrase = "-".join(codes.draw(SIGNS) for _group in range(GROUPS))
    Package.objects.filter(request=request).delete()
    at = rows.now()
    package = Package(request=request, created_at=at, delete_after=at + ORDERED)
    package.wrapped = _wrap(package, passphrase)
    package.save()
    return passphrase


def begin(*, request: Request, actor: str) -> str:
    """Have the package of a locked, approved request built once this transaction has committed.

    Returns the passphrase; empty when the person was shown it already.
    """
    passphrase = "" if Package.objects.filter(request=request).exists() else order(request)
    Package.objects.filter(request=request).update(state=Package.State.BUILDING, problem="")
    request.state, request.problem = Request.State.APPROVED, ""
    request.save()
    record(request, "package_ordered", actor=actor)
    pk = request.package.pk
    # Where the broker is down, the timetable finds it.
    transaction.on_commit(lambda: _send(pk), robust=True)
    return passphrase


def _send(pk: UUID) -> None:
    celery.send_task("apps.privacy.tasks.build_package", [str(pk)], retry=False)


@transaction.atomic
def again(*, request: Request, actor: str, anew: bool = False) -> str:
    """Try a package again that failed, or make one `anew` whose passphrase or link was lost.

    Returns the passphrase of a new one. Raises RequestRefused.
    """
    request, visitor = held(request.pk)
    # Nothing else has a package, and under one that can be fetched nothing is tried again.
    states = [Request.State.PARTIAL, *([Request.State.APPROVED] if anew else [])]
    must_be(request, *(states if request.kind in Request.COPIES else []))
    if visitor is None:
        raise RequestRefused("gone", _("Nothing is held about them any more."))
    if anew:
        Package.objects.filter(request=request).delete()
        request.refresh_from_db()
    return begin(request=request, actor=actor)


def is_ready(request: Request) -> bool:
    """Whether the package of a request is there to be fetched."""
    return ready().filter(request=request).exists()


def ready() -> QuerySet[Package]:
    """Packages that can be fetched now."""
    return Package.objects.filter(state=Package.State.READY, delete_after__gt=Now())


def waiting() -> list[UUID]:
    """Packages that nobody has built yet."""
    building = Package.objects.filter(state=Package.State.BUILDING)
    return list(building.values_list("pk", flat=True))


def build(pk: UUID) -> None:
    """Build one package, unless another worker is at it, or it is there or gone already."""
    with alone(LOCK, pk) as mine:
        package = Package.objects.select_related("request__store").filter(pk=pk).first()
        if not mine or package is None or package.state != Package.State.BUILDING:
            return
        try:
            sealed = _sealed(package)
        except Exception as error:
            # Its text could quote what it was about.
            _failed(package, type(error).__name__)
        else:
            if sealed is not None:
                _finish(package, sealed)


def _sealed(package: Package) -> bytes | None:
    """The encrypted file, step by step; None when there is nobody any more."""
    visitor = rows.visitor_of(package.request)
    if visitor is None or package.wrapped is None:
        return None
    everything = export.everything(visitor)
    _step(package, 1)
    page = paper.package_pdf(everything, rows.locale_of(package.request))
    _step(package, 2)
    attached = {
        "everything.json": everything.model_dump_json(indent=2).encode(),
        "schema.json": export.schema_json().encode(),
    }
    file = paper.encrypted(page, attached, _unwrap(package))
    _step(package, 3)
    return file


def _step(package: Package, done: int) -> None:
    Package.objects.filter(pk=package.pk).update(steps=done)


@transaction.atomic
def _finish(package: Package, sealed: bytes) -> None:
    """Keep the file and forget its passphrase; nothing of it for somebody who was erased meanwhile,
    with whom the package went."""
    request, visitor = held(package.request_id)
    at = rows.now()
    kept = Package.objects.filter(pk=package.pk, state=Package.State.BUILDING).update(
        state=Package.State.READY,
        steps=Package.STEPS,
        problem="",
        sealed=sealed,
        wrapped=None,
        ready_at=at,
        delete_after=at + LIFE,
    )
    if not kept or visitor is None:
        return
    record(request, "package_ready", actor=rows.SYSTEM)
    if request.state == Request.State.PARTIAL:
        request.state, request.problem = Request.State.APPROVED, ""
        request.save()
    if request.source == Request.Source.RECEIPT:
        close(
            request,
            state=Request.State.ANSWERED,
            told=Request.Told.RECEIPT,
            actor=rows.SYSTEM,
        )


@transaction.atomic
def _failed(package: Package, why: str) -> None:
    log.error("package %s could not be made (%s)", package.pk, why)
    request, _visitor = held(package.request_id)
    Package.objects.filter(pk=package.pk).update(state=Package.State.FAILED, problem=why, steps=0)
    if request.state == Request.State.APPROVED:
        request.state, request.problem = Request.State.PARTIAL, NO_PACKAGE
        request.save()
        record(request, "partial", actor=rows.SYSTEM, problem=NO_PACKAGE, error=why)


@transaction.atomic
def link(*, request: Request, actor: str) -> str:
    """Return the address under which the package can be fetched, shown once; a link made before is
    dead. Raises RequestRefused."""
    request, _visitor = held(request.pk)
    secret = secrets.token_urlsafe(24)
    if not ready().filter(request=request).update(secret_digest=_digest(secret)):
        raise RequestRefused("undone", _("The package is not ready yet."))
    record(request, "link_made", actor=actor)
    return f"{settings.CONSENTRY.public_url}/package/#{secret}"


def behind(secret: str) -> Package | None:
    """The package of a link, while it lives."""
    if not secret:
        return None
    return ready().filter(secret_digest=_digest(secret)).first()


@transaction.atomic
def fetch(package: Package) -> bytes | None:
    """The encrypted file. Its end comes nearer with the first fetch."""
    request, _visitor = held(package.request_id)
    found = ready().filter(pk=package.pk).select_for_update(of=("self",)).first()
    if found is None or found.sealed is None:
        return None
    if found.fetched_at is None:
        found.fetched_at = rows.now()
        found.delete_after = min(found.delete_after, found.fetched_at + AFTER_FETCH)
        found.save(update_fields=["fetched_at", "delete_after"])
    record(request, "package_fetched", actor="self")
    return bytes(found.sealed)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _wrap(package: Package, passphrase: str) -> bytes:
    return sealing.seal(passphrase.encode(), USE, package.pk)


def _unwrap(package: Package) -> str:
    return sealing.unseal(bytes(package.wrapped or b""), USE, package.pk).decode()
