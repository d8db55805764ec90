"""The officer opens a record for a reason, and nobody else gets in."""

from collections.abc import Callable

from playwright.sync_api import Browser, expect

from apps.audit.models import Entry
from apps.visitors.models import Visitor
from apps.visits.mistakes import mark_wrong
from apps.visits.services import disclose
from tests.journeys.accessible import faults
from tests.journeys.conftest import Town, log_in, watched
from tests.visits.test_disclose import match_of, visit_of


def test_the_officer_opens_a_record_for_a_reason(
    town: Town, open_browser: Callable[..., Browser]
) -> None:
    visitor = town.house.visitor("Ms Chen")
    mistaken = visit_of(disclose(match_of(visitor, town.house)))
    mark_wrong(visit=mistaken, user=town.house.staff)
    context = open_browser().new_context()
    page = watched(context, town)
    log_in(page, town, "diana", "/admin/")
    expect(page.get_by_test_id("number-overdue")).to_be_visible()
    expect(page.get_by_test_id("false-rate")).to_have_text("1 of 1 this week (100.0 %)")
    expect(page.get_by_test_id("false-scores")).to_contain_text("0.80")
    problems = faults(page)

    page.goto(f"{town.origin}/admin/visitors/visitor/{visitor.pk}/change/")
    problems += faults(page)
    page.get_by_test_id("reason-request").check()
    page.get_by_test_id("reason-open").click()
    expect(page.get_by_text("Ms Chen")).to_be_visible()
    assert Entry.objects.get(action="visitor.looked").detail["reason"] == "request"
    problems += faults(page)

    # How it goes on, with a second person: tests/journeys/test_requests.py.
    page.get_by_test_id("visitor-erase").click()
    expect(page.get_by_label("Whose, as far as it says")).to_have_value(str(visitor.pk))
    expect(page.get_by_label("What they ask for")).to_have_value("erasure")
    assert Visitor.objects.exists()

    for path in ("audit/entry", "stores/camera", "consent/notice", "stores/device"):
        page.goto(f"{town.origin}/admin/{path}/")
        problems += [f"{path} {fault}" for fault in faults(page)]
    assert not problems


def test_a_member_of_staff_does_not_get_into_the_portal(
    town: Town, open_browser: Callable[..., Browser]
) -> None:
    page = watched(open_browser().new_context(), town)
    log_in(page, town, "linda", f"/floor/{town.house.store.slug}/")
    page.goto(f"{town.origin}/admin/")
    expect(page.get_by_test_id("login-other")).to_be_visible()
