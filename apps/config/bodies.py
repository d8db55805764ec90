"""Nothing that is too large to be read from memory reaches Django, which would spool it to a file.

An image must never touch the disk, not even one that is refused a moment later.
"""

from collections.abc import Awaitable, Callable
from typing import Any

# An ASGI application: scope, receive, send.
Application = Callable[[Any, Any, Any], Awaitable[None]]


def small_bodies(application: Application, *, limit: int) -> Application:
    """Drop what lies beyond `limit` bytes before `application` sees it.

    A body that says its size arrives empty and is refused by that size, in the person's language.
    One that hides its size is cut off as if the sender had hung up.
    """

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        declared = _declared(scope)
        seen = 0

        async def limited() -> Any:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if declared > limit:
                return {**message, "body": b""}
            return message if seen <= limit else {"type": "http.disconnect"}

        await application(scope, limited, send)

    return guarded


def _declared(scope: Any) -> int:
    sizes = (value for name, value in scope.get("headers", ()) if name == b"content-length")
    size = next(sizes, b"0")
    return int(size) if size.isdigit() else 0
