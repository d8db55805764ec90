"""The signs at the cameras: what they say, and the register of who saw that they hang (GDPR 13,
PIPL 26).

The words come from the registers, so that a sign cannot say anything else than the camera does;
when they change, the one that hangs is out of date and the register says so.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta

import rfc8785
from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import override

from apps.audit import services as audit
from apps.stores.access import actor
from apps.stores.models import Camera, Sign, Store, User

Words = dict[str, list[str]]
"""Lines by language, the first of them the headline."""


@dataclass(frozen=True, slots=True)
class Hanging:
    """How a camera's sign fares. `last`: the newest check, if any; `changed`: what should hang
    there says something else now; `overdue`: nobody has looked again in time."""

    camera: Camera
    last: Sign | None
    changed: bool
    overdue: bool

    @property
    def fine(self) -> bool:
        return self.last is not None and not self.changed and not self.overdue


def words(camera: Camera) -> Words:
    """What the sign of this camera says, in each language of its store."""
    return {code: _said(camera, code) for code in camera.store.languages}


def address_of(store: Store) -> str:
    """Where whoever stands before the sign reads everything."""
    return f"{settings.CONSENTRY.public_url}{reverse('public', args=[store.slug])}"


def digest_of(said: Words) -> str:
    """SHA-256 of the canonical JSON (RFC 8785) of what a sign says."""
    return hashlib.sha256(rfc8785.dumps(dict(said))).hexdigest()


def hanging(cameras: list[Camera]) -> list[Hanging]:
    """How the signs of these cameras fare; `signs` and `store__organization` fetched with them."""
    now = timezone.now()
    found = []
    for camera in cameras:
        last = max(camera.signs.all(), key=lambda sign: sign.confirmed_at, default=None)
        found.append(
            Hanging(
                camera,
                last,
                changed=last is not None and last.digest != digest_of(words(camera)),
                overdue=last is not None and last.next_check_at <= now,
            )
        )
    return found


@transaction.atomic
def confirm(*, camera: Camera, user: User) -> Sign:
    """Write down that this user saw the sign hang as it should, now."""
    camera = (
        Camera.objects.select_for_update(of=("self",))
        .select_related("store__organization")
        .get(pk=camera.pk)
    )
    now = timezone.now()
    said = words(camera)
    sign = Sign.objects.create(
        camera=camera,
        mode=camera.mode,
        words=said,
        digest=digest_of(said),
        confirmed_by=user,
        confirmed_at=now,
        next_check_at=now + timedelta(days=camera.store.pack.sign_check_days),
    )
    camera.signage_confirmed_at = now
    camera.save(update_fields=["signage_confirmed_at"])
    audit.record(
        actor=actor(user), action="sign.confirmed", object=str(camera.pk), digest=sign.digest
    )
    return sign


def _said(camera: Camera, language: str) -> list[str]:
    store = camera.store
    with override(language):
        match camera.mode:
            case Camera.Mode.LANE:
                lines = [
                    _("A camera recognises people in this lane: only those who signed for it"),
                    _("Whoever did not sign is not recognised. No picture is kept."),
                ]
                assessment = camera.assessment()
                if assessment and assessment.way_past.strip():
                    lines.append(_("The other way in: %(way)s") % {"way": assessment.way_past})
            case Camera.Mode.PASS:
                lines = [
                    _("A camera looks here only when somebody shows their own pass"),
                    _("Whoever shows none is not recognised. No picture is kept."),
                ]
            case _count:
                lines = [
                    _("A camera counts people here"),
                    _("It recognises nobody. No picture is kept."),
                ]
        if store.non_face_check_in and camera.mode != Camera.Mode.COUNT:
            lines.append(_("The same without your face: %(way)s") % {"way": store.check_in})
        house = store.organization
        lines.append(
            _("%(organization)s answers for this: %(email)s")
            % {"organization": house.name, "email": house.contact_email}
        )
        return lines
