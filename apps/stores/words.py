"""A form's field for what an officer writes in each language of ours."""

from typing import Any

from django import forms
from django.conf import settings

from apps.stores.models import all_languages


class WordsWidget(forms.MultiWidget):
    """One line for each language, named after it."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        lines: dict[str, forms.Widget | type[forms.Widget]] = {
            code: forms.TextInput(
                {"class": "vTextField", "lang": code, "dir": "auto"}
                | {"aria-label": name, "placeholder": name}
            )
            for code, name in settings.LANGUAGES
        }
        super().__init__(lines, attrs)

    def decompress(self, value: Any) -> list[str]:
        return [(value or {}).get(code, "") for code in all_languages()]


class WordsField(forms.MultiValueField):
    """A dict of texts by language, without those that were left empty."""

    def __init__(self, *, max_length: int, **options: Any) -> None:
        lines = [forms.CharField(required=False, max_length=max_length) for _ in all_languages()]
        super().__init__(
            lines, require_all_fields=False, required=False, widget=WordsWidget(), **options
        )

    def compress(self, data_list: list[str]) -> dict[str, str]:
        return {code: text for code, text in zip(all_languages(), data_list, strict=False) if text}
