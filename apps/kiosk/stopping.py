"""A stopped tablet hears of it within a second, through a stream that its page holds open.

The cookie that opens the page opens the stream, which says one word and nothing of anybody. Where
it cannot be held, or Redis is away, the tablet's next request is refused all the same.
"""

from collections.abc import AsyncIterator

from asgiref.sync import sync_to_async
from django.db import connection
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_GET

from apps.kiosk.views import device_of
from apps.stores.devices import channel_of
from apps.stores.live import listening, something_new
from apps.stores.models import Device


@require_GET
async def stopped(request: HttpRequest, kind: Device.Kind) -> HttpResponseBase:
    """Server-Sent Events of one tablet: `stopped` once it may no longer work, then the end."""
    response = StreamingHttpResponse(_stream(request, kind), content_type="text/event-stream")
    response["X-Accel-Buffering"] = "no"
    return response


async def _stream(request: HttpRequest, kind: Device.Kind) -> AsyncIterator[str]:
    yield "retry: 2000\n\n"
    async with listening() as pubsub:
        while device := await sync_to_async(_live)(request, kind):
            if not await something_new(pubsub, channel_of(device)):
                yield ": quiet\n\n"
    yield "event: stopped\ndata: now\n\n"


def _live(request: HttpRequest, kind: Device.Kind) -> Device | None:
    try:
        return device_of(request, kind)
    finally:
        # A stream lives for hours; it must not hold a database connection while it waits.
        connection.close()
