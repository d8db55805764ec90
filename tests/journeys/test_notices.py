"""A notice from the first word to the kiosk: one officer writes it, another one publishes it, and
whoever signed before is asked again."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from apps.consent.models import Consent, Notice
from apps.stores.models import Role, User
from apps.visits.services import disclose
from tests.conftest import hashed
from tests.consent.notices import new_version, third_party, written
from tests.journeys.accessible import faults, faults_everywhere
from tests.journeys.conftest import Town, choose, log_in, watched
from tests.visits.test_disclose import match_of


@pytest.fixture
def officers(town: Town, open_browser: Callable[..., Browser]) -> Callable[[str, str], Page]:
    """Log an officer in; there are two."""
    second = User.objects.create(username="omar", password=hashed(), first_name="Omar")
    Role.objects.create(user=second, store=town.house.store, kind=Role.Kind.DPO)
    browser = open_browser()

    def officer(name: str, path: str) -> Page:
        page = watched(browser.new_context(viewport={"width": 1280, "height": 900}), town)
        log_in(page, town, name, path)
        return page

    return officer


def test_one_writes_and_another_publishes(
    town: Town, tablet: Page, officers: Callable[[str, str], Page]
) -> None:
    visitor = town.house.visitor("Ms Chen")
    diana = officers("diana", "/admin/consent/notice/")
    diana.get_by_test_id("notice-begin").click()
    diana.get_by_test_id("notice-begin-go").click()
    screen = diana.frame_locator("#kiosk")
    expect(screen.get_by_test_id("notice-short")).to_have_text("We greet you by name.")

    # The kiosk's screen follows the typing, and the sheet stays open while it does.
    screen.get_by_test_id("notice-more").click()
    diana.get_by_label("In short").fill("We greet you by name.\nAnd by your title.")
    expect(screen.get_by_test_id("notice-short").locator("li")).to_have_count(2)
    diana.get_by_label("How it works").fill("By camera.\n\n{cameras}")
    expect(screen.get_by_test_id("notice-dialog")).to_contain_text("By camera.")
    expect(screen.get_by_test_id("notice-dialog")).to_contain_text(
        "Cameras in Harbour Street: “Lane” recognises who signed"
    )
    diana.get_by_label("Your rights").fill("")
    diana.get_by_test_id("notice-propose").click()
    missing = diana.get_by_test_id("missing").get_by_role("link")
    expect(missing).to_have_text("en “Your rights” is not written.")
    missing.click()
    expect(diana.get_by_label("Your rights")).to_be_in_viewport()
    diana.get_by_label("Your rights").fill("All of them.")
    diana.get_by_test_id("notice-propose").click()
    expect(diana.get_by_test_id("wrote")).to_be_visible()
    expect(diana.get_by_test_id("notice-approve")).to_have_count(0)

    omar = officers("omar", "/admin/")
    omar.get_by_test_id("notice-waiting").click()
    expect(omar.get_by_test_id("diff").locator("ins").first).to_have_text("And by your title.")
    omar.get_by_test_id("notice-approve").click()
    omar.get_by_test_id("material-yes").check()
    expect(omar.get_by_text("1 person who signed before")).to_be_visible()
    end = timezone.now().date() + timedelta(days=21)
    omar.get_by_test_id("former-end").fill(end.isoformat())
    omar.get_by_test_id("notice-publish").click()
    expect(omar.get_by_test_id("digest-en")).to_be_visible()
    assert Consent.objects.get(subject=visitor.subject).expires_at.date() == end

    choose(tablet)
    expect(tablet.get_by_test_id("notice-short")).to_contain_text("And by your title.")
    tablet.get_by_test_id("notice-more").click()
    expect(tablet.get_by_test_id("notice-dialog")).to_contain_text("All of them.")
    assert faults(tablet) == []

    disclose(match_of(visitor, town.house))
    log_in(omar, town, "linda", f"/floor/{town.house.store.slug}/")
    expect(omar.get_by_test_id("visit-sign-anew")).to_contain_text("sign the new one")
    assert faults(omar) == []


def test_the_pages_are_for_everybody(town: Town, officers: Callable[[str, str], Page]) -> None:
    draft = written(town.house.organization)
    ready = new_version(town.house)
    third_party(town.house.organization)
    published = Notice.objects.published()[0]
    page = officers("diana", "/admin/")
    problems = []
    base = "/admin/consent/notice/"
    for path in (
        "/admin/",
        base,
        f"{base}add/",
        f"{base}{draft.pk}/change/",
        f"{base}{draft.pk}/change/?locale=zh-hans",
        f"{base}{ready.pk}/review/",
        f"{base}{published.pk}/change/",
        f"{base}{draft.pk}/preview/en/",
    ):
        page.goto(town.origin + path)
        problems += [f"{path} {fault}" for fault in faults_everywhere(page)]
    assert "\n".join(problems) == ""
