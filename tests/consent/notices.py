"""Notices as two people bring them to where a test needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.consent import notices
from apps.consent.models import Notice, NoticeText, Section
from apps.consent.wording import DRAWN
from apps.stores.models import Organization, ThirdParty

if TYPE_CHECKING:
    from tests.conftest import House

AUTHOR, SECOND = "test:author", "test:second"
LINES = {"en": "New.\nAnd short.", "zh-hans": "新的。", "fr": "Nouveau.", "ar": "جديد."}


def sections(text: str = "All of it.\n\nÄlles – 全部。") -> dict[str, str]:
    """A complete text, with what only a register may say."""
    drawn = {section.value: f"\n\n{{{name}}}" for section, name in DRAWN.items()}
    return {section.value: text + drawn.get(section.value, "") for section in Section}


def written(organization: Organization, lines: dict[str, str] = LINES) -> Notice:
    """The next version, complete in these languages, not proposed yet."""
    notice = notices.begin(organization=organization, actor=AUTHOR)
    for locale, short in lines.items():
        notice = notices.write(
            notice=notice,
            locale=locale,
            lines=short,
            sections=sections(),
            revision=notice.revision,
            actor=AUTHOR,
        )
    return notice


def approved(organization: Organization, lines: dict[str, str] = LINES) -> Notice:
    """The next version, ready to be published by anybody who did not write it."""
    notice = notices.propose(notice=written(organization, lines), actor=AUTHOR)
    return notices.approve(notice=notice, revision=notice.revision, actor=SECOND)


def new_version(house: House) -> Notice:
    """The next version of a house, in every language, approved and not published."""
    return approved(house.organization)


def published(house: House, lines: dict[str, str] = LINES) -> NoticeText:
    """The English text of a new version in force."""
    notice = notices.publish(notice=approved(house.organization, lines), actor=SECOND)
    return NoticeText.objects.get(notice=notice, locale="en")


def third_party(organization: Organization, **changes: str) -> ThirdParty:
    """Somebody in the register who runs a server for this organization."""
    values = {
        "name": "Alpine Hosting",
        "role": ThirdParty.Role.PROCESSOR,
        "purpose": "Runs the server.",
        "country": "Switzerland",
        "contact": "privacy@alpine.example",
    }
    return ThirdParty.objects.create(organization=organization, **{**values, **changes})
