"""Long words, and words from the right: in French and in Arabic too every screen has room, is
accessible, and means the same. The other journeys are told in English and in Chinese."""

import uuid
from collections.abc import Callable

import pytest
from django.conf import settings
from django.utils import timezone, translation
from django.utils.formats import date_format
from playwright.sync_api import Browser, Page, expect

from apps.consent import services as consents
from apps.consent.models import Consent, NoticeText
from apps.consent.services import Signed
from apps.recognition.engine import starter
from apps.stores.devices import add_door, new_code
from apps.stores.models import Camera, Device, Store
from apps.visitors.models import Visitor
from apps.visitors.services import SealedTemplate, enroll
from apps.visits.services import disclose
from tests.conftest import House
from tests.journeys.accessible import crowded, faults
from tests.journeys.conftest import Town, agree, watched
from tests.visits.test_disclose import match_of

NAMES = {"en": "Ms Rivera", "zh-hans": "陈女士", "fr": "Mme Lefèvre", "ar": "السيدة ليلى"}
WITHOUT = {
    "zh-hans": "出示您的卡。",
    "fr": "Présentez votre carte à l’accueil.",
    "ar": "أبرز بطاقتك عند المكتب.",
}
SCREENS = "() => [...document.querySelectorAll('[data-screen]')].map((one) => one.dataset.screen)"
SHOW = """name => document.querySelectorAll("[data-screen]")
    .forEach((one) => { one.hidden = one.dataset.screen !== name })"""
ASK = """act => {
    const stage = document.querySelector(".stage-look");
    stage.dataset.act = act;
    const words = document.getElementById("words").content;
    stage.querySelector("[data-guidance]").textContent =
        words.querySelector(`[data-word="act_${act}"]`).textContent;
    const middle = (node) => {
        const { left, width } = node.getBoundingClientRect();
        return left + width / 2;
    };
    const [arrow] = [...stage.querySelectorAll(".arrow")].filter(
        (one) => getComputedStyle(one).visibility === "visible");
    return middle(arrow) < middle(stage.querySelector("video")) ? "left" : "right";
}"""
MIRRORED = """video => {
    let times = 0;
    for (let node = video; node; node = node.parentElement) {
        times += new DOMMatrix(getComputedStyle(node).transform).a < 0;
    }
    return times;
}"""


def enrolled_with_receipt(house: House, text: NoticeText) -> Signed:
    """Somebody who read this text and is enrolled, with what opens their receipt."""
    signed = consents.sign(house.draft(locale=text.locale, notice=str(text.pk), digest=text.digest))
    template = SealedTemplate(uuid.uuid4(), b"wrapped", 1, b"sealed", starter.NAME, starter.VERSION)
    enroll(
        visitor=uuid.uuid4(),
        consent=signed.consent,
        greeting_name=NAMES[text.locale],
        contact="",
        templates=[template],
        actor="test",
    )
    return signed


def direction(page: Page, language: str) -> None:
    """The page says which language it is in and from which side it is read."""
    expect(page.locator("html")).to_have_attribute("lang", language)
    expect(page.locator("html")).to_have_attribute("dir", "rtl" if language == "ar" else "ltr")


