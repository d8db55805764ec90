"""Seal the templates of a person anew, for the consent that renews the one they were sealed for.

Design. A template is sealed for one consent and its hard end, so a longer one needs a new seal. No
picture is needed for it: what a lane's template holds is opened with the former binding and sealed
at once with the new one, turned as it is, under the same data key. Nothing is written here: the
asking process stores it in the transaction that makes the new consent and ends the former, so a
fault anywhere leaves the former as it was. Until then what was sealed opens for nothing: the
consent that it is bound to does not exist.

A template for a pass opens with its pass only. Where that is shown, its template is sealed anew as
well, under the same share, so what the person holds goes on. Where it is not, a new pass is made of
the lane's template, as `reissue` does, and the old one ends with its template.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from apps.recognition.briefly import briefly
from apps.recognition.engine.packs import Pack
from apps.recognition.presentation import PassInvalid
from apps.recognition.sealed import (
    COLUMNS,
    TEMPLATES,
    WITHIN,
    PackName,
    binding_of,
    key_of_row,
    open_row,
    rows_of,
    seal_vector,
)
from apps.visitors.vault import (
    FileKeyring,
    SealBroken,
    Share,
    UnknownGeneration,
    new_share,
    seal_for_pass,
)

# Lanes of the present pack first: a new pass is made of that one.
HELD = f"""
SELECT {COLUMNS} {TEMPLATES}
 WHERE t.visitor_id = %(visitor)s AND t.consent_id = %(former)s AND {WITHIN}
   AND (t.purpose = 'lane'
        OR t.purpose = 'pass' AND (t.id = %(shown)s OR t.shown_as = %(shown)s))
 ORDER BY t.purpose, (t.pack = %(pack)s AND t.pack_version = %(version)s) DESC, t.id
"""


class Anew(NamedTuple):
    """One template as it was sealed anew; `template` keeps its id, but for a new pass."""

    template: UUID
    purpose: str
    pack: PackName
    rotation: int
    sealed: bytes


class Rebound(NamedTuple):
    """A person's templates that go on, and the one for a new pass with its share."""

    kept: list[Anew]
    new_pass: Anew | None
    share: Share | None


def rebind(
    *,
    visitor: UUID,
    former: UUID,
    consent: UUID,
    not_after: int,
    others: Sequence[UUID],
    new_pass: UUID | None,
    shown: UUID | None,
    shown_share: Share | None,
    pack: Pack,
    keyring: FileKeyring,
) -> Rebound:
    """Seal what a person has under `former` for `consent`, which ends at `not_after` (Unix s).

    others: the other stores that `consent` names. new_pass: the id of a template to be sealed for a
    new pass; None where none is wanted. shown: the template that a shown pass names, with its
    share. Raises PassInvalid with "pass_unknown" when there is no template within its time, or none
    of the shown pass; with "pass_broken" when one does not open; DatabaseError.
    """
    which = {"visitor": visitor, "former": former, "pack": pack.name, "version": pack.version}
    rows = rows_of(HELD, {**which, "shown": shown})
    if not rows or (shown and not any(row.purpose == "pass" for row in rows)):
        raise PassInvalid("pass_unknown")
    kept: list[Anew] = []
    made: Anew | None = None
    share = new_share() if new_pass else None
    try:
        for row in rows:
            name = PackName(row.pack, row.pack_version)
            data_key = key_of_row(row, keyring=keyring)
            binding = binding_of(
                organization=row.organization_id,
                store=row.store_id,
                visitor=visitor,
                template=row.template,
                consent=consent,
                purpose=row.purpose,
                not_after=not_after,
                pack=name,
                rotation=row.rotation,
                others=others,
            )
            half = shown_share if row.purpose == "pass" else None
            with briefly(open_row(row, pack=name, keyring=keyring, share=half)) as vector:
                sealed = seal_vector(vector, data_key, binding, share=half)
                kept.append(Anew(row.template, row.purpose, name, row.rotation, sealed))
                if new_pass and share is not None and made is None:
                    for_pass = binding._replace(template=new_pass, purpose="pass")
                    sealed = seal_for_pass(vector, data_key, share, for_pass)
                    made = Anew(new_pass, "pass", name, row.rotation, sealed)
    except (SealBroken, UnknownGeneration):
        raise PassInvalid("pass_broken") from None
    return Rebound(kept, made, share)
