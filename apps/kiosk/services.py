"""The opt-in: everything or nothing, in one transaction, from what the person sent at the very end.

Until then the server has kept nothing; what fails here leaves nothing behind.
"""

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import connection, transaction
from django.utils.translation import gettext as _
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from apps.consent import services as consents
from apps.consent.models import FACE, Consent, Purpose
from apps.consent.services import Signed
from apps.kiosk import challenge as challenges
from apps.kiosk import faces, undone
from apps.recognition.briefly import briefly
from apps.recognition.client import CropsRefused, Recognizer, Sealed, SealRequest
from apps.recognition.passes import Pass
from apps.retention.holds import Held
from apps.retention.models import Erasure
from apps.retention.services.erase import erase, lock
from apps.stores import mail
from apps.stores.models import Device, User
from apps.stores.witnesses import Seen, witness_of
from apps.visitors import cards
from apps.visitors import services as visitors
from apps.visitors.cards import CardCode
from apps.visitors.models import Visitor
from apps.visitors.names import SOMETHING_TO_SAY, BesideTheName, GreetingName
from apps.visits import reports

MIN_CROPS = 3
# The other stores that one question may name.
MOST_STORES = 1000
# The first half of the advisory lock's name; the second is the attempt.
LOCK = 27560
# No control signs, of which PostgreSQL takes no NUL and a greeting none.
ONE_LINE = r"^\P{Cc}*$"


class OptInRefused(ValueError):
    """The opt-in cannot be finished. `step` names the screen to go back to."""

    def __init__(self, code: str, text: str, step: str) -> None:
        super().__init__(code)
        self.code = code
        self.text = text
        self.step = step


class Purposes(BaseModel):
    """One yes or no for each purpose that was asked for; nothing is assumed.

    A store asks for the kinds of recognition that it has cameras for, for a card where it has a way
    to check in without a face, for other stores where its group has any, for a contact where it can
    write to it, and for all the rest.
    """

    model_config = ConfigDict(extra="forbid")

    lane: bool = False
    pass_: bool = Field(default=False, alias="pass")
    card: bool = False
    history: bool
    statistics: bool = False
    group: bool = False
    notes: bool = False
    contact: bool = False

    def asked(self) -> list[Purpose]:
        return [Purpose(key) for key in self.model_dump(by_alias=True, exclude_unset=True)]

    def agreed(self) -> list[Purpose]:
        answers = self.model_dump(by_alias=True)
        return [purpose for purpose in Purpose if answers[purpose.value]]


FullName = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=80, pattern=SOMETHING_TO_SAY)
]


class TypedName(BaseModel):
    """A signature of whoever cannot draw one."""

    model_config = ConfigDict(extra="forbid")

    name: FullName


# Strokes of [x, y] points, 0..1 of the box; or a typed name.
Signature = list[list[list[float]]] | TypedName


class Guardian(BaseModel):
    """The parent or guardian who is there in person and co-signs."""

    model_config = ConfigDict(extra="forbid")

    name: FullName
    signature: Signature


