"""From a kiosk's JPEG to one aligned crop, or to the sentence that tells what to change.

Nothing is kept: an image lives as long as the call.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
from django.conf import settings
from django.utils.translation import gettext as _
from numpy.typing import NDArray

from apps.recognition.briefly import briefly
from apps.recognition.engine import liveness
from apps.recognition.engine.detection import load_detector
from apps.recognition.engine.imagefile import BadImage, decode_jpeg
from apps.recognition.engine.quality import assess
from apps.recognition.engine.types import Detector, Floats


@dataclass(frozen=True, slots=True)
class Look:
    """What one picture is good for. When `code` is "good": `crop`, uint8 RGB (112, 112, 3);
    `landmarks`, float32 (5, 2) in pixels. When it was judged too: `grid`, see engine.liveness;
    `alive`, what the pack's liveness network says, True without one.
    """

    code: str
    text: str
    crop: NDArray[np.uint8] | None = None
    landmarks: Floats | None = None
    grid: float = 0.0
    alive: bool = True


@cache
def detector() -> Detector:
    """The detector alone: no process but the recognizer loads an embedder."""
    env = settings.CONSENTRY
    return load_detector(env.packs, allow_noncommercial=env.allow_noncommercial)


@cache
def addon() -> liveness.AddOn | None:
    """The pack's liveness network. Raises PackBroken when it is declared and not whole."""
    return liveness.load_addon(settings.CONSENTRY.packs)


def look(data: bytes, *, judged: bool = False) -> Look:
    """Look at one picture from the kiosk's camera; `judged` also for whether it is alive."""
    return _seen(data, strict=True, judged=judged)


def glance(data: bytes, *, judged: bool = False) -> Look:
    """Look at one picture of the challenge, in which a head may be turned and on its way."""
    return _seen(data, strict=False, judged=judged)


def stacked(looks: Iterable[Look]) -> NDArray[np.uint8]:
    """A copy of their crops, uint8 (N, 112, 112, 3), for the caller to overwrite."""
    return np.stack([each.crop for each in looks if each.crop is not None])


def wipe(looks: Iterable[Look]) -> None:
    """Overwrite the crops of pictures that have served."""
    for each in looks:
        if each.crop is not None:
            each.crop.fill(0)


def _seen(data: bytes, *, strict: bool, judged: bool) -> Look:
    try:
        decoded = decode_jpeg(data)
    except BadImage as error:
        return _say(error.code)
    with briefly(decoded) as image:
        faces = detector().detect(image)
        if not faces:
            return _say("no_face")
        if len(faces) > 1:
            return _say("two_faces" if strict else "two_faces_came")
        (face,) = faces
        quality, crop = assess(image, face)
        if strict and not quality.ok:
            return _say(quality.reason or "blurred")
        if crop is None:
            return _say("turned")
        # Opened also where nothing is judged: one that is broken closes the kiosk at once.
        network = addon() if strict else None
        return Look(
            "good",
            sentence("good"),
            crop,
            face.landmarks,
            liveness.grid(image, face) if judged else 0.0,
            not judged or network is None or network.alive(image, face),
        )


def sentence(code: str) -> str:
    """What to tell the person, in the language that is active."""
    return {
        "good": _("Good. Hold still."),
        "no_face": _("Please look into the oval."),
        "two_faces": _("One person at a time, please. Ask the others to step aside."),
        "too_small": _("A little closer, please."),
        "too_dark": _("It is too dark here. Turn towards the light."),
        "too_bright": _("It is very bright here. Turn a little away from the light."),
        "blurred": _("Hold still for a moment."),
        "turned": _("Look straight at the tablet."),
        "cut_off": _("Move so that your whole face is in the oval."),
        "covered": _("Please uncover your face: eyes, nose and mouth."),
        "two_faces_came": _("We saw two faces. Please come alone to the picture."),
        "face_lost": _(
            "We lost sight of your face. Please stay in the picture; a small turn is enough."
        ),
        "not_seen": _("We did not see the movement. Please try again, or ask our staff."),
        "other_act": _(
            "That was another movement than we asked for. Never mind: please try again."
        ),
        "looks_flat": _(
            "We could not tell your face from a picture of a face. "
            "Please try again without a screen or a photo in view, or ask our staff."
        ),
        "too_slow": _("That took a little long. Please try again, and take your time."),
        "not_an_image": _("The tablet sent something that is no picture. Please try again."),
        "too_large": _("The picture is too large. Please try again."),
        "truncated": _("The picture arrived incomplete. Please try again."),
    }[code]


def _say(code: str) -> Look:
    return Look(code, sentence(code))
