"""The tablet's pages and the few requests it may make. Every POST is signed by the device."""

import contextlib
import json
import logging
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.core.exceptions import RequestDataTooBig
from django.db import Error as DatabaseProblem
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt, ensure_csrf_cookie
from django.views.decorators.http import require_GET, require_POST
from pydantic import ValidationError

from apps.consent import promises
from apps.consent import services as consents
from apps.consent.models import FACE, Purpose
from apps.consent.qr import drawn
from apps.consent.services import ConsentRefused
from apps.consent.signature import BadSignaturePath, said
from apps.consent.terms import end_of, terms
from apps.kiosk import challenge as challenges
from apps.kiosk import faces, services
from apps.kiosk.challenge import Glimpse, NotAlive
from apps.kiosk.services import OptIn, OptInRefused, opt_in
from apps.recognition.client import RecognizerDown
from apps.recognition.engine.liveness import BOX_S
from apps.recognition.engine.starter import PackBroken
from apps.stores import devices, groups, mail, tablets, witnesses
from apps.stores.devices import DeviceRefused, NonceStoreDown, NonceUsed
from apps.stores.limits import allowed
from apps.stores.models import Device, Store
from apps.stores.policies import Kind
from apps.stores.tablets import Report
from apps.stores.witnesses import Seen, WitnessRefused
from apps.visits import look_alikes

log = logging.getLogger(__name__)

COOKIE_AGE = 365 * 24 * 60 * 60
# Within ten minutes at one tablet: some twelve people come by, and a few try again.
CHALLENGES = 30
# In ten minutes, at one tablet: a guess at six digits is one in a million.
WITNESS_TRIES = 10
LANGUAGES = {"en": "English", "zh-hans": "简体中文", "fr": "Français", "ar": "العربية"}

# The screen on which each part of an opt-in is given.
STEPS = {
    "purposes": "purposes",
    "stores": "purposes",
    "term": "term",
    "age_ok": "age",
    "name": "name",
    "say_as": "name",
    "asks_for": "name",
    "contact": "name",
    "signature": "signature",
    "guardian": "guardian",
    "photos": "camera",
    "challenge": "camera",
    "frames": "camera",
}

REFUSED_AT = {
    "notice_changed": "notice",
    "group_changed": "notice",
    "term": "term",
    "too_young": "age",
    "guardian": "guardian",
    "no_witness": "witness",
}

Signed = Callable[[HttpRequest, Device], HttpResponse]


def refusal(status: int, code: str, text: str, step: str = "") -> JsonResponse:
    """An error as the tablet shows it: what happened, what to do, and on which screen."""
    return JsonResponse({"error": {"code": code, "text": text, "step": step}}, status=status)


def signed_by(kind: Device.Kind) -> Callable[[Signed], Callable[[HttpRequest], HttpResponseBase]]:
    """Let only the signed request of a live device of this kind through; each reply carries the
    next nonce.

    No cookie is trusted here, so there is no CSRF to protect from.
    """

    def decorated(view: Signed) -> Callable[[HttpRequest], HttpResponseBase]:
        @csrf_exempt
        @require_POST
        @wraps(view)
        def wrapped(request: HttpRequest) -> HttpResponse:
            language = request.headers.get("Consentry-Language", "en")
            with translation.override(language if language in LANGUAGES else "en"):
                return _signed(view, request, kind)

        return wrapped

    return decorated


def _signed(view: Signed, request: HttpRequest, kind: Device.Kind) -> HttpResponse:
    try:
        device = devices.authenticate(request)
        if device.kind != kind:
            raise DeviceRefused("kind")
        return _with_next_nonce(_answer(view, request, device), device)
    except RequestDataTooBig:
        return refusal(413, "too_large", _("The picture is too large. Please try again."), "camera")
    except NonceUsed:
        return refusal(
            409, "replayed", _("That was sent already. Please go on from here."), "camera"
        )
    except DeviceRefused:
        return refusal(403, "device", _("This tablet is not enrolled. Please ask our staff."))
    except (NonceStoreDown, DatabaseProblem):
        return _unavailable()


