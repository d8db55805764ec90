"""An opted-in visitor and what is kept of them. PostgreSQL refuses a template without a consent.

There is no table for a face that matched nobody, and the schema test refuses one.
"""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.consent.coverage import covers
from apps.consent.models import Consent, Purpose
from apps.stores.models import Organization, Store


class Sex(models.TextChoices):
    """What people may say of themselves, for the statistics. Nothing else ever fills it in."""

    FEMALE = "female", _("Female")
    MALE = "male", _("Male")
    OTHER = "other", _("Other")


class Age(models.TextChoices):
    """The same of their age; nobody under age is asked."""

    FROM_18 = "18-29", _("18 to 29")
    FROM_30 = "30-44", _("30 to 44")
    FROM_45 = "45-59", _("45 to 59")
    FROM_60 = "60+", _("60 or over")


class Visitor(models.Model):
    """A person who signed. The name is what they asked to be greeted by, nothing more.

    Who likes says how that name is said, and whom of the staff they ask for.

    `sex` and `age` are what they said of themselves on their receipt, for the statistics that they
    agreed to; PostgreSQL refuses either without, and empties both when that purpose ends.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    subject = models.UUIDField(unique=True, editable=False)
    store = models.ForeignKey(Store, models.PROTECT, related_name="visitors")
    greeting_name = models.CharField(max_length=60)
    say_as = models.CharField(max_length=60, blank=True, default="", db_default="")
    asks_for = models.CharField(max_length=60, blank=True, default="", db_default="")
    contact = models.CharField(max_length=120, blank=True)
    sex = models.CharField(max_length=6, blank=True, db_default="", default="", choices=Sex)
    age = models.CharField(max_length=5, blank=True, db_default="", default="", choices=Age)
    restricted_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"visitor {self.id}"


class Note(models.Model):
    """One short sentence by the staff of a visitor's store, which the visitor reads and may delete.

    PostgreSQL refuses one without a live consent to notes, and lets it go with that purpose. It
    lies as the name does: readable in the database, erased with the person.
    """

    MOST: ClassVar = 200

    visitor = models.OneToOneField(Visitor, models.CASCADE, primary_key=True, related_name="note")
    text = models.CharField(max_length=MOST)
    written_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"note on {self.visitor_id}"


class DataKey(models.Model):
    """The visitor's own key, wrapped by one generation of the keyring."""

    visitor = models.OneToOneField(
        Visitor, models.CASCADE, primary_key=True, related_name="data_key"
    )
    wrapped = models.BinaryField()
    generation = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"data key of {self.visitor_id}"


class KeyGeneration(models.Model):
    """A generation of the keyring, for whoever may not open it. The keyring itself is right when
    the two differ, as after a restore; it is written here by whoever tends it.

    No key may be wrapped by one that is closed: PostgreSQL refuses it. emptied_at: since when no
    key is. destroyed_at: when nobody could bring it back any more.
    """

    number = models.PositiveIntegerField(primary_key=True)
    held_by = models.CharField(max_length=10)
    created_at = models.DateTimeField()
    emptied_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    destroyed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("number",)

    def __str__(self) -> str:
        return f"generation {self.number}"


def not_agreed(subject: str, purpose: Purpose) -> models.Q:
    """Rows of people who have no live consent to this purpose any more. subject: the way to it."""
    agreed = Consent.objects.live().filter(
        subject=models.OuterRef(subject), purposes__contains=[purpose]
    )
    return ~models.Q(models.Exists(agreed))


class Rotation(models.Model):
    """A secret of an organization that turns its templates, wrapped by the keyring.

    New templates are turned by the one with the highest number. An earlier one stays for as long as
    a template names it, and PostgreSQL refuses to delete it before.
    """

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="rotations")
    number = models.PositiveIntegerField()
    wrapped = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(
        null=True, blank=True, help_text="When no template for a lane was left behind."
    )

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("organization", "number"), name="rotation_number_once"),
        )

    def __str__(self) -> str:
        return f"rotation {self.number} of {self.organization_id}"


class FormerPack(models.Model):
    """A model pack that is being left, and when the templates that it made are over.

    Written by a recognizer that starts with another pack; an officer sets the day. No photo is
    kept, so nobody's template can be made again without them: see recognition.recapture.
    """

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=60)
    version = models.CharField(max_length=80)
    licence = models.CharField(max_length=120, blank=True)
    dim = models.PositiveIntegerField(null=True)
    left_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ("-left_at",)
        verbose_name = "former model"
        verbose_name_plural = "models"
        constraints = (
            models.UniqueConstraint(fields=("name", "version"), name="a_pack_is_left_once"),
        )

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def ended(self) -> bool:
        """Whether its day has come."""
        return self.ends_at is not None and self.ends_at <= timezone.now()


def _its_pack() -> models.QuerySet[FormerPack]:
    """The former pack that made a template of the query around this one."""
    return FormerPack.objects.filter(
        name=models.OuterRef("pack"), version=models.OuterRef("pack_version")
    )


