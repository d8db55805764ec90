"""The floor board with everything, and with nothing but HTML."""

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Browser, Locator, expect

from apps.consent.models import Purpose
from apps.visitors import cards
from apps.visits.services import disclose
from tests.journeys.accessible import faults
from tests.journeys.conftest import Town, log_in, watched
from tests.visits.test_board import colleague
from tests.visits.test_disclose import match_of

COUNT_NOTES = """
window.notes = 0;
const start = OscillatorNode.prototype.start;
OscillatorNode.prototype.start = function (...when) { window.notes += 1; start.apply(this, when); };
"""
NOTES = "() => window.notes"
PHONE: Any = {"viewport": {"width": 390, "height": 800}, "reduced_motion": "reduce"}


def test_a_card_comes_by_itself_and_stays_one_card(
    town: Town, open_browser: Callable[..., Browser]
) -> None:
    first, visitor = town.house.visitor("Mr Okafor"), town.house.visitor("Ms Chen")
    context = open_browser().new_context(**PHONE)
    context.add_init_script(COUNT_NOTES)
    page = watched(context, town)
    log_in(page, town, "linda", f"/floor/{town.house.store.slug}/")
    expect(page.get_by_test_id("floor-state")).to_have_attribute("data-state", "live")
    problems = faults(page)

    # Silent until somebody asks for a sound, which this device then remembers.
    disclose(match_of(first, town.house))
    expect(page.get_by_test_id("visit-name")).to_have_text("Mr Okafor")
    assert page.evaluate(NOTES) == 0
    page.get_by_test_id("wrong").click()
    sound = page.get_by_test_id("floor-sound")
    sound.click()
    expect(sound).to_have_text("Sound: on")
    before = page.evaluate(NOTES)
    assert before > 0, "a taste of it"

    disclose(match_of(visitor, town.house))
    expect(page.get_by_test_id("visit-name")).to_have_text("Ms Chen")
    assert page.evaluate(NOTES) > before
    problems += faults(page)
    page.get_by_test_id("greet").click()
    expect(page.get_by_test_id("visit-greeted")).to_be_visible()
    expect(page.get_by_test_id("visit-card")).to_have_count(1)
    problems += faults(page)

    # Somebody shows a card: scanned, which is typing and Enter; a slip stays to be mended.
    code = cards.draw()
    town.house.visitor("Mr Okoye", code, purposes=[Purpose.CARD])
    page.get_by_test_id("card-open").click()
    field = page.get_by_test_id("card-code")
    expect(field).to_be_focused()
    for name in ("card-open", "card-code", "card-go"):
        assert_a_thumb_hits(page.get_by_test_id(name))
    page.keyboard.type("abcd-efgh-jkmn-pqrs\n")
    expect(page.get_by_test_id("card-problem")).to_be_visible()
    expect(field).to_have_value("abcd-efgh-jkmn-pqrs")
    problems += faults(page)
    page.keyboard.type(f"{code.text()}\n")
    expect(page.get_by_test_id("card-done")).to_be_visible()
    expect(page.get_by_test_id("visit-name")).to_have_text(["Mr Okoye", "Ms Chen"])
    expect(page.locator("#floor-announce")).to_have_text("Mr Okoye is here")
    expect(field).to_be_focused()
    expect(field).to_have_value("")
    problems += faults(page)
    page.get_by_test_id("wrong").first.click()
    expect(page.get_by_test_id("visit-name")).to_have_text(["Ms Chen"])

    page.get_by_test_id("floor-wall").click()
    expect(page.get_by_test_id("visit-name")).to_have_text("Ms Chen")
    expect(page.get_by_test_id("card-open")).to_have_count(0)
    expect(page.get_by_test_id("wrong")).to_be_hidden()
    expect(page.get_by_test_id("floor-sound")).to_have_attribute("aria-pressed", "true")
    page.set_viewport_size({"width": 1920, "height": 1080})
    size = page.get_by_test_id("visit-name").evaluate(
        "h => parseFloat(getComputedStyle(h).fontSize)"
    )
    assert size >= 100, "read from some metres"
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

    code = cards.draw()
    town.house.visitor("Mr Okoye", code, purposes=[Purpose.CARD])
    page.get_by_test_id("card-page").click()
    expect(page.locator("meta[http-equiv=refresh]")).to_have_count(0)
    page.get_by_test_id("card-code").fill("ABCD")
    page.get_by_test_id("card-go").click()
    expect(page.get_by_test_id("card-problem")).to_be_visible()
    page.get_by_test_id("card-code").fill(code.typed())
    page.get_by_test_id("card-go").click()
    expect(page.get_by_test_id("visit-name")).to_have_text(["Mr Okoye", "Ms Chen"])


