"""Who runs a store, what hangs on its walls and who may do what in it."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _

from apps.stores import jurisdictions, lanes
from apps.stores.policies import Policy as Policy


class User(AbstractUser):
    """A person who works here. What they may do is said by their roles."""


class Organization(models.Model):
    """The controller: who answers for what happens with the data."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=120)
    address = models.CharField(max_length=240)
    contact_name = models.CharField(max_length=120)
    contact_email = models.EmailField()

    def __str__(self) -> str:
        return self.name


def known_jurisdiction(code: str) -> None:
    """Refuse a jurisdiction that has no pack."""
    if code not in jurisdictions.codes():
        raise ValidationError(_("There is no jurisdiction pack “%(code)s”."), params={"code": code})


class ThirdParty(models.Model):
    """Somebody outside the house who gets any of the data. The notice names all of them."""

    class Role(models.TextChoices):
        PROCESSOR = "processor", _("works for us")
        JOINT = "joint", _("answers for it together with us")
        RECIPIENT = "recipient", _("gets it for purposes of its own")
        AUTHORITY = "authority", _("an authority")

    class Transfer(models.TextChoices):
        NONE = "none", _("no: it stays under the same law")
        ADEQUACY = "adequacy", _("yes: that country is recognised as safe enough")
        CLAUSES = "clauses", _("yes: under the standard contract")
        CONSENT = "consent", _("yes: each person agreed to that by itself")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="third_parties")
    name = models.CharField(max_length=120)
    role = models.CharField(max_length=12, choices=Role)
    purpose = models.CharField(
        max_length=240,
        help_text=_("What it gets and what for, in words for every language of the notice."),
    )
    country = models.CharField(max_length=80)
    contact = models.CharField(max_length=240)
    contract_at = models.DateField(
        _("contract of"),
        null=True,
        blank=True,
        help_text=_("When the contract on this was signed (GDPR 28(3), PIPL 21)."),
    )
    transfer = models.CharField(
        _("leaves the country"),
        max_length=12,
        blank=True,
        choices=Transfer,
        help_text=_("On what ground the data may go there (GDPR 44 ff., PIPL 38)."),
    )
    delivers_mail = models.BooleanField(
        _("delivers our e-mail"),
        default=False,
        db_default=False,
        help_text=_(
            "Needed before a visitor can be written to: it gets the address and the message, and "
            "nothing else."
        ),
    )
    ended_at = models.DateTimeField(
        null=True, blank=True, help_text=_("From then on it gets nothing, and no notice names it.")
    )

    class Meta:
        ordering = ("name",)
        verbose_name_plural = "third parties"

    def __str__(self) -> str:
        return self.name

    @property
    def lacks(self) -> list[str]:
        """What the register should say of it and does not, one sentence each."""
        found = []
        works_with_us = self.role in (self.Role.PROCESSOR, self.Role.JOINT)
        if works_with_us and self.contract_at is None:
            found.append(gettext("The date of its contract is missing (GDPR 28(3) and 26)."))
        if not self.transfer:
            found.append(gettext("It is not said whether data leaves the country (GDPR 30(1)(e))."))
        return found


def all_languages() -> list[str]:
    """Codes of every language that the house speaks."""
    return [code for code, _name in settings.LANGUAGES]


def known_language(code: str) -> None:
    """Refuse a language that the house does not speak."""
    if code not in all_languages():
        raise ValidationError(_("“%(code)s” is no language of ours."), params={"code": code})


def known_languages(words: dict[str, str]) -> None:
    """Refuse words by anything else than a language that the house speaks."""
    for code in words:
        known_language(code)


