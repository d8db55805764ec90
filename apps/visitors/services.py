"""Enrol a visitor under a signed consent, restrict, and forget. No template is opened here."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.utils import timezone

from apps.audit import deletions
from apps.audit import services as audit
from apps.consent import promises
from apps.consent.models import Consent, Purpose
from apps.stores.policies import Kind
from apps.visitors import names
from apps.visitors.models import (
    Age,
    Card,
    DataKey,
    Eviction,
    FaceTemplate,
    FormerPack,
    Rotation,
    Sex,
    Visitor,
    cards_held,
    overdue,
)

REPLACED_FOR = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class SealedTemplate:
    """What the recognizer gave back for one template."""

    template: UUID
    wrapped_key: bytes
    generation: int
    sealed: bytes
    pack: str
    pack_version: str
    purpose: str = Purpose.LANE
    rotation: int = 0


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What `forget` removed: rows by kind, evictions to be acknowledged, the key's generation."""

    rows: dict[str, int]
    evictions: list[int]
    generation: int | None


@transaction.atomic
def enroll(
    *,
    visitor: UUID,
    consent: Consent,
    greeting_name: str,
    say_as: str = "",
    asks_for: str = "",
    contact: str,
    templates: Sequence[SealedTemplate] = (),
    card: bytes | None = None,
    actor: str,
) -> Visitor:
    """Store a visitor and how they are known again: by sealed templates, one a purpose, all under
    one data key; by a card, of which this is the digest; or by both.

    PostgreSQL refuses each without a live consent to just that purpose. Raises ValueError when
    nothing would know them.
    """
    if not templates and card is None:
        raise ValueError("a template or a card is needed")
    person = Visitor.objects.create(
        id=visitor,
        subject=consent.subject,
        store=consent.store,
        greeting_name=greeting_name,
        say_as=say_as,
        asks_for=asks_for,
        contact=contact if Purpose.CONTACT in consent.purposes else "",
    )
    for wrapped, generation in {(each.wrapped_key, each.generation) for each in templates}:
        # One; a second would be refused.
        DataKey.objects.create(visitor=person, wrapped=wrapped, generation=generation)
    for template in templates:
        _keep(template, person, consent)
        audit.record(
            actor=actor,
            action="visitor.enrolled",
            subject=consent.subject,
            visitor=str(visitor),
            template=str(template.template),
            purpose=template.purpose,
            pack=template.pack,
        )
    if card is not None:
        _give(card, person, consent)
        audit.record(actor=actor, action="card.made", subject=consent.subject, visitor=str(visitor))
    return person


@transaction.atomic
def replace_card(*, visitor: Visitor, consent: Consent, card: bytes, actor: str) -> None:
    """Give a visitor a new card, of which this is the digest. The old one is good for nothing,
    after a restore either."""
    _before_what_rests_on_it(consent)
    for lost in Card.objects.filter(visitor=visitor):
        deletions.intend("card", visitor=str(visitor.pk), card=str(lost.pk))
        lost.delete()
    _give(card, visitor, consent)
    audit.record(
        actor=actor, action="card.replaced", subject=consent.subject, visitor=str(visitor.pk)
    )


def void_card(*, visitor: Visitor, card: UUID) -> None:
    """Make a card that was replaced, and came back with a backup, good for nothing. Its person
    stays, and takes a new one by their receipt."""
    cards_held().filter(visitor=visitor, pk=card).update(digest=secrets.token_bytes(32))


@transaction.atomic
def replace_pass(
    *, visitor: Visitor, consent: Consent, template: SealedTemplate, actor: str
) -> None:
    """Give a visitor a new pass. The old one dies with its template; nobody could open it again."""
    _before_what_rests_on_it(consent)
    visitor.templates.filter(purpose=Purpose.PASS).delete()
    _keep(template, visitor, consent)
    audit.record(
        actor=actor,
        action="pass.replaced",
        subject=consent.subject,
        visitor=str(visitor.pk),
        template=str(template.template),
        pack=template.pack,
    )


