"""A signature: the drawn path only, or a typed name for whoever cannot draw.

Speed and pressure would be biometrics themselves. A typed name anyone can type, so it counts only
beside a witness: see `consent.services.draft`.
"""

import itertools
import math
from typing import Any

from django.utils.translation import gettext as _

from apps.consent.models import Consent

Path = list[list[list[float]]]

# A full name in Chinese is two signs at least.
MIN_LETTERS = 2
MIN_POINTS = 8
MAX_POINTS = 5000
# In units of the pad's width: shorter than this is a dot or a slip of the finger.
MIN_LENGTH = 0.15


class BadSignaturePath(ValueError):
    """Not a signature that a person drew; the text says what to do."""


def method_of(signature: Any) -> Consent.SignatureMethod:
    """How this signature was given: strokes were drawn, an object holds a typed name."""
    typed = isinstance(signature, dict)
    return Consent.SignatureMethod.TYPED if typed else Consent.SignatureMethod.DRAWN


def said(consent: Consent) -> list[str]:
    """How this was signed and in whose presence, in sentences for the person; staff by role, as
    everywhere on a receipt."""
    words = [
        {
            Consent.SignatureMethod.TYPED: _("With your typed name; one of our staff saw it."),
            Consent.SignatureMethod.CODE: _("Renewed with the code of this receipt."),
        }.get(Consent.SignatureMethod(consent.signature_method), _("Drawn by finger."))
    ]
    if consent.guardian:
        words.append(
            _("Co-signed by %(name)s, parent or guardian; one of our staff saw it.")
            % {"name": consent.guardian["name"]}
        )
    if consent.presence_witness_id:
        words.append(_("Without the movements before the camera; one of our staff saw you there."))
    return words


def check(signature: Any) -> None:
    """Check a signature, drawn or typed as `{"name": …}`. Raises BadSignaturePath."""
    if not isinstance(signature, dict):
        check_path(signature)
    elif sum(sign.isalpha() for sign in str(signature.get("name", ""))) < MIN_LETTERS:
        raise BadSignaturePath(_("Please type your full name."))


def check_path(strokes: Any) -> None:
    """Check strokes of [x, y] points in 0..1. Raises BadSignaturePath."""
    if not isinstance(strokes, list) or not all(isinstance(stroke, list) for stroke in strokes):
        raise BadSignaturePath(_("Please sign with your finger."))
    points = [point for stroke in strokes for point in stroke]
    if len(points) > MAX_POINTS or not all(_is_point(point) for point in points):
        raise BadSignaturePath(_("Please sign again, inside the box."))
    length = sum(
        math.dist(one, other) for stroke in strokes for one, other in itertools.pairwise(stroke)
    )
    if len(points) < MIN_POINTS or length < MIN_LENGTH:
        raise BadSignaturePath(_("That was very short. Please sign with your name or your sign."))


def _is_point(point: Any) -> bool:
    return (
        isinstance(point, list)
        and len(point) == 2
        and all(isinstance(value, int | float) and 0 <= value <= 1 for value in point)
    )
