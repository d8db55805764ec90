"""Who cannot draw, and who comes with a parent: at the tablet, with a colleague from the floor."""

import re
from collections.abc import Callable

import pytest
from django.utils import translation
from django.utils.translation import gettext
from playwright.sync_api import Browser, Locator, Page, expect

from apps.consent.models import Consent
from apps.visitors.models import Visitor
from tests import faces
from tests.journeys.accessible import faults, settle
from tests.journeys.acting import acting, standing
from tests.journeys.conftest import (
    PERSON,
    Town,
    answer_others,
    choose,
    draw,
    enrolled,
    log_in,
    others,
    watched,
)

LANGUAGES = pytest.mark.parametrize("language", ["en", "zh-hans"])
SIZES = {
    "phone": (390, 844),
    "portrait": (820, 1180),
    "landscape": (1180, 820),
}


def screen(page: Page, name: str) -> Locator:
    return page.locator(f'[data-screen="{name}"]')


@pytest.fixture
def colleague(town: Town, open_browser: Callable[..., Browser]) -> Page:
    """Linda's phone, at her floor board."""
    context = open_browser().new_context(viewport={"width": 390, "height": 844})
    phone = watched(context, town)
    log_in(phone, town, "linda", f"/floor/{town.house.store.slug}/")
    return phone


def vouch(tablet: Page, phone: Page) -> None:
    """Linda shows herself a code and types it at the tablet."""
    phone.get_by_test_id("witness-new").click()
    code = phone.get_by_test_id("witness-code").inner_text()
    assert code not in phone.url
    tablet.get_by_test_id("witness-code").fill(code)
    tablet.get_by_test_id("witness-go").click()


def answer(tablet: Page, language: str, age: str, term: int = 6, by: str = "lane") -> None:
    choose(tablet, language)
    tablet.get_by_test_id("notice-go").click()
    for tap in ("lane-no", "card-yes") if by == "card" else ("lane-yes",):
        tablet.get_by_test_id(tap).click()
    answer_others(tablet, "history")
    for name in (f"term-{term}", f"age-{age}"):
        tablet.get_by_test_id(name).click()


def rest(page: Page) -> None:
    """Take the pointer off: what it is over looks chosen, and until it has faded a little too."""
    page.mouse.move(1, 1)
    settle(page)


