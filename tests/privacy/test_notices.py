"""Officers at their notices: what each of them sees, may do, and cannot get past."""

import json
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.http.response import HttpResponseBase
from django.test import Client
from django.utils import timezone

from apps.audit.models import Entry
from apps.consent.models import Notice, NoticeText, Section
from apps.privacy.notices import Change, changes
from apps.stores.models import Organization, Role, Store, ThirdParty, User
from tests.clients import browser
from tests.conftest import House
from tests.consent.notices import new_version, published, sections, third_party, written

BASE = "/admin/consent/notice/"


@pytest.fixture
def officer(house: House) -> Client:
    return browser(house.dpo)


@pytest.fixture
def second(house: House) -> Client:
    user = User.objects.create(username="omar", first_name="Omar")
    Role.objects.create(user=user, store=house.store, kind=Role.Kind.DPO)
    return browser(user)


def begun(officer: Client, house: House) -> Notice:
    """A version that this officer started."""
    officer.post(f"{BASE}add/", {"organization": str(house.organization.pk)})
    return Notice.objects.latest("version")


def typed(notice: Notice, locale: str = "en", **changes: str) -> dict[str, str]:
    notice.refresh_from_db()
    form = {"locale": locale, "revision": str(notice.revision), "lines": "Short.", **sections()}
    return {**form, **changes}


def save(officer: Client, notice: Notice, **changes: str) -> str:
    """Press “Save” and return the page that follows."""
    answer = officer.post(f"{BASE}{notice.pk}/change/", typed(notice, **changes), follow=True)
    return str(answer.content.decode())


def review(officer: Client, notice: Notice) -> str:
    return str(officer.get(f"{BASE}{notice.pk}/review/").content.decode())


def approve(officer: Client, notice: Notice) -> str:
    notice.refresh_from_db()
    form = {"revision": notice.revision}
    answer = officer.post(f"{BASE}{notice.pk}/approve/", form, follow=True)
    return str(answer.content.decode())


def publish(officer: Client, notice: Notice, **form: str) -> str:
    answer = officer.post(f"{BASE}{notice.pk}/publish/", form, follow=True)
    return str(answer.content.decode())


# From the first word to the last.


def test_one_officer_writes_and_another_publishes(
    house: House, officer: Client, second: Client
) -> None:
    notice = begun(officer, house)
    save(officer, notice)
    page = save(officer, notice, locale="zh-hans", then="propose")
    assert "You wrote in this version" in page
    assert 'data-testid="notice-approve"' not in page
    assert "Somebody else has to read" in approve(officer, notice)
    assert 'data-testid="notice-approve"' in review(second, notice)
    assert 'data-testid="publish"' in approve(second, notice)
    assert "Somebody else has to read" in publish(officer, notice, material="no")
    assert "is published" in publish(second, notice, material="no")
    notice.refresh_from_db()
    omar = User.objects.get(username="omar")
    assert (notice.published_by, notice.former_end_at) == (f"user:{omar.pk}", None)
    frozen = review(second, notice)
    assert notice.texts.get(locale="en").digest in frozen
    assert "Diana" in frozen
    assert "Omar" in frozen
    assert "<textarea" not in frozen


def test_an_edit_takes_the_approval_away(house: House, officer: Client, second: Client) -> None:
    notice = new_version(house)
    assert 'data-testid="publish"' in review(officer, notice)
    save(second, notice, lines="Other words.")
    assert "not proposed yet" in review(officer, notice)
    assert "A second person has to approve" in publish(officer, notice, material="no")
    assert Notice.objects.get(pk=notice.pk).published_at is None


def test_a_register_that_changes_takes_it_away_too(house: House, officer: Client) -> None:
    notice = new_version(house)
    third_party(house.organization)
    page = review(officer, notice)
    assert "A register changed after the approval" in page
    assert 'data-testid="publish"' not in page
    assert "Approve it again" in publish(officer, notice, material="no")
    approve(officer, notice)
    assert "is published" in publish(officer, notice, material="no")


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"material": "yes"},
        {"material": "yes", "former_end": "soon"},
        {"material": "yes", "former_end": "2099-01-01"},
        {"material": "maybe"},
    ],
)
def test_without_a_word_on_who_is_asked_again_nothing_is_published(
    house: House, officer: Client, form: dict[str, str]
) -> None:
    notice = new_version(house)
    assert 'class="error"' in publish(officer, notice, **form)
    assert Notice.objects.get(pk=notice.pk).published_at is None


def test_a_material_change_says_until_when_the_old_consents_last(
    house: House, officer: Client
) -> None:
    house.visitor()
    notice = new_version(house)
    assert "1 person who signed before" in review(officer, notice)
    end = timezone.now().date() + timedelta(days=20)
    page = publish(officer, notice, material="yes", former_end=end.isoformat())
    assert "A material change" in page
    notice.refresh_from_db()
    assert notice.former_end_at is not None
    assert notice.former_end_at.date() == end
    entry = Entry.objects.filter(action="notice.published").latest("seq")
    assert entry.detail["asked_again"] == 1
    assert json.dumps(entry.detail).count(notice.texts.get(locale="en").digest) == 1


