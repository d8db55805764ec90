"""From a kiosk's JPEG to one aligned crop, or to the sentence that tells what to change.

Nothing is kept: an image lives as long as the call.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from django.conf import settings
from django.utils.translation import gettext as _
from numpy.typing import NDArray

from apps.recognition.engine.align import BadLandmarks, align
from apps.recognition.engine.detection import load_detector
from apps.recognition.engine.imagefile import BadImage, decode_jpeg
from apps.recognition.engine.quality import assess
from apps.recognition.engine.types import Detector


@dataclass(frozen=True, slots=True)
class Look:
    """What one picture is good for. `crop` is uint8 RGB (112, 112, 3) when `code` is "good"."""

    code: str
    text: str
    crop: NDArray[np.uint8] | None = None


@cache
def detector() -> Detector:
    """The detector alone: no process but the recognizer loads an embedder."""
    env = settings.CONSENTRY
    return load_detector(env.packs, allow_noncommercial=env.allow_noncommercial)


def look(data: bytes) -> Look:
    """Judge one picture from the kiosk's camera."""
    try:
        image = decode_jpeg(data)
    except BadImage as error:
        return _say(error.code)
    faces = detector().detect(image)
    if not faces:
        return _say("no_face")
    if len(faces) > 1:
        return _say("two_faces")
    quality = assess(image, faces[0])
    if not quality.ok:
        return _say(quality.reason or "blurred")
    try:
        return Look("good", sentence("good"), align(image, faces[0].landmarks))
    except BadLandmarks:
        return _say("turned")


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
        "not_an_image": _("The tablet sent something that is no picture. Please try again."),
        "too_large": _("The picture is too large. Please try again."),
        "truncated": _("The picture arrived incomplete. Please try again."),
    }[code]


def _say(code: str) -> Look:
    return Look(code, sentence(code))
