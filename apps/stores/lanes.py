"""What a camera needs before it may compare a face, each need with its reason; a lane needs most.

There is no setting that takes one of them away, and what only counts people needs none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from apps.stores.models import Camera

WAY_PAST = 0.1
"""Share of the picture's width that must lie free beside a lane: our choice, about a person's width
where a lane of one to two metres fills the rest."""


@dataclass(frozen=True, slots=True)
class Need:
    """One condition. name: what it is about; missing: why the camera may not run without it."""

    name: str
    met: bool
    missing: str


def needs(camera: Camera) -> list[Need]:
    """Everything this camera needs in its mode, met or not."""
    if camera.mode == "count":
        return []
    return list(_needs(camera, lane=camera.mode == "lane"))


def leaves_a_way_past(zone: Sequence[Sequence[float]]) -> bool:
    """Whether somebody can walk by outside this zone, corners [x, y] from 0 to 1."""
    across = [corner[0] for corner in zone]
    return min(across) >= WAY_PAST or max(across) <= 1 - WAY_PAST


def _needs(camera: Camera, *, lane: bool) -> Iterator[Need]:
    yield Need(
        _("Jurisdiction"),
        camera.mode in camera.store.pack.modes,
        _("The jurisdiction of this store does not permit this mode."),
    )
    assessment = camera.assessment() if lane else None
    if lane:
        yield Need(
            _("Impact assessment"),
            assessment is not None,
            _("It needs an impact assessment that is signed and not expired."),
        )
    yield Need(
        _("Sign"),
        camera.signage_confirmed_at is not None,
        _("Confirm that the sign at the lane hangs where people read it first.")
        if lane
        else _("Confirm that the sign at the camera hangs where people read it first."),
    )
    yield Need(
        _("Check-in without a face"),
        bool(camera.store.non_face_check_in),
        _("The store offers no check-in without a face."),
    )
    if lane:
        drawn = camera.zone_is_drawn
        yield Need(_("Zone"), drawn, _("Draw the lane: a zone of at least three corners."))
        if drawn:
            named = assessment is not None and bool(assessment.way_past.strip())
            yield Need(
                _("A way past"),
                named or leaves_a_way_past(camera.zone),
                _(
                    "The lane reaches from side to side. Leave a tenth of the picture free beside "
                    "it, or sign an assessment that names the other way in."
                ),
            )
