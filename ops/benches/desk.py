"""The desk of `ops/bench replay`: what people ask in writing, and the officers who work it off.

Letters and receipts come in during the day; the next morning two officers and a member of staff
take every request through the real steps: whose it is, the proof, the proposal, the second pair of
eyes, the answer. No code here decides or erases anything.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from apps.consent.models import Receipt
from apps.privacy.requests import decide, identity, intake, rows
from apps.retention.models import Request
from apps.visitors.models import Visitor

OFFICER, SECOND, STAFF = "user:1001", "user:1002", "user:1003"
PATIENCE_S = 30.0


def write(person: Visitor) -> None:
    """A letter that asks for erasure; an officer types it in."""
    request = intake.take(
        store=person.store,
        kind=Request.Kind.ERASURE,
        source=Request.Source.LETTER,
        actor=OFFICER,
        reach="1 Quay Lane",
    )
    identity.tie(request=request, whom=str(person.pk), actor=OFFICER)


def correct(person: Visitor) -> None:
    """Their receipt asks for another name."""
    receipt = Receipt.objects.select_related("consent__store").get(consent__subject=person.subject)
    intake.ask(receipt=receipt, kind=Request.Kind.RECTIFICATION, words="Visitor, please.")


def work_off() -> list[uuid.UUID]:
    """Answer all that is open; the visitors who were erased for it."""
    erased = []
    for request in list(Request.objects.open()):
        person = rows.visitor_of(request)
        if person is None:
            # They ended it, or their time was over, before anybody read this.
            decide.refuse(
                request=request,
                reason=Request.Refusal.NOTHING,
                told=Request.Told.LETTER,
                text="Nothing is held about you any more.",
                actor=OFFICER,
            )
            continue
        if request.kind == Request.Kind.RECTIFICATION:
            decide.approve(request=request, actor=SECOND, name="Visitor")
            continue
        request = identity.verify(
            request=request, how=Request.Proof.WITNESS, by=STAFF, actor=OFFICER
        )
        request = decide.propose(request=request, actor=OFFICER)
        # The recognizer has to say that it has forgotten them.
        request, _passphrase = decide.approve(request=request, actor=SECOND, patience=PATIENCE_S)
        decide.answer(request=request, told=Request.Told.LETTER, text="Done.", actor=OFFICER)
        erased.append(person.pk)
    return erased


def overdue_s(at: datetime) -> float:
    """Seconds by which the oldest unanswered request is late."""
    first = Request.objects.open().first()
    return max(0.0, -first.left(at).total_seconds()) if first else 0.0