def _with_next_nonce(response: HttpResponse, device: Device) -> HttpResponse:
    """Without one the tablet asks again; the answer itself, perhaps a receipt, must arrive."""
    with contextlib.suppress(NonceStoreDown):
        response["Consentry-Nonce"] = devices.new_nonce(device)
    return response


def _answer(view: Signed, request: HttpRequest, device: Device) -> HttpResponse:
    try:
        return view(request, device)
    except OptInRefused as error:
        if error.step == "alike" and offers_pass(device.store):
            look_alikes.note(store=device.store)
        return refusal(422, error.code, error.text, error.step)
    except NotAlive as error:
        return refusal(422, error.code, faces.sentence(error.code), "camera")
    except ConsentRefused as error:
        step = REFUSED_AT.get(error.code, "purposes")
        return refusal(409 if step == "notice" else 422, error.code, error.text, step)
    except BadSignaturePath as error:
        return refusal(422, "signature", str(error), "signature")
    except (RecognizerDown, PackBroken, DatabaseProblem) as error:
        log.error("a tablet's request could not be answered (%s)", type(error).__name__)
        return _unavailable()


def _unavailable() -> JsonResponse:
    return refusal(
        503,
        "unavailable",
        _("Something here is not working right now. Nothing was kept. Please ask our staff."),
        "camera",
    )


def cookie_of(kind: str) -> str:
    """The name of the cookie of a kind of tablet: one browser may be one of each, in a demo."""
    return f"{kind}_device"


def device_of(request: HttpRequest, kind: str = Device.Kind.KIOSK) -> Device | None:
    """The live device whose cookie this browser holds: enough to show a page, not to submit."""
    device = known_device(request, kind)
    return device if device and device.live else None


def known_device(request: HttpRequest, kind: str) -> Device | None:
    """The device whose cookie this browser holds, live or not."""
    try:
        pk = UUID(request.get_signed_cookie(cookie_of(kind), max_age=COOKIE_AGE))
    except (KeyError, ValueError, signing.BadSignature):
        return None
    rows = Device.objects.select_related("store__organization", "camera__store")
    return rows.filter(pk=pk, kind=kind).first()


def was_stopped(request: HttpRequest, kind: str = Device.Kind.KIOSK) -> bool:
    """Whether this browser is a tablet that was stopped."""
    device = known_device(request, kind)
    return device is not None and device.revoked_at is not None


def not_live(request: HttpRequest, kind: str = Device.Kind.KIOSK) -> HttpResponse:
    """What a browser shows that is no live tablet: that it was stopped, or where one is set up."""
    if was_stopped(request, kind):
        return render(request, "kiosk/stopped.html", {"kind": kind})
    return render(request, f"{kind}/enroll.html")


def offered(store: Store) -> dict[str, str]:
    """The languages of this store's kiosk, each by its own name."""
    return {code: name for code, name in LANGUAGES.items() if code in store.languages}


@require_GET
@ensure_csrf_cookie
def start(request: HttpRequest) -> HttpResponse:
    """Choose a language, or enrol the tablet."""
    device = device_of(request)
    if device is None:
        return not_live(request)
    context = {"store": device.store, "languages": offered(device.store)}
    return render(request, "kiosk/start.html", context)


def in_language(
    view: Callable[[HttpRequest, Device, str], HttpResponse],
) -> Callable[[HttpRequest, str], HttpResponse]:
    """Show a page of the live tablet in a language that its store offers; else what else to see."""

    @require_GET
    @ensure_csrf_cookie
    @wraps(view)
    def shown(request: HttpRequest, language: str) -> HttpResponse:
        device = device_of(request)
        if device is None and language in LANGUAGES and was_stopped(request):
            with translation.override(language):
                return not_live(request)
        if device is None or language not in offered(device.store):
            return redirect("kiosk:start")
        with translation.override(language):
            return view(request, device, language)

    return shown


