"""A request comes in with its proof: on the receipt page, or before a member of staff."""

from django.db import transaction
from django.utils.translation import gettext as _

from apps.consent.models import Receipt
from apps.privacy.requests import identity, packages
from apps.retention.models import Request
from apps.retention.services.intake import RequestRefused, take
from apps.stores.models import Store
from apps.visitors.models import Visitor

# What the receipt page does not do by itself, at once.
AT_RECEIPT = (
    Request.Kind.ACCESS,
    Request.Kind.PORTABILITY,
    Request.Kind.RECTIFICATION,
    Request.Kind.RESTRICTION,
    Request.Kind.OBJECTION,
)


@transaction.atomic
def ask(*, receipt: Receipt, kind: Request.Kind, words: str = "") -> tuple[Request, str]:
    """Somebody asks with their receipt, whose code is the proof that it is them. With a request for
    a copy comes the passphrase of its package, to be shown this once. Raises RequestRefused.
    """
    if kind not in AT_RECEIPT:
        raise RequestRefused("kind", _("Please choose what you ask for."))
    if kind in Request.SEVERAL and not words.strip():
        raise RequestRefused("words", _("Please say in your own words what you mean."))
    consent = receipt.consent
    request = take(
        store=consent.store,
        kind=kind,
        source=Request.Source.RECEIPT,
        actor="self",
        words=words,
        subject=consent.subject,
    )
    passphrase = packages.order(request) if kind in Request.COPIES else ""
    how = Request.Proof.RECEIPT
    return identity.verify(request=request, how=how, by="self", actor="self"), passphrase


@transaction.atomic
def for_somebody_here(
    *, store: Store, visitor: Visitor, kind: Request.Kind, words: str, reach: str, staff: str
) -> Request:
    """A member of staff writes down what somebody asks whom they have before them and whom the
    store has recognised: they are the witness. Raises RequestRefused."""
    request = take(
        store=store,
        kind=kind,
        source=Request.Source.STAFF,
        actor=staff,
        words=words,
        reach=reach,
        subject=visitor.subject,
    )
    return identity.verify(request=request, how=Request.Proof.WITNESS, by=staff, actor=staff)
