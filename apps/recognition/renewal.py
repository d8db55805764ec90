"""Renew an organization's rotation without seeing anybody again.

Design. A new secret is made; from that commit on every new template is turned by it. Then the old
templates are carried over, a batch a transaction: opened, turned straight from one space into the
other (no plain vector in between), sealed anew for the same binding but its new rotation, and
announced, so that every recognizer takes them into its gallery's other space. Each row says which
rotation it is in, so a killed renewal goes on where it was when it is run again, and meanwhile a
probe is compared in both spaces: nobody is missed. A template for a pass cannot be opened here; it
is carried over when its pass is shown. The old secret stays until no template names it; then the
sweep retires it.

Locks. A batch takes the consents and the templates that nobody else has, and waits for none, so an
erasure, which locks in the order visitor, visits, consent, template, never meets it in a ring.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from threading import Event
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from apps.audit import services as audit
from apps.recognition.briefly import briefly
from apps.recognition.rotations import Rotations, begin
from apps.recognition.sealed import (
    COLUMNS,
    TEMPLATES,
    PackName,
    binding_of_row,
    key_of_row,
    open_row,
    rows_of,
    seal_vector,
)
from apps.recognition.spaces import Passage, Space
from apps.visitors.models import Rotation
from apps.visitors.vault import (
    FileKeyring,
    SealBroken,
    Share,
    UnknownGeneration,
)

log = logging.getLogger(__name__)

# No more identifiers than one notice of PostgreSQL can carry (8000 bytes).
BATCH = 200
# How often, and how many seconds apart, templates are asked for that somebody else has locked.
TRIES, PAUSE = 50, 0.2

# PostgreSQL takes a changed template of a live consent only (visitors/migrations/0002_guard.py);
# the minute is so that none ends while it is carried. Who is restricted is carried too.
CARRIED = f"""
{TEMPLATES}
 WHERE t.delete_after > clock_timestamp() + interval '1 minute'
   AND c.expires_at > clock_timestamp() + interval '1 minute'
   AND c.withdrawn_at IS NULL AND t.purpose = ANY (c.purposes)
   AND s.organization_id = %(organization)s AND t.rotation < %(number)s
"""
LANES = f"{CARRIED} AND t.purpose = 'lane' AND NOT t.id = ANY (%(broken)s)"
FREE = "FOR SHARE OF c SKIP LOCKED FOR NO KEY UPDATE OF t SKIP LOCKED"


@dataclass(frozen=True, slots=True)
class Renewed:
    """What a renewal did. moved: by this run. left: lane templates that somebody else kept locked;
    broken: that do not open. for_passes: to be carried when their passes are shown.
    """

    organization: str
    rotation: int
    moved: int
    left: int
    broken: int
    for_passes: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class Carrier:
    """Carries templates of one organization into one of its rotations."""

    organization: UUID
    number: int
    wrapped: bytes
    keyring: FileKeyring
    rotations: Rotations
    broken: list[UUID] = field(default_factory=list)
    _passages: dict[Space, Passage] = field(default_factory=dict)

    def left(self) -> int:
        """How many lane templates can be carried and are not yet."""
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) {LANES}", self._which)
            return int(cursor.fetchone()[0])

    @transaction.atomic
    def batch(self) -> int:
        """Carry the next lane templates that nobody else has; how many there were."""
        return self._keep(rows_of(f"SELECT {COLUMNS} {LANES} LIMIT {BATCH} {FREE}", self._which))

    @transaction.atomic
    def shown(self, row: Any, share: Share) -> None:
        """Carry the template of a shown pass, a row of COLUMNS, unless somebody else has it."""
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT 1 {CARRIED} AND t.id = %(template)s {FREE}",
                {**self._which, "template": row.template},
            )
            if cursor.fetchone():
                self._keep([row], share)

    def _keep(self, rows: Sequence[Any], share: Share | None = None) -> int:
        sealed = {}
        for row in rows:
            try:
                sealed[row.template] = self._carried(row, share)
            except (SealBroken, UnknownGeneration) as error:
                log.error("template %s cannot be opened (%s)", row.template, type(error).__name__)
                self.broken.append(row.template)
        if not sealed:
            return 0
        with connection.cursor() as cursor:
            cursor.executemany(
                "UPDATE visitors_facetemplate SET sealed = %s, rotation = %s WHERE id = %s",
                [(each, self.number, template) for template, each in sealed.items()],
            )
            cursor.execute(
                "SELECT pg_notify('gallery', %s)", [" ".join(["enrol", *map(str, sealed)])]
            )
        return len(sealed)

    def _carried(self, row: Any, share: Share | None) -> bytes:
        """A row's template, sealed anew for the same use in the other space."""
        pack = PackName(row.pack, row.pack_version)
        binding = binding_of_row(row, pack=pack, rotation=self.number)
        data_key = key_of_row(row, keyring=self.keyring)
        with (
            briefly(open_row(row, pack=pack, keyring=self.keyring, share=share)) as opened,
            briefly(self._passage(row, len(opened)).carry(opened)) as vector,
        ):
            return seal_vector(vector, data_key, binding, share=share)

    def _passage(self, row: Any, dim: int) -> Passage:
        here = self.rotations.of(row, dim)
        if here not in self._passages:
            there = self.rotations.space(self.organization, self.number, self.wrapped, dim)
            self._passages[here] = here.to(there)
        return self._passages[here]

    @property
    def _which(self) -> dict[str, Any]:
        return {
            "organization": self.organization,
            "number": self.number,
            "broken": self.broken,
        }


def renew(
    *,
    organization: UUID,
    keyring: FileKeyring,
    actor: str,
    progress: Callable[[int, int], None] = lambda moved, left: None,
) -> Renewed:
    """Renew one organization's rotation, or go on with a renewal that did not end.

    progress: called after each batch with how many were moved and are left. Safe to run beside
    itself and beside everything else.
    """
    rotation = begin(organization=organization, keyring=keyring, actor=actor, renew=True)
    carrier = Carrier(
        organization, rotation.number, bytes(rotation.wrapped), keyring, Rotations(keyring)
    )
    total = left = carrier.left()
    moved, vain, pause = 0, 0, Event()
    while left and vain < TRIES:
        if count := carrier.batch():
            moved, vain = moved + count, 0
            progress(moved, max(total - moved, 0))
        elif left := carrier.left():
            vain += 1
            pause.wait(PAUSE)
    if not left:
        _finish(rotation, actor)
    return Renewed(
        organization=str(organization),
        rotation=rotation.number,
        moved=moved,
        left=left,
        broken=len(carrier.broken),
        for_passes=sum(
            count
            for number, count in census(organization, "pass").items()
            if number < rotation.number
        ),
    )


def census(organization: UUID, purpose: str) -> dict[int, int]:
    """How many templates of a purpose name each rotation of an organization."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT t.rotation, count(*) FROM visitors_facetemplate t
                 JOIN stores_store s ON s.id = t.store_id
                WHERE s.organization_id = %s AND t.purpose = %s GROUP BY 1 ORDER BY 1""",
            [organization, purpose],
        )
        return dict(cursor.fetchall())


@transaction.atomic
def _finish(rotation: Rotation, actor: str) -> None:
    """Say once that nothing is left behind; the next `renew` makes a new rotation."""
    open_ = Rotation.objects.filter(pk=rotation.pk, finished_at=None)
    if open_.update(finished_at=timezone.now()):
        audit.record(
            actor=actor,
            action="rotation.finished",
            organization=str(rotation.organization_id),
            number=rotation.number,
            templates=census(rotation.organization_id, "lane").get(rotation.number, 0),
        )
