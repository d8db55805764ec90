"""The recognizers that run, what each has forgotten, and with which threshold packs may answer."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.recognition.engine.rates import threshold_at_size
from apps.recognition.measured import Measurement
from apps.visitors.models import Eviction

SILENCE = timedelta(seconds=5)
"""Without a beat: from then on a recognizer answers nobody (keeper.SILENCE)."""


class RecognizerQuerySet(models.QuerySet["Recognizer"]):
    def running(self) -> RecognizerQuerySet:
        """Those that have reported within the last SILENCE and were not stopped."""
        return self.filter(stopped_at=None, seen_at__gt=Now() - SILENCE)

    def uncalibrated(self) -> RecognizerQuerySet:
        """Those of whose pack nothing is recorded: they answer nobody."""
        recorded = Calibration.objects.filter(
            pack=models.OuterRef("pack"), pack_version=models.OuterRef("pack_version")
        )
        return self.exclude(models.Exists(recorded))


class Recognizer(models.Model):
    """One running recognizer. One that has been silent for 5 s has stopped answering by itself."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    pack = models.CharField(max_length=60)
    pack_version = models.CharField(max_length=80)
    licence = models.CharField(max_length=120)
    commercial = models.BooleanField()
    dim = models.PositiveIntegerField(null=True)
    # The pack that is being left, as FormerPack is written; empty when it reads one only.
    former = models.CharField(max_length=150, blank=True)
    templates = models.PositiveIntegerField(default=0)
    generation = models.PositiveIntegerField()
    # The oldest generation that it can still open anything with.
    oldest = models.PositiveIntegerField(null=True)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(db_index=True)
    stopped_at = models.DateTimeField(null=True, blank=True)

    objects = RecognizerQuerySet.as_manager()

    def __str__(self) -> str:
        return f"recognizer {str(self.id)[:8]}"


class Acknowledgement(models.Model):
    """This recognizer no longer holds this template in memory."""

    eviction = models.ForeignKey(Eviction, models.CASCADE, related_name="acknowledgements")
    recognizer = models.ForeignKey(Recognizer, models.CASCADE, related_name="acknowledgements")
    at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("eviction", "recognizer"), name="acknowledged_once"),
        )

    def __str__(self) -> str:
        return f"{self.recognizer_id} {self.eviction_id}"


class CalibrationQuerySet(models.QuerySet["Calibration"]):
    def of(self, pack: str, version: str) -> CalibrationQuerySet:
        """What was recorded for these weights, the last first: the one that counts."""
        return self.filter(pack=pack, pack_version=version).order_by("-id")


class Calibration(models.Model):
    """With which threshold a pack answers, from when on, and what was measured of it.

    Rows are added by services only and changed by nobody: PostgreSQL refuses it. A chosen threshold
    points to the measurement that it rests on. Of people it holds counts alone.
    """

    class Source(models.TextChoices):
        SHIPPED = "shipped", _("measured by the makers of this software")
        MEASURED = "measured", _("measured here")
        CHOSEN = "chosen", _("chosen by an officer")

    pack = models.CharField(max_length=60)
    pack_version = models.CharField(max_length=80)
    threshold = models.FloatField()
    slope = models.FloatField()
    source = models.CharField(max_length=10, choices=Source)
    measured = models.JSONField(null=True, blank=True)
    basis = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="+")
    note = models.CharField(max_length=200, blank=True)
    recorded_by = models.CharField(max_length=80)
    recorded_at = models.DateTimeField(default=timezone.now)

    objects = CalibrationQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name = _("calibration")
        verbose_name_plural = _("calibration")
        indexes = (models.Index(fields=("pack", "pack_version", "-id"), name="last_calibration"),)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(threshold__gt=0, threshold__lt=1, slope__gte=0, slope__lte=1),
                name="threshold_is_a_cosine",
            ),
            models.CheckConstraint(
                condition=models.Q(source="chosen", basis__isnull=False, measured__isnull=True)
                | models.Q(source__in=["shipped", "measured"], basis=None, measured__isnull=False),
                name="calibration_rests_on_a_measurement",
            ),
        )

    def __str__(self) -> str:
        return f"{self.pack} {self.pack_version} {self.threshold:.3f}"

    @property
    def measurement(self) -> Measurement:
        """What this threshold rests on."""
        return Measurement.model_validate(self.basis.measured if self.basis else self.measured)

    def threshold_for(self, templates: int) -> float:
        """Least cosine of a match in a gallery of so many templates."""
        return threshold_at_size(self.threshold, self.slope, templates)
