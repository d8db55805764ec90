"""Reads sealed templates and opens them. What is not sealed for just this row stays closed."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from apps.recognition.engine.packs import Pack
from apps.visitors.vault import (
    Binding,
    FileKeyring,
    OpenKey,
    Sealed,
    Share,
    Use,
    seal,
    seal_for_pass,
    unseal,
    unseal_with_pass,
    unwrap,
)

WITHIN = """
       t.delete_after > clock_timestamp() AND c.withdrawn_at IS NULL
   AND c.expires_at > clock_timestamp() AND t.purpose = ANY (c.purposes)
   AND NOT EXISTS (SELECT 1 FROM visitors_formerpack f WHERE f.name = t.pack
                      AND f.version = t.pack_version AND f.ends_at <= clock_timestamp())
"""
# A pause ends nothing, but nobody is recognised in it.
LIVE = f"{WITHIN} AND v.restricted_at IS NULL"

# Every template has a store. A plain join would let PostgreSQL begin with the few stores, and put
# all that is sealed into a temporary file to read it again for each.
TEMPLATES = """
  FROM visitors_facetemplate t
  JOIN visitors_visitor v ON v.id = t.visitor_id
  JOIN visitors_datakey k ON k.visitor_id = v.id
  JOIN consent_consent c ON c.id = t.consent_id
  LEFT JOIN stores_store s ON s.id = t.store_id
  LEFT JOIN visitors_rotation r ON r.organization_id = s.organization_id AND r.number = t.rotation
"""

COLUMNS = """
       t.id AS template, t.visitor_id, t.store_id, t.consent_id, t.purpose, t.pack, t.pack_version,
       t.sealed, extract(epoch FROM t.not_after)::float8 AS not_after,
       extract(epoch FROM t.delete_after)::float8 AS delete_after, k.wrapped, s.organization_id,
       t.rotation, r.wrapped AS turned, c.group_stores
"""


class PackName(NamedTuple):
    """What a template is bound to of its pack."""

    name: str
    version: str


def rows_of(query: str, which: dict[str, Any]) -> list[Any]:
    """Rows of COLUMNS and what else is asked for, by name, over Django's connection."""
    with connection.cursor() as cursor:
        cursor.execute(query, which)
        names = [column.name for column in cursor.description]
        return [SimpleNamespace(**dict(zip(names, row, strict=True))) for row in cursor.fetchall()]


def seal_vector(
    vector: NDArray[np.float32], data_key: OpenKey, binding: Binding, *, share: Share | None
) -> bytes:
    """Seal a template as `open_row` opens it: with a share, only that pass opens it too."""
    if share is None:
        return seal(vector, data_key, binding)
    return seal_for_pass(vector, data_key, share, binding)


def open_row(
    row: Any, *, pack: Pack | PackName, keyring: FileKeyring, share: Share | None = None
) -> NDArray[np.float32]:
    """Open a row of COLUMNS: float32 (D,) of length 1, in the row's space (`Rotations.of`).

    Raises SealBroken, UnknownGeneration. A `pass` template opens with its share only, any other
    without one only.
    """
    binding = binding_of_row(row, pack=pack, rotation=row.rotation)
    data_key = key_of_row(row, keyring=keyring)
    if share is None:
        return unseal(bytes(row.sealed), data_key, binding)
    return unseal_with_pass(bytes(row.sealed), data_key, share, binding)


def sealed_row(row: Any, use: Use) -> Sealed:
    """A row of COLUMNS as `unseal_all` opens it; `use` is its own, shared with others."""
    # In their order: by name it takes twice as long, and a whole store is loaded with it.
    return Sealed(
        use,
        row.visitor_id,
        row.template,
        row.consent_id,
        int(row.not_after),
        row.wrapped,
        row.sealed,
    )


def key_of_row(row: Any, *, keyring: FileKeyring) -> OpenKey:
    """The data key of the visitor of a row of COLUMNS. Raises SealBroken, UnknownGeneration."""
    return unwrap(
        bytes(row.wrapped),
        visitor=row.visitor_id,
        organization=row.organization_id,
        keyring=keyring,
    )


def use_of_row(row: Any, *, pack: Pack | PackName) -> Use:
    """What the template of a row of COLUMNS has in common with others."""
    return binding_of_row(row, pack=pack, rotation=row.rotation).use


def binding_of_row(row: Any, *, pack: Pack | PackName, rotation: int) -> Binding:
    """What the template of a row of COLUMNS is, or is to be, bound to."""
    return binding_of(
        organization=row.organization_id,
        store=row.store_id,
        visitor=row.visitor_id,
        template=row.template,
        consent=row.consent_id,
        purpose=row.purpose,
        not_after=int(row.not_after),
        pack=pack,
        others=row.group_stores,
        rotation=rotation,
    )


def _scope(store: UUID, *others: UUID) -> str:
    """Names the store, and every other store that the consent names, whether it still covers it or
    not: a store that somebody adds to a signed consent opens nothing."""
    return f"stores:{' '.join(map(str, (store, *others)))}" if others else f"store:{store}"


def binding_of(
    *,
    organization: UUID,
    store: UUID,
    visitor: UUID,
    template: UUID,
    consent: UUID,
    purpose: str,
    not_after: int,
    pack: Pack | PackName,
    others: Sequence[UUID],
    rotation: int = 0,
) -> Binding:
    """Return what a template of this house is bound to; the scope is the store, and the other
    stores that the consent names (`Consent.group_stores`)."""
    return Binding(
        organization=organization,
        scope=_scope(store, *sorted(others)),
        visitor=visitor,
        template=template,
        pack=pack.name,
        pack_version=pack.version,
        purpose=purpose,
        consent=consent,
        not_after=not_after,
        rotation=rotation,
    )
