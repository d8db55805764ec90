"""The OpenAPI 3.1 document of the API, with every refusal as it is really answered."""

import functools
from collections.abc import Callable
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, path
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema

from apps.api.problems import KIND, problem


class DocumentedAPI(NinjaAPI):
    """Ninja's, whose document says what kind a refusal is, and which refuses in one shape only."""

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        document = super().get_openapi_schema(**options)
        for calls in document["paths"].values():
            for call in calls.values():
                for status, answer in call["responses"].items():
                    if int(status) >= 400:
                        answer["content"] = {KIND: answer["content"].pop("application/json")}
        return document

    def addresses(self) -> list[URLPattern | URLResolver]:
        """Every address below this API's own, also those at which there is nothing."""
        patterns = self.urls[0]
        for pattern in patterns:
            if isinstance(pattern, URLPattern) and pattern.callback is not None:
                pattern.callback = _in_one_shape(pattern.callback)
        return [*patterns, path("<path:anything>", nothing)]


def nothing(request: HttpRequest, anything: str = "") -> HttpResponse:
    """Answer what is no address of the API."""
    return problem(404, "There is no such address; see openapi.json.")


nothing.csrf_exempt = True  # type: ignore[attr-defined]


def _in_one_shape(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Methods that an address does not take, too."""

    @functools.wraps(view)
    def shaped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            answer = view(request, *args, **kwargs)
        except Http404:
            return nothing(request)
        if answer.status_code == 405:
            return problem(405, "This address does not take that.", Allow=answer["Allow"])
        return answer

    return shaped
