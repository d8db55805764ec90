"""The rotations of the database, opened: which space a template is in, and where a new one goes.

Only a process with the keyring can have them. A matrix is made once a process and kept until its
rotation is retired; then it is overwritten (`Space`).
"""

import threading
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.audit import services as audit
from apps.recognition.spaces import Space, matrix_of, plain
from apps.stores.models import Organization
from apps.visitors.models import Rotation
from apps.visitors.vault import FileKeyring, new_rotation, unwrap_rotation, wrap_rotation


class Rotations:
    """Opens rotations and remembers their spaces. Any thread may ask."""

    def __init__(self, keyring: FileKeyring) -> None:
        self._keyring = keyring
        self._lock = threading.Lock()
        self._known: dict[tuple[UUID, int, int], Space] = {}

    def of(self, row: Any, dim: int) -> Space:
        """The space of a row of `sealed.COLUMNS`. Raises SealBroken, UnknownGeneration."""
        return self.space(row.organization_id, row.rotation, row.turned, dim)

    def newest(self, organization: UUID, dim: int) -> Space:
        """The space for what is sealed now; an organization's first rotation is made here.

        Raises SealBroken, UnknownGeneration, DatabaseError.
        """
        rotation = newest(organization) or begin(
            organization=organization, keyring=self._keyring, actor="system:recognizer"
        )
        return self.space(organization, rotation.number, rotation.wrapped, dim)

    def space(self, organization: UUID, number: int, wrapped: Any, dim: int) -> Space:
        """The space of a rotation, which lies `wrapped` in the database; number 0 is plain."""
        if not number:
            return plain(dim)
        key = (organization, number, dim)
        with self._lock:
            if key not in self._known:
                rotation = unwrap_rotation(
                    bytes(wrapped or b""),
                    organization=organization,
                    number=number,
                    keyring=self._keyring,
                )
                self._known[key] = Space(
                    organization, number, dim, matrix_of(rotation.reveal(), dim)
                )
            return self._known[key]

    def retire(self, organization: UUID, number: int) -> None:
        """Forget a rotation that no template names any more."""
        with self._lock:
            for key in [key for key in self._known if key[:2] == (organization, number)]:
                del self._known[key]

    def clear(self) -> None:
        """Forget all: what was retired while nobody listened must not stay."""
        with self._lock:
            self._known.clear()


def newest(organization: UUID) -> Rotation | None:
    """The rotation for new templates of an organization."""
    return Rotation.objects.filter(organization=organization).order_by("number").last()


@transaction.atomic
def begin(*, organization: UUID, keyring: FileKeyring, actor: str, renew: bool = False) -> Rotation:
    """Return the newest rotation, or make the first. With `renew` make one more, unless the newest
    is still being moved to: two who renew at once renew once.
    """
    # Whoever comes second waits here and then sees it.
    Organization.objects.select_for_update(no_key=True).get(pk=organization)
    last = newest(organization)
    if last is not None and not (renew and last.finished_at):
        return last
    number = last.number + 1 if last else 1
    wrapped = wrap_rotation(
        new_rotation(), organization=organization, number=number, keyring=keyring
    )
    audit.record(
        actor=actor, action="rotation.begun", organization=str(organization), number=number
    )
    return Rotation.objects.create(
        organization_id=organization,
        number=number,
        wrapped=wrapped,
        # What is made for a new template has nothing to move.
        finished_at=None if renew else timezone.now(),
    )