@in_language
def flow(request: HttpRequest, device: Device, language: str) -> HttpResponse:
    """The whole opt-in in one page."""
    store = device.store
    text = consents.current_text(store=store, locale=language)
    if text is None:
        return render(request, "kiosk/closed.html", {"store": store}, status=503)
    services.begin(device)
    others = groups.others(store)
    questions = purposes(store, others, promises.days(store, text))
    now, pack = timezone.now(), promises.pack(store, text)
    choices = [
        {"months": months, "until": date_format(end_of(months, now, pack), "DATE_FORMAT")}
        for months in terms(pack)
    ]
    return render(
        request,
        "kiosk/flow.html",
        {
            "store": store,
            "languages": offered(store),
            "language": language,
            "notice": text,
            "purposes": questions,
            "total": sum("number" in each for each in questions),
            "others": others,
            "terms": choices,
            "longest": choices[-1],
            "guardian": store.pack.guardian,
            "min_age": store.pack.min_age,
            "alternative": store.check_in,
            "offers_pass": offers_pass(store),
            "offers_card": offers_card(store),
        },
    )


def recognition_of(store: Store) -> list[Purpose]:
    """The ways to recognise a face that this store has a camera for; a lane while it has none yet.

    Whoever agrees to what no camera does would leave a template here for nothing.
    """
    modes = set(store.cameras.filter(active=True).values_list("mode", flat=True))
    return [purpose for purpose in FACE if purpose.value in modes] or [Purpose.LANE]


def offers_pass(store: Store) -> bool:
    """Whether whom the lane could mix up can be offered a pass: compared one to one, nobody is."""
    return Purpose.PASS in recognition_of(store) and Purpose.PASS.value in store.pack.modes


def offers_card(store: Store) -> bool:
    """Whether a card would be taken here: where there is a check-in without a face."""
    return bool(store.non_face_check_in)


def purposes(store: Store, others: Sequence[Store], kept: dict[Kind, int]) -> list[dict[str, Any]]:
    """One question per purpose, in the order in which they are asked, each with its number; that
    about a card has none, for it is asked only after every face was declined.

    others: the other stores of its group, each named in the question about them. kept: for how
    many days, by kind.
    """
    offered = recognition_of(store)
    questions: list[dict[str, Any]] = [
        {
            "key": Purpose.LANE.value,
            "title": _("May we recognise you when you come back?"),
            "text": _(
                "A camera at the marked lane compares your face with a sealed template, "
                "only in this store."
            ),
        },
        {
            "key": Purpose.PASS.value,
            "title": _("May we recognise you when you show your pass?"),
            "text": _(
                "You get a pass, a square code. Only when you show it does a camera compare your "
                "face, with the one template that your pass opens. Without it we cannot open it."
            ),
        },
    ]
    faces = [{**each, "recognition": True} for each in questions if each["key"] in offered]
    rest = [
        {
            "key": Purpose.HISTORY.value,
            "title": _("May we remember your visits?"),
            "text": _(
                "So that we can say “your third visit”. "
                "Only visits at which you were recognised are counted."
            ),
        },
        *_elsewhere(others),
        {
            "key": Purpose.STATISTICS.value,
            "title": _("May we count your visits in the store’s statistics?"),
            "text": _(
                "How many guests came back in a month, and after how many days: only figures with "
                "at least ten people behind them are shown. They rest on the dates of your "
                "visits, which are then kept for %(days)s days, unseen by staff if you do not "
                "want them remembered."
            )
            % {"days": kept[Kind.STATISTICS]},
        },
        {
            "key": Purpose.NOTES.value,
            "title": _("May our staff keep a note about you?"),
            "text": _(
                "One short sentence, such as “likes the window seat”, that staff of this store see "
                "when you arrive. You read it on your receipt, and can delete it there."
            ),
        },
        *_contact(store),
    ]
    numbered = [{**each, "number": number} for number, each in enumerate([*faces, *rest], 1)]
    return [*numbered[: len(faces)], *_card(store), *numbered[len(faces) :]]


def _card(store: Store) -> list[dict[str, Any]]:
    """The question that whoever declined every face is asked."""
    if not offers_card(store):
        return []
    return [
        {
            "key": Purpose.CARD.value,
            "title": _("May we recognise you by a card, without your face?"),
            "text": _(
                "You get a card, a square code with sixteen signs. You show it at the door, or our "
                "staff type the signs: only then do they see that you are here. No camera looks at "
                "your face, and no picture of you is taken."
            ),
            "recognition": True,
            "card": True,
        }
    ]


