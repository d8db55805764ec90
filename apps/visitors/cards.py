"""What a visitor's card says: a random code by which somebody is known without their face.

It is shown once, as a QR code and as signs to type, and read at the floor board or at the door.
Only its digest is stored; it shows itself to nobody who prints or logs it.
"""

import hashlib
import re
from dataclasses import dataclass, field

from apps.consent import codes

PREFIX = "CC1"
# 31 signs, 4.95 bits each: 79 bits, which nobody guesses one try at a time.
LENGTH = 16
DOMAIN = b"consentry card 1:"


@dataclass(frozen=True, slots=True)
class CardCode:
    """The code of one card; equal by value."""

    signs: str = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.signs) != LENGTH or not set(self.signs) <= set(codes.SIGNS):
            raise ValueError("a card carries 16 signs of the alphabet of codes")

    def text(self) -> str:
        """What the QR code says: 20 signs of its alphanumeric mode."""
        return f"{PREFIX}:{self.signs}"

    def typed(self) -> str:
        """The same to read aloud and to type: four groups of four signs."""
        return codes.in_fours(self.signs)


def draw() -> CardCode:
    """A code that nobody has yet."""
    return CardCode(codes.draw(LENGTH))


def read(text: str) -> CardCode | None:
    """The code that a QR code says or that somebody typed, or None for anything else.

    Spaces, dashes and case do not count; nor does which sign a scanner, set to another keyboard,
    makes of the colon. No code begins as the prefix does: it has no 1.
    """
    signs = re.sub(r"[^0-9A-Z]", "", text.upper()).removeprefix(PREFIX)
    try:
        return CardCode(signs)
    except ValueError:
        return None


def digest(code: CardCode) -> bytes:
    """What is stored of a code, and by which its card is found: SHA-256, 32 bytes."""
    return hashlib.sha256(DOMAIN + code.signs.encode()).digest()
