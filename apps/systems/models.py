"""Other systems that are told of arrivals, and whom they were told of.

A system never learns who somebody is here: it hears a random id that was drawn for it and this
person alone (`Told.person`), so that two systems cannot join what they know, and nobody can once
the row is gone. What is to be told lies in an outbox (`Delivery`), written in the transaction of
what it tells (see outbox.py), and stays there until the system has acknowledged it.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.stores.models import Organization, Store, ThirdParty


class Scope(models.TextChoices):
    """What a client may ask."""

    STORES = "stores", _("stores")
    DEVICES = "devices", _("tablets and cameras")
    VISITS = "visits", _("arrivals of people who signed, without their names")
    NAMES = "names", _("the names to greet them by")
    CONSENTS = "consents", _("whether the holder of a pass agreed, and to what")
    REQUESTS = "requests", _("requests of people: kind, state, due date")
    FILE = "requests.file", _("writing down a request")


class Event(models.TextChoices):
    """What a client is told by itself. All but the first cannot be switched off (GDPR 19)."""

    ARRIVED = "visitor.arrived", _("visitor arrived")
    RETRACTED = "visit.retracted", _("the arrival was someone else's")
    RESTRICTED = "person.restricted", _("recognition paused")
    RESUMED = "person.resumed", _("recognition resumed")
    RECTIFIED = "person.rectified", _("name corrected")
    WITHDRAWN = "consent.withdrawn", _("consent withdrawn")
    ERASED = "person.erased", _("erased")


class ClientQuerySet(models.QuerySet["Client"]):
    def live(self) -> ClientQuerySet:
        return self.filter(ended_at=None)

    def seen_from(self, stores: models.QuerySet[Store]) -> ClientQuerySet:
        """Those that hear of any of these stores."""
        return self.filter(
            pk__in=Client.stores.through.objects.filter(store__in=stores).values("client")
        )


class Client(models.Model):
    """A system: a till, a CRM, a display. `party` is who runs it, when the house does not."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="clients")
    party = models.ForeignKey(ThirdParty, models.PROTECT, null=True, blank=True, related_name="+")
    name = models.CharField(max_length=80)
    stores = models.ManyToManyField(Store, related_name="clients")
    scopes = ArrayField(models.CharField(max_length=20, choices=Scope), default=list)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = ClientQuerySet.as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class TokenQuerySet(models.QuerySet["Token"]):
    def live(self) -> TokenQuerySet:
        """Those that open the door now."""
        return self.filter(revoked_at=None, expires_at__gt=Now(), client__ended_at=None)


class Token(models.Model):
    """A key of a client. Shown once; here is its SHA-256, as it is drawn from 256 random bits."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    client = models.ForeignKey(Client, models.CASCADE, related_name="tokens")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    last_used_on = models.DateField(null=True)

    objects = TokenQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"token {str(self.pk)[:8]}"

    @property
    def live(self) -> bool:
        return self.revoked_at is None and self.expires_at > timezone.now()


class Webhook(models.Model):
    """Where a client is told, and the sealed secret by which it knows that it is us."""

    client = models.OneToOneField(Client, models.CASCADE, primary_key=True, related_name="webhook")
    url = models.CharField(max_length=240)
    # Whether it hears of arrivals too; the end of a consent it always hears.
    arrivals = models.BooleanField(default=False)
    sealed = models.CharField(max_length=120, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"webhook of {self.client_id}"


class Told(models.Model):
    """That a client was told of a person, since when, and the id that it knows them by.

    `subject` is that of their consents; it goes with the person's erasure, and then nothing here
    says who they were. The row stays until the client has acknowledged that, or until
    `delete_after`.
    """

    LIMIT: ClassVar = timedelta(days=90)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    client = models.ForeignKey(Client, models.PROTECT, related_name="told")
    subject = models.UUIDField(null=True, db_index=True)
    person = models.UUIDField(default=uuid.uuid4, editable=False)
    since = models.DateTimeField()
    delete_after = models.DateTimeField(null=True, db_index=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("client", "subject"), name="told_of_somebody_once"),
            models.CheckConstraint(
                condition=Q(subject__isnull=False) | Q(delete_after__isnull=False),
                name="told_of_nobody_for_a_while_only",
            ),
        )

    def __str__(self) -> str:
        return f"told {self.pk}"


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def endings(self) -> DeliveryQuerySet:
        """What must reach whoever was told (GDPR 19)."""
        return self.exclude(event=Event.ARRIVED)

    def due(self) -> DeliveryQuerySet:
        """What can be tried now."""
        return self.filter(
            failed_at=None,
            due_at__lte=Now(),
            delete_after__gt=Now(),
            told__client__ended_at=None,
            told__client__webhook__isnull=False,
        )


class Delivery(models.Model):
    """One message of the outbox, gone once it is acknowledged. `id` is the message's own, on every
    try the same. `purpose` is the one that was withdrawn, where it was not everything.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    told = models.ForeignKey(Told, models.CASCADE, related_name="deliveries")
    event = models.CharField(max_length=20, choices=Event)
    store = models.ForeignKey(Store, models.CASCADE, null=True, related_name="+")
    visit = models.UUIDField(null=True, db_index=True)
    purpose = models.CharField(max_length=20, blank=True)
    at = models.DateTimeField()
    due_at = models.DateTimeField(db_index=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    tried_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=40, blank=True)
    failed_at = models.DateTimeField(null=True)
    delete_after = models.DateTimeField(db_index=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        ordering = ("at", "id")

    def __str__(self) -> str:
        return f"delivery {self.pk}"