def _contact(store: Store) -> list[dict[str, Any]]:
    """The question whether a person may be written to, where somebody can write."""
    if mail.missing(store.organization):
        return []
    text = _(
        "You give an e-mail address on a later screen. We write once, two weeks before this ends, "
        "and use it for nothing else."
    )
    carriers = [each.name for each in mail.carriers(store.organization)]
    if carriers:
        text += " " + _("It is delivered by %(names)s.") % {"names": ", ".join(carriers)}
    title = _("May we write to you before this ends?")
    return [{"key": Purpose.CONTACT.value, "title": title, "text": text}]


def _elsewhere(others: Sequence[Store]) -> list[dict[str, Any]]:
    """The question about the other stores of a group, where there are any."""
    if not others:
        return []
    text = _(
        "It rests on the lane, the pass or the card that you said yes to, and works the same way "
        "in the stores named below. A store that joins later is not included; one that leaves the "
        "group stops at once."
    )
    return [
        {
            "key": Purpose.GROUP.value,
            "title": _("May we recognise you in our other stores too?"),
            "stores": [store.name for store in others],
            "text": text,
        }
    ]


@require_POST
def enroll(request: HttpRequest, kind: Device.Kind) -> HttpResponse:
    """Bind this browser's key to the device whose one-time code was typed."""
    if not allowed(f"enroll:{request.META.get('REMOTE_ADDR')}", limit=10, seconds=600):
        return refusal(429, "slow_down", _("Too many attempts. Please wait ten minutes."))
    try:
        body = json.loads(request.body)
        device = devices.enroll(code=str(body["code"]), public_key=body["jwk"], kind=kind)
    except (ValueError, KeyError, TypeError, RecursionError, RequestDataTooBig):
        return refusal(400, "form", _("That did not arrive whole. Please try again."))
    except DeviceRefused:
        return refusal(
            403, "code", _("This code is not known, was used, or is too old. Ask for a new one.")
        )
    response = JsonResponse({"device": str(device.pk), "store": device.store.name})
    response.set_signed_cookie(
        cookie_of(kind),
        str(device.pk),
        max_age=COOKIE_AGE,
        httponly=True,
        secure=settings.SECURE,
        samesite="Strict",
    )
    return response


@require_POST
def nonce(request: HttpRequest, kind: Device.Kind) -> HttpResponse:
    """The first nonce of a page; later ones ride on each reply."""
    device = device_of(request, kind)
    if device is None:
        return refusal(403, "device", _("This tablet is not enrolled. Please ask our staff."))
    try:
        return JsonResponse({"nonce": devices.new_nonce(device)})
    except NonceStoreDown:
        return _unavailable()


@signed_by(Device.Kind.KIOSK)
def here(request: HttpRequest, device: Device) -> HttpResponse:
    """Take a sign of life. Once the tablet is stopped, the answer is a refusal like any other."""
    try:
        tablets.note(device=device, report=Report.model_validate_json(request.body))
    except ValidationError:
        return refusal(400, "form", _("That did not arrive whole. Please try again."))
    return HttpResponse(status=204)


@signed_by(Device.Kind.KIOSK)
def look(request: HttpRequest, device: Device) -> HttpResponse:
    """Judge one camera picture. Nothing is kept."""
    seen = faces.look(request.body)
    faces.wipe([seen])
    points = None if seen.landmarks is None else seen.landmarks.tolist()
    return JsonResponse(
        {"ok": seen.crop is not None, "code": seen.code, "text": seen.text, "points": points}
    )


