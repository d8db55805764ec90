"""Write an impact assessment, and sign it.

Design. One draft a camera at a time; it begins from the version before. Whoever saved it is one of
its writers, and for a lane somebody else signs (four eyes). A signature is of the digest of what
the signer read: whatever was saved in between is refused. Signing freezes the document with what
the registers said of the camera, which PostgreSQL keeps (migration 0013). GDPR 35(7) says what
stands in it, PIPL 56 what it weighs.
"""

import hashlib
from datetime import UTC, timedelta
from typing import Any

import rfc8785
from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.stores import policies
from apps.stores.access import actor
from apps.stores.models import Assessment, Camera, User
from apps.stores.policies import Kind

TEXTS = ("necessity", "alternatives", "proportionality", "consulted")
WRITTEN = (*TEXTS, "risks", "max_faces", "way_past", "expires_at")


class AssessmentRefused(ValueError):
    """The assessment cannot go that way. `code` is for machines, `text` says what to do."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def facts(camera: Camera) -> dict[str, Any]:
    """What the registers say of a camera now, in no language."""
    store, kept = camera.store, policies.days(camera.store)
    return {
        "organization": store.organization.name,
        "store": store.name,
        "camera": camera.name,
        "jurisdiction": store.pack.name,
        "inactivity_days": kept[Kind.PASS if camera.mode == Camera.Mode.PASS else Kind.LANE],
        "max_term_days": kept[Kind.CONSENT],
        "visit_days": max(kept[Kind.HISTORY], kept[Kind.STATISTICS]),
        "non_face_check_in": store.non_face_check_in,
    }


def digest_of(assessment: Assessment) -> str:
    """SHA-256 of the canonical JSON (RFC 8785) of everything that a signature is for."""
    signed = {
        "camera": str(assessment.camera_id),
        "mode": assessment.mode,
        "version": assessment.version,
        **{name: getattr(assessment, name) for name in WRITTEN},
        "expires_at": assessment.expires_at.astimezone(UTC).isoformat(timespec="seconds"),
        "facts": assessment.facts or facts(assessment.camera),
    }
    return hashlib.sha256(rfc8785.dumps(signed)).hexdigest()


def missing(assessment: Assessment) -> list[str]:
    """What keeps it from being signed, one sentence each."""
    fields = {field.name: field.verbose_name for field in Assessment._meta.concrete_fields}
    found = [
        _("“%(section)s” is not written.") % {"section": capfirst(fields[name])}
        for name in TEXTS
        if not getattr(assessment, name).strip()
    ]
    if not assessment.risks:
        found.append(_("No risk is named."))
    now = timezone.now()
    most = assessment.camera.store.pack.assessment_days
    last = (now + timedelta(days=most)).astimezone(UTC).date()
    if assessment.expires_at <= now or assessment.expires_at.astimezone(UTC).date() > last:
        found.append(_("It has to end within %(days)s days from now.") % {"days": most})
    return found


@transaction.atomic
def begin(*, camera: Camera, user: User) -> Assessment:
    """Return the draft of a camera's next version, for the mode that it is in."""
    camera = (
        Camera.objects.select_for_update(of=("self",)).select_related("store").get(pk=camera.pk)
    )
    versions = Assessment.objects.filter(camera=camera)
    if draft := versions.filter(signed_at=None).first():
        return draft
    last = versions.filter(version__gt=0).order_by("-version").first()
    newest = versions.aggregate(newest=Max("version"))["newest"] or 0
    draft = Assessment(
        camera=camera,
        mode=camera.mode,
        version=newest + 1,
        editors=[user.pk],
        expires_at=timezone.now() + timedelta(days=camera.store.pack.assessment_days),
    )
    if last:
        for name in (*TEXTS, "risks", "max_faces", "way_past"):
            setattr(draft, name, getattr(last, name))
    draft.save()
    _record("begun", draft, user)
    return draft


@transaction.atomic
def write(*, assessment: Assessment, user: User, read: str, **written: Any) -> Assessment:
    """Set what is in `WRITTEN` of a draft; `read` is the digest that the writer began from.

    Raises AssessmentRefused when it is signed, or somebody else saved it meanwhile.
    """
    draft = _draft(assessment)
    if digest_of(draft) != read:
        raise AssessmentRefused(
            "edited",
            _("Somebody else saved this version meanwhile. Compare, then save yours again."),
        )
    for name in WRITTEN:
        setattr(draft, name, written.get(name, getattr(draft, name)))
    draft.mode = draft.camera.mode
    if user.pk not in draft.editors:
        draft.editors.append(user.pk)
    draft.save()
    _record("written", draft, user)
    return draft


@transaction.atomic
def sign(*, assessment: Assessment, user: User, read: str) -> Assessment:
    """Sign what was read. Raises AssessmentRefused, ValidationError for who is no officer there."""
    draft = _draft(assessment)
    if digest_of(draft) != read:
        raise AssessmentRefused("edited", _("The text changed meanwhile. Read it again."))
    if draft.mode != draft.camera.mode:
        raise AssessmentRefused(
            "mode", _("The camera is in another mode now. Write the assessment for that one.")
        )
    if found := missing(draft):
        raise AssessmentRefused("incomplete", " ".join(found))
    if draft.mode == Camera.Mode.LANE and user.pk in draft.editors:
        raise AssessmentRefused(
            "four_eyes", _("You wrote in this version. Somebody else has to read and sign it.")
        )
    draft.facts = facts(draft.camera)
    draft.digest = digest_of(draft)
    draft.signed_by = user
    draft.signed_at = timezone.now()
    draft.save()
    _record("signed", draft, user)
    return draft


def _draft(assessment: Assessment) -> Assessment:
    """Read a draft again under the lock: one may write while another signs."""
    draft = (
        Assessment.objects.select_for_update(of=("self",))
        .select_related("camera__store__organization")
        .get(pk=assessment.pk)
    )
    if draft.signed_at is not None:
        raise AssessmentRefused("signed", _("This version is signed; write a new one."))
    return draft


def _record(did: str, assessment: Assessment, user: User) -> None:
    audit.record(
        actor=actor(user),
        action=f"assessment.{did}",
        object=str(assessment.pk),
        camera=str(assessment.camera_id),
        version=assessment.version,
        digest=assessment.digest,
    )
