"""The tablet at the door: a camera that reads passes and cards, with a face of its own towards the
customer.

It answers in public, so it never says a name, nor why a pass or a card opens nothing: whoever
holds a copy learns neither whose it is nor whether it ever worked. The name goes to the floor board
alone. Whom it welcomes it also tells when what they agreed to ends soon, as their receipt would. Of
whoever shows a card no face is looked for.
"""

import time
from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from django.db.models import Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from apps.consent import renewals
from apps.consent.models import Consent
from apps.kiosk import faces
from apps.kiosk.challenge import unpacked
from apps.kiosk.views import device_of, not_live, offered, refusal, signed_by
from apps.recognition.client import Decision
from apps.recognition.engine.imagefile import BadImage, decode_jpeg
from apps.recognition.engine.types import Crops, Image
from apps.recognition.passes import Pass
from apps.recognition.photographed import SeveralShown, card_in
from apps.stores import tablets
from apps.stores.limits import allowed
from apps.stores.models import Camera, Device, Store
from apps.stores.tablets import Report
from apps.visitors import cards
from apps.visitors.cards import CardCode
from apps.visits import reports
from apps.visits.asking import PassDesk
from apps.visits.checkin import check_in
from apps.visits.pipeline.burst import WELCOME, judge
from apps.visits.pipeline.lane import MATCHED, Counters
from apps.visits.pipeline.zone import Zone

ENDING = "welcome_ending"
MAX_BYTES = 512 * 1024
MAX_PIXELS = 1920 * 1080
A_MINUTE = 40
"""Bursts of one tablet: as many as a queue could need, and few for whoever tries faces."""
TO_CHANGE = frozenset(
    {
        "no_code",
        "no_face",
        "too_many_faces",
        "two_passes",
        "too_small",
        "too_dark",
        "too_bright",
        "blurred",
        "turned",
        "cut_off",
    }
)
"""Reasons that the person can do something about, and that say nothing about any pass."""

