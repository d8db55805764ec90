"""A browser at a running house: web, recognizer and watcher as processes on the test database."""

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect

from apps.stores.devices import new_code
from tests import faces
from tests.conftest import House, Process, build_house

# Playwright's sync API keeps an event loop in this thread; Django must not mind.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
PERSON = 2
expect.set_options(timeout=15_000)


@dataclass(frozen=True, slots=True)
class Town:
    """The house and the address where its web process answers."""

    house: House
    origin: str

    def code(self) -> str:
        """A fresh one-time code for the kiosk."""
        return new_code(device=self.house.kiosk, actor="test")


@pytest.fixture
def town(transactional_db: None) -> Iterator[Town]:
    """A house whose web and recognizer run."""
    house = build_house()
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        origin = f"http://127.0.0.1:{door.getsockname()[1]}"
        door.listen(64)
        recognizer = Process("recognizer")
        web = Process.web(door, origin)
        yield Town(house, origin)
        web.stop()
        recognizer.stop()


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory, keys_and_pack: None) -> Callable[..., Path]:
    """Y4M clips that Chromium takes for a webcam, made from the packaged picture."""
    folder = tmp_path_factory.mktemp("webcam")

    def clip(person: int = PERSON, mode: str = "steady") -> Path:
        path = folder / f"{person}-{mode}.y4m"
        if not path.exists():
            faces.write_y4m(path, faces.frames(person, mode=mode, seconds=2.0), fps=10)  # type: ignore[arg-type]
        return path

    return clip


@pytest.fixture
def open_browser(playwright: Playwright) -> Iterator[Callable[..., Browser]]:
    """Start Debian's Chromium, with a clip as its webcam when one is given."""
    browsers: list[Browser] = []

    def launch(webcam: Path | None = None, *flags: str) -> Browser:
        camera = [f"--use-file-for-fake-video-capture={webcam}"] if webcam else []
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*FLAGS, *camera, *flags]
        )
        browsers.append(browser)
        return browser

    yield launch
    for browser in browsers:
        browser.close()


@pytest.fixture
def tablet(town: Town, clips: Callable[..., Path], open_browser: Callable[..., Browser]) -> Page:
    """An enrolled kiosk tablet with a person in front of it, at the choice of language."""
    return enrolled(town, open_browser(clips()))


def enrolled(town: Town, browser: Browser) -> Page:
    """Enrol a new tablet of this browser."""
    context = browser.new_context(viewport={"width": 820, "height": 1180})
    page = watched(context, town)
    page.goto(f"{town.origin}/kiosk/")
    page.get_by_test_id("enroll-code").fill(town.code())
    page.get_by_test_id("enroll-submit").click()
    expect(page.get_by_test_id("language-en")).to_be_visible()
    return page


def watched(context: BrowserContext, town: Town) -> Page:
    """A page that fails its test on any error in its console: a refused script is no detail."""
    page = context.new_page()

    def complain(text: str) -> None:
        raise AssertionError(text)

    page.on("pageerror", lambda error: complain(str(error)))
    page.on(
        "console",
        lambda message: (
            complain(message.text)
            if message.type == "error" and "Content Security Policy" in message.text
            else None
        ),
    )
    return page


def log_in(page: Page, town: Town, name: str, path: str) -> None:
    """Log a member of the house in and go to a page."""
    page.goto(f"{town.origin}/login/?next={path}")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill("a long password")
    page.get_by_test_id("login-submit").click()
    page.wait_for_url(f"**{path}")


def draw(page: Page) -> None:
    """Sign on the pad."""
    box = page.get_by_test_id("pad").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 40, box["y"] + box["height"] / 2)
    page.mouse.down()
    for step in range(1, 30):
        page.mouse.move(
            box["x"] + 40 + step * (box["width"] - 80) / 30,
            box["y"] + box["height"] / 2 + (20 if step % 2 else -20),
        )
    page.mouse.up()


def agree(page: Page, language: str = "en", name: str = "Ms Rivera", history: bool = True) -> None:
    """Go from the choice of language to the camera, agreeing to recognition."""
    page.get_by_test_id(f"language-{language}").click()
    page.get_by_test_id("notice-go").click()
    page.get_by_test_id("lane-yes").click()
    page.get_by_test_id("history-yes" if history else "history-no").click()
    page.get_by_test_id("contact-no").click()
    page.get_by_test_id("age-yes").click()
    page.get_by_test_id("name").fill(name)
    page.get_by_test_id("name-go").click()
    draw(page)
    page.get_by_test_id("signature-go").click()