# What is missing.


def test_what_is_missing_is_listed_with_the_way_to_it(house: House, officer: Client) -> None:
    notice = begun(officer, house)
    page = save(officer, notice, rights="", method="By {camras}.", then="propose")
    assert "Something is still missing" in page
    assert f'href="{BASE}{notice.pk}/change/?locale=en#id_rights"' in page
    assert "nothing fills in {camras}" in page
    assert "has to take {cameras} from the register" in page
    notice.refresh_from_db()
    assert notice.proposed_by == ""
    assert notice.texts.get(locale="en").sections["method"] == "By {camras}."


def test_what_another_officer_saved_meanwhile_is_not_written_over_unseen(
    house: House, officer: Client, second: Client
) -> None:
    notice = begun(officer, house)
    mine = typed(notice, lines="Mine.")
    save(second, notice, lines="Theirs.")
    answer = officer.post(f"{BASE}{notice.pk}/change/", mine)
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "Somebody else saved" in page
    assert "Mine." in page, "what was typed is not lost"
    assert notice.texts.get(locale="en").lines == "Theirs."
    revision = re.search(r'name="revision" value="(\d+)"', page)
    assert revision is not None
    officer.post(f"{BASE}{notice.pk}/change/", {**mine, "revision": revision[1]})
    assert notice.texts.get(locale="en").lines == "Mine."


@pytest.mark.parametrize(
    "change", [{"lines": "x" * 20_001}, {"rights": "a\x00b"}, {"revision": "x"}]
)
def test_what_cannot_be_kept_is_refused_and_stays_on_the_page(
    house: House, officer: Client, change: dict[str, str]
) -> None:
    notice = begun(officer, house)
    before = notice.texts.get(locale="en").sections
    answer = officer.post(f"{BASE}{notice.pk}/change/", typed(notice, purpose="Kept?", **change))
    assert answer.status_code == 400
    assert "Kept?" in answer.content.decode()
    assert notice.texts.get(locale="en").sections == before


# The kiosk's screen.


def test_the_preview_is_the_kiosks_own_screen_and_saves_nothing(
    house: House, officer: Client
) -> None:
    notice = begun(officer, house)
    path = f"{BASE}{notice.pk}/preview/en/"
    answer = officer.post(path, typed(notice, lines="{organization} greets you."))
    page = answer.content.decode()
    assert "css/kiosk.css" in page
    assert (
        '<ul class="lines" data-testid="notice-short"><li>Harbour Motors greets you.</li>' in page
    )
    assert "Cameras in Harbour Street: “Lane”" in page
    assert "Harbour Motors greets" not in officer.get(path).content.decode()
    assert notice.texts.get(locale="en").lines == "We greet you by name."