def left() -> models.Q:
    """Templates of any former pack, whether it has ended or not."""
    return models.Q(models.Exists(_its_pack()))


def retired() -> models.Q:
    """Templates of a pack whose day has come."""
    return models.Q(models.Exists(_its_pack().filter(ends_at__lte=Now())))


def retirement() -> models.Subquery:
    """When the pack of a template ends; null while nobody has set a day."""
    return models.Subquery(_its_pack().values("ends_at"))


def overdue() -> models.Q:
    """Templates that must go: past a deadline, withdrawn, for a purpose no longer agreed to, or of
    a pack that is retired."""
    return retired() | _over() | ~models.Q(consent__purposes__contains=[models.F("purpose")])


def card_overdue() -> models.Q:
    """Cards that must go: past a deadline, withdrawn, or no longer agreed to."""
    return _over() | ~models.Q(consent__purposes__contains=[Purpose.CARD])


def cards_held() -> models.QuerySet[Card]:
    """Cards within their time, of people who are paused too."""
    return Card.objects.exclude(card_overdue())


def cards_now() -> models.QuerySet[Card]:
    """Cards that are good now: not past any deadline, consent live, person not restricted."""
    return cards_held().filter(visitor__restricted_at=None)


def _over() -> models.Q:
    return (
        models.Q(delete_after__lte=Now())
        | models.Q(consent__expires_at__lte=Now())
        | models.Q(consent__withdrawn_at__isnull=False)
    )


class TemplateQuerySet(models.QuerySet["FaceTemplate"]):
    def live(self) -> TemplateQuerySet:
        """Readable now: not past any deadline, consent live, person not restricted."""
        return self.filter(
            ~retired(),
            delete_after__gt=Now(),
            consent__withdrawn_at=None,
            consent__expires_at__gt=Now(),
            visitor__restricted_at=None,
        )

    def searched_in(self, store: Store) -> TemplateQuerySet:
        """Those that recognizers search in a store: made there, or for its group as well."""
        named = models.Q(consent__group_stores__contains=[store.pk])
        here = models.Value(store.pk, models.UUIDField())
        return self.filter(models.Q(store=store) | named & models.Q(covers("consent__", here)))


class FaceTemplate(models.Model):
    """One sealed template. `not_after` is sealed in with it; `delete_after` can only be earlier.

    `rotation` is the number of the rotation that turned it, also sealed in; 0 for none.

    A person has one for each purpose and pack. One that was taken anew at a visit names it, to go
    with it when staff say that it was somebody else; `shown_as` is the template that the person's
    pass names, when this one stands in for it. `mixed_up`: the present pack could not tell this
    person from another visitor, so that nothing was taken anew.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    visitor = models.ForeignKey(Visitor, models.CASCADE, related_name="templates")
    consent = models.ForeignKey(Consent, models.PROTECT, related_name="templates")
    # By the index below.
    store = models.ForeignKey(Store, models.PROTECT, related_name="templates", db_index=False)
    purpose = models.CharField(max_length=20)
    pack = models.CharField(max_length=60)
    pack_version = models.CharField(max_length=80)
    rotation = models.PositiveIntegerField(default=0, db_default=0)
    sealed = models.BinaryField()
    not_after = models.DateTimeField()
    delete_after = models.DateTimeField(db_index=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    visit = models.UUIDField(null=True, db_index=True)
    shown_as = models.UUIDField(null=True, db_index=True)
    mixed_up = models.BooleanField(default=False, db_default=False)

    objects = TemplateQuerySet.as_manager()

    class Meta:
        indexes = (
            # Also counts a store's templates of one pack without reading what is sealed.
            models.Index(
                fields=("store", "purpose", "pack", "pack_version"), name="templates_of_a_store"
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(delete_after__lte=models.F("not_after")),
                name="template_never_outlives_consent",
            ),
            models.UniqueConstraint(
                fields=("visitor", "purpose", "pack", "pack_version"),
                name="one_template_a_purpose_and_pack",
            ),
        )

    def __str__(self) -> str:
        return f"template {self.id}"


class Card(models.Model):
    """By what somebody is known who shows no face: the digest of a code that only they have.

    PostgreSQL refuses one without a live consent to it, and keeps its deadline within that. It has
    the clock of a template, which any visit of the person sets back.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    visitor = models.OneToOneField(Visitor, models.CASCADE, related_name="card")
    consent = models.ForeignKey(Consent, models.PROTECT, related_name="cards")
    store = models.ForeignKey(Store, models.PROTECT, related_name="cards")
    digest = models.BinaryField(max_length=32, unique=True)
    delete_after = models.DateTimeField(db_index=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"card {self.id}"


class Eviction(models.Model):
    """A template that every recognizer must forget at once. Written by the database itself."""

    id = models.BigAutoField(primary_key=True)
    template = models.UUIDField(db_index=True)
    visitor = models.UUIDField(db_index=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"eviction {self.id}"
