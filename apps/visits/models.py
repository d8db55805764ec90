"""Visits of opted-in visitors, and footfall that names nobody."""

from __future__ import annotations

import uuid

from django.db import models

from apps.consent.models import Consent
from apps.stores.models import Camera, Organization, Store, User
from apps.visitors.models import FaceTemplate, Visitor


class FalseGreeting(models.Model):
    """A match that staff said was somebody else: how near it came, where and on which day.

    It is for setting the threshold, never for training, and names nobody. Only the wrong visit
    knows of it, until that visit goes with its shift, so that a mistaken tap can be taken back.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    store = models.ForeignKey(Store, models.CASCADE, related_name="false_greetings")
    camera = models.ForeignKey(Camera, models.SET_NULL, null=True, related_name="false_greetings")
    day = models.DateField()
    score = models.FloatField()
    threshold = models.FloatField()

    class Meta:
        ordering = ("-day", "-score")
        indexes = (models.Index(fields=("store", "-day"), name="false_greetings_of_a_week"),)

    def __str__(self) -> str:
        return f"{self.day} {self.score:.2f}"


class Disclosure(models.Model):
    """How many arrivals the boards of a store were told, a day. Counts and nothing else.

    `count` is of matches of faces, by which the rate of false greetings is divided; `by_card` is of
    arrivals at which no face was looked at, and nothing could be matched falsely.
    """

    store = models.ForeignKey(Store, models.CASCADE, related_name="disclosures")
    day = models.DateField()
    count = models.PositiveIntegerField(default=0, db_default=0)
    by_card = models.PositiveIntegerField(default=0, db_default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("store", "day"), name="one_disclosure_count_a_day"),
        )

    def __str__(self) -> str:
        return f"{self.store} {self.day}: {self.count}"


class Unmatched(models.Model):
    """How many people in a store's lanes were nobody it knows, a day. A count and nothing else.

    Each of them met the whole gallery, so each could have been greeted by somebody's name: false
    greetings are expected in proportion (privacy.calibration).
    """

    store = models.ForeignKey(Store, models.CASCADE, related_name="unmatched")
    day = models.DateField()
    count = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("store", "day"), name="one_unmatched_count_a_day"),
        )

    def __str__(self) -> str:
        return f"{self.store} {self.day}: {self.count}"


class LookAlike(models.Model):
    """How often a day a kiosk offered a pass to somebody whom the lane could mix up, and when last.

    Counts and one time, for those who work there; nothing about either of the two.
    """

    store = models.ForeignKey(Store, models.CASCADE, related_name="look_alikes")
    day = models.DateField()
    count = models.PositiveIntegerField(default=0)
    latest_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("store", "day"), name="one_look_alike_count_a_day"),
        )

    def __str__(self) -> str:
        return f"{self.store} {self.day}: {self.count}"


class OptIn(models.Model):
    """How often a kiosk's questions were begun and finished, a month. Counts and nothing else."""

    store = models.ForeignKey(Store, models.CASCADE, related_name="opt_ins")
    month = models.DateField()
    started = models.PositiveIntegerField(default=0)
    finished = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("store", "month"), name="one_opt_in_count_a_month"),
        )

    def __str__(self) -> str:
        return f"{self.store} {self.month:%Y-%m}: {self.finished} of {self.started}"


class Rollup(models.Model):
    """What a day or a month was like at a store; no store: at all of an organization together.

    A day holds the hours of each entrance, footfall a month of them so far. A month holds what may
    be told of people: null in place of a figure that was withheld before it was written. It is
    never worked out anew, for what would have changed between the two might be one person.
    """

    class Span(models.TextChoices):
        DAY = "day"
        FOOTFALL = "footfall"
        MONTH = "month"

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="rollups")
    store = models.ForeignKey(Store, models.CASCADE, null=True, related_name="rollups")
    span = models.CharField(max_length=8, choices=Span)
    begins = models.DateField()
    figures = models.JSONField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("organization", "store", "span", "begins"),
                nulls_distinct=False,
                name="one_rollup_a_span",
            ),
        )

    def __str__(self) -> str:
        return f"{self.store or self.organization} {self.span} {self.begins}"


class VisitQuerySet(models.QuerySet["Visit"]):
    def theirs(self) -> VisitQuerySet:
        """Visits of the person they name: nobody said that it was someone else."""
        return self.filter(wrong_at=None)


class Visit(models.Model):
    """One person, one stay. Created only by the statement that re-checks the consent (services).

    Whoever came by their card has no camera, score, threshold or template: no face was looked at.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    sequence = models.BigIntegerField(unique=True, editable=False)
    visitor = models.ForeignKey(Visitor, models.CASCADE, related_name="visits")
    consent = models.ForeignKey(Consent, models.PROTECT, related_name="visits")
    store = models.ForeignKey(Store, models.PROTECT, related_name="visits")
    camera = models.ForeignKey(Camera, models.SET_NULL, null=True, related_name="visits")
    number = models.PositiveIntegerField(null=True)
    score = models.FloatField(null=True)
    threshold = models.FloatField(null=True)
    seen_at = models.DateTimeField()
    arrived_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    greeted_at = models.DateTimeField(null=True, blank=True)
    greeted_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    handed_to = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    wrong_at = models.DateTimeField(null=True, blank=True)
    wrong_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    false_greeting = models.OneToOneField(
        FalseGreeting, models.SET_NULL, null=True, related_name="+"
    )
    # What matched, and when that, or the card, would have gone without this visit: a wrong one
    # prolongs nothing.
    template = models.ForeignKey(FaceTemplate, models.SET_NULL, null=True, related_name="+")
    template_due = models.DateTimeField(null=True)
    delete_after = models.DateTimeField(db_index=True)

    objects = VisitQuerySet.as_manager()

    class Meta:
        ordering = ("-sequence",)
        indexes = (models.Index(fields=("store", "-sequence")),)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(false_greeting=None) | models.Q(wrong_at__isnull=False),
                name="only_a_wrong_visit_is_a_false_greeting",
            ),
            models.CheckConstraint(
                condition=models.Q(score__isnull=False, threshold__isnull=False)
                | models.Q(
                    score=None, threshold=None, camera=None, template=None, false_greeting=None
                ),
                name="a_face_has_a_score_and_a_card_has_none",
            ),
        )

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