def test_somebody_else_is_taken_off_both_boards_and_a_slip_brings_them_back(
    town: Town, open_browser: Callable[..., Browser]
) -> None:
    colleague(town.house, "Mia")
    address = f"/floor/{town.house.store.slug}/"
    browser = open_browser()
    linda, mia = (watched(browser.new_context(**PHONE), town) for _person in range(2))
    for page, name in ((linda, "linda"), (mia, "mia")):
        log_in(page, town, name, address)
        expect(page.get_by_test_id("floor-state")).to_have_attribute("data-state", "live")
    disclose(match_of(town.house.visitor("Mr Okafor"), town.house))
    agreed = [Purpose.LANE, Purpose.HISTORY, Purpose.NOTES]
    disclose(match_of(town.house.visitor("Ms Chen", purposes=agreed), town.house))
    card = linda.get_by_test_id("visit-card").filter(has_text="Ms Chen")
    expect(card).to_be_visible()
    expect(mia.get_by_test_id("visit-name")).to_have_text(["Ms Chen", "Mr Okafor"])

    # Greeted by one, seen by both: nobody walks up twice.
    card.get_by_test_id("greet").click()
    expect(mia.get_by_test_id("visit-greeted")).to_contain_text("Linda")

    # Handed to a colleague, on both boards.
    card.get_by_test_id("hand-open").click()
    for name in ("hand-open", "hand-to", "hand-go"):
        assert_a_thumb_hits(card.get_by_test_id(name))
    card.get_by_test_id("hand-to").select_option(label="Mia")
    card.get_by_test_id("hand-go").click()
    for page in (linda, mia):
        expect(page.get_by_test_id("visit-for")).to_have_text("For Mia")

    # She lets them keep a note. Both begin one: what is being written is not lost.
    mia.get_by_test_id("note-open").click()
    mia.get_by_test_id("note").fill("Prefers tea")
    card.get_by_test_id("note-open").click()
    card.get_by_test_id("note").fill("Came by wheelchair")
    card.get_by_test_id("note-keep").click()
    expect(card.get_by_test_id("note-warning")).to_contain_text("health")
    expect(card.get_by_test_id("note")).to_have_value("Came by wheelchair")
    problems = faults(linda)
    assert_a_thumb_hits(card.get_by_test_id("note-sure"))
    card.get_by_test_id("note-sure").click()
    expect(mia.get_by_test_id("visit-note")).to_have_text("Came by wheelchair")
    card.get_by_test_id("note-open").click()
    card.get_by_test_id("note").fill("Likes the window seat")
    for name in ("note-open", "note", "note-keep"):
        assert_a_thumb_hits(card.get_by_test_id(name))
    card.get_by_test_id("note-keep").click()
    for page in (linda, mia):
        expect(page.get_by_test_id("visit-note")).to_have_text("Likes the window seat")
    expect(mia.get_by_test_id("note")).to_have_value("Prefers tea")

    assert_a_thumb_hits(card.get_by_test_id("wrong"))
    card.get_by_test_id("wrong").click()
    expect(linda.get_by_test_id("mistake")).to_contain_text("Not Ms Chen")
    for page in (linda, mia):
        expect(page.get_by_test_id("visit-name")).to_have_text(["Mr Okafor"])
    expect(mia.get_by_test_id("mistake")).to_have_count(0)
    expect(linda.get_by_test_id("undo")).to_be_focused()
    assert_a_thumb_hits(linda.get_by_test_id("undo"))
    problems += faults(linda)

    linda.get_by_test_id("undo").click()
    for page in (linda, mia):
        expect(page.get_by_test_id("visit-name")).to_have_text(["Ms Chen", "Mr Okafor"])
    expect(linda.get_by_test_id("mistake")).to_have_count(0)
    problems += faults(linda)

    # This time it is meant, and it is the only one: the line is what is left.
    mia.get_by_test_id("wrong").first.click()
    mia.get_by_test_id("wrong").first.click()
    expect(mia.get_by_test_id("mistake")).to_have_count(2)
    expect(linda.get_by_test_id("floor-empty")).to_be_visible()
    assert not problems


def assert_a_thumb_hits(button: Locator) -> None:
    box = button.bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) >= 44


def test_without_javascript_somebody_else_is_taken_off_and_brought_back(
    town: Town, open_browser: Callable[..., Browser]
) -> None:
    disclose(match_of(town.house.visitor("Ms Chen"), town.house))
    page = watched(open_browser().new_context(java_script_enabled=False), town)
    log_in(page, town, "linda", f"/floor/{town.house.store.slug}/")
    page.get_by_test_id("wrong").click()
    expect(page.get_by_test_id("visit-card")).to_have_count(0)
    page.get_by_test_id("undo").click()
    expect(page.get_by_test_id("visit-name")).to_have_text("Ms Chen")
