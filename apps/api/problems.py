"""Every refusal of the API in one shape: RFC 9457, `application/problem+json`.

What was sent is never repeated in it, and a fault of ours says nothing of itself.
"""

import logging
from http import HTTPStatus

from django.core.exceptions import BadRequest, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI, Schema
from ninja.errors import AuthenticationError, HttpError, ValidationError
from pydantic import Field

log = logging.getLogger(__name__)

KIND = "application/problem+json"


class Problem(Schema):
    """What went wrong, as RFC 9457 has it."""

    type: str = Field(description="`about:blank`: the status says it")
    title: str
    status: int
    detail: str = Field(description="one sentence for whoever reads the log")


class Refused(Exception):
    """The call is answered with a problem of this status."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


def problem(status: int, detail: str, **headers: str) -> HttpResponse:
    """One refusal. headers: their names with `_` for `-`."""
    body = Problem(
        type="about:blank", title=HTTPStatus(status).phrase, status=status, detail=detail
    )
    answer = HttpResponse(body.model_dump_json(), status=status, content_type=KIND)
    for name, value in headers.items():
        answer[name.replace("_", "-")] = value
    return answer


def answer_all_faults(api: NinjaAPI) -> None:
    """Have every error of this API answered in its one shape."""

    @api.exception_handler(Refused)
    def refused(request: HttpRequest, error: Refused) -> HttpResponse:
        return problem(error.status, error.detail, **error.headers)

    @api.exception_handler(AuthenticationError)
    def unknown(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
        return problem(
            401, "A token is needed, and this one opens nothing.", WWW_Authenticate="Bearer"
        )

    @api.exception_handler(ValidationError)
    def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
        # Where and what kind, not what was sent there.
        found = "; ".join(
            f"{'.'.join(str(part) for part in each['loc'][:4])}: {each['type']}"
            for each in error.errors[:10]
        )
        return problem(422, f"Not as the schema has it. {found}"[:1000])

    @api.exception_handler(Http404)
    def missing(request: HttpRequest, error: Http404) -> HttpResponse:
        return problem(404, "There is nothing of that kind that this client may see.")

    @api.exception_handler(HttpError)
    def wrong(request: HttpRequest, error: HttpError) -> HttpResponse:
        return problem(error.status_code, "The request could not be read.")

    @api.exception_handler(RequestDataTooBig)
    @api.exception_handler(SuspiciousOperation)
    @api.exception_handler(BadRequest)
    def malformed(request: HttpRequest, error: Exception) -> HttpResponse:
        return problem(400, "The request could not be read.")

    @api.exception_handler(Exception)
    def fault(request: HttpRequest, error: Exception) -> HttpResponse:
        # Its text could quote a body, and a body carries a pass.
        log.error("a call failed (%s)", type(error).__name__)
        return problem(500, "A fault of ours. Nothing was changed; try again later.")
