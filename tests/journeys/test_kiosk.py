"""People at the tablet: in a hurry, refusing, too young, interrupted, reading Chinese."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import Browser, Locator, Page, expect

from apps.consent.models import Consent, Refusal
from apps.recognition.client import Recognizer
from apps.retention.models import Request
from apps.stores.devices import new_code, revoke
from apps.stores.models import Device, Store
from apps.visitors.models import Visitor
from ops.tablet import Tablet
from tests import faces
from tests.clients import alive, opt_in_form
from tests.consent.notices import published
from tests.journeys.accessible import faults
from tests.journeys.conftest import (
    PERSON,
    Town,
    agree,
    answer_others,
    choose,
    draw,
    enrolled,
    others,
)
from tests.waiting import until


def nothing_kept() -> bool:
    return not Consent.objects.exists() and not Visitor.objects.exists()


def test_refusing_everything_leads_to_the_same_benefits_and_counts_nobody(tablet: Page) -> None:
    choose(tablet)
    with tablet.expect_response("**/kiosk/refuse/") as counted:
        tablet.get_by_test_id("notice-no").click()
    assert counted.value.status == 204
    expect(tablet.get_by_test_id("alternative")).to_have_text("Show your card.")
    assert nothing_kept()
    asked = {"lane", "card", *others(tablet)}
    assert dict(Refusal.objects.values_list("purpose", "count")) == dict.fromkeys(asked, 1)


def test_a_child_is_refused_kindly_before_any_camera_opens(town: Town, tablet: Page) -> None:
    Store.objects.filter(pk=town.house.store.pk).update(jurisdiction="strict")
    choose(tablet)
    tablet.get_by_test_id("notice-go").click()
    tablet.get_by_test_id("lane-yes").click()
    answer_others(tablet)
    for answer in ("term-12", "age-no"):
        tablet.get_by_test_id(answer).click()
    expect(tablet.get_by_test_id("young-alternative")).to_be_visible()
    expect(tablet.get_by_test_id("young-guardian")).to_have_count(0)
    assert nothing_kept()


def test_a_tablet_says_how_it_is_and_stops_when_it_is_stopped(town: Town, tablet: Page) -> None:
    session = tablet.context.new_cdp_session(tablet)
    manifest = session.send("Page.getAppManifest")
    assert not manifest["errors"]
    assert json.loads(manifest["data"])["orientation"] == "any", "held upright or across"
    with tablet.expect_response("**/kiosk/here/") as said:
        tablet.reload()
    assert said.value.status == 204
    device = Device.objects.get(public_key__isnull=False)
    assert (device.version, device.camera_state) == (settings.VERSION, "ok")

    # Stopped while somebody stands before its camera: nobody touches it, no sign of life is due.
    agree(tablet, "fr")
    expect(tablet.get_by_test_id("oval")).to_have_attribute("data-state", "looking")
    revoke(device=device, actor="test")
    expect(tablet.get_by_test_id("stopped")).to_be_visible()
    expect(tablet.locator("html")).to_have_attribute("lang", "fr")
    assert not faults(tablet)
    assert tablet.locator("video").count() == 0
    assert nothing_kept()
    tablet.get_by_test_id("stopped-set-up").click()
    assert not faults(tablet)
    tablet.get_by_test_id("enroll-code").fill(new_code(device=device, actor="test"))
    tablet.get_by_test_id("enroll-submit").click()
    expect(tablet.get_by_test_id("notice-go")).to_be_visible()


def test_a_minute_without_touch_clears_everything(tablet: Page) -> None:
    tablet.clock.install()
    choose(tablet)
    tablet.get_by_test_id("notice-go").click()
    tablet.get_by_test_id("lane-yes").click()
    answer_others(tablet)
    for answer in ("term-12", "age-yes"):
        tablet.get_by_test_id(answer).click()
    tablet.get_by_test_id("name").fill("Ms Rivera")
    tablet.clock.fast_forward(41_000)
    expect(tablet.get_by_test_id("idle-dialog")).to_be_visible()
    tablet.get_by_test_id("idle-go-on").click()
    expect(tablet.get_by_test_id("name")).to_have_value("Ms Rivera")
    tablet.clock.fast_forward(41_000)
    tablet.clock.fast_forward(21_000)
    expect(tablet.get_by_test_id("language-en")).to_be_visible()
    tablet.go_back()
    expect(tablet.get_by_test_id("name")).to_have_count(0)
    assert nothing_kept()


def test_a_camera_that_is_refused_is_explained(
    town: Town, clips: Callable[..., Path], open_browser: Callable[..., Browser]
) -> None:
    tablet = enrolled(town, open_browser(None, "--use-fake-ui-for-media-stream=deny"))
    agree(tablet)
    expect(screen(tablet, "camera").get_by_test_id("problem")).not_to_be_empty()
    expect(tablet.get_by_test_id("camera-again")).to_be_visible()
    assert nothing_kept()


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        ("blank", "Please look into the oval."),
        ("two", "One person at a time, please. Ask the others to step aside."),
        ("far", "A little closer, please."),
        ("dark", "It is too dark here. Turn towards the light."),
    ],
)
def test_the_camera_says_what_to_do(
    town: Town,
    clips: Callable[..., Path],
    open_browser: Callable[..., Browser],
    mode: str,
    sentence: str,
) -> None:
    tablet = enrolled(town, open_browser(clips(mode=mode)))
    agree(tablet)
    expect(tablet.get_by_test_id("guidance")).to_have_text(sentence)
    assert nothing_kept()


def test_a_notice_that_changes_meanwhile_is_read_again(town: Town, tablet: Page) -> None:
    choose(tablet)
    published(town.house, {"en": "New.", "zh-hans": "新的。"})
    tablet.get_by_test_id("notice-go").click()
    tablet.get_by_test_id("lane-yes").click()
    answer_others(tablet)
    for answer in ("term-12", "age-yes"):
        tablet.get_by_test_id(answer).click()
    tablet.get_by_test_id("name").fill("Ms Rivera")
    tablet.get_by_test_id("name-go").click()
    draw(tablet)
    tablet.get_by_test_id("signature-go").click()
    expect(tablet.get_by_test_id("notice-changed")).to_be_visible(timeout=30_000)
    expect(tablet.get_by_test_id("notice-short")).to_have_text("New.")
    assert nothing_kept()


def test_chinese_is_whole_from_the_first_sentence_to_the_receipt(tablet: Page) -> None:
    agree(tablet, language="zh-hans", name="陈女士")
    expect(tablet.get_by_test_id("receipt-code")).to_be_visible(timeout=30_000)
    expect(tablet.locator("html")).to_have_attribute("lang", "zh-hans")
    assert Consent.objects.get().locale == "zh-hans"
    assert Visitor.objects.get().greeting_name == "陈女士"
    expect(tablet.get_by_test_id("receipt-until")).to_contain_text("年")


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_every_screen_is_accessible(tablet: Page, language: str) -> None:
    found = {"language": faults(tablet), **asked(tablet, language)}
    choose(tablet, language)
    found["notice"] = faults(tablet)
    tablet.get_by_test_id("notice-more").click()
    found["everything"] = faults(tablet)
    tablet.get_by_test_id("notice-close").click()
    tablet.get_by_test_id("notice-go").click()
    every = [f"{purpose}-yes" for purpose in others(tablet)]
    for answer in ("lane-yes", *every, "term-12", "age-yes"):
        found[answer] = faults(tablet)
        tablet.get_by_test_id(answer).click()
    found["name"] = faults(tablet)
    tablet.get_by_test_id("name").fill("Ms Rivera")
    tablet.get_by_test_id("beside-open").click()
    tablet.get_by_test_id("say-as").fill("ree-VEH-ra")
    tablet.get_by_test_id("asks-for").fill("Linda")
    found["beside the name"] = faults(tablet)
    tablet.get_by_test_id("contact").fill("+41 44 123")
    tablet.get_by_test_id("name-go").click()
    expect(screen(tablet, "name").get_by_test_id("problem")).not_to_be_empty()
    found["no address"] = faults(tablet)
    tablet.get_by_test_id("contact").fill("rivera@example.org")
    tablet.get_by_test_id("name-go").click()
    found["signature"] = faults(tablet)
    draw(tablet)
    tablet.get_by_test_id("signature-go").click()
    expect(tablet.get_by_test_id("guidance")).not_to_be_empty()
    found["camera"] = faults(tablet)
    expect(tablet.get_by_test_id("receipt-code")).to_be_visible(timeout=30_000)
    found["done"] = faults(tablet)
    visitor = Visitor.objects.get()
    assert (visitor.say_as, visitor.asks_for) == ("ree-VEH-ra", "Linda")
    assert not {name: problems for name, problems in found.items() if problems}


def asked(tablet: Page, language: str) -> dict[str, list[str]]:
    """Somebody asks about their data and leaves; what is wrong with the screens on the way."""
    tablet.get_by_test_id(f"asking-{language}").click()
    expect(tablet.get_by_test_id("ask-objection")).to_be_visible()
    found = {"kinds": faults(tablet)}
    tablet.get_by_test_id("ask-objection").click()
    tablet.get_by_test_id("ask-reach").fill("1 Quay Lane")
    tablet.get_by_test_id("ask-go").click()
    expect(screen(tablet, "reach").get_by_test_id("problem")).not_to_be_empty()
    found["no words"] = faults(tablet)
    tablet.get_by_test_id("start-over").click()
    tablet.get_by_test_id(f"asking-{language}").click()
    tablet.get_by_test_id("ask-erasure").click()
    expect(tablet.get_by_test_id("ask-reach")).to_have_value("")
    tablet.get_by_test_id("ask-reach").fill("1 Quay Lane")
    tablet.get_by_test_id("ask-go").click()
    expect(tablet.get_by_test_id("ask-number")).not_to_be_empty()
    expect(tablet.get_by_test_id("ask-number")).to_have_text(Request.objects.get().number)
    found["asked"] = faults(tablet)
    tablet.get_by_test_id("finished").click()
    return found


def screen(page: Page, name: str) -> Locator:
    return page.locator(f'[data-screen="{name}"]')


@pytest.mark.parametrize(("language", "way"), [("en", "alike-card"), ("zh-hans", "alike-finished")])
def test_whoever_the_lane_could_mix_up_is_shown_the_way_without(
    town: Town, tablet: Page, language: str, way: str
) -> None:
    other = Tablet(town.origin)
    other.enroll(new_code(device=town.house.store.devices.create(name="Other"), actor="test"))
    sister = [faces.jpeg(shot) for shot in faces.relative(PERSON, 3, 0.35, seconds=0.3, fps=10)]
    form = alive(other, opt_in_form(town.house, sister, name="Her sister"))
    assert other.signed("/kiosk/opt-in/", json.dumps(form).encode()).status == 201
    until(lambda: Recognizer(settings.CONSENTRY.socket).status()["templates"] == 1)

    agree(tablet, language)
    expect(tablet.get_by_test_id("alike-problem")).not_to_be_empty()
    expect(tablet.get_by_test_id("alike-alternative")).to_contain_text("Show your card.")
    assert not faults(tablet)
    assert "Her sister" not in tablet.content()
    assert Consent.objects.count() == Visitor.objects.count() == 1
    assert not Refusal.objects.filter(purpose__in=["lane", "pass"]).exists(), "they did not refuse"
    tablet.get_by_test_id(way).click()
    if way == "alike-card":
        tablet.get_by_test_id("card-yes").click()
        draw(tablet)
        tablet.get_by_test_id("signature-go").click()
        expect(tablet.get_by_test_id("card-signs")).to_be_visible()
        consent = Consent.objects.latest("signed_at")
        assert consent.purposes == ["card", "history"]
        assert "lane" not in consent.declined, "they were not asked any more"
        tablet.get_by_test_id("finished").click()
    choose(tablet)
    expect(tablet.get_by_test_id("name")).to_have_value("")
