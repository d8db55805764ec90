"""Everything personal that is held: when its clock starts, when it is due, how it goes.

One explicit table. The sweep, the access letter and erasure read it; a test fails on any model that
is neither here nor in `IMPERSONAL`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from django.db.models import Model, Q, QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext_noop as noop

from apps.audit.models import Checkpoint, Entry, Salt
from apps.consent.models import Consent, Notice, NoticeText, Receipt, Refusal
from apps.consent.services import PROOF
from apps.recognition.models import Acknowledgement, Recognizer
from apps.retention.models import Erasure
from apps.stores.jurisdictions import Pack
from apps.stores.models import Assessment, Camera, Device, Organization, Role, Store, User
from apps.visitors.models import DataKey, Eviction, FaceTemplate, Visitor
from apps.visits.models import Footfall, Visit


class How(StrEnum):
    """What happens to a row when its person is erased."""

    ERASED = noop("erased")
    EVIDENCE = noop("kept as evidence")


@dataclass(frozen=True, slots=True)
class Holding:
    """One kind of personal data. Its words are English, for certificates; pages translate them.

    `clock` names figures of the jurisdiction's pack, see `periods`.
    """

    model: type[Model]
    what: str
    clock: str
    how: How
    of: Callable[[Visitor], QuerySet]
    overdue: Callable[[], QuerySet]
    due: str = ""


def periods(pack: Pack) -> dict[str, int]:
    """The figures that the clocks of a store under this pack run by, in days."""
    return {
        "inactivity_days": pack.inactivity_days,
        "visit_days": pack.visit_days,
        "proof_days": PROOF.days,
    }


def _consents(visitor: Visitor) -> QuerySet[Consent]:
    return Consent.objects.filter(subject=visitor.subject)


def orphaned_salts() -> QuerySet[Salt]:
    """Salts of nobody who is enrolled: none, unless somebody was looked at while being erased."""
    return Salt.objects.exclude(subject__in=Visitor.objects.values("subject"))


HOLDINGS: tuple[Holding, ...] = (
    Holding(
        FaceTemplate,
        noop("sealed face template"),
        noop("%(inactivity_days)s days after the last visit, at the latest the end of consent"),
        How.ERASED,
        lambda visitor: FaceTemplate.objects.filter(visitor=visitor),
        lambda: FaceTemplate.objects.filter(
            Q(delete_after__lte=Now())
            | Q(consent__withdrawn_at__isnull=False)
            | Q(consent__expires_at__lte=Now())
        ),
        due="delete_after",
    ),
    Holding(
        DataKey,
        noop("wrapped data key"),
        noop("goes with the template"),
        How.ERASED,
        lambda visitor: DataKey.objects.filter(visitor=visitor),
        lambda: DataKey.objects.filter(visitor__templates=None),
    ),
    Holding(
        Visit,
        noop("visit"),
        noop("%(visit_days)s days; 12 hours without an agreed history"),
        How.ERASED,
        lambda visitor: Visit.objects.filter(visitor=visitor),
        lambda: Visit.objects.filter(delete_after__lte=Now()),
        due="delete_after",
    ),
    Holding(
        Visitor,
        noop("name to be greeted by, and contact"),
        noop("goes with the template"),
        How.ERASED,
        lambda visitor: Visitor.objects.filter(pk=visitor.pk),
        lambda: Visitor.objects.filter(templates=None),
    ),
    Holding(
        Salt,
        noop("link between the person and the ledger"),
        noop("goes with the template"),
        How.ERASED,
        lambda visitor: Salt.objects.filter(subject=visitor.subject),
        orphaned_salts,
    ),
    Holding(
        Consent,
        noop("signed consent, as proof"),
        noop("%(proof_days)s days after the end of consent"),
        How.EVIDENCE,
        _consents,
        lambda: Consent.objects.filter(delete_after__lte=Now()),
        due="delete_after",
    ),
    Holding(
        Receipt,
        noop("receipt, as proof"),
        noop("%(proof_days)s days after the end of consent"),
        How.EVIDENCE,
        lambda visitor: Receipt.objects.filter(consent__subject=visitor.subject),
        lambda: Receipt.objects.filter(consent__delete_after__lte=Now()),
        due="consent__delete_after",
    ),
)

IMPERSONAL: dict[type[Model], str] = {
    Entry: "a person appears only as an HMAC whose salt dies with them",
    Checkpoint: "hashes",
    Eviction: "random ids of templates and visitors that are gone",
    Acknowledgement: "a recognizer and an eviction",
    Recognizer: "a process",
    Erasure: "an HMAC whose salt is gone, counts and times",
    Notice: "text",
    NoticeText: "text",
    Refusal: "a count a day",
    Footfall: "a count a quarter of an hour",
    Organization: "the controller",
    Store: "a shop",
    Camera: "a camera",
    Device: "a tablet",
    Assessment: "a document of the house",
    Role: "what an employee may do",
    User: "an employee's account, kept while they work here",
}
