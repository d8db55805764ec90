"""Which attempts were stopped after they were sent: remembered in Redis for as long as a request of
theirs may still be on its way. Ids only."""

from datetime import timedelta
from uuid import UUID

import redis

from apps.stores.devices import NonceStoreDown, live_events

# Longer than any request lives.
REMEMBERED = timedelta(minutes=15)


def mark(attempt: UUID) -> None:
    """Let this attempt never succeed. Raises NonceStoreDown."""
    try:
        live_events().set(f"undone:{attempt}", 1, ex=REMEMBERED)
    except redis.RedisError as error:
        raise NonceStoreDown from error


def marked(attempt: UUID) -> bool:
    """Whether this attempt was stopped. Raises NonceStoreDown."""
    try:
        return bool(live_events().exists(f"undone:{attempt}"))
    except redis.RedisError as error:
        raise NonceStoreDown from error
