"""An organization's rotation: 32 secret bytes, and how the keyring wraps them.

What the secret does to a vector says `apps.recognition.spaces`; here it is a key like any other:
never shown, copied or pickled, and bound to its organization and number, so that a row moved to
another organization, or given another number, does not open. The form (big-endian):
wrapped rotation  `CRO1` ‖ generation u32 ‖ what the keyring's provider made (60 bytes for a file)
"""

from uuid import UUID

from apps.visitors.vault.envelope import KEY_HEADER, Hidden, generation_of, joined, random_bytes
from apps.visitors.vault.keyring import KEY_BYTES, Keyring

SCHEMA = b"CRO1"


class Rotation(Hidden):
    """The secret of one rotation of one organization, out of its wrapping."""

    __slots__ = ()

    def reveal(self) -> memoryview:
        """The 32 bytes, for `apps.recognition.spaces`, which makes a matrix of them."""
        return memoryview(self._secret).toreadonly()


def new_rotation() -> Rotation:
    """Make the random secret of one rotation."""
    return Rotation(random_bytes())


def wrap_rotation(
    rotation: Rotation, *, organization: UUID, number: int, keyring: Keyring
) -> bytes:
    """Wrap with the keyring's newest generation, which the header names."""
    header = KEY_HEADER.pack(SCHEMA, keyring.newest)
    associated = joined(header, organization.bytes, number.to_bytes(4, "big"))
    return header + keyring.wrap(generation_of(header, SCHEMA), rotation.reveal(), associated)


def unwrap_rotation(
    wrapped: bytes, *, organization: UUID, number: int, keyring: Keyring
) -> Rotation:
    """Open a wrapped rotation. Raises SealBroken, UnknownGeneration."""
    header, body = wrapped[: KEY_HEADER.size], wrapped[KEY_HEADER.size :]
    associated = joined(header, organization.bytes, number.to_bytes(4, "big"))
    secret = bytearray(KEY_BYTES)
    keyring.unwrap_into(generation_of(wrapped, SCHEMA), body, associated, secret)
    return Rotation(secret)


def rewrap_rotation(wrapped: bytes, *, organization: UUID, number: int, keyring: Keyring) -> bytes:
    """Wrap the same secret with the newest generation; unchanged when it already is."""
    if generation_of(wrapped, SCHEMA) == keyring.newest:
        return wrapped
    rotation = unwrap_rotation(wrapped, organization=organization, number=number, keyring=keyring)
    return wrap_rotation(rotation, organization=organization, number=number, keyring=keyring)