class OptIn(BaseModel):
    """What the tablet sends when the person has finished.

    Pictures come with it exactly where recognition by the face was agreed to, in whichever way.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    attempt: uuid.UUID = Field(default_factory=uuid.uuid4)
    notice: uuid.UUID
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    purposes: Purposes
    stores: Annotated[list[uuid.UUID], Field(max_length=MOST_STORES)] = []
    term: int
    age_ok: bool
    name: GreetingName
    say_as: BesideTheName = ""
    asks_for: BesideTheName = ""
    contact: Annotated[
        str, StringConstraints(strip_whitespace=True, max_length=120, pattern=ONE_LINE)
    ] = ""
    signature: Signature
    guardian: Guardian | None = None
    photos: Annotated[list[str], Field(max_length=5, validate_default=True)] = []
    # Whoever cannot make the movements sends neither of these, and has a witness.
    still: bool = False
    challenge: Annotated[str, StringConstraints(pattern=r"^[\w-]{0,64}$")] = ""
    frames: Annotated[list[challenges.Frame], Field(max_length=challenges.MAX_FRAMES)] = []

    @field_validator("photos", "frames")
    @classmethod
    def _of_who_agreed(cls, pictures: list[Any], info: ValidationInfo) -> list[Any]:
        agreed = info.data["purposes"].agreed() if "purposes" in info.data else []
        face = any(purpose in FACE for purpose in agreed)
        if face and not pictures and info.field_name == "photos":
            raise ValueError("a face is to be recognised")
        if pictures and not face and Purpose.CARD in agreed:
            raise ValueError("no face is to be recognised")
        return pictures


@dataclass(frozen=True, slots=True)
class OptedIn:
    """A fresh consent with its receipt, and the pass and the card if they were agreed to.

    `key_share` and `card` are in nobody's memory but the caller's, who draws and forgets them.
    """

    signed: Signed
    key_share: Pass | None
    card: CardCode | None


def opt_in(*, device: Device, locale: str, form: OptIn) -> OptedIn:
    """Sign, seal and enrol, once somebody was seen to be there (kiosk.challenge), or a member of
    staff vouched for it and the pictures look alive all the same.

    Raises OptInRefused, NotAlive, ConsentRefused, BadSignaturePath, RecognizerDown, NonceStoreDown.

    The crops are sealed before the transaction begins: no lock is held while a network runs.
    Whoever is enrolled already is enrolled anew, and the older enrolment ends with it; why, and
    why the tablet hears nothing of that, says recognition.alike.
    Whoever agreed to a card alone is never before a camera, and no recognizer hears of them.
    An attempt that has succeeded, and whose answer was lost, only gets its receipt anew, and a new
    pass and card in place of those that nobody holds.
    """
    if done := consents.find_attempt(attempt=form.attempt, device=device):
        key_share, card = _replace_pass(done, device, form), _replace_card(done, device)
        return OptedIn(consents.reissue(done), key_share, card)
    if form.purposes.contact:
        _check_contact(form.contact, device)
    consent = consents.draft(
        attempt=form.attempt,
        device=device,
        locale=locale,
        notice=str(form.notice),
        digest=form.digest,
        purposes=form.purposes.agreed(),
        asked=form.purposes.asked(),
        term=form.term,
        age_confirmed=form.age_ok,
        stores=form.stores,
        **form.model_dump(include={"signature", "guardian"}),
        witness=witness_of(attempt=form.attempt, device=device),
        presence_witness=_who_sees_them(device, form) if form.still and form.photos else None,
    )
    if not form.photos:
        return _enroll(consent, device, form)
    if form.still:
        with _looked_at(form.photos) as looks:
            challenges.passive(looks)
            return _enroll(consent, device, form, faces.stacked(looks))
    with (
        challenges.held(device=device, attempt=form.attempt, challenge=form.challenge) as acts,
        _looked_at(form.photos) as looks,
    ):
        watched = challenges.watch(acts=acts, looks=looks, frames=form.frames)
        return _enroll(consent, device, form, faces.stacked(looks), watched)


def _check_contact(address: str, device: Device) -> None:
    """Refuse what nobody could be written at. None at all is fine: then nobody is written to."""
    if mail.missing(device.store.organization):
        raise OptInRefused(
            "notice_changed",
            _("We cannot write to anybody at the moment. Please start again; nothing was kept."),
            "notice",
        )
    if address and not _is_address(address):
        raise OptInRefused(
            "contact", _("This is no e-mail address. Please check it, or leave it empty."), "name"
        )


def _is_address(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    # An international domain would let a line separator through.
    return not any(sign.isspace() for sign in text)


def _enroll(
    consent: Consent,
    device: Device,
    form: OptIn,
    crops: NDArray[np.uint8] | None = None,
    watched: NDArray[np.uint8] | None = None,
) -> OptedIn:
    """Keep the person; crops: of whoever agreed to be recognised by their face."""
    visitor = uuid.uuid4()
    sealed: Sealed | None = None
    templates: list[visitors.SealedTemplate] = []
    if crops is not None:
        agreed = [purpose for purpose in FACE if purpose in consent.purposes]
        sealed, templates = _seal(consent, crops, watched, visitor=visitor, purposes=agreed)
    card = cards.draw() if Purpose.CARD in consent.purposes else None
    with transaction.atomic():
        _alone(form.attempt)
        if undone.marked(form.attempt):
            raise OptInRefused("undone", _("This was stopped. Nothing was kept."), "notice")
        older = _older(sealed.same, device) if sealed else None
        signed = consents.sign(consent)
        visitors.enroll(
            visitor=visitor,
            consent=signed.consent,
            greeting_name=form.name,
            say_as=form.say_as,
            asks_for=form.asks_for,
            contact=form.contact,
            templates=templates,
            card=cards.digest(card) if card else None,
            actor=f"device:{device.pk}",
        )
        reports.opt_in(store=device.store_id, finished=1)
        if older:
            with contextlib.suppress(Held):  # withdrawn; what is held goes later
                erase(visitor=older, cause=Erasure.Cause.REPLACED, actor=f"device:{device.pk}")
    return OptedIn(signed, sealed.key_share if sealed else None, card)


def _who_sees_them(device: Device, form: OptIn) -> User:
    """The member of staff beside somebody who cannot make the movements."""
    witness = witness_of(attempt=form.attempt, device=device, seen=Seen.PRESENCE)
    if witness is None:
        text = _("One of our staff has to confirm that you are here. Please ask for one.")
        raise OptInRefused("no_presence", text, "witness")
    return witness


def begin(device: Device) -> None:
    """The questions were opened: one more in the count, and nothing about by whom."""
    reports.opt_in(store=device.store_id, started=1)


@transaction.atomic
def undo(*, attempt: uuid.UUID, device: Device) -> None:
    """End what an attempt led to whose answer never arrived; one still under way is refused.

    The mark is set before the lock is taken, and read after it: whichever is first, nothing stays.
    Raises NonceStoreDown.
    """
    undone.mark(attempt)
    _alone(attempt)
    consent = Consent.objects.live().filter(pk=attempt, device=device).first()
    person = consent and Visitor.objects.filter(subject=consent.subject).first()
    if person:
        with contextlib.suppress(Visitor.DoesNotExist, Held):  # their receipt was faster
            erase(visitor=person, cause=Erasure.Cause.WITHDRAWAL, actor=f"device:{device.pk}")


def _alone(attempt: uuid.UUID) -> None:
    """Let one transaction at a time finish or undo this attempt."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK, str(attempt)])


