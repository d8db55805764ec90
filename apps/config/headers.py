"""What every response says about itself, and what an exception report leaves out."""

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware
from django.views.debug import SafeExceptionReporterFilter


@sync_and_async_middleware
def permissions_policy(get_response: Callable[..., Any]) -> Callable[..., Any]:
    """Allow the camera to the kiosk's and the door's pages alone; keep pages out of caches."""

    def dress(request: HttpRequest, response: HttpResponse) -> HttpResponse:
        camera = "(self)" if request.path.startswith(("/kiosk/", "/door/")) else "()"
        response.setdefault(
            "Permissions-Policy",
            f"camera={camera}, microphone=(), geolocation=(), usb=(), display-capture=()",
        )
        if not request.path.startswith("/static/"):
            response.setdefault("Cache-Control", "no-store")
        return response

    if iscoroutinefunction(get_response):

        async def asynchronous(request: HttpRequest) -> HttpResponse:
            return dress(request, await get_response(request))

        return asynchronous

    def synchronous(request: HttpRequest) -> HttpResponse:
        return dress(request, get_response(request))

    return synchronous


class NothingPersonal(SafeExceptionReporterFilter):
    """Drop POST data and every frame's variables from reports, whatever DEBUG says."""

    def is_active(self, request: HttpRequest | None) -> bool:
        return True

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:
        return {}

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: Any) -> Any:
        return []
