"""Everything personal that is held: when its clock starts, when it is due, how it goes.

One explicit table. The sweep, the access letter and erasure read it; a test fails on any model that
is neither here nor in `IMPERSONAL`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from django.db.models import F, Model, Q, QuerySet
from django.db.models.expressions import Combinable
from django.db.models.functions import Least, Now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.audit.models import Checkpoint, Deletion, Entry, LedgerCheck, Node, Pruning, Salt
from apps.consent.models import (
    Consent,
    Notice,
    NoticeText,
    Purpose,
    Receipt,
    Refusal,
    Withdrawal,
)
from apps.consent.services import PROOF
from apps.recognition.models import Acknowledgement, Calibration, Recognizer
from apps.retention.alarms import Alarm
from apps.retention.holds import Hold, held
from apps.retention.models import Erasure, Package, Request
from apps.stores.models import (
    Assessment,
    Breach,
    Camera,
    Device,
    Membership,
    Organization,
    Role,
    Sign,
    Store,
    StoreGroup,
    ThirdParty,
    User,
)
from apps.stores.policies import Kind, Policy
from apps.systems.models import Client, Delivery, Token, Told, Webhook
from apps.visitors.models import (
    Card,
    DataKey,
    Eviction,
    FaceTemplate,
    FormerPack,
    KeyGeneration,
    Note,
    Rotation,
    Visitor,
    card_overdue,
    not_agreed,
    overdue,
    retirement,
)
from apps.visits.models import (
    Disclosure,
    FalseGreeting,
    Footfall,
    LookAlike,
    OptIn,
    Rollup,
    Unmatched,
    Visit,
)


class How(StrEnum):
    """What happens to a row when its person is erased."""

    ERASED = gettext_noop("erased")
    EVIDENCE = gettext_noop("kept as evidence")


@dataclass(frozen=True, slots=True)
class Holding:
    """One kind of personal data. Its words are English, for certificates; pages translate them.

    `clock` names figures of the store's policies, see `periods`. `past` are the rows whose time is
    over; `subject` is the way from one to whose it is, by which a legal hold is found.
    """

    model: type[Model]
    what: str
    clock: str
    how: How
    of: Callable[[Visitor], QuerySet]
    past: Callable[[], QuerySet]
    subject: str
    due: Combinable | None = None

    def overdue(self) -> QuerySet:
        """Rows that should be gone."""
        return self.past().exclude(self._held())

    def held(self) -> QuerySet:
        """Rows that would be, were they not under a legal hold."""
        return self.past().filter(self._held())

    def annotated(self) -> QuerySet:
        """Rows whose time is over, each with `is_held`."""
        return self.past().annotate(is_held=self._held())

    def _held(self) -> Q:
        # The proof is held on any ground, the person for a claim alone.
        return held(self.subject, *([Hold.Ground.CLAIM] if self.how is How.ERASED else []))


def periods(kept: dict[Kind, int]) -> dict[str, int | str]:
    """The figures that the clocks run by, in days, where things are kept for so long."""
    return {
        "inactivity_days": _either(
            kept[Kind.LANE], kept[Kind.PASS], _("%(first)s (lane) or %(second)s (pass)")
        ),
        "card_days": kept[Kind.PASS],
        "visit_days": _either(
            kept[Kind.HISTORY],
            kept[Kind.STATISTICS],
            _("%(first)s (history) or %(second)s (statistics)"),
        ),
        "proof_days": PROOF.days,
    }


def _either(first: int, second: int, words: str) -> int | str:
    return first if first == second else words % {"first": first, "second": second}


def _consents(visitor: Visitor) -> QuerySet[Consent]:
    return Consent.objects.filter(subject=visitor.subject)


def orphaned_salts() -> QuerySet[Salt]:
    """Salts of nobody who is enrolled: none, unless somebody was looked at while being erased."""
    return Salt.objects.exclude(subject__in=Visitor.objects.values("subject"))


TEMPLATE = gettext_noop("sealed face template")
KEY = gettext_noop("wrapped data key")
CARD = gettext_noop("digest of the code of a card")
VISIT = gettext_noop("visit")
NOTE = gettext_noop("note by staff")
# Parts of a row that stays.
CONTACT = gettext_noop("contact")
NUMBER = gettext_noop("number of a visit")
STATED = gettext_noop("sex and age as stated")
# No rows of their own: it is one template, which recognizers search in other stores too, or one
# card, which is good there.
ELSEWHERE = gettext_noop("use of the sealed face template in the other stores of the group")
CARD_ELSEWHERE = gettext_noop("use of the card in the other stores of the group")

HOLDINGS: tuple[Holding, ...] = (
    Holding(
        FaceTemplate,
        TEMPLATE,
        gettext_noop(
            "%(inactivity_days)s days after the last visit, at the latest the end of consent; "
            "earlier when the model that made it is retired"
        ),
        How.ERASED,
        lambda visitor: FaceTemplate.objects.filter(visitor=visitor),
        lambda: FaceTemplate.objects.filter(overdue()),
        "visitor__subject",
        # Whichever came first; LEAST leaves out a withdrawal that was none.
        due=Least("delete_after", "consent__withdrawn_at", "consent__expires_at", retirement()),
    ),
    Holding(
        Card,
        CARD,
        gettext_noop("%(card_days)s days after the last visit, at the latest the end of consent"),
        How.ERASED,
        lambda visitor: Card.objects.filter(visitor=visitor),
        lambda: Card.objects.filter(card_overdue()),
        "visitor__subject",
        due=Least("delete_after", "consent__withdrawn_at", "consent__expires_at"),
    ),
    Holding(
        DataKey,
        KEY,
        gettext_noop("goes with the template"),
        How.ERASED,
        lambda visitor: DataKey.objects.filter(visitor=visitor),
        lambda: DataKey.objects.filter(visitor__templates=None),
        "visitor__subject",
    ),
    Holding(
        Visit,
        VISIT,
        gettext_noop("%(visit_days)s days; 12 hours without an agreed history or statistics"),
        How.ERASED,
        lambda visitor: Visit.objects.filter(visitor=visitor),
        lambda: Visit.objects.filter(delete_after__lte=Now()),
        "visitor__subject",
        due=F("delete_after"),
    ),
    Holding(
        Told,
        gettext_noop("link between the person and another system that was told of them"),
        gettext_noop(
            "goes with the template; what the system calls them goes once it has acknowledged "
            "their erasure, 90 days after it at the latest"
        ),
        How.ERASED,
        lambda visitor: Told.objects.filter(subject=visitor.subject),
        lambda: Told.objects.filter(delete_after__lte=Now()),
        "subject",
        due=F("delete_after"),
    ),
    Holding(
        Delivery,
        gettext_noop("message to another system that waits to be acknowledged"),
        gettext_noop(
            "3 days, at the latest with the visit; that something ended or was corrected: until "
            "it is acknowledged, 90 days at the latest"
        ),
        How.ERASED,
        lambda visitor: Delivery.objects.filter(told__subject=visitor.subject),
        lambda: Delivery.objects.filter(delete_after__lte=Now()),
        "told__subject",
        due=F("delete_after"),
    ),
    Holding(
        Visitor,
        gettext_noop(
            "name to be greeted by, how it is said, whom they ask for, contact, and sex and age as "
            "stated"
        ),
        gettext_noop("goes with the last template or card"),
        How.ERASED,
        lambda visitor: Visitor.objects.filter(pk=visitor.pk),
        lambda: Visitor.objects.filter(templates=None, card=None),
        "subject",
    ),
    Holding(
        Note,
        NOTE,
        gettext_noop("goes with the consent to it, at the latest with the template"),
        How.ERASED,
        lambda visitor: Note.objects.filter(visitor=visitor),
        lambda: Note.objects.filter(not_agreed("visitor__subject", Purpose.NOTES)),
        "visitor__subject",
    ),
    Holding(
        Salt,
        gettext_noop("link between the person and the ledger"),
        gettext_noop("goes with the last template or card"),
        How.ERASED,
        lambda visitor: Salt.objects.filter(subject=visitor.subject),
        orphaned_salts,
        "subject",
    ),
    Holding(
        Consent,
        gettext_noop("signed consent, as proof"),
        gettext_noop("%(proof_days)s days after the end of consent"),
        How.EVIDENCE,
        _consents,
        lambda: Consent.objects.filter(delete_after__lte=Now()),
        "subject",
        due=F("delete_after"),
    ),
    Holding(
        Receipt,
        gettext_noop("receipt, as proof"),
        gettext_noop("%(proof_days)s days after the end of consent"),
        How.EVIDENCE,
        lambda visitor: Receipt.objects.filter(consent__subject=visitor.subject),
        lambda: Receipt.objects.filter(consent__delete_after__lte=Now()),
        "consent__subject",
        due=F("consent__delete_after"),
    ),
    Holding(
        Withdrawal,
        gettext_noop("withdrawal of one purpose, as proof"),
        gettext_noop("%(proof_days)s days after the end of consent"),
        How.EVIDENCE,
        lambda visitor: Withdrawal.objects.filter(consent__subject=visitor.subject),
        lambda: Withdrawal.objects.filter(consent__delete_after__lte=Now()),
        "consent__subject",
        due=F("consent__delete_after"),
    ),
    Holding(
        Package,
        gettext_noop("encrypted copy of everything, to be fetched"),
        gettext_noop("14 days after it was made, at the latest an hour after it was fetched"),
        How.ERASED,
        lambda visitor: Package.objects.filter(request__subject=visitor.subject),
        lambda: Package.objects.filter(delete_after__lte=Now()),
        "request__subject",
        due=F("delete_after"),
    ),
    Holding(
        Request,
        gettext_noop("request and when it was answered, without its words, as proof"),
        gettext_noop("%(proof_days)s days after the answer"),
        How.EVIDENCE,
        lambda visitor: Request.objects.filter(subject=visitor.subject),
        lambda: Request.objects.filter(delete_after__lte=Now()),
        "subject",
        due=F("delete_after"),
    ),
    Holding(
        Hold,
        gettext_noop("legal hold"),
        gettext_noop("until its own end, a year at most"),
        How.EVIDENCE,
        lambda visitor: Hold.objects.filter(subject=visitor.subject),
        lambda: Hold.objects.filter(ends_at__lte=Now()),
        "subject",
        due=F("ends_at"),
    ),
)

IMPERSONAL: dict[type[Model], str] = {
    Alarm: "a kind of data, and since when some of it is late",
    Entry: "an HMAC whose salt dies with the person; a consent's id, until its proof goes",
    Checkpoint: "hashes",
    Node: "hashes of hashes",
    Pruning: "a hash over entries that were dropped",
    LedgerCheck: "when the ledger was verified, and a sentence",
    Deletion: "random ids of what is gone, to delete it again after a restore",
    FormerPack: "a model and the day on which it ends",
    Eviction: "random ids of templates and visitors that are gone",
    Acknowledgement: "a recognizer and an eviction",
    Recognizer: "a process",
    KeyGeneration: "a number and dates of the keyring, no key",
    Rotation: "a secret of the organization, wrapped by the keyring; it says nothing of anybody",
    Calibration: "how many scores fell into which bin, and a threshold",
    Erasure: "an HMAC whose salt is gone, or goes with the person where only a retired template "
    "did; counts and times; the consent's id goes with the proof",
    Notice: "text",
    NoticeText: "text",
    Refusal: "a count a day",
    Footfall: "a count a quarter of an hour",
    Disclosure: "a count a day",
    Unmatched: "a count a day",
    LookAlike: "a count a day, and the time of the latest",
    OptIn: "counts a month",
    Rollup: "counts a day of a camera; counts a month, those of few people withheld",
    FalseGreeting: "a score, a camera and a day; the visit that knew of it goes with its shift",
    Organization: "the controller",
    Store: "a shop",
    StoreGroup: "a name for some shops",
    Policy: "a figure of a shop",
    Membership: "which shops they are, and since when",
    ThirdParty: "a company or an authority, and how to reach it",
    Camera: "a camera",
    Device: "a tablet",
    Assessment: "a document of the house",
    Sign: "what hangs on a wall, and which officer looked",
    Breach: "what happened to how many; whom it affected is found by its filter and not in it",
    Role: "what an employee may do",
    Client: "another system of the house, and what it may ask",
    Client.stores.through: "of which stores a system hears",
    Token: "the hash of a system's key",
    Webhook: "where a system is told, and a sealed secret of it",
    User: "an employee's account, kept while they work here",
}

# What is kept elsewhere than in a table, each with its clock. First what the name begins with.
KEYS: dict[str, str] = {
    "limit:": "an HMAC of who tried something, and how often; ten minutes, for log-ins a quarter",
    "nonce:": "a tablet's random number; a minute or two",
    "undone:": "an attempt that was stopped; minutes",
    "challenge:": "which movements were drawn for an attempt; minutes",
    "witness:": "an HMAC, and which employee confirmed; minutes",
    "celery": "names of tasks and ids; until they are taken",
    "unacked": "names of tasks and ids; until they are done",
    "_kombu": "names of queues",
}

# Under the state directory, as patterns; nothing else is written by any process.
FILES: dict[str, str] = {
    "keys/*": "keys of the house; they open nothing that was erased",
    "pack/*": "networks that somebody else trained",
    "deletions.jws": "signed lines of random ids, to delete again after a restore; for good",
    "checkpoints/*": "signed heads of the ledger, hashes; for good",
    "beat-schedule*": "names of tasks, and when each was sent last",
    "run/*": "sockets and numbers of processes, until they end",
    "lock": "the number of a process",
    # What `ops/up` and `ops/run` bring along; a real house has servers of its own.
    "pg/*": "the tables",
    "log/*": "acts, ids and kinds of errors; no name, no address, no key",
    "clips/*": "drawn heads, for the demo",
}
