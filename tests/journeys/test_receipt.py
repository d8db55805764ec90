"""What she can do with her receipt alone: less, another name, a pause, a new pass, the end."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pypdf import PdfReader

from apps.consent import notices
from apps.consent.models import Consent
from apps.recognition.client import PassRefused, Recognizer
from apps.recognition.passes import Pass
from apps.stores.models import Camera
from apps.visitors.models import FaceTemplate, Visitor
from tests.consent.notices import SECOND, new_version
from tests.groups import grouped
from tests.journeys.accessible import faults, faults_everywhere
from tests.journeys.conftest import Town, choose, draw, others, watched
from tests.journeys.test_pass import pass_reader, photographed
from tests.journeys.test_signing import fits
from tests.journeys.test_visit import verified
from tests.visits.test_disclose import old_town

# How often a finger came down, over all pages of a tab.
COUNT = """
addEventListener("pointerdown", () => {
  sessionStorage.setItem("taps", 1 + Number(sessionStorage.getItem("taps")));
}, true);
"""


@contextmanager
def taps(page: Page) -> Iterator[Callable[[], int]]:
    """Count what is tapped from here on; typing is free."""

    def count() -> int:
        return int(page.evaluate("() => Number(sessionStorage.getItem('taps'))"))

    before = count()
    yield lambda: count() - before


def agrees_to_all(tablet: Page) -> int:
    """Say yes to every question; how many taps that took."""
    tablet.context.add_init_script(COUNT)
    tablet.reload()
    with taps(tablet) as count:
        choose(tablet)
        tablet.get_by_test_id("notice-go").click()
        for purpose in ("lane", "pass", *others(tablet)):
            if purpose == "group":
                expect(tablet.get_by_test_id("group-stores")).to_have_text("Old Town")
                assert not faults(tablet)
            tablet.get_by_test_id(f"{purpose}-yes").click()
        tablet.get_by_test_id("term-12").click()
        tablet.get_by_test_id("age-yes").click()
        tablet.get_by_test_id("name").fill("Ms Rivera")
        tablet.get_by_test_id("contact").fill("rivera@example.org")
        tablet.get_by_test_id("name-go").click()
        draw(tablet)
        tablet.get_by_test_id("signature-go").click()
        expect(tablet.get_by_test_id("receipt-code")).to_be_visible(timeout=30_000)
        return count()


@pytest.fixture
def reader(town: Town) -> Camera:
    return pass_reader(town)


def opened(town: Town, browser: Browser, code: str) -> Page:
    """The receipt in a phone's browser, opened by its square code."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, accept_downloads=True)
    context.add_init_script(COUNT)
    page = watched(context, town)
    page.goto(f"{town.origin}/receipt/#{code}")
    expect(page.get_by_test_id("receipt-letter")).to_be_visible()
    assert code not in page.url
    return page


def opens(shown: Pass, camera: Camera) -> bool:
    try:
        return bool(Recognizer(settings.CONSENTRY.socket).present(camera=camera.pk, shown=shown))
    except PassRefused:
        return False


def taken(page: Page, button: str, number: int = 0) -> bytes:
    """What a button downloads, of several the one of this number."""
    with page.expect_download() as download:
        page.get_by_test_id(button).nth(number).click()
    return Path(download.value.path()).read_bytes()


def test_she_takes_back_one_thing_after_another_as_easily_as_she_agreed(
    town: Town,
    reader: Camera,
    tablet: Page,
    open_browser: Callable[..., Browser],
    tmp_path: Path,
) -> None:
    grouped(town.house, old_town(town.house))
    agreeing = agrees_to_all(tablet)
    assert not faults(tablet)
    page = opened(town, open_browser(), tablet.get_by_test_id("receipt-code").inner_text())
    assert not faults(page)

    expect(page.get_by_test_id("answer-store")).to_have_text("Old Town")
    expect(page.get_by_test_id("receipt-until")).to_contain_text("Harbour Street, Old Town")

    for purpose in (*reversed(others(tablet)), "lane"):
        with taps(page) as count:
            page.get_by_test_id(f"stop-{purpose}").click()
            page.get_by_test_id(f"stop-{purpose}-confirm").click()
            expect(page.get_by_test_id("receipt-done")).to_be_focused()
            expect(page.get_by_test_id(f"answer-{purpose}")).to_contain_text("Stopped")
            assert count() == 2 <= agreeing
    assert not faults(page)
    assert Consent.objects.get().purposes == ["pass"]
    assert FaceTemplate.objects.get().purpose == "pass"
    # What went with each of them is said, and certified: a template, her address.
    certificate = tmp_path / "certificate.jws"
    for what, number in (("sealed face template: 1", 0), ("contact: 1", -1)):
        expect(page.get_by_test_id("taken-what").nth(number)).to_contain_text(what)
        certificate.write_bytes(taken(page, "taken-certificate", number))
        assert verified(certificate, tmp_path)

    # The last of them is the end of everything, and says so before.
    with taps(page) as count:
        page.get_by_test_id("stop-pass").click()
        expect(page.get_by_test_id("answer-pass")).to_contain_text("this ends everything")
        assert not faults(page)
        page.get_by_test_id("stop-pass-confirm").click()
        expect(page.get_by_test_id("receipt-erased")).to_be_visible()
        assert count() == 2 <= agreeing
    assert not faults(page)
    assert not Visitor.objects.exists()
    certificate.write_bytes(taken(page, "certificate-download"))
    assert verified(certificate, tmp_path)
    # The link beside it leads to whoever else wants to know.
    page.get_by_test_id("link-verify").click()
    page.get_by_label("The file of the certificate").set_input_files(certificate)
    page.get_by_test_id("verify-go").click()
    expect(page.get_by_test_id("verdict")).to_contain_text("This certificate holds")
    assert not faults_everywhere(page)


