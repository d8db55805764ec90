"""Asks again before staff note what the law protects most: health, belief, and the like.

A question and no filter, and no claim to be complete: the words are data (`sensitive.toml`), and
whoever wrote the note decides. What was found in it is neither kept nor recorded anywhere.
"""

import re
import tomllib
import unicodedata
from functools import cache
from pathlib import Path

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

WORDS = Path(__file__).with_name("sensitive.toml")
CATEGORIES: dict[str, Promise] = {
    "health": _("health"),
    "belief": _("religion or belief"),
    "politics": _("politics or a trade union"),
    "origin": _("origin"),
    "sexuality": _("sexuality"),
    "offences": _("offences"),
}

# Chinese has no space between words, and Arabic writes its article and "and", "in" as part of them.
BEFORE = {"zh-hans": "", "ar": r"\b(?:[وفبلك]?ال|لل|[وفبلك])?"}


def found(text: str) -> list[str]:
    """Which of `CATEGORIES` a text seems to be about, as words in the reader's language."""
    plain = _plain(text)
    return [str(CATEGORIES[name]) for name, words in _patterns().items() if words.search(plain)]


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    written = tomllib.loads(WORDS.read_text(encoding="utf-8"))
    return {name: re.compile("|".join(_beginnings(written[name]))) for name in CATEGORIES}


def _beginnings(languages: dict[str, list[str]]) -> list[str]:
    return [
        BEFORE.get(language, r"\b") + re.escape(_plain(word))
        for language, words in languages.items()
        for word in words
    ]


def _plain(text: str) -> str:
    """Without capitals and accents."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in apart if not unicodedata.combining(sign))