@pytest.mark.parametrize("language", ["fr", "ar"])
def test_the_kiosk_is_whole_from_the_first_sentence_to_the_receipt(
    town: Town, tablet: Page, language: str
) -> None:
    Store.objects.update(check_in_words=WITHOUT)
    tablet.reload()
    assert not [*faults(tablet), *crowded(tablet)]
    agree(tablet, language, name=NAMES[language])
    expect(tablet.get_by_test_id("receipt-code")).to_be_visible(timeout=30_000)
    direction(tablet, language)
    consent = Consent.objects.get()
    assert (consent.locale, Visitor.objects.get().greeting_name) == (language, NAMES[language])
    with translation.override(language):
        until = date_format(consent.expires_at, "DATE_FORMAT")
    expect(tablet.get_by_test_id("receipt-until")).to_have_text(until)
    alternative = tablet.locator('[data-testid="alternative"]')
    assert alternative.text_content() == WITHOUT[language]

    found = {}
    for name in tablet.evaluate(SCREENS):
        tablet.evaluate(SHOW, name)
        if name == "camera":
            # Left is left, as the mirror shows it, whichever side words are read from.
            assert [tablet.evaluate(ASK, side) for side in ("right", "left")] == ["right", "left"]
            assert tablet.locator("video").evaluate(MIRRORED) == 1
        found[name] = [*crowded(tablet), *faults(tablet)]
    for dialog in ("notice-dialog", "idle-dialog"):
        tablet.evaluate("id => document.getElementById(id).showModal()", dialog)
        found[dialog] = [*crowded(tablet), *faults(tablet)]
        tablet.evaluate("id => document.getElementById(id).close()", dialog)
    assert not {name: problems for name, problems in found.items() if problems}


@pytest.mark.parametrize("language", ["fr", "ar"])
def test_every_other_page_too(
    town: Town, open_browser: Callable[..., Browser], language: str
) -> None:
    Store.objects.update(check_in_words=WITHOUT)
    text = NoticeText.objects.get(notice=town.house.text.notice, locale=language)
    signed = enrolled_with_receipt(town.house, text)
    for name in NAMES.values():
        disclose(match_of(town.house.visitor(name), town.house))
    context = open_browser().new_context(viewport={"width": 1280, "height": 900}, locale=language)
    page = watched(context, town)
    found = {}

    def visit(path: str) -> None:
        page.goto(town.origin + path)
        direction(page, language)
        found[path] = [*crowded(page), *faults(page)]

    for path in ("/", "/receipt/", "/public/harbour-street/", "/nowhere/", "/login/"):
        visit(path)
    page.goto(f"{town.origin}/receipt/#{signed.secret}")
    expect(page.get_by_test_id("receipt-letter")).to_be_visible()
    direction(page, language)
    page.get_by_test_id("receipt-end-open").click()
    found["the letter"] = [*crowded(page), *faults(page)]

    for user, paths in (
        (town.house.staff, ["/floor/harbour-street/"]),
        (town.house.dpo, ["/admin/", f"/admin/stores/store/{town.house.store.pk}/change/"]),
    ):
        page.goto(f"{town.origin}/login/?next={paths[0]}")
        page.locator("#id_username").fill(user.username)
        page.locator("#id_password").fill("a long password")
        page.get_by_test_id("login-submit").click()
        page.wait_for_url(f"**{paths[0]}")
        for path in paths:
            visit(path)
            if path.startswith("/floor/"):
                # The clock on the wall, in the digits of the page.
                assert page.locator("time[data-clock]").first.inner_text().isascii()
    assert not {name: problems for name, problems in found.items() if problems}


def test_the_door_says_it_in_all_of_them_at_once(
    town: Town, open_browser: Callable[..., Browser]
) -> None:
    Store.objects.update(check_in_words=WITHOUT)
    device = add_door(Device(store=town.house.store, name="Main door"), actor="test")
    Camera.objects.filter(tablet=device).update(signage_confirmed_at=timezone.now())
    page = watched(open_browser().new_context(viewport={"width": 820, "height": 1180}), town)
    page.goto(f"{town.origin}/door/")
    page.get_by_test_id("enroll-code").fill(new_code(device=device, actor="test"))
    page.get_by_test_id("enroll-submit").click()
    expect(page.get_by_test_id("door")).to_have_attribute("data-state", "ready", timeout=30_000)
    said = page.get_by_test_id("door-say").locator("span")
    assert [one.get_attribute("lang") for one in said.all()] == [
        code for code, _name in settings.LANGUAGES
    ]
    assert page.locator("video").evaluate(MIRRORED) == 1
    assert not [*crowded(page), *faults(page)]
    for width, height in ((820, 1180), (1180, 820), (1280, 900)):
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("() => document.documentElement.scrollHeight <= innerHeight"), width
