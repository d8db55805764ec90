"""The floor board with everything, and with nothing but HTML."""

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Browser, expect

from apps.visits.services import disclose
from tests.journeys.accessible import faults
from tests.journeys.conftest import Town, log_in, watched
from tests.visits.test_disclose import match_of

PHONE: Any = {"viewport": {"width": 390, "height": 800}, "reduced_motion": "reduce"}


def test_a_card_comes_by_itself_and_stays_one_card(
    town: Town, open_browser: Callable[..., Browser]
) -> None:
    visitor = town.house.visitor("Ms Chen")
    page = watched(
        open_browser().new_context(**PHONE),
        town,
    )
    log_in(page, town, "linda", f"/floor/{town.house.store.slug}/")
    expect(page.get_by_test_id("floor-state")).to_have_attribute("data-state", "live")
    problems = faults(page)
    disclose(match_of(visitor, town.house))
    expect(page.get_by_test_id("visit-name")).to_have_text("Ms Chen")
    problems += faults(page)
    page.get_by_test_id("greet").click()
    expect(page.get_by_test_id("visit-greeted")).to_be_visible()
    expect(page.get_by_test_id("visit-card")).to_have_count(1)
    problems += faults(page)
    assert not problems


def test_without_javascript_the_board_refreshes_and_greets(
    town: Town, open_browser: Callable[..., Browser]
) -> None:
    visitor = town.house.visitor("Ms Chen")
    disclose(match_of(visitor, town.house))
    page = watched(open_browser().new_context(java_script_enabled=False), town)
    log_in(page, town, "linda", f"/floor/{town.house.store.slug}/")
    expect(page.get_by_test_id("visit-name")).to_have_text("Ms Chen")
    expect(page.locator("meta[http-equiv=refresh]")).to_have_attribute("content", "10")
    page.get_by_test_id("greet").click()
    expect(page.get_by_test_id("visit-greeted")).to_contain_text("Linda")
