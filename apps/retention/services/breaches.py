"""Breaches: whom they touched, what is decided, and telling people (GDPR 33 and 34, PIPL 57).

Design. Whom a breach touched is found anew each time by its filter, and kept nowhere: a list that
lay here would outlive the people on it. Each person is written to once: the ledger's entry about
them is the claim. It is made under the lock of their row, and only when it has committed the
message is handed over; who is killed in between tells somebody nothing, and the page says how many
were told. No address goes into the ledger, a log or a message to Celery. The law asks for this
message (GDPR 34(1)), so it goes to whoever gave an address, whatever else they agreed to.
"""

import logging
import smtplib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.mail import EmailMessage, get_connection
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.audit.models import Entry
from apps.consent.models import Consent
from apps.retention.models import Erasure
from apps.stores import mail
from apps.stores.models import Breach, Store
from apps.visitors.models import FaceTemplate, Note, Visitor
from apps.visits.models import Visit

log = logging.getLogger(__name__)

ACTOR = "system:breach"
TOLD = "breach.told"


class BreachRefused(ValueError):
    """It cannot go that way; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Affected:
    """How many people a breach touched. `kinds`: how many of them each kind of data is held of.
    `reachable`: who gave an e-mail address; `told`: who was written to. `proof`: people of whom
    only the proof of consent is left, and no way to reach them. `erased`: people who were erased
    since, and of whom nobody can say any more who they were."""

    people: int
    kinds: dict[Breach.Kind, int]
    reachable: int
    told: int
    proof: int
    erased: int


def affected(breach: Breach, stores: Iterable[Store] | None = None) -> QuerySet[Visitor]:
    """The people whom a breach touched; of these stores only, where they are named."""
    touched = breach.affected_stores()
    if stores is not None:
        touched = touched.filter(pk__in=[store.pk for store in stores])
    found = Visitor.objects.filter(_in_span(breach, touched))
    held = Q(pk=None)
    for kind in breach.kinds:
        held |= _has(Breach.Kind(kind))
    return found.filter(held).select_related("store").order_by("created_at", "pk")


def counted(breach: Breach) -> Affected:
    """How many they are."""
    people = affected(breach)
    proofs = 0
    if Breach.Kind.PROOF in breach.kinds:
        left = _signed(breach).filter(store__in=breach.affected_stores())
        left = left.exclude(subject__in=Visitor.objects.values("subject"))
        proofs = left.values("subject").distinct().count()
    since = breach.happened_at or breach.discovered_at
    gone = Erasure.objects.filter(
        store__in=breach.affected_stores(), template=None, purpose="", requested_at__gte=since
    )
    return Affected(
        people=people.count(),
        kinds={kind: people.filter(_has(kind)).count() for kind in map(Breach.Kind, breach.kinds)},
        reachable=people.filter(contact__contains="@").count(),
        told=_told(breach).count(),
        proof=proofs,
        erased=gone.count(),
    )


# What an officer writes; decisions and times are set by their own verbs.
WRITTEN = (
    *("organization", "what", "discovered_at", "happened_at", "kinds", "stores"),
    *("span", "span_from", "span_until", "consequences", "measures", "words"),
)


@transaction.atomic
def write(*, breach: Breach, actor: str) -> Breach:
    """Save what an officer wrote in the register. Raises BreachRefused."""
    new = breach._state.adding
    if not new:
        _open(breach)
    breach.save(update_fields=None if new else WRITTEN)
    _record(breach, "registered" if new else "written", actor)
    return breach


@transaction.atomic
def decide(*, breach: Breach, whom: str, tell: bool, why: str, actor: str) -> Breach:
    """Decide whether the authority, or the people, are told, and why. Raises BreachRefused."""
    breach = _open(breach)
    if not why.strip():
        raise BreachRefused(_("Say why: the register has to justify the decision (GDPR 33(5))."))
    if whom == "authority":
        breach.tell_authority, breach.authority_why = tell, why.strip()
    else:
        breach.tell_people, breach.people_why = tell, why.strip()
    breach.save()
    _record(breach, "decided", actor, whom=whom, tell=tell)
    return breach


@transaction.atomic
def told_authority(*, breach: Breach, at: datetime, actor: str) -> Breach:
    """Write down when the authority was told. Raises BreachRefused."""
    breach = _open(breach)
    if not breach.discovered_at <= at <= timezone.now():
        raise BreachRefused(_("Choose a time since we learned of it, up to now."))
    if breach.tell_authority is not True:
        raise BreachRefused(_("Decide first that the authority is told, and why."))
    breach.authority_told_at = at
    breach.save()
    _record(breach, "authority_told", actor)
    return breach


@transaction.atomic
def tell_people(*, breach: Breach, actor: str) -> Breach:
    """Have everybody written to who can be and was not yet. Raises BreachRefused."""
    breach = _open(breach)
    if breach.tell_people is not True:
        raise BreachRefused(_("Decide first that people are told, and why."))
    if problem := mail.missing(breach.organization):
        raise BreachRefused(problem)
    breach.people_told_at = breach.people_told_at or timezone.now()
    breach.save()
    _record(breach, "telling", actor)
    # Imported here: tasks.py imports this module.
    from apps.retention.tasks import tell

    transaction.on_commit(lambda: tell.delay(str(breach.pk)))
    return breach


@transaction.atomic
def close(*, breach: Breach, actor: str) -> Breach:
    """Close a breach of which everything is decided and done. Raises BreachRefused."""
    breach = _open(breach)
    if breach.waits or breach.tell_people is None:
        raise BreachRefused(_("Something is still to be decided or done."))
    breach.closed_at = timezone.now()
    breach.save()
    _record(breach, "closed", actor)
    return breach


def send(breach: UUID) -> int:
    """Write to everybody who can be and was not yet; how many messages the server took. Safe beside
    itself."""
    row = Breach.objects.select_related("organization").get(pk=breach)
    if row.tell_people is not True or mail.missing(row.organization):
        return 0
    sent = 0
    waiting = affected(row).filter(contact__contains="@").values_list("pk", flat=True)
    try:
        with get_connection() as post:
            for person in waiting.iterator():
                message = _claim(row, person)
                if message is None:
                    continue
                message.connection = post
                try:
                    sent += message.send()
                except (smtplib.SMTPRecipientsRefused, ValueError):
                    # A ValueError is of what is no address, and its text holds it.
                    _undelivered(row, person)
                except Exception:
                    _undelivered(row, person)
                    raise
    except (OSError, smtplib.SMTPException) as error:
        log.warning("the mail server did not take everything (%s)", type(error).__name__)
    return sent


def _in_span(breach: Breach, stores: QuerySet[Store]) -> Q:
    if breach.span == Breach.Span.VISITED:
        visits = Visit.objects.filter(visitor=OuterRef("pk"), store__in=stores)
        if breach.span_from:
            visits = visits.filter(last_seen_at__date__gte=breach.span_from)
        if breach.span_until:
            visits = visits.filter(arrived_at__date__lte=breach.span_until)
        return Q(Exists(visits))
    return Q(Exists(_signed(breach).filter(subject=OuterRef("subject")))) & Q(store__in=stores)


def _signed(breach: Breach) -> QuerySet[Consent]:
    """Consents within the span; all of them where it is about visits."""
    consents = Consent.objects.all()
    if breach.span != Breach.Span.SIGNED:
        return consents
    if breach.span_from:
        consents = consents.filter(signed_at__date__gte=breach.span_from)
    if breach.span_until:
        consents = consents.filter(signed_at__date__lte=breach.span_until)
    return consents


def _has(kind: Breach.Kind) -> Q:
    """People of whom this kind of data is held."""
    of: dict[Breach.Kind, Any] = {
        Breach.Kind.TEMPLATE: FaceTemplate.objects.filter(visitor=OuterRef("pk")),
        Breach.Kind.NOTE: Note.objects.filter(visitor=OuterRef("pk")),
        Breach.Kind.VISIT: Visit.objects.filter(visitor=OuterRef("pk")),
        Breach.Kind.PROOF: Consent.objects.filter(subject=OuterRef("subject")),
    }
    # A name is held of everybody.
    return Q(Exists(of[kind])) if kind in of else Q(pk__isnull=False)


def _told(breach: Breach) -> QuerySet[Entry]:
    return Entry.objects.filter(action=TOLD, detail__breach=str(breach.pk))


@transaction.atomic
def _claim(breach: Breach, person: UUID) -> EmailMessage | None:
    """Claim a person and return what to send; None when that was done, or they are gone."""
    people = Visitor.objects.select_for_update(of=("self",))
    visitor = people.filter(pk=person, contact__contains="@").first()
    if visitor is None:
        return None
    if _told(breach).filter(subject=audit.reference(visitor.subject)).exists():
        return None
    audit.record(actor=ACTOR, action=TOLD, subject=visitor.subject, breach=str(breach.pk))
    return _message(breach, visitor)


def _message(breach: Breach, visitor: Visitor) -> EmailMessage:
    latest = Consent.objects.filter(subject=visitor.subject).order_by("-signed_at").first()
    with translation.override(latest.locale if latest else "en"):
        house = breach.organization
        subject = _("%(organization)s: your data may have come into wrong hands") % {
            "organization": house.name
        }
        return EmailMessage(
            " ".join(subject.split()),
            render_to_string("mail/breach.txt", letter(breach)),
            to=[visitor.contact],
            # RFC 3834: no machine answers it.
            headers={"Auto-Submitted": "auto-generated"},
        )


def letter(breach: Breach) -> dict[str, Any]:
    """What the message to people is filled with, in the language that is active (GDPR 34(2))."""
    return {
        "breach": breach,
        "organization": breach.organization,
        "words": breach.words_in(translation.get_language() or "en"),
        "kinds": [Breach.Kind(kind).label for kind in breach.kinds],
    }


@transaction.atomic
def _undelivered(breach: Breach, person: UUID) -> None:
    """Write down that the message did not arrive; it is not sent again."""
    visitor = Visitor.objects.filter(pk=person).first()
    audit.record(
        actor=ACTOR,
        action="breach.not_delivered",
        subject=visitor.subject if visitor else None,
        breach=str(breach.pk),
    )


def _open(breach: Breach) -> Breach:
    row = (
        Breach.objects.select_for_update(of=("self",))
        .select_related("organization")
        .get(pk=breach.pk)
    )
    if row.closed_at is not None:
        raise BreachRefused(_("This breach is closed."))
    return row


def _record(breach: Breach, did: str, actor: str, **detail: Any) -> None:
    audit.record(actor=actor, action=f"breach.{did}", object=str(breach.pk), **detail)
