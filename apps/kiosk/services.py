"""The opt-in: everything or nothing, in one transaction, from what the person sent at the very end.

Until then the server has kept nothing; what fails here leaves nothing behind.
"""

import base64
import binascii
import uuid
from typing import Annotated

import numpy as np
from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from apps.consent import services as consents
from apps.consent.models import Purpose
from apps.consent.services import Signed
from apps.kiosk import faces
from apps.recognition.client import CropsRefused, Recognizer, SealRequest
from apps.retention.models import Erasure
from apps.retention.services.erase import erase, lock
from apps.stores.models import Device
from apps.visitors import services as visitors
from apps.visitors.models import Visitor

MIN_CROPS = 3
# No control signs, of which PostgreSQL takes no NUL and a greeting none.
ONE_LINE = r"^\P{Cc}*$"
# At least one sign that can be seen: a card with an empty name greets nobody.
SOMETHING_TO_SAY = r"^\P{Cc}*[\p{L}\p{N}\p{P}\p{S}]\P{Cc}*$"


class OptInRefused(ValueError):
    """The opt-in cannot be finished. `step` names the screen to go back to."""

    def __init__(self, code: str, text: str, step: str) -> None:
        super().__init__(code)
        self.code = code
        self.text = text
        self.step = step


class Purposes(BaseModel):
    """One yes or no for each purpose; nothing is assumed."""

    model_config = ConfigDict(extra="forbid")

    lane: bool
    history: bool
    contact: bool

    def agreed(self) -> list[Purpose]:
        return [purpose for purpose in Purpose if getattr(self, purpose.value)]


class OptIn(BaseModel):
    """What the tablet sends when the person has finished."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    attempt: uuid.UUID = Field(default_factory=uuid.uuid4)
    notice: uuid.UUID
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    purposes: Purposes
    age_ok: bool
    name: Annotated[
        str, StringConstraints(strip_whitespace=True, max_length=60, pattern=SOMETHING_TO_SAY)
    ]
    contact: Annotated[
        str, StringConstraints(strip_whitespace=True, max_length=120, pattern=ONE_LINE)
    ] = ""
    signature: list[list[list[float]]]
    photos: Annotated[list[str], Field(min_length=1, max_length=5)]


def opt_in(*, device: Device, locale: str, form: OptIn) -> Signed:
    """Sign, seal and enrol. Raises OptInRefused, ConsentRefused, BadSignaturePath, RecognizerDown.

    The crops are sealed before the transaction begins: no lock is held while a network runs.
    Whoever is enrolled already is enrolled anew, and the older enrolment ends with it; why, and
    why the tablet hears nothing of that, says recognition.alike.
    An attempt that has succeeded, and whose answer was lost, only gets its receipt anew.
    """
    if done := consents.find_attempt(attempt=form.attempt, device=device):
        return consents.reissue(done)
    consent = consents.draft(
        attempt=form.attempt,
        device=device,
        locale=locale,
        notice=str(form.notice),
        digest=form.digest,
        purposes=form.purposes.agreed(),
        age_confirmed=form.age_ok,
        signature=form.signature,
    )
    crops = np.stack(_crops(form.photos))
    visitor, template = uuid.uuid4(), uuid.uuid4()
    request = SealRequest(
        organization=consent.store.organization_id,
        store=consent.store_id,
        visitor=visitor,
        template=template,
        consent=consent.pk,
        purpose=Purpose.LANE,
        not_after=int(consent.expires_at.timestamp()),
    )
    try:
        sealed = Recognizer(settings.CONSENTRY.socket).seal(request, crops)
    except CropsRefused as error:
        if error.code == "too_alike":
            raise OptInRefused(error.code, too_alike(), "alike") from None
        raise OptInRefused(
            error.code,
            _("The pictures do not show the same person. Please try again, alone."),
            "camera",
        ) from None
    with transaction.atomic():
        older = _older(sealed.same, device)
        signed = consents.sign(consent)
        visitors.enroll(
            visitor=visitor,
            consent=signed.consent,
            greeting_name=form.name,
            contact=form.contact,
            template=visitors.SealedTemplate(
                template=template,
                wrapped_key=sealed.wrapped_key,
                generation=sealed.generation,
                sealed=sealed.sealed,
                pack=sealed.pack,
                pack_version=sealed.pack_version,
            ),
            actor=f"device:{device.pk}",
        )
        if older:
            erase(visitor=older, cause=Erasure.Cause.REPLACED, actor=f"device:{device.pk}")
    return signed


def too_alike() -> str:
    """What a person hears whom the lane could mix up, be it with another or with themselves."""
    return _(
        "At the lane you could be mixed up with somebody else, so we did not set it up, "
        "and nothing was kept. If you said yes here before, that still holds."
    )


def _older(same: uuid.UUID | None, device: Device) -> Visitor | None:
    """The enrolment that this one replaces, locked; None when there is none, or none any more."""
    if same is None or not Visitor.objects.filter(pk=same, store=device.store_id).exists():
        return None
    try:
        return lock(same)
    except Visitor.DoesNotExist:
        return None


def _crops(photos: list[str]) -> list[np.ndarray]:
    crops = []
    for photo in photos:
        try:
            seen = faces.look(base64.b64decode(photo, validate=True))
        except binascii.Error:
            seen = faces.Look("not_an_image", faces.sentence("not_an_image"))
        if seen.crop is None:
            raise OptInRefused(seen.code, seen.text, "camera")
        crops.append(seen.crop)
    if len(crops) < MIN_CROPS:
        raise OptInRefused(
            "too_few", _("Three good pictures are needed. Please try again."), "camera"
        )
    return crops
