"""Take a template anew for the present pack, from the pictures of a visit that was just disclosed.

Design. No photo is kept, so a template that a former pack made cannot be turned into one of the
present pack; only its person can bring it, by coming again. When they do, and the former pack is
sure of them, their crops are in the recognizer's memory for just this agreed purpose: the present
pack embeds the same crops, and what comes of it is sealed under the same consent, purpose, deadline
and data key. Nothing is agreed to anew and nothing is kept for longer; PostgreSQL's triggers ask
the consent again as for any other template. One transaction holds the row and its ledger entry, and
the visitor is locked in it: two cameras make one template, a withdrawal comes before or after.

It refuses to be clever: fewer than three good crops, crops that disagree by either pack, a match
that is not surely this person, or somebody the present pack could mix up with another visitor, and
nothing is taken; the former template serves until its pack ends. If staff say that the visit was
somebody else, what was taken at it goes (visits.mistakes).
"""

import logging
from uuid import UUID, uuid4

from django.db import DatabaseError, transaction

from apps.audit import services as audit
from apps.consent.coverage import stores_of
from apps.consent.models import Purpose
from apps.recognition.alike import SURELY
from apps.recognition.benches import Bench
from apps.recognition.briefly import briefly
from apps.recognition.engine.quality import clear
from apps.recognition.engine.types import Crops, Floats
from apps.recognition.matching import mean_of
from apps.recognition.rotations import Rotations
from apps.recognition.sealed import binding_of, seal_vector
from apps.visitors.models import FaceTemplate, Visitor, overdue
from apps.visitors.vault import (
    FileKeyring,
    SealBroken,
    Share,
    UnknownGeneration,
    unwrap,
)

log = logging.getLogger(__name__)

# A pass is believed for no fewer good pictures than a lane is, and so is a template taken anew.
MIN_CROPS = 3


def sure(score: float, threshold: float, *looks: tuple[Bench, Floats]) -> bool:
    """Whether a match by the former pack is of this person beyond doubt.

    score, threshold: of the match; what lies `SURELY` above was measured to be one person
    (recognition.alike). looks: each pack with its probes float32 (N, D) of the same crops.
    """
    return score >= threshold + SURELY and all(
        len(probes) >= MIN_CROPS and bench.agree(probes) for bench, probes in looks
    )


def recapture(
    *,
    former: UUID,
    visit: UUID,
    camera: UUID,
    crops: Crops,
    probes: Floats,
    present: Bench,
    keyring: FileKeyring,
    rotations: Rotations,
    share: Share | None = None,
) -> bool:
    """Seal what the present pack made of a visit's crops; whether a template was taken.

    former: the template that matched surely. probes: float32 (N, D) of crops (N, 112, 112, 3) by
    the present pack. share: of the pass that was shown; the new template opens with the same.
    The visit stands whatever happens here; a fault is logged by its type alone.
    """
    if not all(clear(crop) for crop in crops):
        return False
    try:
        return _recapture(former, visit, camera, probes, present, keyring, rotations, share)
    except (DatabaseError, SealBroken, UnknownGeneration) as error:
        # The consent ended this very moment, or the database went: there will be another visit.
        log.warning("a template was not taken anew (%s)", type(error).__name__)
        return False


@transaction.atomic
def _recapture(
    former: UUID,
    visit: UUID,
    camera: UUID,
    probes: Floats,
    present: Bench,
    keyring: FileKeyring,
    rotations: Rotations,
    share: Share | None,
) -> bool:
    old = _locked(former)
    if old is None or _is_taken(old, present):
        return False
    with briefly(mean_of(probes)) as vector:
        return _sealed_anew(old, visit, camera, vector, present, keyring, rotations, share)


def _sealed_anew(
    old: FaceTemplate,
    visit: UUID,
    camera: UUID,
    vector: Floats,
    present: Bench,
    keyring: FileKeyring,
    rotations: Rotations,
    share: Share | None,
) -> bool:
    if old.purpose == Purpose.LANE:
        found = [present.alike(store, vector) for store in stores_of(old.consent)]
        if any(alike.same or alike.another for alike in found):
            FaceTemplate.objects.filter(pk=old.pk).update(mixed_up=True)
            return False
    new = uuid4()
    # A consent may have been shortened since the former template was sealed.
    not_after = min(old.not_after, old.consent.expires_at)
    organization = old.store.organization_id
    space = rotations.newest(organization, present.pack.dim)
    binding = binding_of(
        organization=organization,
        store=old.store_id,
        visitor=old.visitor_id,
        template=new,
        consent=old.consent_id,
        purpose=old.purpose,
        not_after=int(not_after.timestamp()),
        pack=present.pack,
        rotation=space.number,
        others=old.consent.group_stores,
    )
    data_key = unwrap(
        bytes(old.visitor.data_key.wrapped),
        visitor=old.visitor_id,
        organization=organization,
        keyring=keyring,
    )
    with briefly(space.enter(vector)) as turned:
        sealed = seal_vector(turned, data_key, binding, share=share)
    FaceTemplate.objects.create(
        id=new,
        visitor=old.visitor,
        consent=old.consent,
        store=old.store,
        purpose=old.purpose,
        pack=present.pack.name,
        pack_version=present.pack.version,
        sealed=sealed,
        rotation=space.number,
        not_after=not_after,
        delete_after=min(old.delete_after, not_after),
        visit=visit,
        shown_as=None if share is None else old.shown_as or old.pk,
    )
    audit.record(
        actor=f"camera:{camera}",
        action="template.recaptured",
        subject=old.visitor.subject,
        whereabouts=True,
        mode=old.purpose,
        pack=present.pack.name,
        pack_version=present.pack.version,
    )
    return True


def _locked(template: UUID) -> FaceTemplate | None:
    """The template with its visitor locked, if it is still of use; locks as an erasure does."""
    owner = FaceTemplate.objects.filter(pk=template).values("visitor")
    if not Visitor.objects.select_for_update().filter(pk__in=owner):
        return None
    return (
        FaceTemplate.objects.live()
        .exclude(overdue())
        .select_related("visitor__data_key", "consent", "store")
        .filter(pk=template)
        .first()
    )


def _is_taken(old: FaceTemplate, present: Bench) -> bool:
    return FaceTemplate.objects.filter(
        visitor=old.visitor_id,
        purpose=old.purpose,
        pack=present.pack.name,
        pack_version=present.pack.version,
    ).exists()
