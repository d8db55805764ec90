"""Visits of opted-in visitors, and footfall that names nobody."""

import uuid

from django.db import models

from apps.consent.models import Consent
from apps.stores.models import Camera, Store, User
from apps.visitors.models import Visitor


class Visit(models.Model):
    """One person, one stay. Created only by the statement that re-checks the consent (services)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    sequence = models.BigIntegerField(unique=True, editable=False)
    visitor = models.ForeignKey(Visitor, models.CASCADE, related_name="visits")
    consent = models.ForeignKey(Consent, models.PROTECT, related_name="visits")
    store = models.ForeignKey(Store, models.PROTECT, related_name="visits")
    camera = models.ForeignKey(Camera, models.SET_NULL, null=True, related_name="visits")
    number = models.PositiveIntegerField(null=True)
    score = models.FloatField()
    threshold = models.FloatField()
    seen_at = models.DateTimeField()
    arrived_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    greeted_at = models.DateTimeField(null=True, blank=True)
    greeted_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    delete_after = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ("-sequence",)
        indexes = (models.Index(fields=("store", "-sequence")),)

    def __str__(self) -> str:
        return f"visit {self.id}"


class Footfall(models.Model):
    """People in and out by entrance and quarter of an hour. A count and nothing else."""

    camera = models.ForeignKey(Camera, models.CASCADE, related_name="footfall")
    quarter = models.DateTimeField()
    entered = models.PositiveIntegerField(default=0)
    left = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("camera", "quarter"), name="one_count_a_quarter"),
        )

    def __str__(self) -> str:
        return f"{self.camera} {self.quarter:%Y-%m-%d %H:%M}"