@signed_by(Device.Kind.KIOSK)
def challenge(request: HttpRequest, device: Device) -> HttpResponse:
    """Draw the movements for an attempt. Guessing by trying on ends at the limit."""
    try:
        attempt = UUID(json.loads(request.body)["attempt"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return refusal(400, "form", _("That did not arrive whole. Please try again."), "camera")
    if not allowed(f"challenge:{device.pk}", limit=CHALLENGES, seconds=600):
        return refusal(429, "slow_down", _("Too many attempts. Please wait ten minutes."), "camera")
    drawn = challenges.draw(device=device, attempt=attempt)
    return JsonResponse({"challenge": drawn.id, "acts": drawn.acts, "seconds": BOX_S})


@signed_by(Device.Kind.KIOSK)
def act(request: HttpRequest, device: Device) -> HttpResponse:
    """Judge one picture of somebody who moves. Nothing is kept."""
    try:
        asked = Glimpse.model_validate_json(request.body)
    except ValidationError:
        return refusal(400, "form", _("That did not arrive whole. Please try again."), "camera")
    return JsonResponse(challenges.glimpse(asked))


@signed_by(Device.Kind.KIOSK)
def submit(request: HttpRequest, device: Device) -> HttpResponse:
    """Finish an opt-in: 201 with the receipt, or an error and nothing kept."""
    try:
        form = OptIn.model_validate_json(request.body)
    except ValidationError as error:
        # A body that is no JSON object has no field to point at.
        field = str(next(iter(error.errors(include_input=False)[0]["loc"]), ""))
        text = _("That did not arrive whole. Please try again.")
        return refusal(400, "form", text, STEPS.get(field, "notice"))
    # Nobody tries pictures at will, with movements or without, nor draws cards by the dozen.
    unasked = form.still or not form.photos
    if unasked and not allowed(f"challenge:{device.pk}", limit=CHALLENGES, seconds=600):
        step = "camera" if form.photos else "sending"
        return refusal(429, "slow_down", _("Too many attempts. Please wait ten minutes."), step)
    language = translation.get_language() or "en"
    done = opt_in(device=device, locale=language, form=form)
    signed = done.signed
    address = f"{reverse('receipt:open')}#{signed.secret}"
    receipt: dict[str, Any] = {
        "url": address,
        "qr_svg": drawn(settings.CONSENTRY.public_url + address, error="m"),
        "code": signed.secret,
        "until": date_format(signed.consent.expires_at, "DATE_FORMAT"),
        "signed": said(signed.consent),
        # Fewest modules, so that a door reads it from farthest: see recognition.passes.
        "pass_svg": drawn(done.key_share.text(), error="l") if done.key_share else "",
        "card_svg": drawn(done.card.text(), error="m") if done.card else "",
        "card": done.card.typed() if done.card else "",
    }
    return JsonResponse({"receipt": receipt}, status=201)


@signed_by(Device.Kind.KIOSK)
def undo(request: HttpRequest, device: Device) -> HttpResponse:
    """End an attempt whose answer never arrived, whether it succeeded or not."""
    try:
        attempt = UUID(json.loads(request.body)["attempt"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return refusal(400, "form", _("That did not arrive whole. Please try again."))
    services.undo(attempt=attempt, device=device)
    return HttpResponse(status=204)


@signed_by(Device.Kind.KIOSK)
def witness(request: HttpRequest, device: Device) -> HttpResponse:
    """Have a member of staff vouch, by a code from their floor board, for what they saw."""
    if not allowed(f"witness:{device.pk}", limit=WITNESS_TRIES, seconds=600):
        return refusal(429, "slow_down", _("Too many attempts. Please wait ten minutes."))
    try:
        body = json.loads(request.body)
        attempt = UUID(body["attempt"])
        seen = Seen(body.get("seen", Seen.SIGNATURE))
        witnesses.confirm(code=str(body["code"]), device=device, attempt=attempt, seen=seen)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return refusal(400, "form", _("That did not arrive whole. Please try again."), "witness")
    except WitnessRefused:
        text = _("This code is not known, was used, or is too old. Ask for a new one.")
        return refusal(403, "code", text, "witness")
    return HttpResponse(status=204)


@signed_by(Device.Kind.KIOSK)
def refuse(request: HttpRequest, device: Device) -> HttpResponse:
    """Count a refusal. Nothing about who refused."""
    try:
        declined = [Purpose(key) for key in json.loads(request.body)["purposes"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return refusal(400, "form", _("That did not arrive whole. Please try again."), "purposes")
    for purpose in dict.fromkeys(declined):
        consents.count_refusal(store=device.store, purpose=purpose)
    return HttpResponse(status=204)