def _replace_pass(consent: Consent, device: Device, form: OptIn) -> Pass | None:
    """Make a new pass from the pictures that came again with the repeated attempt."""
    person = Visitor.objects.filter(subject=consent.subject).first()
    if person is None or Purpose.PASS not in consent.purposes:
        return None
    with _looked_at(form.photos) as looks:
        sealed, (template,) = _seal(
            consent,
            faces.stacked(looks),
            visitor=person.pk,
            purposes=[Purpose.PASS],
        )
    visitors.replace_pass(
        visitor=person, consent=consent, template=template, actor=f"device:{device.pk}"
    )
    return sealed.key_share


@transaction.atomic
def _replace_card(consent: Consent, device: Device) -> CardCode | None:
    """A new card for the repeated attempt; nobody saw the code of the one before."""
    person = Visitor.objects.select_for_update().filter(subject=consent.subject).first()
    if person is None or Purpose.CARD not in consent.purposes:
        return None
    card = cards.draw()
    visitors.replace_card(
        visitor=person, consent=consent, card=cards.digest(card), actor=f"device:{device.pk}"
    )
    return card


def _seal(
    consent: Consent,
    crops: NDArray[np.uint8],
    watched: NDArray[np.uint8] | None = None,
    *,
    visitor: uuid.UUID,
    purposes: list[Purpose],
) -> tuple[Sealed, list[visitors.SealedTemplate]]:
    """Have the recognizer make one template a purpose, each sealed for this consent.

    Both lots of crops (N, 112, 112, 3) must be one person's; they are overwritten.
    """
    request = SealRequest(
        organization=consent.store.organization_id,
        store=consent.store_id,
        others=consent.group_stores,
        visitor=visitor,
        consent=consent.pk,
        not_after=int(consent.expires_at.timestamp()),
        templates={purpose.value: uuid.uuid4() for purpose in purposes},
        watched=0 if watched is None else len(watched),
    )
    parts = [crops] if watched is None else [crops, watched]
    everything = np.concatenate(parts)
    for part in parts:
        part.fill(0)
    try:
        with briefly(everything):
            sealed = Recognizer.any_of(settings.CONSENTRY.sockets).seal(request, everything)
    except CropsRefused as error:
        if error.code == "too_alike":
            raise OptInRefused(error.code, too_alike(), "alike") from None
        raise OptInRefused(
            error.code,
            _("The pictures do not show the same person. Please try again, alone."),
            "camera",
        ) from None
    return sealed, [
        visitors.SealedTemplate(
            template=request.templates[purpose],
            wrapped_key=sealed.wrapped_key,
            generation=sealed.generation,
            sealed=each,
            pack=sealed.pack,
            pack_version=sealed.pack_version,
            purpose=purpose,
            rotation=sealed.rotation,
        )
        for purpose, each in sealed.sealed.items()
    ]


def too_alike() -> str:
    """What a person hears whom the lane could mix up, be it with another or with themselves."""
    return _(
        "At the lane you could be mixed up with somebody else, so we did not set it up, "
        "and nothing was kept. If you said yes here before, that still holds."
    )


def _older(same: uuid.UUID | None, device: Device) -> Visitor | None:
    """The enrolment that this one replaces, locked; None when there is none, or none any more."""
    if same is None:
        return None
    # In a group it may have begun in another of its stores.
    ours = Visitor.objects.filter(pk=same, store__organization=device.store.organization_id)
    if not ours.exists():
        return None
    try:
        return lock(same)
    except Visitor.DoesNotExist:
        return None


@contextlib.contextmanager
def _looked_at(photos: list[str]) -> Iterator[list[faces.Look]]:
    """Lend what the pictures are good for, and overwrite it, whatever happened."""
    looks: list[faces.Look] = []
    try:
        for photo in photos:
            seen = faces.look(challenges.unpacked(photo), judged=True)
            if seen.crop is None:
                raise OptInRefused(seen.code, seen.text, "camera")
            looks.append(seen)
        if len(looks) < MIN_CROPS:
            raise OptInRefused(
                "too_few", _("Three good pictures are needed. Please try again."), "camera"
            )
        yield looks
    finally:
        faces.wipe(looks)
