"""A browser at a running house: web, recognizer and watcher as processes on the test database."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    expect,
)
from playwright.sync_api import Error as PlaywrightError
from pytest_django import DjangoDbBlocker

from apps.recognition.client import Recognizer
from apps.stores.devices import live_events, new_code
from apps.visitors.models import Visitor
from tests import faces
from tests.conftest import House, Process, build_house
from tests.journeys.accessible import complaints
from tests.journeys.acting import acting
from tests.waiting import until

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


@pytest.fixture(scope="package")
def running(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """Web and recognizer, started once for all journeys; the address of the web process."""
    with django_db_blocker.unblock(), socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        origin = f"http://127.0.0.1:{door.getsockname()[1]}"
        door.listen(64)
        processes = [Process("recognizer"), Process.web(door, origin)]
        yield origin
        for process in processes:
            process.stop()


@pytest.fixture
def town(running: str, transactional_db: None) -> Iterator[Town]:
    """A house of its own for each journey, in front of the running processes."""
    # Every tablet here has the same address, and enrols at a limited rate.
    live_events().flushdb()
    yield Town(build_house(), running)
    # Emptying tables tells nobody, deleting does: the next journey begins with an empty gallery.
    Visitor.objects.all().delete()
    recognizer = Recognizer(settings.CONSENTRY.socket)
    until(lambda: not recognizer.status()["templates"], seconds=10)


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


def chromium(playwright: Playwright, *flags: str) -> Browser:
    """Debian's Chromium."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])


@pytest.fixture(scope="session")
def plain(playwright: Playwright) -> Iterator[Browser]:
    """One Chromium for all journeys that ask for nothing special: starting it costs as much as a
    short journey. A context is what a visitor's own browser is: it shares nothing with another."""
    browser = chromium(playwright)
    yield browser
    browser.close()


@pytest.fixture
def open_browser(playwright: Playwright, plain: Browser) -> Iterator[Callable[..., Browser]]:
    """A browser; one of its own, with a clip as its webcam or with flags, when they are given."""
    own: list[Browser] = []

    def launch(webcam: Path | None = None, *flags: str) -> Browser:
        camera = [f"--use-file-for-fake-video-capture={webcam}"] if webcam else []
        if not (camera or flags):
            return plain
        own.append(chromium(playwright, *camera, *flags))
        return own[-1]

    complaints.clear()
    yield launch
    for browser in own:
        browser.close()
    found = list(complaints)
    for context in plain.contexts:
        for page in context.pages:
            # A page that draws and films for ever once kept its context from closing.
            with suppress(PlaywrightError):
                page.goto("about:blank", timeout=5_000)
        context.close()
    assert not found


@pytest.fixture
def tablet(town: Town, open_browser: Callable[..., Browser]) -> Page:
    """An enrolled kiosk tablet with a person in front of it, at the choice of language."""
    return enrolled(town, open_browser(), acting(PERSON))


def enrolled(town: Town, browser: Browser, actor: str = "") -> Page:
    """Enrol a new tablet of this browser; `actor`: who stands before it, see acting."""
    context = browser.new_context(viewport={"width": 820, "height": 1180})
    if actor:
        context.add_init_script(actor)
    page = watched(context, town)
    page.goto(f"{town.origin}/kiosk/")
    page.get_by_test_id("enroll-code").fill(town.code())
    page.get_by_test_id("enroll-submit").click()
    expect(page.get_by_test_id("language-en")).to_be_visible()
    # A link is there before the script that follows it without leaving the page.
    page.wait_for_load_state("load")
    return page


def watched(context: BrowserContext, town: Town) -> Page:
    """A page whose test fails on a script's error or a refusal by the Content-Security-Policy."""
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", _listen)
    return page


def _listen(message: ConsoleMessage) -> None:
    if message.type == "error" and "Content Security Policy" in message.text:
        complaints.append(message.text)


def log_in(page: Page, town: Town, name: str, path: str) -> None:
    """Log a member of the house in, in any language, and go to a page."""
    page.goto(f"{town.origin}/login/?next={path}")
    page.locator("#id_username").fill(name)
    page.locator("#id_password").fill("a long password")
    page.get_by_test_id("login-submit").click()
    page.wait_for_url(f"**{path}")


def choose(page: Page, language: str = "en") -> None:
    """Choose a language at the start page, and wait for its notice."""
    page.get_by_test_id(f"language-{language}").click()
    page.wait_for_url(f"**/kiosk/{language}/")


def draw(page: Page, pad: str = "pad") -> None:
    """Sign on a pad."""
    page.get_by_test_id(pad).scroll_into_view_if_needed()
    box = page.get_by_test_id(pad).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 40, box["y"] + box["height"] / 2)
    page.mouse.down()
    for step in range(1, 30):
        page.mouse.move(
            box["x"] + 40 + step * (box["width"] - 80) / 30,
            box["y"] + box["height"] / 2 + (20 if step % 2 else -20),
        )
    page.mouse.up()


def others(page: Page) -> list[str]:
    """What is asked for beside recognition, in its order."""
    return [
        str(question.get_attribute("data-purpose"))
        for question in page.locator("[data-purpose]:not([data-recognition])").all()
    ]


def answer_others(page: Page, *yes: str) -> None:
    """Say yes to these of what is asked for beside recognition, and no to the rest."""
    for purpose in others(page):
        page.get_by_test_id(f"{purpose}-{'yes' if purpose in yes else 'no'}").click()


def agree(page: Page, language: str = "en", name: str = "Ms Rivera", history: bool = True) -> None:
    """Go from the choice of language to the camera, agreeing to recognition."""
    choose(page, language)
    page.get_by_test_id("notice-go").click()
    page.get_by_test_id("lane-yes").click()
    answer_others(page, *(["history"] if history else []))
    page.get_by_test_id("term-12").click()
    page.get_by_test_id("age-yes").click()
    page.get_by_test_id("name").fill(name)
    page.get_by_test_id("name-go").click()
    draw(page)
    page.get_by_test_id("signature-go").click()
