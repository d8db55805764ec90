"""Every language of ours is whole: each message is translated, filled alike, and compiled."""

import io
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest
from babel.messages import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from django.conf import settings
from django.utils.translation import to_locale
from django.utils.translation.template import templatize

from tests.conftest import ROOT

LANGUAGES = [code for code, _name in settings.LANGUAGES if code != "en"]
KEYWORDS = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
}
# What is filled in: by name, by place, by a script (%n), by a register ({term}).
NAMED, PLACED = re.compile(r"%\(\w+\)s|\{\w+\}"), re.compile(r"%[a-z%](?![a-z])")
TAG = re.compile(r"<[^>]+>")
Key = tuple[str | None, str]


def folder(language: str) -> Path:
    return Path(settings.LOCALE_PATHS[0]) / to_locale(language) / "LC_MESSAGES"


@cache
def catalogue(language: str) -> Catalog:
    with (folder(language) / "django.po").open(encoding="utf-8") as file:
        return read_po(file, locale=to_locale(language))


def forms(text: str | Iterable[str] | None) -> tuple[str, ...]:
    """All forms of a message: one, or one for each plural."""
    return (text,) if isinstance(text, str) else tuple(text or ())


def translations(catalogue: Catalog) -> dict[Key, tuple[str, ...]]:
    return {(each.context, forms(each.id)[0]): forms(each.string) for each in catalogue if each.id}


@cache
def spoken() -> frozenset[Key]:
    """Every message that a template or a module says."""
    found: set[Key] = set()
    for path in [*ROOT.glob("apps/**/*.py"), *ROOT.glob("templates/**/*.*")]:
        source = path.read_text(encoding="utf-8")
        if path.suffix != ".py":
            # What is left of a page has words in odd places: within brackets they may be indented.
            source = f"({templatize(source)}\n)"
        for _line, said, _notes, context in extract(
            "python", io.BytesIO(source.encode()), KEYWORDS
        ):
            found.add((context, forms(said)[0]))
    return frozenset(found)


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_that_is_said_is_translated_and_nothing_else(language: str) -> None:
    assert translations(catalogue(language)).keys() == spoken()


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_message_is_missing_or_doubtful(language: str) -> None:
    found = catalogue(language)
    assert not [each.id for each in found if each.id and each.fuzzy]
    assert not [each.id for each in found if each.id and not all(forms(each.string))]
    plurals = [each for each in found if each.pluralizable]
    assert {len(forms(each.string)) for each in plurals} == {found.num_plurals}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_message_is_filled_with_the_same(language: str) -> None:
    """A form for one or two may say the number as a word; else each place is filled once."""
    for each in catalogue(language):
        if not each.id:
            continue
        model = forms(each.id)[-1]
        for text in forms(each.string):
            named = Counter(NAMED.findall(text))
            if each.pluralizable:
                assert named.keys() <= set(NAMED.findall(model)), text
            else:
                assert named == Counter(NAMED.findall(model)), text
            assert Counter(PLACED.findall(text)) == Counter(PLACED.findall(model)), text
            assert Counter(TAG.findall(text)) == Counter(TAG.findall(model)), text


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_compiled_is_what_is_written(language: str) -> None:
    with (folder(language) / "django.mo").open("rb") as file:
        compiled = read_mo(file)
    assert translations(compiled) == translations(catalogue(language))
    assert compiled.plural_expr == catalogue(language).plural_expr
