"""Somebody asks about their data at the tablet, with nothing in their hands but what they know.

It is taken down unverified: the officer asks for the proof, which is a receipt, a code to the
contact on record or a member of staff, and never a photo. Nothing is looked up here, so nobody
learns at the tablet whether anybody is known.
"""

from typing import Annotated
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator

from apps.kiosk.views import in_language, refusal, signed_by
from apps.retention.models import Request
from apps.retention.services import intake
from apps.stores.limits import allowed
from apps.stores.models import Device
from apps.visitors.names import SOMETHING_TO_SAY

# In ten minutes at one tablet: more than people could type, and few for whoever plays with it.
ASKED = 10

Reach = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=240, pattern=SOMETHING_TO_SAY)
]
Words = Annotated[
    # PostgreSQL takes no NUL.
    str, StringConstraints(strip_whitespace=True, max_length=4000, pattern=r"^[^\x00]*$")
]


class Asked(BaseModel):
    """What the tablet sends. `attempt`: the same again when an answer got lost, so that it is taken
    down once."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    attempt: UUID
    kind: Request.Kind
    reach: Reach
    words: Words = ""

    @model_validator(mode="after")
    def says_what(self) -> "Asked":
        if self.kind in Request.SEVERAL and not self.words:
            raise ValueError("words")
        return self


@in_language
def page(request: HttpRequest, device: Device, language: str) -> HttpResponse:
    """The whole request on one page; it needs no notice and no camera."""
    context = {"store": device.store, "language": language, "kinds": Request.Kind.choices}
    return render(request, "kiosk/ask.html", {**context, "in_words": Request.SEVERAL})


@signed_by(Device.Kind.KIOSK)
def submit(request: HttpRequest, device: Device) -> HttpResponse:
    """Take a request down: 201 with its number and the day of the answer at the latest."""
    try:
        asked = Asked.model_validate_json(request.body)
    except ValidationError:
        return refusal(400, "form", _("That did not arrive whole. Please try again."))
    if not allowed(f"ask:{device.pk}", limit=ASKED, seconds=600):
        return refusal(429, "slow_down", _("Too many attempts. Please wait ten minutes."))
    taken = take(asked, device)
    until = date_format(taken.due_at, "DATE_FORMAT")
    return JsonResponse({"number": taken.number, "until": until}, status=201)


@transaction.atomic
def take(asked: Asked, device: Device) -> Request:
    """Write it down, unless it was already."""
    actor = f"device:{device.pk}"
    before = Request.objects.filter(pk=asked.attempt, opened_by=actor).first()
    return before or intake.take(
        pk=asked.attempt,
        store=device.store,
        kind=asked.kind,
        source=Request.Source.KIOSK,
        actor=actor,
        words=asked.words,
        reach=asked.reach,
    )
