"""Erase one person and prove it.

Design. First the consent is withdrawn: when that commits, PostgreSQL has told every recognizer, and
whatever happens next the person is overdue, for the watchdog to show and the sweep to erase. Then
one transaction deletes template, data key, visits, name and salt and writes an Erasure with what
was removed. The certificate is issued only when each recognizer that could still answer has
acknowledged: one that runs and is silent for `SILENCE` seconds refuses to answer by itself, so it
needs no word; and only when the deletion is written where a restored backup cannot undo it
(`apps.audit.deletions`). Until then the erasure is *pending*, visible, and the sweep tries again.
It is never reported as done before.

Whoever has a card and no template is known to no recognizer: nobody has to acknowledge.

When a model is retired, whoever is known by another template, or a card, loses just the one that it
made, and whoever withdraws one purpose of two just the template for it: the same deletion,
acknowledgement and certificate, while their consent goes on, and their key for as long as a
template needs it. Whoever withdraws the other stores of a group keeps their templates, which are
forgotten there with the same word of every recognizer. Where a purpose rested on no template
(visits, a note, an address), no recognizer has anything to forget, and the certificate says nothing
of them.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils.translation import gettext as _

from apps.audit import clock, deletions, signing
from apps.audit import services as audit
from apps.audit.models import Deletion
from apps.consent import services as consents
from apps.consent.models import Consent, Purpose
from apps.recognition.models import Acknowledgement, Recognizer
from apps.retention.holdings import (
    CARD_ELSEWHERE,
    ELSEWHERE,
    HOLDINGS,
    KEY,
    TEMPLATE,
    VISIT,
    How,
    periods,
)
from apps.retention.holds import Held, held_until
from apps.retention.models import Erasure, Package, Request
from apps.stores import policies
from apps.systems import outbox
from apps.visitors import services as visitors
from apps.visitors.models import Card, DataKey, Eviction, FaceTemplate, Visitor
from apps.visits.services import announce_all, boards_of

CERTIFICATE_TYPE = "consentry-certificate+jws"
# What the house does by itself, when a time is over.
UNPROMPTED = (Erasure.Cause.EXPIRY, Erasure.Cause.RETIRED)


@dataclass(frozen=True, slots=True)
class Planned:
    """One line of what an erasure will do; of what is kept as evidence, until when."""

    what: str
    count: int
    how: str
    clock: str = ""
    days: dict[str, int | str] = field(default_factory=dict)

    @property
    def until(self) -> str:
        """In the language that is active; empty where nothing is kept."""
        return _(self.clock) % self.days if self.clock else ""


def plan(visitor: Visitor) -> list[Planned]:
    """What erasing this person would do, per kind of data, before anything is done."""
    days = periods(policies.days(visitor.store))
    return [
        Planned(
            holding.what,
            holding.of(visitor).count(),
            holding.how.value,
            holding.clock if holding.how is How.EVIDENCE else "",
            days,
        )
        for holding in HOLDINGS
    ]


def erase(*, visitor: Visitor, cause: Erasure.Cause, actor: str, pack: str = "") -> Erasure:
    """Withdraw and erase one person now. The certificate follows from `complete`.

    pack: the retired model, for that cause. Raises Visitor.DoesNotExist when somebody else was
    faster, and Held when they must not be erased yet: withdrawn they are all the same.
    """
    _end(visitor, cause, actor)
    return _erase(visitor, cause, actor, pack)


@transaction.atomic
def erase_template(
    *, template: FaceTemplate, actor: str, cause: Erasure.Cause = Erasure.Cause.RETIRED
) -> Erasure:
    """Erase one template of a person who has another, or a card, and is locked: its model was
    retired, or its purpose was withdrawn."""
    visitor = template.visitor
    key = DataKey.objects.filter(visitor=visitor).only("generation").first()
    pack = f"{template.pack} {template.pack_version}"
    now, pk = clock.now(), template.pk
    template.delete()
    went = [TEMPLATE, *([KEY] if visitors.drop_key(visitor) else [])]
    retired = cause == Erasure.Cause.RETIRED
    audit.record(
        actor=actor,
        action="template.retired" if retired else "template.withdrawn",
        subject=visitor.subject,
        purpose=template.purpose,
        pack=pack,
    )
    erasure = Erasure.objects.create(
        consent=template.consent_id,
        store=template.store,
        subject=audit.reference(visitor.subject),
        template=pk,
        pack=pack if retired else "",
        cause=cause,
        actor=actor,
        scope=[{"what": what, "count": 1, "how": How.ERASED.value} for what in went],
        evictions=[Eviction.objects.filter(template=pk).latest("pk").pk],
        generation=key.generation if key else None,
        requested_at=now,
        erased_at=now,
    )
    deletions.intend("template", id=erasure.pk, template=str(pk), cause=cause.value)
    return erasure


@transaction.atomic
def erase_elsewhere(*, visitor: Visitor, consent: Consent, actor: str) -> Erasure:
    """Erase what a locked person leaves in the other stores of their group, whose purpose was taken
    out of the consent just now: their visits there. Their templates are no longer held for these
    stores, of which PostgreSQL has told every recognizer; they go on in the store of the consent.
    """
    templates = list(visitor.templates.values_list("pk", flat=True))
    last = Eviction.objects.filter(template__in=templates).order_by("template", "-pk")
    announce_all(boards_of(visitor))
    visits, _models = visitor.visits.exclude(store=consent.store_id).delete()
    audit.record(actor=actor, action="group.left", subject=visitor.subject, visits=visits)
    return erased_with(
        visitor=visitor,
        consent=consent,
        purpose=Purpose.GROUP,
        scope=[
            (ELSEWHERE, len(templates)),
            (CARD_ELSEWHERE, Card.objects.filter(visitor=visitor).count()),
            (VISIT, visits),
        ],
        evictions=list(last.distinct("template").values_list("pk", flat=True)),
        actor=actor,
    )


def erased_with(
    *,
    visitor: Visitor,
    consent: Consent,
    purpose: Purpose,
    scope: Sequence[tuple[str, int]],
    actor: str,
    evictions: Sequence[int] = (),
) -> Erasure:
    """What was just erased in this transaction with a purpose that was taken out of the consent of
    a locked person, who stays. scope: kinds of data and how much of each; evictions: what the
    recognizers are to acknowledge.
    """
    key = DataKey.objects.filter(visitor=visitor).only("generation").first()
    now = clock.now()
    erasure = Erasure.objects.create(
        consent=consent.pk,
        store=consent.store,
        subject=audit.reference(visitor.subject),
        purpose=purpose,
        cause=Erasure.Cause.PURPOSE,
        actor=actor,
        scope=[
            {"what": what, "count": count, "how": How.ERASED.value}
            for what, count in scope
            if count
        ],
        evictions=list(evictions),
        generation=key.generation if key else None,
        requested_at=now,
        erased_at=now,
    )
    deletions.intend("purpose", id=erasure.pk, visitor=str(visitor.pk), purpose=purpose.value)
    return erasure


def lock(visitor: UUID) -> Visitor:
    """Lock a visitor for an erasure later in this transaction. Raises Visitor.DoesNotExist.

    Everybody locks in this order, the ledger last: visitor, visits, told, consent. In another one,
    an erasure and a camera or a greeting of the same moment could wait for each other.
    """
    locked = Visitor.objects.select_for_update().get(pk=visitor)
    list(locked.visits.select_for_update())
    outbox.lock(locked.subject)
    return locked


@transaction.atomic
def _end(visitor: Visitor, cause: Erasure.Cause, actor: str) -> Visitor:
    visitor = lock(visitor.pk)
    # Whoever's time is over has withdrawn nothing, and the proof must not say so; nor must that of
    # a consent that ended when it was renewed.
    if cause not in UNPROMPTED:
        for consent in Consent.objects.filter(subject=visitor.subject, renewed_by=None):
            if consent.withdrawn_at is None:
                outbox.withdrawn(subject=visitor.subject)
            consents.withdraw(consent=consent, actor=actor)
    return visitor


@transaction.atomic
def _erase(visitor: Visitor, cause: Erasure.Cause, actor: str, pack: str) -> Erasure:
    visitor = _end(visitor, cause, actor)
    if until := held_until(visitor.subject):
        raise Held(until)
    planned = plan(visitor)
    consent = Consent.objects.filter(subject=visitor.subject).order_by("signed_at").last()
    now = clock.now()
    reference = audit.reference(visitor.subject)
    store = visitor.store
    audit.record(actor=actor, action="visitor.erased", subject=visitor.subject, cause=cause.value)
    subject, boards, pk = visitor.subject, boards_of(visitor), visitor.pk
    forgotten = visitors.forget(visitor)
    # What they were sent goes in the same moment, and of what they asked the words.
    Package.objects.filter(request__subject=subject).delete()
    Request.objects.filter(subject=subject).closed().update(words="", reach="", answer="")
    # Other systems hear it, and from here on nobody can say what they were told of whom.
    outbox.erased(subject=subject)
    audit.forget(subject)
    # Open boards take the person's card down.
    announce_all(boards)
    erasure = Erasure.objects.create(
        consent=consent.pk if consent else None,
        store=store,
        subject=reference,
        pack=pack,
        cause=cause,
        actor=actor,
        scope=[
            {"what": line.what, "count": line.count, "how": line.how}
            for line in planned
            if line.count
        ],
        evictions=forgotten.evictions,
        generation=forgotten.generation,
        requested_at=(consent.withdrawn_at if consent else None) or now,
        erased_at=now,
    )
    deletions.intend("person", id=erasure.pk, visitor=str(pk), cause=cause.value, pack=pack)
    return erasure


def waiting_for(erasure: Erasure) -> list[str]:
    """Ids of the recognizers that may still answer and have not acknowledged.

    One that was started since acknowledges what it did not load: it may have loaded the template
    while the erasure was not committed yet.
    """
    able = Recognizer.objects.running()
    waiting = []
    for recognizer in able:
        acknowledged = recognizer.acknowledgements.filter(eviction__in=erasure.evictions).count()
        if acknowledged < len(erasure.evictions):
            waiting.append(str(recognizer.pk))
    return waiting


@transaction.atomic
def complete(erasure: Erasure) -> Erasure:
    """Issue the certificate if every recognizer has acknowledged; otherwise leave it pending."""
    erasure = Erasure.objects.select_for_update().get(pk=erasure.pk)
    # Nobody is told that it is done while a restore could undo it.
    if Deletion.objects.filter(pk=erasure.pk).exists():
        deletions.enlist(erasure.pk)
    if erasure.state == Erasure.State.COMPLETE or waiting_for(erasure):
        return erasure
    entry = audit.record(
        actor="system:certificate",
        action="erasure.certified",
        erasure=str(erasure.pk),
        about=erasure.subject,
        scope=erasure.scope,
    )
    head = audit.checkpoint()
    erasure.state = Erasure.State.COMPLETE
    erasure.completed_at = entry.at
    erasure.document = signing.sign(
        {
            **_facts(erasure),
            "ledger": {
                "entry": audit.leaf_data(entry),
                "index": entry.seq - 1,
                "proof": audit.inclusion(entry, head),
                "checkpoint": head.signature,
            },
        },
        CERTIFICATE_TYPE,
    )
    erasure.save()
    return erasure


def await_acknowledgements(erasure: Erasure, seconds: float) -> Erasure:
    """Wait up to `seconds` for the recognizers' word, then complete if it came."""
    deadline = time.monotonic() + seconds
    with connection.cursor() as cursor:
        cursor.execute("LISTEN acknowledged")
        try:
            erasure = complete(erasure)
            while erasure.state != Erasure.State.COMPLETE and time.monotonic() < deadline:
                # One at a time: the connection is locked while its notices are read.
                waiting = max(0.0, deadline - time.monotonic())
                list(connection.connection.notifies(timeout=waiting, stop_after=1))
                erasure = complete(erasure)
        finally:
            cursor.execute("UNLISTEN acknowledged")
    return erasure


