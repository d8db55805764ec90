"""The name that a person asks to be greeted by: at the kiosk, and changed later by receipt."""

from typing import Annotated

from pydantic import StringConstraints, TypeAdapter, ValidationError

# At least one sign that can be seen: a card with an empty name greets nobody.
SOMETHING_TO_SAY = r"^\P{Cc}*[\p{L}\p{N}\p{P}\p{S}]\P{Cc}*$"

GreetingName = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=60, pattern=SOMETHING_TO_SAY)
]

_names: TypeAdapter[str] = TypeAdapter(GreetingName)


class BadName(ValueError):
    """Nothing to greet anybody by, or too long."""


def greeting_name(text: str) -> str:
    """The name without space around it: 1 to 60 signs, one of them visible. Raises BadName."""
    try:
        return _names.validate_python(text)
    except ValidationError:
        # `from None`: pydantic's own report would carry the name.
        raise BadName from None