class Store(models.Model):
    """One shop. Its jurisdiction pack decides ages, terms, clocks and camera modes."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="stores")
    name = models.CharField(max_length=120)
    slug = models.SlugField(unique=True)
    jurisdiction = models.CharField(
        max_length=20, default="strict", validators=[known_jurisdiction]
    )
    languages = ArrayField(
        models.CharField(max_length=10, validators=[known_language]),
        default=all_languages,
        help_text=_("What the kiosk offers. No notice is published that lacks one of them."),
    )
    non_face_check_in = models.CharField(
        max_length=240,
        blank=True,
        help_text=_(
            "How a customer gets the same benefits without a face. No lane runs without it."
        ),
    )
    check_in_words = models.JSONField(
        _("the same in each language"),
        default=dict,
        blank=True,
        validators=[known_languages],
        help_text=_(
            "The same in each language of the kiosk. Where one is missing, the words above stand."
        ),
    )
    absence_minutes = models.PositiveIntegerField(
        _("absence, minutes"),
        default=30,
        validators=[MinValueValidator(1), MaxValueValidator(24 * 60)],
        help_text=_("After how many minutes out of sight a return is a new visit."),
    )
    cool_down_minutes = models.PositiveIntegerField(
        _("cool-down, minutes"),
        default=0,
        validators=[MaxValueValidator(24 * 60)],
        help_text=_(
            "For how many minutes after an arrival the same person is not announced again, "
            "however often they go out and come in. 0: the absence alone decides."
        ),
    )

    class Meta:
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(languages__len__gt=0), name="store_offers_a_language"
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def pack(self) -> jurisdictions.Pack:
        return jurisdictions.get(self.jurisdiction)

    @property
    def check_in(self) -> str:
        """How to get the same benefits without a face, in the language that is active."""
        words: str = self.check_in_words.get(get_language(), "")
        return words or self.non_face_check_in

    def clean(self) -> None:
        """Refuse to move a store that is in a group. Raises ValidationError."""
        before = Store.objects.filter(pk=self.pk, membership__isnull=False).first()
        if before and (before.organization_id, before.jurisdiction) != (
            self.organization_id,
            self.jurisdiction,
        ):
            raise ValidationError(
                _(
                    "This store is in a group, whose stores share one organization and "
                    "jurisdiction. Take it out of the group first."
                )
            )


class StoreGroup(models.Model):
    """Stores that may recognise each other's visitors, where those agreed to that too.

    All of one organization and under one jurisdiction that permits it: what somebody agreed to
    under one law is not carried into another. A consent names the stores that were in it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="groups")
    name = models.CharField(max_length=120)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A store that is in a group: in one at most, from `joined_at`, which the database sets.

    It ends by being deleted. A store that comes back has joined anew: no older consent covers it.
    """

    store = models.OneToOneField(Store, models.CASCADE, primary_key=True, related_name="membership")
    group = models.ForeignKey(StoreGroup, models.PROTECT, related_name="memberships")
    joined_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("store__name",)

    def __str__(self) -> str:
        return f"{self.store} · {self.group}"


class Role(models.Model):
    """What a user may do in one store: staff greet, a manager reads the insights, an officer has
    the portal."""

    class Kind(models.TextChoices):
        STAFF = "staff", _("Sales staff")
        MANAGER = "manager", _("Store manager")
        DPO = "dpo", _("Data protection officer")

    user = models.ForeignKey(User, models.CASCADE, related_name="roles")
    store = models.ForeignKey(Store, models.CASCADE, related_name="roles")
    kind = models.CharField(max_length=10, choices=Kind)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("user", "store", "kind"), name="one_role_once"),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} · {self.store}"


class Device(models.Model):
    """A tablet of one store. Its private key never leaves it; here is the public half.

    A door tablet is a camera too: `camera` is where its gate, its counters and its health are.
    """

    class Kind(models.TextChoices):
        KIOSK = "kiosk", _("Kiosk tablet")
        DOOR = "door", _("Door tablet, reads passes")

    class CameraState(models.TextChoices):
        """What a tablet says of its own camera; nothing of what is before it."""

        OK = "ok", _("works")
        DENIED = "denied", _("not allowed")
        DARK = "dark", _("gives black pictures")
        NONE = "none", _("none found")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    store = models.ForeignKey(Store, models.CASCADE, related_name="devices")
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.KIOSK)
    camera = models.OneToOneField(
        "Camera", models.PROTECT, null=True, editable=False, related_name="tablet"
    )
    name = models.CharField(max_length=60)
    code_digest = models.CharField(max_length=64, blank=True, editable=False)
    code_expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    public_key = models.JSONField(null=True, blank=True, editable=False)
    enrolled_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    reported_at = models.DateTimeField(null=True, blank=True, editable=False)
    version = models.CharField(max_length=20, blank=True, editable=False)
    camera_state = models.CharField(
        _("its camera"), max_length=10, blank=True, choices=CameraState, editable=False
    )
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text=_("The tablet stops working at this time.")
    )
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=models.Q(kind="door", camera__isnull=False)
                | models.Q(kind="kiosk", camera=None),
                name="a_door_tablet_is_a_camera",
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} · {self.store}"

    @property
    def live(self) -> bool:
        """Enrolled, not revoked, not past its end."""
        expired = self.expires_at is not None and self.expires_at <= timezone.now()
        return bool(self.public_key) and self.revoked_at is None and not expired


class Camera(models.Model):
    """One camera and the mode it may run in. There is no walk-by mode, and no room for one."""

    class Mode(models.TextChoices):
        COUNT = "count", _("Count people, recognise nobody")
        PASS = "pass", _("Recognise who shows their own pass")
        LANE = "lane", _("Recognise opted-in visitors in a marked lane")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    store = models.ForeignKey(Store, models.CASCADE, related_name="cameras")
    name = models.CharField(max_length=60)
    mode = models.CharField(max_length=10, choices=Mode, default=Mode.COUNT)
    source = models.CharField(
        max_length=400,
        blank=True,
        help_text=_("A file, an RTSP address or a USB device. Empty for a door tablet only."),
    )
    loop = models.BooleanField(default=False, help_text=_("Play a file again and again (demo)."))
    zone = models.JSONField(
        default=list, blank=True, help_text=_("Corners of the lane, each [x, y] between 0 and 1.")
    )
    line = models.JSONField(
        default=list, blank=True, help_text=_("Two ends of the counting line, between 0 and 1.")
    )
    signage_confirmed_at = models.DateTimeField(null=True, blank=True)
    active = models.BooleanField(default=True)
    triggers = models.PositiveBigIntegerField(default=0, editable=False)
    aborts = models.JSONField(default=dict, editable=False)
    outside_zone = models.PositiveBigIntegerField(default=0, editable=False)
    embeddings_outside_trigger = models.PositiveBigIntegerField(default=0, editable=False)
    counted_at = models.DateTimeField(null=True, blank=True, editable=False)
    state = models.CharField(max_length=20, blank=True, editable=False)
    last_frame_at = models.DateTimeField(null=True, blank=True, editable=False)
    reported_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ("store__name", "name")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(mode__in=["count", "pass", "lane"]), name="camera_mode_is_lawful"
            ),
            models.CheckConstraint(
                condition=models.Q(mode="pass") | ~models.Q(source=""),
                name="a_tablet_reads_passes_only",
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} · {self.store}"

    def clean(self) -> None:
        """Refuse what no watcher could run. Raises ValidationError by field."""
        problems = {}
        if not _points(self.zone) or len(self.zone) in (1, 2):
            problems["zone"] = _("At least three corners, each [x, y] between 0 and 1, or nothing.")
        if not _points(self.line) or len(self.line) not in (0, 2):
            problems["line"] = _("Two ends, each [x, y] between 0 and 1, or nothing.")
        if "://" in self.source and not self.source.startswith(("rtsp://", "rtsps://")):
            problems["source"] = _("A file, an rtsp:// address, or a device such as /dev/video0.")
        tablet = Device.objects.filter(camera=self.pk).first()
        if tablet is None and not self.source:
            problems["source"] = _("Where does its picture come from? Only a door tablet has none.")
        if tablet is not None and (
            self.source or self.mode != self.Mode.PASS or self.store_id != tablet.store_id
        ):
            problems["source"] = _(
                "A door tablet is this camera: it has no other source, reads passes, "
                "and stays in its store."
            )
        if problems:
            raise ValidationError(problems)

    @property
    def is_tablet(self) -> bool:
        """Whether a door tablet is this camera, so that no watcher has anything to open."""
        return not self.source

    def assessment(self, at: datetime | None = None) -> Assessment | None:
        """The signed, unexpired assessment of this camera in its mode, if there is one."""
        at = at or timezone.now()
        valid = (each for each in self.assessments.all() if each.holds(self.mode, at))
        return max(valid, key=lambda each: each.signed_at or at, default=None)

    def blockers(self) -> list[str]:
        """Why this camera may not run in its mode, one sentence each; empty when it may."""
        return [need.missing for need in lanes.needs(self) if not need.met]

    @property
    def zone_is_drawn(self) -> bool:
        return _points(self.zone) and len(self.zone) >= 3


def _points(value: object) -> bool:
    """Whether this is a list of [x, y], each from 0 to 1."""
    return isinstance(value, list) and all(
        isinstance(point, list)
        and len(point) == 2
        and all(isinstance(number, int | float) and 0 <= number <= 1 for number in point)
        for point in value
    )


class Assessment(models.Model):
    """An impact assessment of one camera in one mode (GDPR 35, PIPL 55): written, then signed.

    Whoever wrote in it is in `editors`; for a lane somebody else signs. A signed one is never
    changed, which PostgreSQL sees to (migration 0013), and what holds then is in `facts`. `digest`
    is of all that was signed: see stores.assessments. Version 0: signed before they were documents;
    none is added once there is a document (migration 0016).
    `risks` are rows: {"risk", "likelihood", "severity", "measure"}.
    """

    class Level(models.TextChoices):
        LOW = "low", _("low")
        MEDIUM = "medium", _("medium")
        HIGH = "high", _("high")

    camera = models.ForeignKey(Camera, models.CASCADE, related_name="assessments")
    mode = models.CharField(
        max_length=10, choices=Camera.Mode, default=Camera.Mode.LANE, db_default="lane"
    )
    version = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    necessity = models.TextField(_("why it is necessary"))
    alternatives = models.TextField(_("what milder means were considered"), blank=True)
    proportionality = models.TextField(_("why it is in proportion"), blank=True)
    consulted = models.TextField(_("who was asked, and what they said"), blank=True)
    risks = models.JSONField(default=list, blank=True)
    max_faces = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(4)]
    )
    way_past = models.CharField(
        _("other way in"),
        max_length=240,
        blank=True,
        help_text=_(
            "Where people walk who do not want to be seen. Needed when the lane reaches from side "
            "to side of the picture."
        ),
    )
    editors = ArrayField(models.BigIntegerField(), default=list, editable=False)
    facts = models.JSONField(default=dict, editable=False)
    digest = models.CharField(max_length=64, blank=True, editable=False)
    signed_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    signed_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(expires_at__gt=models.F("signed_at")), name="assessment_ends"
            ),
            models.CheckConstraint(
                condition=models.Q(max_faces__range=(1, 4)), name="assessment_allows_few_faces"
            ),
            models.CheckConstraint(
                condition=models.Q(signed_by=None, signed_at=None)
                | models.Q(signed_by__isnull=False, signed_at__isnull=False),
                name="assessment_is_signed_by_somebody",
            ),
            models.UniqueConstraint(
                fields=("camera", "version"),
                condition=models.Q(version__gt=0),
                name="one_assessment_a_version",
            ),
            models.UniqueConstraint(
                fields=("camera",),
                condition=models.Q(signed_at=None),
                name="one_assessment_is_being_written",
            ),
        ]

    def __str__(self) -> str:
        if self.version or self.signed_at is None:
            return f"{self.camera} v{self.version}"
        return f"{self.camera} {self.signed_at:%Y-%m-%d}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Raises ValidationError when it was signed by anyone but an officer of this store."""
        if self.signed_by is not None:
            officers = self.signed_by.roles.filter(kind=Role.Kind.DPO, store=self.camera.store_id)
            if not officers.exists():
                raise ValidationError(
                    _("An assessment is signed by the store's data protection officer.")
                )
        super().save(*args, **kwargs)

    def holds(self, mode: str, at: datetime) -> bool:
        """Whether it is signed for this mode and not over at this time."""
        signed = self.signed_at is not None and self.signed_at <= at
        return signed and at < self.expires_at and self.mode == mode