def _facts(erasure: Erasure) -> dict[str, Any]:
    acknowledged = (
        Acknowledgement.objects.filter(eviction__in=erasure.evictions)
        .values_list("recognizer", "at")
        .order_by("recognizer", "-at")
        .distinct("recognizer")
    )
    return {
        "schema": "consentry-certificate/1",
        "id": str(erasure.pk),
        "issued_at": _iso(erasure.completed_at or erasure.erased_at),
        "organization": erasure.store.organization.name,
        "store": erasure.store.name,
        "subject": erasure.subject,
        "cause": erasure.cause,
        **({"pack": erasure.pack} if erasure.pack else {}),
        **({"purpose": erasure.purpose} if erasure.purpose else {}),
        "scope": erasure.scope,
        "requested_at": _iso(erasure.requested_at),
        # Of what recognises nobody there is no such moment: recognition goes on.
        "unmatchable_at": _iso(max((at for _id, at in acknowledged), default=erasure.erased_at))
        if erasure.evictions or erasure.whole or erasure.purpose == Purpose.CARD
        else None,
        "erased_at": _iso(erasure.erased_at),
        "recognizers": [
            {"id": str(recognizer), "acknowledged_at": _iso(at)} for recognizer, at in acknowledged
        ],
        "key": {
            "generation": erasure.generation,
            "row": _key_row(erasure),
            "generation_destroyed": None,
        },
        "backup_horizon": _backup_horizon(erasure),
        "partial": False,
        "pending": [],
    }


