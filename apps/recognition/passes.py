"""What a customer's pass says: which template, and the share that alone opens it.

It is drawn once, into a QR code on the kiosk's screen, and read by a camera. It stores nothing, and
shows its share to nobody who prints or logs it.
"""

from dataclasses import dataclass, field
from uuid import UUID

PREFIX = "CP1:"
SHARE_BYTES = 32
# RFC 9285: 45 signs that a QR code packs into 5.5 bits each. The smaller the code, the farther off
# it can be read: 76 signs fill 29×29 modules, base64url needs 33×33 for the same 48 bytes.
SIGNS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
_VALUE = {sign: value for value, sign in enumerate(SIGNS)}

WINDOW_SECONDS = 5.0
"""For how long a shown pass lets one face be compared."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One customer's pass; equal by value. `share` is 32 bytes."""

    template: UUID
    share: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.share) != SHARE_BYTES:
            raise ValueError("a pass carries a share of 32 bytes")

    def text(self) -> str:
        """What the QR code says: 76 signs of its alphanumeric mode."""
        return PREFIX + base45(self.template.bytes + self.share)


def read(text: str) -> Pass | None:
    """The pass that a QR code says, or None for any other code."""
    if not text.startswith(PREFIX):
        return None
    plain = from_base45(text[len(PREFIX) :])
    if plain is None or len(plain) != 16 + SHARE_BYTES:
        return None
    return Pass(UUID(bytes=plain[:16]), plain[16:])


def base45(plain: bytes) -> str:
    """RFC 9285 for an even number of bytes: each two become three signs, the lowest first."""
    if len(plain) % 2:
        raise ValueError("an even number of bytes is needed")
    signs = []
    for place in range(0, len(plain), 2):
        rest, first = divmod(int.from_bytes(plain[place : place + 2], "big"), 45)
        third, second = divmod(rest, 45)
        signs += [SIGNS[first], SIGNS[second], SIGNS[third]]
    return "".join(signs)


def from_base45(text: str) -> bytes | None:
    """What `base45` made of it, or None when it made no such text."""
    if len(text) % 3 or any(sign not in _VALUE for sign in text):
        return None
    plain = bytearray()
    for place in range(0, len(text), 3):
        first, second, third = (_VALUE[sign] for sign in text[place : place + 3])
        value = first + 45 * second + 2025 * third
        if value > 0xFFFF:
            return None
        plain += value.to_bytes(2, "big")
    return bytes(plain)
