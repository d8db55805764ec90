"""Make a new pass for somebody who has a lane as well, from the lane's template.

Design. A pass holds the only share that opens its template, so nobody can draw a lost pass again.
Both templates were made of the same pictures, under the same signature; so the lane's, which this
process can open, is sealed once more for the pass, under a new share. Whoever agreed to a pass
alone has no other template, and makes a new one at the kiosk. Nothing is written here: the asking
process stores it in the transaction that deletes the old template, and with that the old pass.
"""

from typing import NamedTuple
from uuid import UUID

from apps.recognition.briefly import briefly
from apps.recognition.engine.packs import Pack
from apps.recognition.presentation import PassInvalid
from apps.recognition.rotations import Rotations
from apps.recognition.sealed import (
    COLUMNS,
    LIVE,
    TEMPLATES,
    binding_of,
    key_of_row,
    open_row,
    rows_of,
)
from apps.visitors.vault import (
    FileKeyring,
    SealBroken,
    Share,
    UnknownGeneration,
    new_share,
    seal_for_pass,
)

LANE = f"""
SELECT {COLUMNS}, floor(extract(epoch FROM c.expires_at))::bigint AS ends {TEMPLATES}
 WHERE t.visitor_id = %(visitor)s AND t.purpose = 'lane' AND 'pass' = ANY (c.purposes)
   AND t.pack = %(pack)s AND t.pack_version = %(version)s AND {LIVE}
"""  # noqa: S608


class Reissued(NamedTuple):
    """A template sealed for a pass, the number of the rotation that turned it, and the share."""

    sealed: bytes
    rotation: int
    share: Share


def reissue(
    *, visitor: UUID, template: UUID, pack: Pack, keyring: FileKeyring, rotations: Rotations
) -> Reissued:
    """Seal a visitor's lane template as `template` for a new pass.

    Raises PassInvalid with "pass_unknown" when there is none of this pack that is live beside a
    consent to a pass, with "pass_broken" when it does not open; DatabaseError.
    """
    which = {"visitor": visitor, "pack": pack.name, "version": pack.version}
    row = next(iter(rows_of(LANE, which)), None)
    if row is None:
        raise PassInvalid("pass_unknown")
    try:
        space = rotations.newest(row.organization_id, pack.dim)
        binding = binding_of(
            organization=row.organization_id,
            store=row.store_id,
            visitor=visitor,
            template=template,
            consent=row.consent_id,
            purpose="pass",
            not_after=row.ends,
            pack=pack,
            rotation=space.number,
            others=row.group_stores,
        )
        share, data_key = new_share(), key_of_row(row, keyring=keyring)
        with (
            briefly(open_row(row, pack=pack, keyring=keyring)) as opened,
            briefly(rotations.of(row, pack.dim).to(space).carry(opened)) as vector,
        ):
            return Reissued(seal_for_pass(vector, data_key, share, binding), space.number, share)
    except (SealBroken, UnknownGeneration):
        raise PassInvalid("pass_broken") from None