def _key_row(erasure: Erasure) -> str:
    """What became of the person's own key: it went with them, it goes on, or there is none: it
    went with their last template, or they never had one."""
    if erasure.whole:
        return "deleted"
    return "none" if erasure.generation is None or _key_went(erasure) else "kept"


def _key_went(erasure: Erasure) -> bool:
    return any(line["what"] == KEY for line in erasure.scope)


def _backup_horizon(erasure: Erasure) -> str:
    if _key_went(erasure):
        return (
            "Backups made before erased_at hold ciphertext and its wrapped key until key "
            f"generation {erasure.generation} is destroyed; they open with no other key."
        )
    if not erasure.evictions:
        unsealed = (
            "Backups made before erased_at hold what is named in scope, not sealed, until they are "
            "gone themselves."
        )
        return unsealed if erasure.whole else f"{unsealed} What else was agreed to goes on."
    if erasure.purpose:
        return (
            "Backups made before erased_at hold the visits. The templates and the person's own key "
            "are kept, for the store of this certificate alone; in a backup too they are bound to "
            "their consent, and no recognizer searches them where it does not cover it."
        )
    return (
        "Backups made before erased_at hold this template's ciphertext. The person's own "
        "key is kept, for the template by which they are recognised now: with it and with key "
        f"generation {erasure.generation} such a backup opens until one of them is destroyed."
    )


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
