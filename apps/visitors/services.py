"""Enrol a visitor under a signed consent, restrict, and forget. No template is opened here."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.audit import services as audit
from apps.consent.models import Consent, Purpose
from apps.visitors.models import DataKey, Eviction, FaceTemplate, Visitor


@dataclass(frozen=True, slots=True)
class SealedTemplate:
    """What the recognizer gave back for one template."""

    template: UUID
    wrapped_key: bytes
    generation: int
    sealed: bytes
    pack: str
    pack_version: str


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
    contact: str,
    template: SealedTemplate,
    actor: str,
) -> Visitor:
    """Store a visitor and their sealed template. PostgreSQL refuses it without a live consent."""
    person = Visitor.objects.create(
        id=visitor,
        subject=consent.subject,
        store=consent.store,
        greeting_name=greeting_name,
        contact=contact if Purpose.CONTACT in consent.purposes else "",
    )
    DataKey.objects.create(
        visitor=person, wrapped=template.wrapped_key, generation=template.generation
    )
    inactivity = timedelta(days=consent.store.pack.inactivity_days)
    FaceTemplate.objects.create(
        id=template.template,
        visitor=person,
        consent=consent,
        store=consent.store,
        purpose=Purpose.LANE,
        pack=template.pack,
        pack_version=template.pack_version,
        sealed=template.sealed,
        not_after=consent.expires_at,
        delete_after=min(consent.expires_at, timezone.now() + inactivity),
    )
    audit.record(
        actor=actor,
        action="visitor.enrolled",
        subject=consent.subject,
        visitor=str(visitor),
        template=str(template.template),
        pack=template.pack,
    )
    return person


@transaction.atomic
def restrict(*, visitor: Visitor, restricted: bool, actor: str) -> None:
    """Take a person out of the gallery without erasing (GDPR 18), or put them back."""
    visitor.restricted_at = timezone.now() if restricted else None
    visitor.save(update_fields=["restricted_at"])
    audit.record(
        actor=actor,
        action="visitor.restricted" if restricted else "visitor.restriction_lifted",
        subject=visitor.subject,
        visitor=str(visitor.pk),
    )


def forget(visitor: Visitor) -> Forgotten:
    """Delete the visitor with everything that hangs on them, inside the caller's transaction."""
    key = DataKey.objects.filter(visitor=visitor).first()
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