def fits(page: Page) -> bool:
    """Whether nothing hangs over the side."""
    return bool(
        page.evaluate(
            "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )
    )


def looks_right(page: Page) -> None:
    """Accessible, and within the screen at every size that it is held in."""
    before = page.viewport_size
    for width, height in SIZES.values():
        page.set_viewport_size({"width": width, "height": height})
        assert fits(page), (width, page.locator("section:not([hidden]) h1").inner_text())
    assert before
    page.set_viewport_size(before)
    assert not faults(page)


@pytest.mark.parametrize(("language", "by"), [("en", "lane"), ("zh-hans", "card")])
def test_whoever_cannot_draw_types_a_name_before_a_witness(
    town: Town, tablet: Page, colleague: Page, language: str, by: str
) -> None:
    answer(tablet, language, "yes", by=by)
    tablet.get_by_test_id("name").fill("Ms Rivera")
    tablet.get_by_test_id("name-go").click()
    tablet.get_by_test_id("signature-type").click()
    looks_right(tablet)
    tablet.get_by_test_id("signature-go").click()
    expect(screen(tablet, "signature").get_by_test_id("problem")).not_to_be_empty()
    tablet.get_by_test_id("signature-typed").fill("Ana Rivera")
    tablet.get_by_test_id("signature-go").click()
    looks_right(tablet)
    assert not faults(colleague)
    tablet.get_by_test_id("witness-code").fill("12")
    tablet.get_by_test_id("witness-go").click()
    expect(screen(tablet, "witness").get_by_test_id("problem")).not_to_be_empty()
    vouch(tablet, colleague)
    expect(tablet.get_by_test_id("receipt-code")).to_be_visible(timeout=30_000)
    looks_right(tablet)
    consent = Consent.objects.get()
    assert consent.purposes == [by, "history"]
    assert consent.signature == {"name": "Ana Rivera"}
    assert (consent.signature_method, consent.witness) == ("typed", town.house.staff)
    with translation.override(language):
        words = gettext("With your typed name; one of our staff saw it.")
    expect(tablet.get_by_test_id("receipt-signed")).to_have_text(words)


@LANGUAGES
def test_a_child_agrees_together_with_a_parent_who_is_there(
    town: Town, tablet: Page, colleague: Page, language: str
) -> None:
    answer(tablet, language, "no")
    expect(tablet.get_by_test_id("young-alternative")).to_be_visible()
    looks_right(tablet)
    tablet.get_by_test_id("young-guardian").click()
    tablet.get_by_test_id("name").fill("Leo")
    tablet.get_by_test_id("name-go").click()
    draw(tablet)
    tablet.get_by_test_id("signature-go").click()
    looks_right(tablet)
    tablet.get_by_test_id("guardian-go").click()
    expect(screen(tablet, "guardian").get_by_test_id("problem")).not_to_be_empty()
    tablet.get_by_test_id("guardian-name").fill("Ana Rivera")
    tablet.get_by_test_id("guardian-go").click()
    expect(screen(tablet, "guardian").get_by_test_id("problem")).not_to_be_empty()
    draw(tablet, "guardian-pad")
    tablet.get_by_test_id("guardian-go").click()
    looks_right(tablet)
    assert tablet.locator("video").evaluate("video => video.srcObject === null"), "no camera yet"
    vouch(tablet, colleague)
    expect(tablet.get_by_test_id("receipt-code")).to_be_visible(timeout=30_000)
    expect(tablet.get_by_test_id("receipt-signed")).to_contain_text("Ana Rivera")
    consent = Consent.objects.get()
    assert consent.guardian
    assert consent.guardian["name"] == "Ana Rivera"
    assert consent.guardian["signature"] != consent.signature
    assert consent.witness == town.house.staff
    assert Visitor.objects.get().greeting_name == "Leo"


def test_a_witness_has_seen_this_signature_and_no_later_one(
    town: Town, tablet: Page, colleague: Page
) -> None:
    answer(tablet, "en", "yes")
    tablet.get_by_test_id("name").fill("Ms Rivera")
    tablet.get_by_test_id("name-go").click()
    tablet.get_by_test_id("signature-type").click()
    tablet.get_by_test_id("signature-typed").fill("Ana Rivera")
    tablet.get_by_test_id("signature-go").click()
    # Held back, so that there is time to change what was signed.
    tablet.route("**/kiosk/look/", lambda route: route.abort())
    vouch(tablet, colleague)
    expect(tablet.get_by_test_id("camera-again")).to_be_visible()
    screen(tablet, "camera").get_by_test_id("back").click()
    tablet.get_by_test_id("signature-typed").fill("Somebody Else")
    tablet.get_by_test_id("signature-go").click()
    expect(tablet.get_by_test_id("witness-go")).to_be_visible()


@LANGUAGES
def test_whoever_cannot_move_is_vouched_for_and_enrols(
    town: Town, open_browser: Callable[..., Browser], colleague: Page, language: str
) -> None:
    """She looks at the camera and never moves; a typed name has a witness of its own."""
    frame = next(faces.frames(PERSON, seconds=0.1))
    tablet = enrolled(town, open_browser(), acting(standing(frame)))
    answer(tablet, language, "yes")
    tablet.get_by_test_id("name").fill("Ms Rivera")
    tablet.get_by_test_id("name-go").click()
    draw(tablet)
    tablet.get_by_test_id("signature-go").click()
    expect(tablet.locator(".stage-look")).to_have_attribute(
        "data-act", re.compile("left|right|nearer"), timeout=60_000
    )
    tablet.get_by_test_id("camera-still").click()
    assert tablet.locator("video").evaluate("video => video.srcObject === null"), "camera off"
    looks_right(tablet)
    # Rather not: the movements are asked for again.
    screen(tablet, "witness").get_by_test_id("back").click()
    expect(tablet.get_by_test_id("camera-still")).to_be_visible()
    tablet.get_by_test_id("camera-still").click()
    vouch(tablet, colleague)
    expect(tablet.get_by_test_id("receipt-code")).to_be_visible(timeout=60_000)
    with translation.override(language):
        words = gettext("Without the movements before the camera; one of our staff saw you there.")
    expect(tablet.get_by_test_id("receipt-signed")).to_contain_text(words)
    assert not faults(tablet)
    assert Consent.objects.get().presence_witness == town.house.staff


@LANGUAGES
def test_the_term_is_chosen_signed_and_on_the_receipt(tablet: Page, language: str) -> None:
    choose(tablet, language)
    tablet.get_by_test_id("notice-go").click()
    tablet.get_by_test_id("lane-yes").click()
    answer_others(tablet, "history")
    rest(tablet)
    terms = [tablet.get_by_test_id(f"term-{months}") for months in (3, 6, 12)]
    assert len({str(term.evaluate(LOOK)) for term in terms}) == 1, "equally big, none chosen"
    for term in terms:
        expect(term).to_have_attribute("aria-pressed", "false")
    looks_right(tablet)
    until = terms[0].get_attribute("data-term-end")
    assert until
    terms[0].click()
    tablet.get_by_test_id("age-yes").click()
    tablet.get_by_test_id("name").fill("Ms Rivera")
    tablet.get_by_test_id("name-go").click()
    expect(tablet.get_by_test_id("term-until")).to_have_text(until)
    looks_right(tablet)
    draw(tablet)
    tablet.get_by_test_id("signature-go").click()
    expect(tablet.get_by_test_id("receipt-until")).to_have_text(until, timeout=30_000)
    consent = Consent.objects.get()
    assert 88 < (consent.expires_at - consent.signed_at).days < 93


# Yes and No.

LOOK = """node => { const s = getComputedStyle(node); return [node.offsetWidth, node.offsetHeight,
    s.fontSize, s.fontWeight, s.color, s.backgroundColor, s.borderWidth, s.borderColor, s.opacity,
    s.textDecorationLine, s.boxShadow, s.transform] }"""
CONTRAST = """node => {
    const light = (value) => {
        const [r, g, b] = value.match(/[\\d.]+/g).map(Number).map((part) => part / 255)
            .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const style = getComputedStyle(node);
    const [low, high] = [light(style.color), light(style.backgroundColor)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05); }"""
# Both in one go: whatever moves the page moves both.
PLACES = "(no, yes) => [no, yes].map((node) => [node.offsetTop, node.offsetLeft])"
# Every No of the kiosk, word for word: no more words, and none that makes anyone feel small.
NO = {
    "en": {"No, thanks", "No, I am younger"},
    "zh-hans": {"谢谢，不用", "没有，未满"},
    "fr": {"Non, merci", "Non, j’ai moins"},
    "ar": {"لا، شكرًا", "لا، عمري أقل"},
}


@pytest.mark.parametrize("language", NO)
def test_yes_and_no_are_alike_and_nothing_is_chosen_before(tablet: Page, language: str) -> None:
    choose(tablet, language)
    from_the_left = tablet.locator("html").get_attribute("dir") == "ltr"
    pairs = [("notice-no", "notice-go")]
    pairs += [(f"{key}-no", f"{key}-yes") for key in ("lane", *others(tablet), "age")]
    orders = set()
    for names in pairs:
        if names[0] == "age-no":
            tablet.get_by_test_id("term-12").click()
        no, yes = (tablet.get_by_test_id(name) for name in names)
        expect(yes).to_be_visible()
        rest(tablet)
        for scheme in ("dark", "light"):
            tablet.emulate_media(color_scheme=scheme)
            assert no.evaluate(LOOK) == yes.evaluate(LOOK)
            assert min(one.evaluate(CONTRAST) for one in (no, yes)) >= 4.5
        for one in (no, yes):
            assert one.get_attribute("aria-pressed") in (None, "false")
            assert one.evaluate("node => document.activeElement !== node"), "nor by the focus"
        (top, left), (other_top, other_left) = no.evaluate(PLACES, yes.element_handle())
        assert top == other_top, "side by side"
        orders.add((left < other_left) == from_the_left)
        assert no.inner_text() in NO[language]
        yes.click()
    assert orders == {True}, "No stands first, on every screen and in every language"


@LANGUAGES
def test_with_a_parent_or_without_are_alike(tablet: Page, language: str) -> None:
    answer(tablet, language, "no")
    rest(tablet)
    no, yes = (tablet.get_by_test_id(f"young-{name}") for name in ("finished", "guardian"))
    assert no.evaluate(LOOK) == yes.evaluate(LOOK)
    assert no.inner_text() in NO[language]
