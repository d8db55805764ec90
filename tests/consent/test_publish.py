"""What was published stays, byte for byte, as people read it."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client

from apps.audit.models import Entry
from apps.consent import services as consents
from apps.consent.models import Notice, NoticeText
from apps.consent.services import ConsentRefused, digest_of
from apps.stores.models import Organization, Role, Store
from tests.clients import browser
from tests.conftest import House
from tests.consent.notices import new_version


@pytest.fixture
def officer(house: House) -> Client:
    return browser(house.dpo)


def published(house: House) -> NoticeText:
    notice = new_version(house)
    consents.publish(notice=notice, actor="test")
    return NoticeText.objects.get(notice=notice, locale="en")


def action(officer: Client, *notices: Notice) -> str:
    """Press “Publish” in the list."""
    form = {"action": "publish", "_selected_action": [str(notice.pk) for notice in notices]}
    answer = officer.post("/admin/consent/notice/", form, follow=True)
    return str(answer.content.decode())


def form_of(text: NoticeText, **changes: str) -> dict[str, Any]:
    """The portal's form as it was opened before the publication."""
    texts = list(text.notice.texts.order_by("pk"))
    form: dict[str, Any] = {
        "organization": str(text.notice.organization_id),
        "version": str(text.notice.version),
        "texts-TOTAL_FORMS": str(len(texts)),
        "texts-INITIAL_FORMS": str(len(texts)),
    }
    for number, each in enumerate(texts):
        values = {"id": each.pk, "notice": each.notice_id, "locale": each.locale}
        values |= {"short": each.short, "full": each.full}
        if each == text:
            values |= changes
        form |= {f"texts-{number}-{name}": str(value) for name, value in values.items()}
    return form


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


def test_an_officer_publishes_from_the_list(house: House, officer: Client) -> None:
    notice = new_version(house)
    assert "is published" in action(officer, notice)
    notice.refresh_from_db()
    assert notice.published_at
    assert Entry.objects.filter(actor=f"user:{house.dpo.pk}", action="notice.published").exists()


def test_a_published_version_is_not_published_again(house: House, officer: Client) -> None:
    text = published(house)
    before = text.notice.published_at
    assert "make a new one" in action(officer, text.notice)
    assert Notice.objects.get(pk=text.notice_id).published_at == before


def test_an_empty_or_half_written_notice_is_not_published(house: House) -> None:
    empty = Notice.objects.create(organization=house.organization, version=7)
    half = new_version(house)
    NoticeText.objects.filter(notice=half, locale="zh-hans").update(full=" ")
    for notice in (empty, half):
        with pytest.raises(ConsentRefused) as refused:
            consents.publish(notice=notice, actor="test")
        assert refused.value.code == "incomplete"


def test_before_publication_the_portal_changes_a_text(house: House, officer: Client) -> None:
    text = new_version(house).texts.get(locale="en")
    address = f"/admin/consent/notice/{text.notice_id}/change/"
    officer.post(address, form_of(text, short="Better."))
    text.refresh_from_db()
    assert text.short == "Better."


def test_after_publication_the_portal_changes_no_text(house: House, officer: Client) -> None:
    text = published(house)
    address = f"/admin/consent/notice/{text.notice_id}/change/"
    page = officer.get(address).content.decode()
    assert "<textarea" not in page
    assert text.digest in page
    before = list(NoticeText.objects.order_by("pk").values())
    answer = officer.post(address, form_of(text, short="We follow you everywhere."))
    assert answer.status_code == 403
    assert list(NoticeText.objects.order_by("pk").values()) == before


def test_postgresql_itself_refuses_a_change_to_what_was_published(house: House) -> None:
    text = published(house)
    attempts = [
        lambda: NoticeText.objects.filter(pk=text.pk).update(short="Other."),
        lambda: NoticeText.objects.filter(pk=text.pk).update(digest="0" * 64),
        lambda: NoticeText.objects.filter(pk=text.pk).update(notice=new_version(house)),
        lambda: NoticeText.objects.filter(pk=text.pk).delete(),
        lambda: NoticeText.objects.create(notice=text.notice, locale="fr", short="x", full="x"),
        lambda: Notice.objects.filter(pk=text.notice_id).update(version=9),
        lambda: Notice.objects.filter(pk=text.notice_id).update(published_at=None),
    ]
    for attempt in attempts:
        with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
            attempt()


def test_postgresql_publishes_nothing_without_its_digest(house: House) -> None:
    notice = new_version(house)
    with pytest.raises(IntegrityError, match="digest"), transaction.atomic():
        Notice.objects.filter(pk=notice.pk).update(published_at="2026-01-01T00:00Z")


def test_two_officers_publish_one_version_once(house: House, transactional_db: None) -> None:
    notice = new_version(house)

    def press(_officer: int) -> bool:
        try:
            consents.publish(notice=Notice.objects.get(pk=notice.pk), actor="test")
        except ConsentRefused:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(press, range(4))) == [False, False, False, True]


def test_an_officer_writes_notices_for_the_own_organization_only(
    house: House, officer: Client
) -> None:
    other = Organization.objects.create(
        name="Elsewhere Motors", address="2", contact_name="E", contact_email="e@else.example"
    )
    store = Store.objects.create(organization=other, name="Elsewhere", slug="elsewhere")
    Role.objects.create(user=house.staff, store=store, kind=Role.Kind.DPO)
    assert "Elsewhere" not in officer.get("/admin/consent/notice/add/").content.decode()
    form = {
        "organization": str(other.pk),
        "version": "1",
        "texts-TOTAL_FORMS": "0",
        "texts-INITIAL_FORMS": "0",
    }
    officer.post("/admin/consent/notice/add/", form)
    assert not other.notices.exists()


def test_a_notice_that_lacks_a_language_is_not_published(house: House) -> None:
    notice = Notice.objects.create(organization=house.organization, version=2)
    NoticeText.objects.create(notice=notice, locale="en", short="New.", full="All is new.")
    with pytest.raises(consents.ConsentRefused) as refused:
        consents.publish(notice=notice, actor="test")
    assert refused.value.code == "incomplete"
