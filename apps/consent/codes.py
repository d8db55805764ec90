"""Codes that people read, type and keep: signs that nobody mistakes for one another.

Knows no Django, because a camera's process reads codes too.
"""

import secrets

SIGNS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"


def draw(count: int) -> str:
    """Random signs, not quite five bits each."""
    return "".join(secrets.choice(SIGNS) for _ in range(count))


def in_fours(signs: str) -> str:
    """A code as people read and type it."""
    return "-".join(signs[start : start + 4] for start in range(0, len(signs), 4))