def _before_what_rests_on_it(consent: Consent) -> None:
    """Lock a consent, as who changes many does first: else the two would wait for each other."""
    Consent.objects.select_for_update(of=("self",), no_key=True).get(pk=consent.pk)


def drop_key(visitor: Visitor) -> bool:
    """Delete a visitor's data key if no template of theirs is left; whether it did. Whoever has a
    card besides stays, and a card needs none."""
    gone, _models = DataKey.objects.filter(visitor=visitor, visitor__templates=None).delete()
    return gone > 0


class TemplatesChanged(RuntimeError):
    """Other templates are there by now than were sealed anew: one was taken, turned or erased."""


@transaction.atomic
def carry_over(
    *,
    visitor: Visitor,
    former: Consent,
    consent: Consent,
    templates: Sequence[SealedTemplate],
    new_pass: bool,
) -> None:
    """Put a visitor's templates and card under the consent that renews `former`, as they were
    sealed for it; with a `new_pass` all but the one of the old pass. Raises TemplatesChanged.

    The person's own act is as good as a visit: the time without one begins anew. Templates that
    are over stay under the former consent, for the sweep.
    """
    held = visitor.templates.filter(consent=former).exclude(overdue())
    if new_pass:
        held = held.exclude(purpose=Purpose.PASS)
    now = set(held.select_for_update(of=("self",)).values_list("pk", "rotation"))
    if now != {(each.template, each.rotation) for each in templates}:
        raise TemplatesChanged
    for each in templates:
        FaceTemplate.objects.filter(pk=each.template).update(
            consent=consent,
            sealed=each.sealed,
            not_after=consent.expires_at,
            delete_after=_due(consent, Purpose.LANE),
        )
    cards_held().filter(visitor=visitor, consent=former).update(
        consent=consent, delete_after=_due(consent, Purpose.PASS)
    )


