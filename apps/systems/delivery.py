"""Take messages from the outbox to the systems that wait for them, at least once.

Design. One worker at a time serves one client, under an advisory lock that PostgreSQL gives back
when the worker dies, so that messages arrive in the order in which they were written unless one is
tried again: what was tried least goes first, so that one message on which a receiver hangs keeps
nothing else waiting. To take a message is to count the try and to set when the next one is due,
committed before anything is sent: a worker that is killed half-way has only spent one try, and the
message goes out again with the same id. Back-off doubles from 5 seconds to 6 hours, each wait
spread by a half, and after `TRIES` tries the message has failed, which takes about three days where
it waits alone: the officer sees it and can send it again. At a door that does not open, nothing
else of that client is tried meanwhile, and the more messages were tried there in vain the longer;
where many wait each is tried less often, and the officer sees how long the oldest has waited.

What is sent follows Standard Webhooks: `webhook-id` stays, `webhook-timestamp` is that of the try,
`webhook-signature` covers both and the body. Any 2xx acknowledges.
"""

import base64
import json
import logging
import random
import secrets
import time
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from django.db import transaction
from standardwebhooks import Webhook as Signer

from apps.audit import clock
from apps.audit import services as audit
from apps.audit.turns import alone
from apps.config import sealing
from apps.consent.models import Consent
from apps.systems import outbox, receivers
from apps.systems.models import Delivery, Event, Scope, Told, Webhook
from apps.visitors.models import Visitor

log = logging.getLogger(__name__)

LOCK = 0x57454248
USE = b"consentry webhook secret"
TRIES = 24
FIRST, LONGEST = timedelta(seconds=5), timedelta(hours=6)
# Seconds in one go for one client; the next beat goes on. The sweep waits for the same worker.
AT_ONCE = 20.0


class Outcome(Enum):
    """How one try ended."""

    TAKEN = auto()
    REFUSED = auto()
    UNREACHABLE = auto()


def wait_after(attempts: int) -> timedelta:
    """How long until the next try after so many; each wait is spread by a half."""
    whole = min(FIRST * 2 ** (attempts - 1), LONGEST)
    return whole * random.uniform(0.75, 1.25)  # noqa: S311  (it spreads load, it hides nothing)


def waiting() -> list[UUID]:
    """Clients for whom something is due."""
    due = Delivery.objects.due().order_by()
    return list(due.values_list("told__client", flat=True).distinct())


def deliver(client: UUID) -> int:
    """Send a client what is due; how many messages it acknowledged."""
    acknowledged, end = 0, time.monotonic() + AT_ONCE
    with alone(LOCK, client) as mine:
        while mine and time.monotonic() < end and (taken := _take(client)):
            outcome = _try(*taken)
            acknowledged += outcome is Outcome.TAKEN
            if outcome is Outcome.UNREACHABLE:
                _stand_back(client, taken[0])
                break
    return acknowledged


def _stand_back(client: UUID, last: Delivery) -> None:
    """Try nothing for a while at a door that did not open for `last`: what waits counts no try.

    What was tried less often than it had been does not wait: it was written meanwhile, and had it
    been there, it would have gone first.
    """
    theirs = Delivery.objects.filter(told__client=client, failed_at=None)
    in_vain = theirs.filter(attempts__gt=0).count()
    until = max(last.due_at, clock.now() + wait_after(min(in_vain, TRIES)))
    theirs.filter(pk=last.pk).update(due_at=until)
    rest = Delivery.objects.due().filter(told__client=client, attempts__gte=last.attempts - 1)
    rest.update(due_at=until)


def _take(client: UUID) -> tuple[Delivery, Webhook, bytes] | None:
    """The next message and its body; the try is committed before it is sent."""
    with transaction.atomic():
        found = (
            Delivery.objects.due()
            .filter(told__client=client)
            .select_related("told__client__webhook")
            .select_for_update(of=("told",), skip_locked=True)
            .order_by("attempts", "at", "id")
            .first()
        )
        if found is None:
            return None
        at = clock.now()
        row = Delivery.objects.filter(pk=found.pk)
        if found.attempts >= TRIES:
            # The last try was under way when its worker died.
            row.update(failed_at=at)
            return _take(client)
        found.attempts += 1
        found.due_at = at + wait_after(found.attempts)
        if not row.update(attempts=found.attempts, tried_at=at, due_at=found.due_at):
            # It went, with a withdrawal, between the look and the lock.
            return _take(client)
        body = json.dumps(payload(found), ensure_ascii=False).encode()
        if found.attempts == 1 and found.event == Event.ARRIVED:
            audit.record(
                actor=f"client:{client}",
                action="visit.told",
                subject=found.told.subject,
                whereabouts=True,
                visit=str(found.visit),
            )
        return found, found.told.client.webhook, body


