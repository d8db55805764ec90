"""Record what was measured of a pack, and with which threshold it goes live.

Nothing is compared by a pack of which nothing was recorded here: see `calibrated`, which the
recognizer asks before every answer. Rows are only ever added; the last one counts.
"""

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.recognition.measured import Measurement, shipped, written
from apps.recognition.models import Calibration

if TYPE_CHECKING:
    # Brings the networks along; nobody but the recognizer needs them.
    from apps.recognition.engine.packs import Pack

LEAST, MOST = 0.05, 0.95
"""Cosines outside of which a threshold would greet everybody or nobody."""


def calibrated(pack: "Pack") -> "Pack | None":
    """The same pack with the threshold that was recorded last for its weights.

    None while nothing was recorded for them: it then answers nobody. One indexed look-up, asked
    anew each time, so that a new threshold is live with the transaction that records it.
    """
    found = Calibration.objects.of(pack.name, pack.version).values("threshold", "slope").first()
    return None if found is None else replace(pack, **found)


@transaction.atomic
def record_calibration(
    *, measurement: Measurement, source: Calibration.Source, note: str, actor: str
) -> Calibration:
    """Record a measurement; from now on its pack answers, at the threshold that was measured."""
    text = written(measurement)
    row = Calibration(
        pack=measurement.pack,
        pack_version=measurement.version,
        threshold=measurement.threshold,
        slope=measurement.slope,
        source=source,
        measured=measurement.model_dump(),
        note=note,
        recorded_by=actor,
    )
    return _saved(row, measurement_sha256=hashlib.sha256(text.encode()).hexdigest())


@transaction.atomic
def choose_threshold(
    *, basis: Calibration, threshold: float, reason: str, actor: str
) -> Calibration:
    """Set another threshold for a pack that was measured. Raises ValidationError."""
    if not LEAST <= threshold <= MOST:  # also what is no number at all
        words = _("A threshold lies between %(least)s and %(most)s.")
        raise ValidationError({"threshold": words % {"least": LEAST, "most": MOST}})
    if not reason.strip():
        raise ValidationError({"reason": _("Say why, for whoever asks later.")})
    row = Calibration(
        pack=basis.pack,
        pack_version=basis.pack_version,
        threshold=threshold,
        slope=basis.slope,
        source=Calibration.Source.CHOSEN,
        basis=basis.basis or basis,
        note=reason.strip(),
        recorded_by=actor,
    )
    return _saved(row, measurement=row.basis_id)


@transaction.atomic
def record_shipped(*, pack: str, version: str, actor: str) -> Calibration | None:
    """Record the measurement that comes with this software, unless one is recorded already."""
    known = Calibration.objects.of(pack, version).first()
    measurement = None if known else shipped(pack, version)
    if measurement is None:
        return known
    return record_calibration(
        measurement=measurement, source=Calibration.Source.SHIPPED, note="", actor=actor
    )


def _saved(row: Calibration, **detail: Any) -> Calibration:
    row.full_clean()
    row.save(force_insert=True)
    audit.record(
        actor=row.recorded_by,
        action="pack.calibrated",
        calibration=row.pk,
        pack=row.pack,
        version=row.pack_version,
        # As text: canonical JSON has one way to write 0.4, and this is ours.
        threshold=f"{row.threshold:.4f}",
        source=str(row.source),
        **detail,
    )
    return row