def _due(consent: Consent, purpose: str) -> datetime:
    """When a template goes whose person was here just now; a card goes as one for a pass does.

    Whoever shortens a policy of the store at this moment is waited for.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM stores_store WHERE id = %s FOR SHARE", [consent.store_id])
    inactivity = timedelta(days=promises.days(consent.store, consent.text)[Kind(purpose)])
    return min(consent.expires_at, timezone.now() + inactivity)


def _give(card: bytes, visitor: Visitor, consent: Consent) -> None:
    Card.objects.create(
        visitor=visitor,
        consent=consent,
        store=consent.store,
        digest=card,
        delete_after=_due(consent, Purpose.PASS),
    )


def _keep(template: SealedTemplate, visitor: Visitor, consent: Consent) -> None:
    FaceTemplate.objects.create(
        id=template.template,
        visitor=visitor,
        consent=consent,
        store=consent.store,
        purpose=template.purpose,
        pack=template.pack,
        pack_version=template.pack_version,
        rotation=template.rotation,
        sealed=template.sealed,
        not_after=consent.expires_at,
        delete_after=_due(consent, template.purpose),
    )


@transaction.atomic
def rename(
    *,
    visitor: Visitor,
    greeting_name: str,
    say_as: str | None = None,
    asks_for: str | None = None,
    actor: str,
) -> None:
    """Greet a person by another name from now on (GDPR 16); `say_as` and `asks_for` stay as they
    are where they are None. Raises BadName."""
    visitor.greeting_name = names.greeting_name(greeting_name)
    if say_as is not None:
        visitor.say_as = names.beside_the_name(say_as)
    if asks_for is not None:
        visitor.asks_for = names.beside_the_name(asks_for)
    visitor.save(update_fields=["greeting_name", "say_as", "asks_for"])
    audit.record(
        actor=actor,
        action="visitor.renamed",
        subject=visitor.subject,
        visitor=str(visitor.pk),
    )


@transaction.atomic
def state(*, visitor: Visitor, sex: str, age: str, actor: str) -> None:
    """Keep what a person says of themselves for the statistics; empty: they do not say.

    Raises ValueError where it is none of the answers, or they did not agree to the statistics.
    """
    agreed = Consent.objects.live().filter(
        subject=visitor.subject, purposes__contains=[Purpose.STATISTICS]
    )
    if sex not in ("", *Sex) or age not in ("", *Age) or not agreed.exists():
        raise ValueError("no such answer, or no agreement to the statistics")
    visitor.sex, visitor.age = sex, age
    visitor.save(update_fields=["sex", "age"])
    audit.record(
        actor=actor, action="visitor.stated", subject=visitor.subject, visitor=str(visitor.pk)
    )


@transaction.atomic
def restrict(*, visitor: Visitor, restricted: bool, actor: str) -> None:
    """Take a person out of the gallery without erasing (GDPR 18), or put them back."""
    visitor.restricted_at = timezone.now() if restricted else None
    visitor.save(update_fields=["restricted_at"])
    kind = "restriction" if restricted else "restriction lifted"
    deletions.intend(kind, visitor=str(visitor.pk))
    audit.record(
        actor=actor,
        action="visitor.restricted" if restricted else "visitor.restriction_lifted",
        subject=visitor.subject,
        visitor=str(visitor.pk),
    )


@transaction.atomic
def retire_rotations(*, actor: str) -> int:
    """Delete the rotations that were replaced and that no template names; how many there were.

    Not within a minute of being replaced: what was sealed just before may not be a row yet.
    """
    retired = 0
    newer = Rotation.objects.filter(
        organization=OuterRef("organization"),
        number__gt=OuterRef("number"),
        created_at__lte=Now() - REPLACED_FOR,
    )
    named = FaceTemplate.objects.filter(
        store__organization=OuterRef("organization"), rotation=OuterRef("number")
    )
    replaced = Rotation.objects.defer("wrapped").select_for_update(skip_locked=True)
    for rotation in replaced.filter(Exists(newer), ~Exists(named)):
        rotation.delete()
        audit.record(
            actor=actor,
            action="rotation.retired",
            organization=str(rotation.organization_id),
            number=rotation.number,
        )
        retired += 1
    return retired


class DayRefused(ValueError):
    """This model cannot end on this day; `code` says why: past, or ended."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@transaction.atomic
def end_pack(*, pack: FormerPack, day: date | None, reason: str, actor: str) -> FormerPack:
    """Set the day from whose first moment, in UTC, a former pack's templates are over.

    None takes the day back. Raises DayRefused, also when the pack has ended meanwhile: what was
    erased does not come back.
    """
    pack = FormerPack.objects.select_for_update().get(pk=pack.pk)
    now = timezone.now()
    if pack.ends_at and pack.ends_at <= now:
        raise DayRefused("ended")
    if day is not None and day < now.date():
        raise DayRefused("past")
    pack.ends_at = datetime.combine(day, time(), UTC) if day else None
    pack.reason = reason if day else ""
    pack.save(update_fields=["ends_at", "reason"])
    audit.record(
        actor=actor,
        action="model.end_set" if day else "model.end_taken_back",
        pack=str(pack),
        day=day.isoformat() if day else None,
    )
    return pack


def forget(visitor: Visitor) -> Forgotten:
    """Delete the visitor with everything that hangs on them, inside the caller's transaction."""
    key = DataKey.objects.filter(visitor=visitor).only("generation").first()
    templates = list(visitor.templates.values_list("pk", flat=True))
    _total, per_model = visitor.delete()
    # The last one of each template: one of a pause long ago may be acknowledged by nobody any more.
    last = Eviction.objects.filter(template__in=templates).order_by("template", "-pk")
    evictions = list(last.distinct("template").values_list("pk", flat=True))
    return Forgotten(
        rows={label: count for label, count in sorted(per_model.items()) if count},
        evictions=evictions,
        generation=key.generation if key else None,
    )