def payload(delivery: Delivery) -> dict[str, Any]:
    """What a client reads. The name, only where it may know it, is looked up now and not kept."""
    told, client = delivery.told, delivery.told.client
    data: dict[str, Any] = {"person": str(told.person)}
    if delivery.event in (Event.ARRIVED, Event.RETRACTED):
        data["visit"] = str(delivery.visit)
    if delivery.event == Event.ARRIVED:
        data["store"] = str(delivery.store_id)
        if Scope.NAMES in client.scopes and (name := _name(told.subject)):
            data["name"] = name
    if delivery.event == Event.WITHDRAWN:
        data["purpose"] = delivery.purpose or None
    return {"type": delivery.event, "timestamp": delivery.at.isoformat(), "data": data}


def _name(subject: UUID | None) -> str:
    """How somebody is greeted, while they agree to that and nothing is paused."""
    if subject is None:
        return ""
    agreed = Consent.objects.live().filter(subject=subject)
    person = Visitor.objects.filter(subject=subject, restricted_at=None).first()
    return person.greeting_name if person and agreed.exists() else ""


def _try(delivery: Delivery, webhook: Webhook, body: bytes) -> Outcome:
    """Send one message once."""
    at = datetime.now(UTC)
    sent = str(delivery.pk)
    try:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Consentry-Webhook/1",
            "webhook-id": sent,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Signer(unseal(webhook)).sign(sent, at, body.decode()),
        }
        status = receivers.post(webhook.url, body, headers)
        outcome = str(status)
    except receivers.Unreachable as error:
        status, outcome = 0, error.code
    except InvalidTag:
        # CONSENTRY_SECRET_KEY is another one now: a new secret is needed.
        status, outcome = 0, "secret"
    if 200 <= status < 300:
        acknowledge(delivery.pk, by=f"client:{webhook.client_id}")
        return Outcome.TAKEN
    log.warning("delivery %s was not taken (%s)", delivery.pk, outcome)
    over = {"failed_at": clock.now()} if delivery.attempts >= TRIES else {}
    Delivery.objects.filter(pk=delivery.pk).update(outcome=outcome, **over)
    return Outcome.REFUSED if status else Outcome.UNREACHABLE


@transaction.atomic
def acknowledge(delivery: UUID, *, by: str) -> bool:
    """A client knows. The message goes, and with the last one of somebody erased the id by which
    the client was told of them. False when it was acknowledged before."""
    told = Told.objects.select_for_update().filter(deliveries=delivery).first()
    row = Delivery.objects.filter(pk=delivery).first()
    if told is None or row is None:
        return False
    row.delete()
    if row.event != Event.ARRIVED:
        audit.record(
            actor=by,
            action="ending.acknowledged",
            client=str(told.client_id),
            delivery=str(delivery),
            event=row.event,
        )
    if told.subject is None and not told.deliveries.exists():
        told.delete()
    return True


@transaction.atomic
def send_again(*, delivery: Delivery, actor: str) -> None:
    """Begin anew with a message that failed, or do not wait for its next try."""
    at = clock.now()
    Delivery.objects.filter(pk=delivery.pk).update(attempts=0, failed_at=None, due_at=at)
    audit.record(actor=actor, action="delivery.sent_again", delivery=str(delivery.pk))
    outbox.nudge(delivery.told.client_id)


def new_secret() -> str:
    """A secret as Standard Webhooks writes it, to be shown once."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def seal(client: UUID, secret: str) -> str:
    """The secret as it is kept: bound to its client, and to this house's CONSENTRY_SECRET_KEY."""
    plain = base64.b64decode(secret.removeprefix("whsec_"))
    return base64.b64encode(sealing.seal(plain, USE, client)).decode()


def unseal(webhook: Webhook) -> bytes:
    """The secret's 32 bytes."""
    return sealing.unseal(base64.b64decode(webhook.sealed), USE, webhook.client_id)
