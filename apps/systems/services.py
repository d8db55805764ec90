"""Open the house to another system, and close it: clients, their tokens and their webhook."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from apps.audit import services as audit
from apps.stores.models import Store, ThirdParty
from apps.systems import delivery, receivers
from apps.systems.models import Client, Scope, Token, Webhook

PREFIX = "cst_"
DAYS = 365


@transaction.atomic
def add_client(
    *,
    name: str,
    stores: Sequence[Store],
    scopes: Sequence[Scope],
    party: ThirdParty | None,
    actor: str,
) -> Client:
    """Let a system in, to these stores of one organization and no other."""
    (organization,) = {store.organization_id for store in stores}
    if party is not None and party.organization_id != organization:
        raise ValueError("whoever runs it stands in the register of the same organization")
    client = Client.objects.create(
        organization_id=organization,
        name=name,
        party=party,
        scopes=sorted(scope.value for scope in scopes),
    )
    client.stores.set(stores)
    audit.record(
        actor=actor,
        action="client.added",
        client=str(client.pk),
        scopes=client.scopes,
        stores=sorted(str(store.pk) for store in stores),
    )
    return client


@transaction.atomic
def new_token(*, client: Client, actor: str, days: int = DAYS) -> str:
    """A token, to be shown this once."""
    plain = PREFIX + secrets.token_urlsafe(32)
    token = Token.objects.create(
        client=client, digest=digest(plain), expires_at=timezone.now() + timedelta(days=days)
    )
    audit.record(
        actor=actor, action="token.made", client=str(client.pk), token=str(token.pk), days=days
    )
    return plain


@transaction.atomic
def revoke(*, token: Token, actor: str) -> None:
    """End a token at once. Twice is once."""
    if Token.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()):
        audit.record(
            actor=actor, action="token.revoked", client=str(token.client_id), token=str(token.pk)
        )


@transaction.atomic
def set_webhook(*, client: Client, url: str, arrivals: bool, actor: str) -> str:
    """Say where a client is told; the new secret, to be shown this once. What waits goes there.

    Raises receivers.NotAllowed.
    """
    secret = delivery.new_secret()
    # What it may not ask for is not told by itself either.
    arrivals = arrivals and Scope.VISITS in client.scopes
    Webhook.objects.update_or_create(
        client=client,
        defaults={
            "url": receivers.check(url),
            "arrivals": arrivals,
            "sealed": delivery.seal(client.pk, secret),
        },
    )
    audit.record(actor=actor, action="webhook.set", client=str(client.pk), arrivals=arrivals)
    return secret


@transaction.atomic
def end(*, client: Client, actor: str) -> None:
    """Close the door: no token works, nothing is sent. What the system was not told yet stays for
    the officer to tell it otherwise."""
    if Client.objects.live().filter(pk=client.pk).update(ended_at=timezone.now()):
        audit.record(actor=actor, action="client.ended", client=str(client.pk))


def digest(plain: str) -> str:
    """Under what a token is found. It is 256 random bits: a slow hash would add nothing."""
    return hashlib.sha256(plain.encode()).hexdigest()