def test_only_the_preview_may_stand_in_a_frame_and_only_in_ours(
    house: House, officer: Client
) -> None:
    notice = begun(officer, house)
    answer = officer.get(f"{BASE}{notice.pk}/preview/zh-hans/")
    assert answer["X-Frame-Options"] == "SAMEORIGIN"
    assert "frame-ancestors 'self'" in answer["Content-Security-Policy"]
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert "default-src 'self'" in answer["Content-Security-Policy"]
    other = officer.get(f"{BASE}{notice.pk}/change/")
    assert other["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in other["Content-Security-Policy"]


def test_a_preview_of_what_is_no_language_is_not_there(house: House, officer: Client) -> None:
    assert officer.get(f"{BASE}{begun(officer, house).pk}/preview/de/").status_code == 404


# Against the version before.


def runs(found: list[Change], heading: str) -> list[tuple[str, str]]:
    (change,) = [each for each in found if each.heading == heading]
    return [(run.kind, run.text) for run in change.runs]


def texts(*written: tuple[str, str]) -> tuple[NoticeText, NoticeText]:
    one, other = (NoticeText(locale="en", short=short, full=full) for short, full in written)
    return one, other


def test_a_change_is_shown_word_by_word() -> None:
    found = changes(
        *texts(("Kept.", "# A\n\nFor 12 months here."), ("Kept.", "# A\n\nFor 6 months here."))
    )
    assert runs(found, "A") == [
        ("same", "For "),
        ("gone", "12"),
        ("new", "6"),
        ("same", " months here."),
    ]
    assert [each.heading for each in found if each.same] == ["In short"]


def test_chinese_is_compared_sign_by_sign() -> None:
    found = changes(*texts(("最长十二个月。", ""), ("最长六个月。", "")))
    assert [kind for kind, _text in runs(found, "In short")] == ["same", "gone", "new", "same"]
    assert ("new", "六") in runs(found, "In short")


def test_paragraphs_that_have_little_in_common_are_shown_whole() -> None:
    old = "# A\n\nOne thing and the other.\n\nThe same end."
    new = "# A\n\nAnother world of a sentence.\n\nThe same end."
    assert runs(changes(*texts(("", old), ("", new))), "A") == [
        ("gone", "One thing and the other.\n\n"),
        ("new", "Another world of a sentence.\n\n"),
        ("same", "The same end."),
    ]


def test_a_section_that_came_or_went_is_shown() -> None:
    found = changes(*texts(("", "# A\n\nText."), ("", "# B\n\nWords.")))
    assert runs(found, "A") == [("gone", "Text.")]
    assert runs(found, "B") == [("new", "Words.")]


def test_the_review_names_what_changed_and_what_a_register_changed(
    house: House, officer: Client
) -> None:
    published(house)
    notice = written(house.organization)
    third_party(house.organization)
    page = review(officer, notice)
    assert "Against version 2" in page
    assert "<del>Nobody.</del>" in page
    assert "<ins>Alpine Hosting" in page
    assert "11 sections unchanged" in page


# True or not.


def test_the_first_page_says_what_of_the_notice_is_no_longer_true(
    house: House, officer: Client
) -> None:
    page = officer.get("/admin/").content.decode()
    assert 'data-testid="notice-true"' in page
    third_party(house.organization)
    house.camera.name = "Lane by the window"
    house.camera.save()
    page = officer.get("/admin/").content.decode()
    assert "no longer true" in page
    assert "Harbour Street · Lane by the window · lane" in page
    assert '<del dir="auto">Harbour Street · Lane · lane</del>' in page
    assert "Alpine Hosting" in page


def test_the_first_page_leads_to_what_waits(house: House, officer: Client) -> None:
    notice = new_version(house)
    page = officer.get("/admin/").content.decode()
    assert f"{BASE}{notice.pk}/review/" in page
    assert "is approved: publish it" in page


def test_an_officer_registers_a_third_party(house: House, officer: Client) -> None:
    form = {
        "organization": str(house.organization.pk),
        "name": "Alpine Hosting",
        "role": "processor",
        "purpose": "Runs the server",
        "country": "Switzerland",
        "contact": "privacy@alpine.example",
    }
    officer.post("/admin/stores/thirdparty/add/", form)
    assert ThirdParty.objects.get().organization == house.organization
    assert "Alpine Hosting" in browser().get("/public/harbour-street/").content.decode()


# Whose notices.


VISITS: dict[str, Callable[[Client, Notice], HttpResponseBase]] = {
    "change": lambda officer, notice: officer.get(f"{BASE}{notice.pk}/change/"),
    "review": lambda officer, notice: officer.get(f"{BASE}{notice.pk}/review/"),
    "preview": lambda officer, notice: officer.get(f"{BASE}{notice.pk}/preview/en/"),
    "approve": lambda officer, notice: officer.post(
        f"{BASE}{notice.pk}/approve/", {"revision": notice.revision}
    ),
    "publish": lambda officer, notice: officer.post(
        f"{BASE}{notice.pk}/publish/", {"material": "no"}
    ),
    "save": lambda officer, notice: officer.post(f"{BASE}{notice.pk}/change/", typed(notice)),
    "begin": lambda officer, notice: officer.post(
        f"{BASE}add/", {"organization": str(notice.organization_id)}
    ),
}


@pytest.mark.parametrize("visit", VISITS)
def test_nobody_gets_at_the_notice_of_another_house(house: House, visit: str) -> None:
    notice = new_version(house)
    other = Organization.objects.create(
        name="Elsewhere Motors", address="2", contact_name="E", contact_email="e@else.example"
    )
    store = Store.objects.create(organization=other, name="Elsewhere", slug="elsewhere")
    stranger = User.objects.create(username="stranger")
    Role.objects.create(user=stranger, store=store, kind=Role.Kind.DPO)
    assert VISITS[visit](browser(stranger), notice).status_code == 404
    assert VISITS[visit](browser(house.staff), notice).status_code == 302, "to the log-in"
    notice.refresh_from_db()
    assert notice.published_at is None
    assert Notice.objects.count() == 2


def test_what_was_published_cannot_be_written_in(house: House, officer: Client) -> None:
    text = published(house)
    before = list(NoticeText.objects.order_by("pk").values())
    page = officer.get(f"{BASE}{text.notice_id}/change/").content.decode()
    assert "<textarea" not in page
    assert text.digest in page
    save(officer, text.notice, lines="We follow you everywhere.")
    assert list(NoticeText.objects.order_by("pk").values()) == before


def test_every_section_has_its_field(house: House, officer: Client) -> None:
    page = officer.get(f"{BASE}{begun(officer, house).pk}/change/").content.decode()
    assert re.findall(r'<textarea name="(\w+)"', page) == ["lines", *Section.values]
