"""What was published stays, byte for byte, as people read it."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection, transaction

from apps.audit.models import Entry
from apps.consent import services as consents
from apps.consent.models import Notice, NoticeText
from apps.consent.notices import NoticeRefused, digest_of
from tests.conftest import House
from tests.consent.notices import new_version, published


def test_publishing_freezes_every_text_with_its_digest(house: House) -> None:
    text = published(house)
    plain = "\x1e".join(("en", text.short, text.full)).encode()
    assert text.digest == hashlib.sha256(plain).hexdigest()
    assert text.notice.published_at is not None
    assert consents.current_text(store=house.store, locale="en") == text
    entry = Entry.objects.filter(action="notice.published").latest("seq")
    assert entry.detail["digests"]["en"] == text.digest


def test_a_signed_text_renders_to_the_same_bytes_for_ever(house: House) -> None:
    """Through another connection's eyes, and after a newer version: what was read can be shown."""
    consent = consents.sign(house.draft()).consent
    published(house)
    consent.refresh_from_db()
    assert digest_of(NoticeText.objects.get(pk=consent.text_id)) == consent.digest


def test_postgresql_itself_refuses_a_change_to_what_was_published(house: House) -> None:
    text = published(house)
    attempts = [
        lambda: NoticeText.objects.filter(pk=text.pk).update(short="Other."),
        lambda: NoticeText.objects.filter(pk=text.pk).update(digest="0" * 64),
        lambda: NoticeText.objects.filter(pk=text.pk).update(sections={}),
        lambda: NoticeText.objects.filter(pk=text.pk).update(notice=new_version(house)),
        lambda: NoticeText.objects.filter(pk=text.pk).delete(),
        lambda: NoticeText.objects.create(notice=text.notice, locale="fr", short="x", full="x"),
        lambda: Notice.objects.filter(pk=text.notice_id).update(version=9),
        lambda: Notice.objects.filter(pk=text.notice_id).update(published_at=None),
        lambda: Notice.objects.filter(pk=text.notice_id).update(facts={}, former_end_at=None),
    ]
    for attempt in attempts:
        with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
            attempt()


def test_postgresql_publishes_nothing_without_its_digest(house: House) -> None:
    notice = new_version(house)
    with pytest.raises(IntegrityError, match="digest"), transaction.atomic():
        Notice.objects.filter(pk=notice.pk).update(
            published_at="2026-01-01T00:00Z", published_by="test"
        )


def test_two_officers_publish_one_version_once(house: House, transactional_db: None) -> None:
    notice = new_version(house)

    def press(_officer: int) -> bool:
        try:
            consents.publish(notice=Notice.objects.get(pk=notice.pk), actor="test")
        except NoticeRefused:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(press, range(4))) == [False, False, False, True]
