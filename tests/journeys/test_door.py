"""A tablet hangs at the door: it greets who shows their pass, names nobody, and watches nobody."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone
from playwright.sync_api import Browser, Page, Request, expect

from apps.consent.models import Purpose
from apps.recognition.client import Recognizer
from apps.stores.devices import add_door, new_code, revoke
from apps.stores.models import Camera, Device
from apps.visits.models import Visit
from tests import faces
from tests.journeys.accessible import faults
from tests.journeys.conftest import PERSON, Town, log_in, watched
from tests.recognition.test_present import Crops, holder_of

SOMEBODY_ELSE = 3
# An answer stands for seconds only: whatever the page said is written down by the page itself.
LISTEN = """addEventListener("DOMContentLoaded", () => {
  const line = document.querySelector("[data-say]");
  if (!line) return;
  window.said = [];
  new MutationObserver(() => window.said.push(line.textContent)).observe(line, {childList: true});
})"""
PORTRAIT, LANDSCAPE = {"width": 800, "height": 1180}, {"width": 1180, "height": 800}


@pytest.fixture
def device(town: Town) -> Device:
    device = add_door(Device(store=town.house.store, name="Main door"), actor="test")
    Camera.objects.filter(tablet=device).update(signage_confirmed_at=timezone.now())
    return device


@pytest.fixture
def shown(town: Town, crops_of: Crops) -> str:
    """What the pass of person PERSON, "Ms Chen", says."""
    holder = holder_of(
        town.house, Recognizer(settings.CONSENTRY.socket), crops_of(PERSON), [Purpose.PASS]
    )
    return holder.shown.text()


@pytest.fixture
def webcam(tmp_path: Path) -> Callable[..., Path]:
    """Clips of somebody at the door, with a pass in the hand or without."""

    def clip(person: int, text: str = "", mode: str = "steady") -> Path:
        path = tmp_path / f"{person}-{mode}-{bool(text)}.y4m"
        seen = faces.frames(person, mode, seconds=2.0)  # type: ignore[arg-type]
        faces.write_y4m(path, faces.showing(seen, text) if text else seen)
        return path

    return clip


def hung(town: Town, device: Device, browser: Browser, size: dict[str, int] = PORTRAIT) -> Page:
    """The tablet, enrolled with its code."""
    page = watched(browser.new_context(viewport=size), town)  # type: ignore[arg-type]
    page.add_init_script(LISTEN)
    page.goto(f"{town.origin}/door/")
    page.get_by_test_id("enroll-code").fill(new_code(device=device, actor="test"))
    page.get_by_test_id("enroll-submit").click()
    expect(page.get_by_test_id("door")).to_be_visible()
    return page


def in_state(page: Page, state: str) -> None:
    expect(page.get_by_test_id("door")).to_have_attribute("data-state", state, timeout=30_000)


def hears(page: Page, text: str) -> None:
    """The page said this, be it a while ago."""
    said = "text => (window.said ?? []).some((one) => one.includes(text))"
    page.wait_for_function(said, arg=text, timeout=30_000)


def test_who_shows_a_pass_is_welcome_without_a_tap_and_without_a_name(
    town: Town,
    device: Device,
    shown: str,
    webcam: Callable[..., Path],
    open_browser: Callable[..., Browser],
) -> None:
    floor = watched(open_browser().new_context(), town)
    log_in(floor, town, "linda", f"/floor/{town.house.store.slug}/")
    expect(floor.get_by_test_id("floor-empty")).to_be_visible()

    page = hung(town, device, open_browser(webcam(PERSON, shown)))
    hears(page, "Welcome. Please come in.")
    assert not faults(page)
    expect(floor.get_by_test_id("visit-name")).to_have_text("Ms Chen")
    assert "Chen" not in page.content()
    assert Visit.objects.get().camera_id == device.camera_id
    in_state(page, "ready")
    assert not faults(page)


def test_a_copied_pass_leads_to_the_staff(
    town: Town,
    device: Device,
    shown: str,
    webcam: Callable[..., Path],
    open_browser: Callable[..., Browser],
) -> None:
    page = hung(town, device, open_browser(webcam(SOMEBODY_ELSE, shown)), LANDSCAPE)
    hears(page, "please ask our staff")
    assert not faults(page)
    assert Camera.objects.get(tablet=device).aborts == {"another_face": 1}
    assert not Visit.objects.exists()


def test_nobody_who_walks_by_is_sent_anywhere_and_a_tap_sends_once(
    town: Town,
    device: Device,
    webcam: Callable[..., Path],
    open_browser: Callable[..., Browser],
) -> None:
    page = hung(town, device, open_browser(webcam(PERSON)), LANDSCAPE)
    sent: list[str] = []

    def listen(request: Request) -> None:
        if request.method == "POST":
            sent.append(request.url.removeprefix(town.origin))

    page.on("request", listen)
    in_state(page, "ready")
    for _ in range(2):
        with page.expect_response("**/door/here/"):
            pass
    assert "/door/show/" not in sent
    page.get_by_test_id("door-read").click()
    hears(page, "No pass and no card could be read")
    assert not faults(page)
    assert sent.count("/door/show/") == 1
    assert Camera.objects.get(tablet=device).aborts == {"no_code": 1}


def test_a_stopped_tablet_lets_go_of_its_camera_and_says_so(
    town: Town,
    device: Device,
    webcam: Callable[..., Path],
    open_browser: Callable[..., Browser],
) -> None:
    page = hung(town, device, open_browser(webcam(PERSON)))
    in_state(page, "ready")
    revoke(device=device, actor="test")
    expect(page.get_by_test_id("stopped")).to_be_visible()
    expect(page.get_by_test_id("enroll-code")).to_be_hidden()
    assert not faults(page)


def test_a_tablet_that_may_not_look_opens_no_camera_and_says_where_to_go(
    town: Town,
    device: Device,
    webcam: Callable[..., Path],
    open_browser: Callable[..., Browser],
) -> None:
    page = hung(town, device, open_browser(webcam(PERSON)))
    in_state(page, "ready")
    Camera.objects.update(active=False)
    in_state(page, "closed")
    assert page.locator("video").evaluate("video => video.srcObject") is None
    expect(page.get_by_test_id("door-say")).to_contain_text("ask our staff")
    expect(page.get_by_test_id("door-without")).to_have_text("Show your card.")
    assert not faults(page)
    Camera.objects.update(active=True)
    in_state(page, "ready")
