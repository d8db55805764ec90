"""Text of one direction inside text of the other: an address in an Arabic sentence, a name in an
English one. What is set apart keeps its own order and disturbs none around it (Unicode UAX 9)."""

import unicodedata

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language_info

register = template.Library()

STRONG = {"L": "ltr", "R": "rtl", "AL": "rtl"}


@register.filter
def apart(value: object) -> SafeString:
    """Words of whichever direction they turn out to be: a name, a store, an officer's sentence.

    A browser would find that out by itself; what makes our PDFs would not.
    """
    kinds = map(unicodedata.bidirectional, str(value))
    first = next((kind for kind in kinds if kind in STRONG), "")
    return format_html('<bdi dir="{}">{}</bdi>', STRONG.get(first, "auto"), value)


@register.filter
def ltr(value: object) -> SafeString:
    """What is read from the left in every language: a number of a record, an e-mail address."""
    return format_html('<bdi dir="ltr">{}</bdi>', value)


@register.filter
def direction(language: str) -> str:
    """In which direction a language of ours is written, as the attribute `dir` says it."""
    return "rtl" if get_language_info(language)["bidi"] else "ltr"
