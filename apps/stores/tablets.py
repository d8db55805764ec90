"""How a tablet fares: what it reports of itself, and what the portal says of it in a word.

A report names a version and the state of a camera, and nothing of anybody who stands there.
"""

from datetime import timedelta
from typing import Annotated

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _
from pydantic import BaseModel, ConfigDict, StringConstraints

from apps.stores.models import Device

SILENT = timedelta(minutes=3)
"""Without a report: three of a kiosk's, which sends one a minute; a door sends more."""


class Report(BaseModel):
    """A sign of life. version: of the page that the tablet shows; a page of a release that did not
    say so yet says neither."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z.+-]{0,20}$")] = ""
    camera: Device.CameraState | None = None


def note(*, device: Device, report: Report) -> None:
    """Remember a tablet's latest report in place of the one before."""
    Device.objects.filter(pk=device.pk).update(
        reported_at=timezone.now(), version=report.version, camera_state=report.camera or ""
    )


def state_of(device: Device) -> str:
    """What to say of a tablet first: what keeps it from working, or that it works."""
    now = timezone.now()
    if device.revoked_at is not None:
        return _("stopped")
    if not device.public_key:
        return _("not set up yet")
    if device.expires_at is not None and device.expires_at <= now:
        return _("past its end")
    if device.reported_at is None or now - device.reported_at > SILENT:
        return _("silent: see that it is on, in the network, and shows its page")
    troubles: dict[str, str] = {
        Device.CameraState.DENIED: _("its browser may not use the camera"),
        Device.CameraState.NONE: _("it finds no camera"),
        Device.CameraState.DARK: _("its camera gives black pictures: see what covers it"),
    }
    if trouble := troubles.get(device.camera_state):
        return trouble
    if device.version != settings.VERSION:
        return _("works, with an older page: load it again")
    return _("works")
