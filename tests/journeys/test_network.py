"""The network drops while somebody is at the tablet: nothing half-done, and a plain sentence."""

from collections.abc import Callable

import pytest
from django.utils import translation
from django.utils.translation import gettext
from playwright.sync_api import Locator, Page, Route, expect

from apps.consent.models import Consent
from apps.visitors.models import FaceTemplate, Visitor
from tests.journeys.accessible import faults
from tests.journeys.conftest import Town, agree, answer_others, choose, draw, others

LANGUAGES = pytest.mark.parametrize("language", ["en", "zh-hans"])
LOST = "The network is not answering. Nothing is lost: please try again."
FORGOTTEN = (
    "The network is not answering. This tablet has forgotten what was typed here. "
    "Please start again in a moment."
)


def screen(page: Page, name: str) -> Locator:
    return page.locator(f'[data-screen="{name}"]')


def told(sentence: str, language: str = "en") -> str:
    """One of our sentences as that language says it."""
    with translation.override(language):
        return gettext(sentence)


def nothing_kept() -> bool:
    return not Visitor.objects.exists() and not FaceTemplate.objects.exists()


def starts_again(tablet: Page) -> None:
    """The next person finds an empty tablet that works."""
    expect(tablet.get_by_test_id("language-en")).to_be_visible()
    choose(tablet)
    expect(tablet.get_by_test_id("name")).to_have_value("")
    expect(tablet.get_by_test_id("notice-go")).to_be_visible()


@LANGUAGES
def test_before_a_language_is_chosen(tablet: Page, language: str) -> None:
    tablet.context.set_offline(True)
    tablet.get_by_test_id(f"language-{language}").click()
    said = tablet.locator(f'[data-network][lang="{language}"]')
    expect(said).to_have_text(told("The network is not answering. Please try again.", language))
    assert not faults(tablet)
    tablet.context.set_offline(False)
    starts_again(tablet)


def test_while_the_language_is_changed(tablet: Page) -> None:
    choose(tablet)
    tablet.context.set_offline(True)
    tablet.get_by_test_id("languages").click()
    tablet.get_by_test_id("switch-zh-hans").click()
    expect(tablet.get_by_test_id("network")).to_have_text(told(LOST))
    tablet.context.set_offline(False)
    tablet.get_by_test_id("languages").click()
    tablet.get_by_test_id("switch-zh-hans").click()
    expect(tablet.locator("html")).to_have_attribute("lang", "zh-hans")


def test_a_refusal_is_as_kind_without_a_network(tablet: Page) -> None:
    choose(tablet)
    tablet.context.set_offline(True)
    tablet.get_by_test_id("notice-no").click()
    expect(tablet.get_by_test_id("alternative")).to_have_text("Show your card.")
    assert nothing_kept()


UNTIL = ["notice", "purpose-lane", "term", "age", "name", "signature"]


@pytest.mark.parametrize(("language", "screens"), [("en", UNTIL), ("zh-hans", ["age"])])
def test_on_any_screen_before_the_camera(tablet: Page, language: str, screens: list[str]) -> None:
    for last in screens:
        choose(tablet, language)
        walk(tablet, last)
        tablet.context.set_offline(True)
        tablet.get_by_test_id("start-over").click()
        problem = screen(tablet, "leaving").get_by_test_id("problem")
        expect(problem).to_have_text(told(FORGOTTEN, language))
        assert tablet.get_by_test_id("name").input_value() == "", "forgotten at once"
        tablet.context.set_offline(False)
        tablet.get_by_test_id("leaving-again").click()
        expect(tablet.get_by_test_id("language-en")).to_be_visible()
    assert nothing_kept()
    starts_again(tablet)


def walk(tablet: Page, last: str) -> None:
    """Answer everything up to a screen."""
    taps = {
        "notice": "notice-go",
        "purpose-lane": "lane-yes",
        **{f"purpose-{key}": f"{key}-no" for key in others(tablet)},
        "purpose-history": "history-yes",
        "term": "term-12",
        "age": "age-yes",
    }
    for name, tap in taps.items():
        if name == last:
            break
        tablet.get_by_test_id(tap).click()
    if last == "signature":
        tablet.get_by_test_id("name").fill("Ms Rivera")
        tablet.get_by_test_id("name-go").click()
        draw(tablet)
    expect(screen(tablet, last)).to_be_visible()


def test_while_the_camera_looks(tablet: Page) -> None:
    tablet.route("**/kiosk/look/", lambda route: route.abort())
    agree(tablet, "zh-hans")
    problem = screen(tablet, "camera").get_by_test_id("problem")
    expect(problem).to_have_text(told(LOST, "zh-hans"))
    assert nothing_kept()
    assert not Consent.objects.exists()
    tablet.unroute("**/kiosk/look/")
    tablet.get_by_test_id("camera-again").click()
    expect(tablet.get_by_test_id("receipt-code")).to_be_visible(timeout=30_000)
    assert Visitor.objects.count() == 1


