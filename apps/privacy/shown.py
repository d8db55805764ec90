"""The pass that a person shows from home: read from their picture of it, and dropped with it.

Picture and share live in this request's memory; neither is stored, logged or named in an error.
"""

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest
from django.utils.translation import gettext as _

from apps.recognition.engine.imagefile import BadImage
from apps.recognition.passes import Pass
from apps.recognition.photographed import pass_in

FIELD = "picture"


class NoPass(ValueError):
    """No pass could be read; the text says so to the person, and what to do."""


def shown_pass(request: HttpRequest) -> Pass:
    """The pass in the picture that was posted. Raises NoPass."""
    picture = request.FILES.get(FIELD)
    if not isinstance(picture, UploadedFile):
        raise NoPass(_("Please choose a picture of your pass first. Nothing was changed."))
    try:
        shown = pass_in(picture.read(), max_bytes=settings.FILE_UPLOAD_MAX_MEMORY_SIZE)
    except BadImage as error:
        raise NoPass(_why(error)) from None
    if shown is None:
        raise NoPass(
            _(
                "No pass could be read in this picture. Please take it from straight in front, in "
                "good light, with the whole square code in it. Nothing was changed."
            )
        )
    return shown


def _why(error: BadImage) -> str:
    return {
        "not_an_image": _(
            "This is no picture that can be read here. Please take a photo or a screenshot of your "
            "pass, as JPEG or PNG. Nothing was changed."
        ),
        "too_large": _("This picture is too large. Please take a smaller one of your pass."),
        "truncated": _("This picture did not arrive whole. Please try again."),
    }[error.code]
