"""Draw the zone of a camera: the only part of its picture that is ever looked at."""

from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.stores.models import Camera
from apps.visits.pipeline.zone import Point, Zone, crosses_itself

MOST_CORNERS = 16


@transaction.atomic
def draw_zone(*, camera: Camera, corners: Sequence[Point], actor: str) -> Camera:
    """Give a camera its zone; no corners take it away. Corners are 0 to 1 of the picture.

    Raises ValidationError with a sentence for whoever draws.
    """
    zone = [(round(float(x), 4), round(float(y), 4)) for x, y in corners]
    if zone:
        _hold(zone)
    camera = Camera.objects.select_for_update().get(pk=camera.pk)
    camera.zone = [list(corner) for corner in zone]
    camera.save(update_fields=["zone"])
    audit.record(actor=actor, action="camera.zone", object=str(camera.pk), corners=zone)
    return camera


def _hold(zone: list[Point]) -> None:
    if len(zone) < 3:
        raise ValidationError(_("A zone has at least three corners."))
    if len(zone) > MOST_CORNERS:
        raise ValidationError(_("A zone has at most %(most)s corners.") % {"most": MOST_CORNERS})
    if crosses_itself(zone):
        raise ValidationError(_("The zone's edges cross. Move a corner until they do not."))
    try:
        Zone(zone)
    except ValueError:
        raise ValidationError(
            _("This is no zone: its corners lie within the picture and not on one line.")
        ) from None
