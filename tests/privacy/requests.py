"""Requests as tests need them: of somebody enrolled, as far on their way as is asked for."""

from datetime import timedelta

from django.utils import timezone

from apps.consent.models import Consent
from apps.privacy.requests import decide, identity, intake
from apps.retention.models import Request
from apps.stores.witnesses import new_code
from apps.visitors.models import Visitor
from tests.conftest import House

Kind, Source, State, Told = Request.Kind, Request.Source, Request.State, Request.Told
# No account of these numbers ever is: one process makes more than a thousand in its tests.
OFFICER, SECOND, THIRD = (f"user:{2_000_000_000 + number}" for number in range(3))


def letter(house: House, kind: Request.Kind, *, days_ago: float = 0, reach: str = "") -> Request:
    """A letter that an officer typed in, from somebody who is not known yet."""
    return intake.take(
        store=house.store,
        kind=kind,
        source=Source.LETTER,
        actor=OFFICER,
        received_at=timezone.now() - timedelta(days=days_ago) if days_ago else None,
        reach=reach,
    )


def tied(request: Request, visitor: Visitor) -> Request:
    """Said to be of this visitor, not proved."""
    return identity.tie(request=request, whom=str(visitor.pk), actor=OFFICER)


def verified(house: House, visitor: Visitor, kind: Request.Kind) -> Request:
    """A letter whose writer a member of staff has seen."""
    request = tied(letter(house, kind), visitor)
    code = new_code(user=house.staff, store=house.store)
    return identity.check_witness(request=request, code=code, actor=OFFICER)


def approved(house: House, visitor: Visitor, kind: Request.Kind) -> Request:
    """A letter that was verified and approved; an erasure by a second officer."""
    request = verified(house, visitor, kind)
    if kind == Kind.ERASURE:
        request = decide.propose(request=request, actor=OFFICER)
    return decide.approve(request=request, actor=SECOND)[0]


def asked(visitor: Visitor, kind: Request.Kind, words: str = "") -> tuple[Request, str]:
    """What somebody asks on their receipt page."""
    receipt = Consent.objects.get(subject=visitor.subject).receipt
    return intake.ask(receipt=receipt, kind=kind, words=words)
