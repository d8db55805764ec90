"""A notice is written by one, approved by another, complete in every language, and true."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.audit import signing
from apps.audit.models import Entry
from apps.consent import notices
from apps.consent import services as consents
from apps.consent.models import Notice, NoticeText, Section
from apps.consent.notices import NoticeRefused
from apps.consent.wording import Registers
from apps.stores import jurisdictions
from apps.stores.models import Camera, Store
from tests.conftest import House
from tests.consent.notices import (
    AUTHOR,
    LINES,
    SECOND,
    approved,
    new_version,
    published,
    sections,
    third_party,
    written,
)


def rewrite(notice: Notice, locale: str = "en", **changes: str) -> Notice:
    """Save one language again, changed in a section or in its lines."""
    notice.refresh_from_db()
    text = notice.texts.get(locale=locale)
    lines = changes.pop("lines", text.lines)
    return notices.write(
        notice=notice,
        locale=locale,
        lines=lines,
        sections={**text.sections, **changes},
        revision=notice.revision,
        actor=AUTHOR,
    )


def refusal(notice: Notice) -> NoticeRefused:
    """How a proposal is refused."""
    with pytest.raises(NoticeRefused) as refused:
        notices.propose(notice=notice, actor=AUTHOR)
    return refused.value


# Complete.


@pytest.mark.parametrize("section", Section.values)
def test_without_any_section_that_the_jurisdiction_requires_it_goes_nowhere(
    house: House, section: str
) -> None:
    notice = rewrite(written(house.organization), "zh-hans", **{section: "  "})
    (missing,) = refusal(notice).missing
    assert (missing.locale, missing.place) == ("zh-hans", section)
    assert "not written" in missing.text


def test_what_a_jurisdiction_does_not_require_may_be_left_out(house: House) -> None:
    notice = rewrite(written(house.organization), basis="")
    assert [each.place for each in refusal(notice).missing] == ["basis"]
    Store.objects.update(jurisdiction="cn")
    assert notices.propose(notice=notice, actor=AUTHOR).proposed_by == AUTHOR


def test_the_strict_pack_requires_what_any_pack_does() -> None:
    packs = {code: jurisdictions.get(code) for code in jurisdictions.codes()}
    strict = packs.pop("strict")
    for pack in packs.values():
        assert pack.requires <= strict.requires <= set(Section.values)
        assert pack.renew_min_days <= strict.renew_min_days < strict.renew_max_days
        assert strict.renew_max_days <= pack.renew_max_days
    named = {"contact", "purpose", "method", "retention", "necessity", "effects", "rights"}
    named |= {"withdrawal", "third_parties", "alternatives"}
    assert all(named <= pack.requires for pack in packs.values())


def test_every_language_that_any_store_offers_has_to_be_written(house: House) -> None:
    notice = notices.begin(organization=house.organization, actor=AUTHOR)
    NoticeText.objects.filter(notice=notice, locale="zh-hans").delete()
    found = refusal(notice).missing
    assert {each.locale for each in found} == {"zh-hans"}
    assert {each.place for each in found} >= {"lines", "rights"}
    Store.objects.update(languages=["en"])
    notices.propose(notice=notice, actor=AUTHOR)


def test_ten_short_lines_and_no_more(house: House) -> None:
    notice = rewrite(written(house.organization), lines="One.\n" * 10)
    notices.propose(notice=notice, actor=AUTHOR)
    (missing,) = refusal(rewrite(notice, lines="One.\n" * 11)).missing
    assert (missing.place, "11 short lines" in missing.text) == ("lines", True)


def test_a_placeholder_that_nothing_fills_is_refused_with_its_line(house: House) -> None:
    notice = rewrite(written(house.organization), rights="You have rights.\n\nSee {camras}.")
    (missing,) = refusal(notice).missing
    assert missing.text == "“Your rights”, line 3: nothing fills in {camras}."
    assert missing.place == "rights"


@pytest.mark.parametrize(
    ("section", "drawn"),
    [
        ("contact", "contact"),
        ("method", "cameras"),
        ("retention", "retention"),
        ("third_parties", "third_parties"),
        ("alternatives", "alternatives"),
    ],
)
def test_a_list_by_hand_does_not_take_the_place_of_a_register(
    house: House, section: str, drawn: str
) -> None:
    notice = rewrite(written(house.organization), **{section: "Nobody, never, nowhere."})
    (missing,) = refusal(notice).missing
    assert f"{{{drawn}}}" in missing.text


def test_a_store_without_a_check_in_without_a_face_holds_it_up(house: House) -> None:
    Store.objects.update(non_face_check_in="")
    (missing,) = refusal(written(house.organization)).missing
    assert missing.text == "Harbour Street offers no check-in without a face."


# From the registers.


def test_cameras_retention_and_third_parties_come_from_the_registers(house: House) -> None:
    third_party(house.organization)
    ended = third_party(house.organization, name="Former Ltd")
    ended.ended_at = timezone.now()
    ended.save()
    Camera.objects.create(store=house.store, name="Old one", source="x", active=False)
    text = published(house)
    parts = {part.heading: "\n".join(part.paragraphs) for part in text.parts}
    assert list(parts) == [section.label for section in Section]
    assert "Cameras in Harbour Street: “Lane” recognises who signed" in parts["How it works"]
    assert "Old one" not in text.full
    assert "180 days" in parts["How long it is kept"]
    assert "1095 days" in parts["How long it is kept"]
    assert "Alpine Hosting, Switzerland (works for us)" in parts["Who else gets it"]
    assert "Former Ltd" not in text.full
    assert "privacy@harbour.example" in parts["Who answers for this"]
    assert "Show your card." in parts["Without your face"]
    assert "{" not in text.full


def test_nobody_is_a_word_too(house: House) -> None:
    assert "Nobody." in published(house).full


def test_what_a_register_says_is_not_filled_in_again(house: House) -> None:
    third_party(house.organization, purpose="Keeps {contact} in braces")
    assert "Keeps {contact} in braces" in published(house).full


def test_stores_that_differ_are_told_apart(house: House) -> None:
    Store.objects.create(
        organization=house.organization,
        name="Old Town",
        slug="old-town",
        jurisdiction="cn",
        non_face_check_in="Say your name.",
    )
    full = published(house).full
    assert "Harbour Street: Show your card." in full
    assert "Old Town: Say your name." in full
    assert "Cameras in Old Town: none." in full


def test_the_short_lines_stay_one_line_each(house: House) -> None:
    text = published(house, {"en": "We are {organization}.\n\n{cameras}", "zh-hans": "新。"})
    assert text.short_lines[0] == "We are Harbour Motors."
    assert len(text.short_lines) == 2


def test_the_signed_receipt_names_the_third_parties(house: House) -> None:
    third_party(house.organization)
    receipt = consents.sign(house.draft()).receipt
    (processing, *_rest) = signing.verify(receipt.document, signing.public_jwk())["pii_processing"]
    (recipient,) = processing["recipient_third_parties"]
    assert recipient["name"] == "Alpine Hosting"


# Drift.


def drift(house: House) -> dict[str, tuple[list[str], list[str]]]:
    notice = Notice.objects.published().filter(organization=house.organization)[0]
    return {
        each.register: (each.gone, each.new)
        for each in notices.drift(notice, Registers(house.organization))
    }


def test_a_fresh_notice_is_true(house: House) -> None:
    published(house)
    assert drift(house) == {}


def test_what_changed_since_is_named(house: House) -> None:
    Camera.objects.filter(pk=house.camera.pk).update(name="Lane by the window")
    third_party(house.organization)
    Store.objects.update(jurisdiction="cn")
    found = drift(house)
    assert found["cameras"] == (
        ["Harbour Street · Lane · lane"],
        ["Harbour Street · Lane by the window · lane"],
    )
    assert "Alpine Hosting" in found["third_parties"][1][0]
    assert "template 180 d" in found["retention"][1][0]
    published(house)
    assert drift(house) == {}


# Four eyes.


def test_who_wrote_in_it_neither_approves_nor_publishes(house: House) -> None:
    notice = notices.propose(notice=written(house.organization), actor=SECOND)
    with pytest.raises(NoticeRefused) as refused:
        notices.approve(notice=notice, revision=notice.revision, actor=AUTHOR)
    assert refused.value.code == "four_eyes"
    notice = notices.approve(notice=notice, revision=notice.revision, actor=SECOND)
    with pytest.raises(NoticeRefused) as refused:
        notices.publish(notice=notice, actor=AUTHOR)
    assert refused.value.code == "four_eyes"
    notices.publish(notice=notice, actor=SECOND)


def test_without_an_approval_nothing_is_published(house: House) -> None:
    notice = notices.propose(notice=written(house.organization), actor=AUTHOR)
    with pytest.raises(NoticeRefused) as refused:
        notices.publish(notice=notice, actor=SECOND)
    assert refused.value.code == "not_approved"


def test_what_was_not_proposed_or_not_read_is_not_approved(house: House) -> None:
    notice = written(house.organization)
    with pytest.raises(NoticeRefused):
        notices.approve(notice=notice, revision=notice.revision, actor=SECOND)
    notices.propose(notice=notice, actor=AUTHOR)
    with pytest.raises(NoticeRefused) as refused:
        notices.approve(notice=notice, revision=notice.revision - 1, actor=SECOND)
    assert refused.value.code == "not_proposed"


def test_an_edit_after_the_approval_voids_it(house: House) -> None:
    notice = rewrite(new_version(house), purpose="Something else.")
    assert (notice.proposed_by, notice.approved_by) == ("", "")
    with pytest.raises(NoticeRefused) as refused:
        notices.publish(notice=notice, actor=SECOND)
    assert refused.value.code == "not_approved"


def test_who_edited_after_the_approval_is_a_writer_from_then_on(house: House) -> None:
    notice = new_version(house)
    notice = notices.write(
        notice=notice,
        locale="en",
        lines="Mine.",
        sections=sections(),
        revision=notice.revision,
        actor=SECOND,
    )
    notice = notices.propose(notice=notice, actor=SECOND)
    with pytest.raises(NoticeRefused) as refused:
        notices.approve(notice=notice, revision=notice.revision, actor=SECOND)
    assert refused.value.code == "four_eyes"


def test_a_register_that_changes_after_the_approval_voids_it(house: House) -> None:
    notice = new_version(house)
    third_party(house.organization)
    with pytest.raises(NoticeRefused) as refused:
        notices.publish(notice=notice, actor=SECOND)
    assert refused.value.code == "stale"
    notice = notices.approve(notice=notice, revision=notice.revision, actor=SECOND)
    assert "Alpine" in notices.publish(notice=notice, actor=SECOND).texts.get(locale="en").full


def test_two_who_write_at_once_do_not_write_over_each_other(house: House) -> None:
    notice = written(house.organization)
    stale = notice.revision - 1
    with pytest.raises(NoticeRefused) as refused:
        notices.write(
            notice=notice, locale="en", lines="x", sections={}, revision=stale, actor=SECOND
        )
    assert refused.value.code == "edited"
    assert NoticeText.objects.get(notice=notice, locale="en").lines == "New.\nAnd short."


def test_an_older_version_does_not_come_after_a_newer_one(house: House) -> None:
    older, newer = approved(house.organization), approved(house.organization)
    notices.publish(notice=newer, actor=SECOND)
    with pytest.raises(NoticeRefused) as refused:
        notices.publish(notice=older, actor=SECOND)
    assert refused.value.code == "older"


def test_a_published_version_is_not_published_again(house: House) -> None:
    with pytest.raises(NoticeRefused) as refused:
        notices.publish(notice=published(house).notice, actor=SECOND)
    assert refused.value.code == "published"


def test_postgresql_itself_wants_four_eyes(house: House) -> None:
    notice = new_version(house)
    for text in notice.texts.all():
        notices.fill(text, Registers(house.organization)).save()
    now = timezone.now()
    rows = Notice.objects.filter(pk=notice.pk)
    attempts: list[dict[str, object]] = [
        {"published_by": AUTHOR},
        {"published_by": ""},
        {"published_by": SECOND, "approved_by": AUTHOR},
        {"published_by": SECOND, "approved_by": ""},
        {"published_by": SECOND, "editors": []},
    ]
    for values in attempts:
        with pytest.raises(IntegrityError, match="somebody approved it"), transaction.atomic():
            rows.update(published_at=now, **values)
    with pytest.raises(IntegrityError, match="somebody approved it"), transaction.atomic():
        Notice.objects.create(organization=house.organization, version=9, published_at=now)
    rows.update(published_at=now, published_by=SECOND)


def test_every_step_is_in_the_ledger(house: House) -> None:
    text = published(house)
    steps = Entry.objects.filter(detail__notice=str(text.notice_id)).order_by("seq")
    assert [(entry.action, entry.actor) for entry in steps] == [
        ("notice.begun", AUTHOR),
        *[("notice.written", AUTHOR)] * len(LINES),
        ("notice.proposed", AUTHOR),
        ("notice.approved", SECOND),
        ("notice.published", SECOND),
    ]


# At the kiosk.


def test_a_language_that_the_store_does_not_offer_is_not_shown(house: House) -> None:
    Store.objects.update(languages=["zh-hans"])
    house.store.refresh_from_db()
    assert consents.current_text(store=house.store, locale="en") is None
    assert consents.current_text(store=house.store, locale="zh-hans") is not None


def test_a_store_offers_a_language_at_least(house: House) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Store.objects.update(languages=[])


def test_a_language_begun_for_no_store_is_finished_or_left(house: House) -> None:
    Store.objects.update(languages=["en"])
    begun = rewrite(written(house.organization), "zh-hans", rights="")
    assert {each.locale for each in refusal(begun).missing} == {"zh-hans"}
    emptied = rewrite(begun, "zh-hans", lines="", **dict.fromkeys(Section.values, ""))
    emptied = notices.propose(notice=emptied, actor=AUTHOR)
    emptied = notices.approve(notice=emptied, revision=emptied.revision, actor=SECOND)
    notices.publish(notice=emptied, actor=SECOND)
    assert {text.locale for text in emptied.texts.all()} == LINES.keys() - {"zh-hans"}


def test_consents_may_end_within_the_days_of_the_jurisdiction_only(house: House) -> None:
    now = timezone.now()
    for days in (1, 13, 91, 400):
        with pytest.raises(NoticeRefused) as refused:
            notices.publish(
                notice=new_version(house), actor=SECOND, former_end=now + timedelta(days=days)
            )
        assert refused.value.code == "former_end"
    for days in (14, 90):
        end = now + timedelta(days=days)
        assert notices.publish(notice=new_version(house), actor=SECOND, former_end=end).published_at
