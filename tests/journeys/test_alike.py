"""Whom the lane could mix up is offered a pass: a decision of its own, signed anew."""

from collections.abc import Callable

import numpy as np
import pytest
from django.conf import settings
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, expect

from apps.consent.models import Consent
from apps.recognition.client import Recognizer
from apps.visitors.models import FaceTemplate
from tests import faces
from tests.journeys.accessible import faults
from tests.journeys.acting import acting
from tests.journeys.conftest import (
    Town,
    answer_others,
    choose,
    draw,
    enrolled,
    log_in,
    others,
    watched,
)
from tests.journeys.test_pass import pass_reader
from tests.people import enrolled_for_good

PERSON, SISTERS_OTHER_HALF = 3, 5


@pytest.fixture
def sister(
    town: Town,
    crops_of: Callable[[int], NDArray[np.uint8]],
    open_browser: Callable[..., Browser],
) -> Page:
    """The kiosk of a store with a lane and a pass camera, before somebody who looks like Ms Chen,
    who is enrolled."""
    pass_reader(town)
    enrolled_for_good(town.house, [Recognizer(settings.CONSENTRY.socket)], crops_of(PERSON))
    # One pose, at 0.46 of person 3 whichever frames are taken; swaying, it is 0.30 to 0.55.
    pose = next(faces.relative(PERSON, SISTERS_OTHER_HALF, 0.48, seconds=0.1))
    return enrolled(town, open_browser(), acting(pose))


def agree_to_the_lane(page: Page) -> None:
    choose(page)
    page.get_by_test_id("notice-go").click()
    page.get_by_test_id("lane-yes").click()
    page.get_by_test_id("pass-no").click()
    answer_others(page, "history")
    page.get_by_test_id("term-12").click()
    page.get_by_test_id("age-yes").click()
    page.get_by_test_id("name").fill("Mei")
    page.get_by_test_id("name-go").click()
    draw(page)
    page.get_by_test_id("signature-go").click()


@pytest.fixture
def floor(town: Town, open_browser: Callable[..., Browser]) -> Page:
    page = watched(open_browser().new_context(), town)
    log_in(page, town, "linda", f"/floor/{town.house.store.slug}/")
    expect(page.get_by_test_id("floor-state")).to_have_attribute("data-state", "live")
    expect(page.get_by_test_id("floor-look-alike")).to_be_hidden()
    return page


def test_a_sister_takes_a_pass_instead_and_staff_hear_of_it_without_a_name(
    town: Town, sister: Page, floor: Page
) -> None:
    agree_to_the_lane(sister)
    expect(sister.get_by_test_id("alike-problem")).to_contain_text(
        "nothing was kept", timeout=30_000
    )
    assert not faults(sister)
    expect(floor.get_by_test_id("floor-look-alike")).to_be_visible()
    assert not faults(floor)
    assert "Mei" not in floor.content()

    sister.get_by_test_id("alike-pass").click()
    for answer in ("pass-yes", "pass-no"):
        expect(sister.get_by_test_id(answer)).to_have_attribute("aria-pressed", "false")
    sister.get_by_test_id("pass-yes").click()
    expect(sister.get_by_test_id("answers")).to_contain_text("show your pass")
    lane = sister.get_by_test_id("answers").get_by_text("when you come back")
    expect(lane).to_be_hidden()
    sister.get_by_test_id("signature-go").click()
    expect(sister.get_by_text("Please sign in the box")).to_be_visible()
    draw(sister)
    sister.get_by_test_id("signature-go").click()
    expect(sister.get_by_test_id("pass-qr").locator("svg")).to_be_visible(timeout=30_000)
    consent = Consent.objects.latest("signed_at")
    assert consent.purposes == ["pass", "history"]
    assert ["history", *consent.declined] == others(sister)
    assert [one.purpose for one in FaceTemplate.objects.filter(consent=consent)] == ["pass"]


def test_who_wants_no_pass_either_leaves_without_a_trace(
    town: Town, sister: Page, floor: Page
) -> None:
    agree_to_the_lane(sister)
    expect(sister.get_by_test_id("alike-pass")).to_be_visible(timeout=30_000)
    sister.get_by_test_id("alike-pass").click()
    sister.get_by_test_id("pass-yes").wait_for()
    sister.get_by_test_id("back").locator("visible=true").click()
    expect(sister.get_by_test_id("alike-problem")).to_contain_text("nothing was kept")
    sister.get_by_test_id("alike-pass").click()
    sister.get_by_test_id("pass-no").click()
    with sister.expect_response("**/kiosk/refuse/") as counted:
        sister.get_by_test_id("card-no").click()
    assert counted.value.request.post_data_json == {"purposes": ["pass", "card"]}
    expect(sister.get_by_test_id("alternative")).to_have_text("Show your card.")
    sister.get_by_test_id("alternative-finished").click()
    expect(sister.get_by_test_id("language-en")).to_be_visible()
    assert Consent.objects.count() == 1