class Sign(models.Model):
    """A check that a camera's sign hangs where people read it first: what it says, in which
    languages, who looked, and when somebody looks again."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    camera = models.ForeignKey(Camera, models.CASCADE, related_name="signs")
    mode = models.CharField(max_length=10, choices=Camera.Mode)
    words = models.JSONField()
    digest = models.CharField(max_length=64)
    confirmed_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    confirmed_at = models.DateTimeField(default=timezone.now)
    next_check_at = models.DateTimeField()

    class Meta:
        ordering = ("-confirmed_at",)

    def __str__(self) -> str:
        return f"{self.camera} {self.confirmed_at:%Y-%m-%d}"


class Breach(models.Model):
    """A breach of personal data in the register (GDPR 33(5)): what, when, what was done and why.

    Its texts name nobody. Whom it affected is not written down but found anew by its filter: people
    of these `stores` (none: all of the organization) of whom any of these `kinds` is held, and who
    signed, or came, within the span. `tell_authority` and `tell_people` are decisions, each with
    its reason; null: not decided yet.
    """

    class Kind(models.TextChoices):
        TEMPLATE = "template", _("sealed face templates")
        NAME = "name", _("names and contacts")
        NOTE = "note", _("notes by staff")
        VISIT = "visit", _("dates of visits")
        PROOF = "proof", _("signed consents")

    class Span(models.TextChoices):
        SIGNED = "signed", _("people who signed within these days")
        VISITED = "visited", _("people who came within these days")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="breaches")
    what = models.TextField(_("what happened"), help_text=_("Name nobody here."))
    happened_at = models.DateTimeField(_("since when"), null=True, blank=True)
    discovered_at = models.DateTimeField(_("when we learned of it"))
    stores = ArrayField(models.UUIDField(), default=list, blank=True)
    kinds = ArrayField(models.CharField(max_length=10, choices=Kind))
    span = models.CharField(max_length=10, choices=Span, default=Span.SIGNED)
    span_from = models.DateField(null=True, blank=True)
    span_until = models.DateField(null=True, blank=True)
    consequences = models.TextField(_("what it can do to people"), blank=True)
    measures = models.TextField(_("what was done about it"), blank=True)
    words = models.JSONField(
        _("what to tell people"),
        default=dict,
        blank=True,
        validators=[known_languages],
        help_text=_("In plain words. Where one is missing, what stands above holds."),
    )
    tell_authority = models.BooleanField(null=True)
    authority_why = models.TextField(blank=True)
    authority_told_at = models.DateTimeField(null=True, blank=True)
    tell_people = models.BooleanField(null=True)
    people_why = models.TextField(blank=True)
    people_told_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-discovered_at",)
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=(models.Q(tell_authority=None) | ~models.Q(authority_why=""))
                & (models.Q(tell_people=None) | ~models.Q(people_why="")),
                name="a_decision_has_its_reason",
            ),
            models.CheckConstraint(
                condition=models.Q(closed_at=None)
                | models.Q(tell_authority__isnull=False, tell_people__isnull=False),
                name="a_breach_ends_decided",
            ),
        ]

    def __str__(self) -> str:
        return f"breach {self.discovered_at:%Y-%m-%d}"

    def affected_stores(self) -> models.QuerySet[Store]:
        """The stores whose people it may have touched."""
        stores = self.organization.stores.all()
        return stores.filter(pk__in=self.stores) if self.stores else stores

    def words_in(self, language: str) -> str:
        """What people are told in this language."""
        told: str = self.words.get(language, "")
        return told or self.what

    @property
    def due_at(self) -> datetime:
        """Until when the authority is told: by the shortest clock of the stores' laws."""
        hours = [store.pack.breach_hours for store in self.affected_stores()]
        return self.discovered_at + timedelta(hours=min(hours, default=0))

    @property
    def waits(self) -> bool:
        """Whether the authority is still to be told, or that to be decided."""
        undecided = self.tell_authority is not False and self.authority_told_at is None
        return self.closed_at is None and undecided
