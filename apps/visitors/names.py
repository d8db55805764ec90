"""What people and staff write about a person in words: the name to greet them by, and a note.

The name is given at the kiosk, and changed later by receipt; who likes adds how it is said and whom
they ask for. The note is written on the floor.
"""

from typing import Annotated

from pydantic import StringConstraints, TypeAdapter, ValidationError

from apps.visitors.models import Note

# At least one sign that can be seen: a card with an empty name greets nobody.
SOMETHING_TO_SAY = r"^\P{Cc}*[\p{L}\p{N}\p{P}\p{S}]\P{Cc}*$"

GreetingName = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=60, pattern=SOMETHING_TO_SAY)
]
# How the name is said, or whom they ask for: as a name is, or nothing.
BesideTheName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=60, pattern=rf"^$|{SOMETHING_TO_SAY}"),
]
NoteText = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=Note.MOST, pattern=SOMETHING_TO_SAY)
]

_names: TypeAdapter[str] = TypeAdapter(GreetingName)
_beside: TypeAdapter[str] = TypeAdapter(BesideTheName)
_notes: TypeAdapter[str] = TypeAdapter(NoteText)


class BadName(ValueError):
    """Nothing to greet anybody by, or too long."""


class BadNote(ValueError):
    """Nothing to read, or too long."""


def greeting_name(text: str) -> str:
    """The name without space around it: 1 to 60 signs, one of them visible. Raises BadName."""
    try:
        return _names.validate_python(text)
    except ValidationError:
        # `from None`: pydantic's own report would carry the name.
        raise BadName from None


def beside_the_name(text: str) -> str:
    """How the name is said, or whom they ask for: as a name is, or nothing. Raises BadName."""
    try:
        return _beside.validate_python(text)
    except ValidationError:
        raise BadName from None


def note(text: str) -> str:
    """The note on one line: 1 to 200 signs, one of them visible. Raises BadNote."""
    try:
        return _notes.validate_python(" ".join(text.split()))
    except ValidationError:
        raise BadNote from None
