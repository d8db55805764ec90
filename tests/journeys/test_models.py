"""The officer follows a change of model to its end: who came by, who is left, and the last day."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, expect

from apps.retention.services.sweep import sweep
from apps.visitors.models import FaceTemplate, FormerPack, Visitor
from tests.journeys.accessible import faults_everywhere
from tests.journeys.conftest import Town, log_in, watched
from tests.retention.test_retire import OLD, of_the_former, taken_anew

PAGE = "/admin/visitors/formerpack/"


@pytest.fixture
def pack() -> FormerPack:
    return FormerPack(
        name=OLD[0],
        version=OLD[1],
        licence="Apache-2.0 and MIT",
        dim=256,
        left_at=timezone.now() - timedelta(days=10),
    )


def test_the_officer_follows_a_change_of_model_to_its_end(
    town: Town, pack: FormerPack, open_browser: Callable[..., Browser]
) -> None:
    page = watched(open_browser().new_context(), town)
    log_in(page, town, "diana", "/admin/")
    page.get_by_test_id("models-link").click()
    page.wait_for_url(f"**{PAGE}")
    expect(page.get_by_test_id("model-present")).to_contain_text("consentry-starter")
    expect(page.get_by_test_id("models-begin")).to_be_visible()
    problems = faults_everywhere(page)

    pack.save()
    for _ in range(3):
        visitor, new = taken_anew(town.house)
        FaceTemplate.objects.filter(pk=new.pk).update(visit=visitor.pk)
    of_the_former(town.house).templates.update(mixed_up=True)
    of_the_former(town.house)
    page.reload()
    expect(page.get_by_test_id("model-whole")).to_have_text("3 of 5 (60 %)")
    expect(page.get_by_test_id("model-unread")).to_be_visible()
    problems += faults_everywhere(page)

    # A day that is over is refused, and what was typed stays.
    form = page.get_by_test_id("model-form")
    yesterday = timezone.now().date() - timedelta(days=1)
    form.get_by_test_id("model-day-input").fill(yesterday.isoformat())
    form.get_by_test_id("model-reason").fill("The new one is better in the dark")
    form.get_by_test_id("model-preview").click()
    expect(page.get_by_role("alert")).to_contain_text("Choose today or a later one")
    expect(page.get_by_test_id("model-reason")).to_have_value("The new one is better in the dark")
    problems += faults_everywhere(page)

    # In a month; then she thinks better of it, and ends it at once.
    page.get_by_test_id("model-day-input").fill((yesterday + timedelta(days=31)).isoformat())
    page.get_by_test_id("model-preview").click()
    expect(page.get_by_test_id("model-plan")).to_be_visible()
    assert FormerPack.objects.get().ends_at is None
    problems += faults_everywhere(page)
    page.get_by_test_id("model-confirm").click()
    expect(page.get_by_test_id("model-day")).to_be_visible()
    problems += faults_everywhere(page)
    page.get_by_test_id("model-keep").click()
    expect(page.get_by_test_id("model-day")).to_have_count(0)
    page.get_by_test_id("model-day-input").fill(timezone.now().date().isoformat())
    page.get_by_test_id("model-reason").fill("The new one is better in the dark")
    page.get_by_test_id("model-preview").click()
    page.get_by_test_id("model-confirm").click()
    expect(page.get_by_test_id("models-ended")).to_be_visible()
    sweep()
    assert Visitor.objects.count() == 3
    page.reload()
    expect(page.get_by_test_id("models-ended")).to_contain_text("3 templates of people known anew")
    expect(page.get_by_test_id("models-ended")).to_contain_text("2 people who did not come by")
    problems += faults_everywhere(page)
    assert not problems
