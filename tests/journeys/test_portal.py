"""The officer opens a record for a reason, and nobody else gets in."""

from collections.abc import Callable

from playwright.sync_api import Browser, expect

from apps.audit.models import Entry
from apps.consent.models import Consent
from apps.kiosk import demo_footfall
from apps.stores.models import Role, User
from apps.visitors.models import Visitor
from apps.visits.mistakes import mark_wrong
from apps.visits.models import OptIn
from apps.visits.services import disclose
from tests.conftest import hashed
from tests.consent.notices import third_party
from tests.journeys.accessible import faults, faults_everywhere
from tests.journeys.conftest import Town, log_in, watched
from tests.privacy.assessing import TEXTS
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

    consent = Consent.objects.get(subject=visitor.subject)
    for path in (
        *("audit/entry", "stores/camera", "consent/notice", "stores/device", "stores/policy"),
        f"stores/policy/{town.house.store.pk}/set",
        f"retention/hold/place/{consent.pk}",
    ):
        page.goto(f"{town.origin}/admin/{path}/")
        problems += [f"{path} {fault}" for fault in faults(page)]
    assert not problems


def test_the_officer_reads_how_busy_the_store_was(
    town: Town, open_browser: Callable[..., Browser]
) -> None:
    page = watched(open_browser().new_context(), town)
    log_in(page, town, "diana", "/admin/")
    page.get_by_test_id("to-insights").click()
    expect(page.get_by_test_id("insights-empty")).to_contain_text("the night after")
    problems = faults_everywhere(page)

    demo_footfall.invent([town.house.store])
    page.reload()
    expect(page.get_by_test_id("insight-hours").get_by_role("img")).to_be_visible()
    page.get_by_test_id("insights-before").click()
    page.goto(f"{town.origin}/admin/insights/?month={OptIn.objects.get().month:%Y-%m}")
    drawn = "image => image.decode().then(() => image.naturalWidth)"
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.get_by_test_id("insight-hours").get_by_role("img").evaluate(drawn)
    page.get_by_test_id("insight-hours").get_by_text("As a table").click()
    expect(page.get_by_test_id("insight-kiosk")).to_contain_text("how that ended")
    problems += faults_everywhere(page)

    # A manager is led there by the log-in, and reads the same page without the portal around it.
    mara = User.objects.create(username="mara", password=hashed(), first_name="Mara")
    Role.objects.create(user=mara, store=town.house.store, kind=Role.Kind.MANAGER)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_test_id("home")).to_be_visible()
    page.goto(f"{town.origin}/login/")
    page.locator("#id_username").fill("mara")
    page.locator("#id_password").fill("a long password")
    page.get_by_test_id("login-submit").click()
    page.wait_for_url("**/admin/insights/")
    problems += faults_everywhere(page)
    page.get_by_test_id("logout").click()
    expect(page.get_by_test_id("home")).to_be_visible()
    assert not problems


def test_the_officers_duties_from_the_first_page_on(
    town: Town, open_browser: Callable[..., Browser]
) -> None:
    """An assessment is written and handed over, a breach is registered and decided, and each page
    of it can be read on every screen."""
    house = town.house
    third_party(house.organization)
    page = watched(open_browser().new_context(), town)
    log_in(page, town, "diana", "/admin/")
    page.get_by_test_id("to-duties").click()
    expect(page.get_by_test_id("duties")).to_be_visible()
    problems = faults_everywhere(page)

    page.get_by_role("link", name="Start an impact assessment").click()
    page.get_by_label(house.camera.name).check()
    page.get_by_test_id("assessment-go").click()
    for name, text in TEXTS.items():
        page.locator(f"#id_{name}").fill(text)
    page.get_by_label("Risk", exact=True).first.fill("A stranger is greeted.")
    page.get_by_label("What is done about it").first.fill("A high threshold.")
    problems += faults_everywhere(page)
    page.get_by_test_id("assessment-read").click()
    expect(page.get_by_test_id("document")).to_contain_text("A stranger is greeted.")
    expect(page.get_by_test_id("assessment-waits")).to_be_visible()
    problems += faults_everywhere(page)

    page.goto(f"{town.origin}/admin/duties/breaches/new/")
    page.get_by_label("What happened").fill("A backup lay in an open folder.")
    page.get_by_label("sealed face templates").check()
    problems += faults_everywhere(page)
    page.get_by_test_id("breach-save").click()
    authority = page.get_by_role("region", name="The authority")
    authority.get_by_label("Yes").check()
    authority.get_by_label("Why").fill("A risk cannot be ruled out.")
    page.get_by_test_id("breach-decide-authority").click()
    page.get_by_test_id("breach-was-told").click()
    expect(page.get_by_test_id("breach-clock")).to_have_text("the authority was told")
    problems += faults_everywhere(page)
    page.get_by_test_id("breach-letter").first.click()
    expect(page.get_by_test_id("document")).to_contain_text("A backup lay in an open folder.")

    page.goto(f"{town.origin}/admin/duties/signs/")
    page.get_by_test_id("sign-confirm").first.click()
    expect(page.get_by_test_id("sign").first).to_contain_text("Diana saw it")
    problems += faults_everywhere(page)
    of = house.organization.pk
    for path in (f"records/{of}/", f"faces/{of}/", "processors/"):
        page.goto(f"{town.origin}/admin/duties/{path}")
        problems += [f"{path} {fault}" for fault in faults_everywhere(page)]

    # Another system is let in, and its token is shown once.
    page.goto(f"{town.origin}/admin/")
    page.get_by_test_id("to-systems").click()
    page.get_by_test_id("system-add").click()
    page.get_by_role("textbox", name="Name").fill("Customer file")
    page.get_by_label(house.store.name).check()
    page.get_by_label("arrivals of people who signed").check()
    problems += faults_everywhere(page)
    page.get_by_test_id("system-add-go").click()
    page.get_by_test_id("token-make").click()
    expect(page.get_by_test_id("token")).to_contain_text("cst_")
    problems += faults_everywhere(page)
    assert not problems


def test_a_member_of_staff_does_not_get_into_the_portal(
    town: Town, open_browser: Callable[..., Browser]
) -> None:
    page = watched(open_browser().new_context(), town)
    log_in(page, town, "linda", f"/floor/{town.house.store.slug}/")
    page.goto(f"{town.origin}/admin/")
    expect(page.get_by_test_id("login-other")).to_be_visible()