def test_she_renews_by_one_tap_and_after_a_change_of_the_notice_by_reading_it(
    town: Town, reader: Camera, tablet: Page, open_browser: Callable[..., Browser]
) -> None:
    agrees_to_all(tablet)
    lost = photographed(tablet)
    code = tablet.get_by_test_id("receipt-code").inner_text()
    page = opened(town, open_browser(), code)
    expect(page.get_by_test_id("receipt-going-on")).to_have_count(0)

    # Eleven months later.
    Consent.objects.update(expires_at=timezone.now() + timedelta(days=30))
    reopen(page, town, code)
    expect(page.get_by_test_id("receipt-renew")).to_have_text("Renew for 12 months")
    fits_everywhere(page)
    assert not faults(page)
    with taps(page) as count:
        page.get_by_test_id("receipt-renew").click()
        expect(page.get_by_test_id("receipt-done")).to_be_focused()
        assert count() == 1
    assert not faults(page)
    fresh = photographed(page)
    assert opens(fresh, reader)
    assert not opens(lost, reader)
    renewal = Consent.objects.live().get()
    assert renewal.renews
    assert renewal.expires_at > timezone.now() + timedelta(days=360)
    expect(page.get_by_test_id("receipt-looks")).to_contain_text("You: renewed the consent")
    assert taken(page, "receipt-download-former").count(b".") == 2

    # The notice changes materially: it is read first, and either answer is as easy.
    end = (timezone.now() + timedelta(days=40)).replace(microsecond=0)
    notices.publish(notice=new_version(town.house), actor=SECOND, former_end=end)
    reopen(page, town, code)
    page.get_by_test_id("receipt-renew-read").click()
    expect(page.get_by_test_id("renew-change").first).to_be_visible()
    fits_everywhere(page)
    assert not faults(page)
    sizes = [page.get_by_test_id(f"renew-{one}").bounding_box() for one in ("yes", "no")]
    assert len({(box["width"], box["height"]) for box in sizes if box}) == 1
    page.get_by_test_id("renew-no").click()
    expect(page.get_by_test_id("receipt-sign-anew")).to_be_visible()
    assert Consent.objects.live().get() == renewal
    page.get_by_test_id("receipt-renew-read").click()
    page.get_by_test_id("renew-yes").click()
    expect(page.get_by_test_id("receipt-done")).to_be_focused()
    expect(page.get_by_test_id("receipt-sign-anew")).to_have_count(0)
    assert Consent.objects.live().get().renews == renewal
    assert Consent.objects.count() == 3
    assert code not in page.url


def reopen(page: Page, town: Town, code: str) -> None:
    """Come back another day."""
    page.goto(f"{town.origin}/")
    page.goto(f"{town.origin}/receipt/#{code}")
    expect(page.get_by_test_id("receipt-letter")).to_be_visible()


def fits_everywhere(page: Page) -> None:
    """Nothing hangs over the side on a phone, a tablet or a desk."""
    before = page.viewport_size
    for width, height in ((390, 844), (820, 1180), (1440, 900)):
        page.set_viewport_size({"width": width, "height": height})
        assert fits(page), width
    assert before
    page.set_viewport_size(before)


def test_she_changes_things_takes_all_of_it_home_and_ends_it(
    town: Town, reader: Camera, tablet: Page, open_browser: Callable[..., Browser]
) -> None:
    agreeing = agrees_to_all(tablet)
    lost = photographed(tablet)
    code = tablet.get_by_test_id("receipt-code").inner_text()
    page = opened(town, open_browser(), code)

    page.get_by_test_id("receipt-name-open").click()
    assert not faults(page)
    page.get_by_test_id("receipt-name-field").fill("Señora Rivera")
    page.get_by_test_id("receipt-name-save").click()
    expect(page.get_by_test_id("receipt-holds")).to_contain_text("Señora Rivera")

    page.get_by_test_id("receipt-pause").click()
    expect(page.get_by_test_id("receipt-paused")).to_be_visible()
    assert not faults(page)
    assert not opens(lost, reader)
    page.get_by_test_id("receipt-resume").click()
    expect(page.get_by_test_id("receipt-pause")).to_be_visible()
    expect(page.get_by_test_id("receipt-looks")).to_contain_text("You: paused recognition")
    assert opens(lost, reader)

    # Her pass is lost: a new one, which she photographs, and the old one is dead.
    page.get_by_test_id("receipt-pass-new").click()
    expect(page.get_by_test_id("pass-qr").locator("svg")).to_be_visible()
    assert not faults(page)
    fresh = photographed(page)
    assert fresh != lost
    assert not opens(lost, reader)
    assert opens(fresh, reader)

    held = json.loads(taken(page, "receipt-everything"))
    assert held["person"]["greeting_name"] == "Señora Rivera"
    assert len(held["templates"]) == 2
    assert taken(page, "receipt-download").count(b".") == 2
    paper = PdfReader(io.BytesIO(taken(page, "receipt-paper")))
    assert code in " ".join(" ".join(each.extract_text() for each in paper.pages).split())
    # On a printer the page is a letter: nothing to press on it.
    page.emulate_media(media="print")
    expect(page.get_by_test_id("stop-history")).to_be_hidden()
    expect(page.get_by_test_id("receipt-paper")).to_be_hidden()
    expect(page.get_by_test_id("answer-history")).to_be_visible()
    page.emulate_media(media="screen")

    with taps(page) as count:
        page.get_by_test_id("receipt-end-open").click()
        page.get_by_test_id("receipt-end-confirm").click()
        expect(page.get_by_test_id("receipt-erased")).to_be_visible()
        assert count() == 2 <= agreeing
    assert not opens(fresh, reader)
    assert not Visitor.objects.exists()
