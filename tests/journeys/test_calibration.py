"""The officer looks at how often recognition errs, tries another threshold, and it is live."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from django.conf import settings
from django.utils import timezone
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, expect

from apps.audit.models import Entry
from apps.recognition.client import MatchRequest, Recognizer
from apps.recognition.engine import starter
from apps.recognition.models import Calibration
from apps.visits.models import Unmatched
from tests.journeys.accessible import faults
from tests.journeys.conftest import Town, log_in, watched
from tests.people import enrolled_for_good

Crops = Callable[[int], NDArray[np.uint8]]


def sees(town: Town, crops: NDArray[np.uint8]) -> str:
    asked = MatchRequest(town.house.camera.pk, town.house.store.pk, time.time())
    return Recognizer(settings.CONSENTRY.socket).match(asked, crops).outcome


def sideways(page: Page) -> bool:
    """Whether anything makes the page wider than its window."""
    return bool(page.evaluate("() => document.documentElement.scrollWidth > window.innerWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_officer_sets_a_threshold_that_is_live_at_once(
    town: Town, open_browser: Callable[..., Browser], crops_of: Crops, scheme: str
) -> None:
    recognizer = Recognizer(settings.CONSENTRY.socket)
    for person in (2, 3):
        enrolled_for_good(town.house, [recognizer], crops_of(person))
    Unmatched.objects.create(store=town.house.store, day=timezone.now().date(), count=40)
    poor = np.ascontiguousarray(crops_of(2) // 96 * 96)  # three levels of grey: cosine 0.53
    assert sees(town, poor) == "visit"
    context = open_browser().new_context(
        color_scheme=scheme,  # type: ignore[arg-type]
        viewport={"width": 390, "height": 844},
    )
    page = watched(context, town)
    log_in(page, town, "diana", "/admin/")
    page.get_by_test_id("to-calibration").click()
    expect(page.get_by_test_id("threshold")).to_have_text(f"{starter.THRESHOLD['value']:.3f}")
    expect(page.get_by_test_id("verdict")).to_contain_text("Good enough")
    expect(page.get_by_test_id("strangers")).to_have_text("40.0")
    closest = recognizer.closest(town.house.store.pk)
    expect(page.get_by_test_id("closest")).to_have_text(f"{closest:.2f}")
    expect(page.get_by_test_id("observed")).to_contain_text("0 of 1")
    expect(page.get_by_test_id("histogram")).to_be_visible()
    expect(page.get_by_test_id("det")).to_be_visible()
    problems = faults(page)
    assert not sideways(page)

    page.get_by_label("Threshold", exact=True).fill("0.6")
    page.get_by_label("Reason").fill("Two greetings by a wrong name on Monday.")
    page.get_by_test_id("preview-ask").click()
    expect(page.get_by_test_id("then-greeted")).to_have_text("0.00 %")
    assert Calibration.objects.count() == 1, "looking changes nothing"
    problems += faults(page)
    assert not sideways(page)
    page.get_by_test_id("choose").click()
    expect(page.get_by_test_id("threshold")).to_have_text("0.600")
    expect(page.get_by_test_id("history")).to_contain_text("Two greetings by a wrong name")
    expect(page.get_by_test_id("verdict")).to_contain_text("Not good enough")
    problems += faults(page)
    entry = Entry.objects.filter(action="pack.calibrated").latest("seq")
    assert (entry.actor, entry.detail["threshold"]) == (f"user:{town.house.dpo.pk}", "0.6000")
    assert sees(town, poor) == "unknown"
    assert not problems
