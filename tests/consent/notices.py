"""Notices that are not published yet."""

from apps.consent.models import Notice, NoticeText
from tests.conftest import House


def new_version(house: House) -> Notice:
    """The next version, in both languages."""
    notice = Notice.objects.create(
        organization=house.organization, version=house.organization.notices.count() + 1
    )
    for locale, short in (("en", "New.\nAnd short."), ("zh-hans", "新的。")):
        NoticeText.objects.create(
            notice=notice, locale=locale, short=short, full="All of it.\n\nÄlles – 全部。"
        )
    return notice
