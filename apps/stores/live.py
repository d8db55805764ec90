"""Waits for the word that something changed, for pages that are held open. What it is, they ask the
database: the word is an id or a number, and may get lost.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import redis.asyncio
from django.conf import settings

# A comment at least this often keeps proxies from closing a quiet stream, and bounds how late a
# page is when Redis has lost a message.
QUIET_SECONDS = 10.0


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[redis.asyncio.client.PubSub]:
    """A connection to Redis for as long as a page is open; nothing is sent to it yet."""
    async with contextlib.AsyncExitStack() as stack:
        client = redis.asyncio.Redis.from_url(settings.CONSENTRY.redis_url.get_secret_value())
        stack.push_async_callback(client.aclose)
        pubsub = client.pubsub()
        stack.push_async_callback(pubsub.aclose)
        yield pubsub


async def something_new(pubsub: redis.asyncio.client.PubSub, channel: str) -> bool:
    """Wait for a message; without Redis, look at the database every two seconds."""
    try:
        if not pubsub.subscribed:
            await pubsub.subscribe(channel)
            # What came before somebody listened is in the database only.
            return True
        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=QUIET_SECONDS)
    except redis.RedisError:
        await asyncio.sleep(2)
        return False
    return message is not None
