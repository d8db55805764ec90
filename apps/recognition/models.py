"""The recognizers that run, and what each has acknowledged to have forgotten."""

import uuid

from django.db import models

from apps.visitors.models import Eviction


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
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(db_index=True)
    stopped_at = models.DateTimeField(null=True, blank=True)

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