def test_before_the_first_nonce(tablet: Page) -> None:
    tablet.route("**/kiosk/nonce/", lambda route: route.abort())
    agree(tablet)
    expect(screen(tablet, "camera").get_by_test_id("problem")).to_have_text(told(LOST))
    assert nothing_kept()
    tablet.unroute("**/kiosk/nonce/")
    tablet.get_by_test_id("camera-again").click()
    expect(tablet.get_by_test_id("receipt-code")).to_be_visible(timeout=30_000)


def test_while_a_witness_confirms(tablet: Page) -> None:
    choose(tablet)
    walk(tablet, "name")
    tablet.get_by_test_id("name").fill("Ms Rivera")
    tablet.get_by_test_id("name-go").click()
    tablet.get_by_test_id("signature-type").click()
    tablet.get_by_test_id("signature-typed").fill("Ana Rivera")
    tablet.get_by_test_id("signature-go").click()
    tablet.context.set_offline(True)
    tablet.get_by_test_id("witness-code").fill("123456")
    tablet.get_by_test_id("witness-go").click()
    expect(screen(tablet, "witness").get_by_test_id("problem")).to_have_text(told(LOST))
    expect(tablet.get_by_test_id("witness-code")).to_have_value("")
    assert not Consent.objects.exists()


def lost_on_the_way(route: Route) -> None:
    route.abort()


def answer_lost(route: Route) -> None:
    """The server finishes, and the tablet never hears of it."""
    route.fetch()
    route.abort()


@pytest.mark.parametrize("drop", [lost_on_the_way, answer_lost])
def test_the_opt_in_is_sent_again_and_enrols_once(
    tablet: Page, drop: Callable[[Route], None]
) -> None:
    tablet.route("**/kiosk/opt-in/", drop, times=1)
    agree(tablet)
    problem = screen(tablet, "sending").get_by_test_id("problem")
    expect(problem).to_have_text(told(LOST), timeout=30_000)
    assert not faults(tablet)
    tablet.get_by_test_id("resend").click()
    expect(tablet.get_by_test_id("receipt-code")).to_be_visible(timeout=30_000)
    assert Visitor.objects.count() == Consent.objects.count() == 1


@pytest.mark.parametrize("drop", [lost_on_the_way, answer_lost])
@pytest.mark.parametrize("way", ["sending-stop", "start-over"])
def test_whoever_goes_instead_leaves_nothing_behind(
    town: Town, tablet: Page, drop: Callable[[Route], None], way: str
) -> None:
    tablet.route("**/kiosk/opt-in/", drop, times=1)
    agree(tablet)
    expect(tablet.get_by_test_id("resend")).to_be_visible(timeout=30_000)
    with tablet.expect_response("**/kiosk/undo/") as undone:
        tablet.get_by_test_id(way).click()
    assert undone.value.status == 204
    if way == "sending-stop":
        tablet.get_by_test_id("card-no").click()
        expect(tablet.get_by_test_id("alternative")).to_be_visible()
    else:
        expect(tablet.get_by_test_id("language-en")).to_be_visible()
    assert nothing_kept()
    assert not Consent.objects.live().exists()


def test_whoever_stops_while_the_network_is_away_is_told_no_untruth(tablet: Page) -> None:
    tablet.route("**/kiosk/opt-in/", answer_lost, times=1)
    agree(tablet)
    expect(tablet.get_by_test_id("resend")).to_be_visible(timeout=30_000)
    tablet.context.set_offline(True)
    tablet.get_by_test_id("sending-stop").click()
    problem = screen(tablet, "sending").get_by_test_id("problem")
    expect(problem).to_contain_text("cannot tell")
    expect(tablet.get_by_test_id("alternative")).to_be_hidden()
    tablet.context.set_offline(False)
    tablet.get_by_test_id("sending-stop").click()
    tablet.get_by_test_id("card-no").click()
    expect(tablet.get_by_test_id("alternative")).to_be_visible()
    assert nothing_kept()
    # And back: another attempt, which is a whole one.
    tablet.get_by_test_id("change-answer").click()
    tablet.get_by_test_id("lane-yes").click()
    answer_others(tablet, "history")
    for name in ("term-12", "age-yes", "name-go"):
        tablet.get_by_test_id(name).click()
    draw(tablet)
    tablet.get_by_test_id("signature-go").click()
    expect(tablet.get_by_test_id("receipt-code")).to_be_visible(timeout=30_000)
    assert Visitor.objects.count() == Consent.objects.live().count() == 1


def test_the_receipt_stays_on_the_screen_without_a_network(tablet: Page) -> None:
    agree(tablet)
    expect(tablet.get_by_test_id("receipt-code")).to_be_visible(timeout=30_000)
    code = tablet.get_by_test_id("receipt-code").inner_text()
    tablet.context.set_offline(True)
    expect(tablet.get_by_test_id("receipt-code")).to_have_text(code)
    tablet.get_by_test_id("finished").click()
    expect(tablet.get_by_test_id("leaving-again")).to_be_visible()
    expect(tablet.get_by_test_id("receipt-code")).to_be_empty()
    tablet.context.set_offline(False)
    tablet.get_by_test_id("leaving-again").click()
    starts_again(tablet)
    assert Visitor.objects.count() == 1