Picture = Annotated[str, StringConstraints(max_length=MAX_BYTES * 4 // 3 + 4)]


class Burst(BaseModel):
    """What the tablet sends when somebody shows something: JPEGs in base64, the oldest first."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    pictures: Annotated[list[Picture], Field(min_length=3, max_length=12)]


class Here(Report):
    """A sign of life that also says whether the tablet's camera gives pictures now."""

    picture: bool


@require_GET
@ensure_csrf_cookie
def page(request: HttpRequest) -> HttpResponse:
    """The door's one screen in all its languages at once, or the page that enrols the tablet."""
    device = device_of(request, Device.Kind.DOOR)
    if device is None:
        return not_live(request, Device.Kind.DOOR)
    context = {
        "store": device.store,
        "open": is_open(camera_of(device)),
        "words": words(device.store),
        "without": without(device.store),
    }
    return render(request, "door/door.html", context)


@signed_by(Device.Kind.DOOR)
def here(request: HttpRequest, device: Device) -> HttpResponse:
    """Take a sign of life; answer whether this tablet may look at all."""
    try:
        seen = Here.model_validate_json(request.body)
    except ValidationError:
        return refusal(400, "form", _("That did not arrive whole. Please try again."))
    tablets.note(device=device, report=seen)
    camera = camera_of(device)
    reports.add(
        camera=camera.pk,
        counters=Counters(),
        state="live" if seen.picture else "waiting",
        last_frame_at=timezone.now() if seen.picture else None,
    )
    return JsonResponse({"open": is_open(camera)})


@signed_by(Device.Kind.DOOR)
def show(request: HttpRequest, device: Device) -> HttpResponse:
    """Look once at a burst: "welcome", what to change, or "staff". No picture is kept."""
    camera = camera_of(device)
    if not is_open(camera):
        return refusal(403, "closed", _("This tablet may not look now. Please ask our staff."))
    if not allowed(f"door:{device.pk}", limit=A_MINUTE, seconds=60):
        return refusal(429, "slow_down", _("Too many attempts. Please wait a minute."))
    try:
        images = pictures(Burst.model_validate_json(request.body))
    except ValidationError:
        return refusal(400, "form", _("That did not arrive whole. Please try again."))
    except BadImage as error:
        return refusal(422, error.code, faces.sentence(error.code))
    try:
        card = card_in(images)
    except SeveralShown:
        outcome, counters = "two_passes", Counters(aborts={"two_passes": 1})
    else:
        outcome, counters = by_card(card, device) if card else by_face(images, camera)
    now = timezone.now()
    reports.add(camera=camera.pk, counters=counters, state="live", last_frame_at=now)
    if outcome == "recognizer_down":
        return refusal(
            503, "unavailable", _("This is not working right now. Please ask our staff.")
        )
    return JsonResponse({"say": outcome if outcome in TO_CHANGE | {WELCOME, ENDING} else "staff"})


def by_card(card: CardCode, device: Device) -> tuple[str, Counters]:
    """What to say to whoever shows a card, and what the camera counts: no face was looked for."""
    decision = check_in(code=card, store=device.store, actor=f"device:{device.pk}")
    if decision.outcome not in MATCHED:
        return "staff", Counters(aborts={"card_unknown": 1})
    return _welcome(Q(cards__digest=cards.digest(card))), Counters()


def by_face(images: Sequence[Image], camera: Camera) -> tuple[str, Counters]:
    """What to say to whoever shows a pass, or nothing, and what the camera counts."""
    desk = Reading(camera)
    outcome, counters = judge(
        images,
        zone=Zone([tuple(point) for point in camera.zone]),
        detector=faces.detector(),
        desk=desk,
        at=time.time(),
    )
    if outcome == WELCOME and desk.welcomed:
        shown = desk.welcomed
        outcome = _welcome(Q(templates__pk=shown) | Q(templates__shown_as=shown))
    return outcome, counters


class Reading:
    """The recognizer as one burst asks it. `welcomed`: the template that the pass of whoever was
    recognised names, and no other pass of the picture."""

    def __init__(self, camera: Camera) -> None:
        self._desk = PassDesk(camera.pk)
        self._named: dict[str, UUID] = {}
        self.welcomed: UUID | None = None

    def present(self, shown: Pass) -> str:
        nonce = self._desk.present(shown)
        self._named[nonce] = shown.template
        return nonce

    def verify(self, nonce: str, crops: Crops, seen_at: float) -> Decision:
        decision = self._desk.verify(nonce, crops, seen_at)
        if decision.outcome in MATCHED:
            self.welcomed = self._named[nonce]
        return decision


def _welcome(holder: Q) -> str:
    """The welcome of whose consent this is, which says if it may be renewed now."""
    consent = Consent.objects.select_related("store").filter(holder).first()
    return ENDING if consent is not None and renewals.due(consent) else WELCOME


def words(store: Store) -> dict[str, list[tuple[str, str]]]:
    """Every sentence of the page by its name, in each language of the store with its code."""
    spoken: dict[str, list[tuple[str, str]]] = {}
    for language in offered(store):
        with translation.override(language):
            for name, text in sentences().items():
                spoken.setdefault(name, []).append((language, text))
    return spoken


def without(store: Store) -> list[tuple[str, str]]:
    """How to come in without a face, in each language in which the store says it."""
    said: dict[str, str] = {}
    for language in offered(store):
        with translation.override(language):
            said.setdefault(store.check_in, language)
    return [(language, text) for text, language in said.items() if text]


def sentences() -> dict[str, str]:
    """What the page says, in the language that is active. "staff" is one sentence for all that a
    pass or a card may be refused for, and "welcome" names nobody."""
    return {
        "title": _("Show your pass or card"),
        "opening": _("The camera is opening. One moment."),
        "ready": _("Hold your pass beside your face, or show a card."),
        "reading": _("Hold still, one moment."),
        "welcome": _("Welcome. Please come in."),
        "welcome_ending": _(
            "Welcome. Please come in. What you agreed to ends soon: your receipt renews it."
        ),
        "staff": _("That did not work. You are welcome all the same: please ask our staff."),
        "no_code": _("No pass and no card could be read. Hold it still, a little closer."),
        "no_face": _("Look at the tablet, with your pass beside your face."),
        "too_many_faces": _("One person at a time, please. Ask the others to step aside."),
        "two_passes": _("One pass or one card at a time, please."),
        "too_small": _("A little closer, please."),
        "too_dark": _("It is too dark here. Turn towards the light."),
        "too_bright": _("It is very bright here. Turn a little away from the light."),
        "blurred": _("Hold still for a moment."),
        "turned": _("Look straight at the tablet."),
        "cut_off": _("Move so that your whole face is in the picture."),
        "slow_down": _("Too many attempts. Please wait a minute."),
        "closed": _("This tablet is resting. Please come in and ask our staff."),
        "device": _("This tablet is not set up. Please ask our staff."),
        "unavailable": _("This is not working right now. Please ask our staff."),
        "offline": _("This is not working right now. Please ask our staff."),
        "camera_refused": _("The camera is not allowed on this tablet. Please ask our staff."),
        "camera_missing": _("No camera was found. Please ask our staff."),
        "camera_busy": _("The camera does not start. Please ask our staff."),
        "camera_lost": _("The camera stopped by itself. One moment."),
        "button": _("Read my code"),
        "without": _("Without a pass"),
        "kept": _("No picture leaves this tablet before a code is shown, and none is kept."),
        "script": _("This tablet needs JavaScript to be switched on."),
    }


def camera_of(device: Device) -> Camera:
    """The camera that a door tablet is; the database lets none be without."""
    assert device.camera is not None
    return device.camera


def is_open(camera: Camera) -> bool:
    """Whether this tablet may look: by the same gate as any other camera that reads passes."""
    return camera.active and camera.mode == Camera.Mode.PASS and not camera.blockers()


def pictures(burst: Burst) -> list[Image]:
    """RGB uint8 (H, W, 3) each. Raises BadImage for the first that is none."""
    return [
        decode_jpeg(unpacked(text), max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS)
        for text in burst.pictures
    ]
