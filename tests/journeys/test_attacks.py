"""Somebody holds another person's face up at the kiosk. None is enrolled; each hears it kindly.

A blank camera is in test_kiosk, which waits for a face as long as it takes.
"""

import re
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, Route, expect

from apps.consent.models import Consent
from apps.visitors.models import Visitor
from ops.heads import flat
from tests import faces
from tests.journeys.accessible import faults
from tests.journeys.acting import Reel, acting, standing
from tests.journeys.conftest import PERSON, Town, agree, enrolled

OTHER = 5
Clip = Iterator[NDArray[np.uint8]]


def still() -> NDArray[np.uint8]:
    return next(faces.frames(PERSON, seconds=0.1))


def a_still_photo() -> Clip:
    return repeat(flat(still()), 10)


def a_photo_moved_about() -> Clip:
    """Swung from side to side, carried to and fro."""
    swings = np.sin(np.linspace(0, 2 * np.pi, 20, endpoint=False))
    return (flat(still(), degrees=25 * swing, aside=0.03 * swing) for swing in swings)


def asked_to_move(page: Page) -> None:
    """The three pictures are taken, and a movement is asked for."""
    movement = re.compile("left|right|nearer")
    expect(page.locator(".stage-look")).to_have_attribute("data-act", movement, timeout=60_000)


def time_flies(page: Page) -> None:
    """To the tablet each look takes two seconds: the time for the movements is soon over."""

    def look(route: Route) -> None:
        answer = route.fetch()
        page.clock.fast_forward(2_000)
        route.fulfill(response=answer)

    page.route("**/kiosk/act/", look)


def refused(page: Page, sentence: str | re.Pattern[str]) -> None:
    """The camera's screen says so, offers another try and the way without; nothing was kept."""
    screen = page.locator('[data-screen="camera"]')
    expect(screen.get_by_test_id("problem")).to_contain_text(sentence, timeout=60_000)
    expect(page.get_by_test_id("camera-again")).to_be_visible()
    expect(page.get_by_test_id("camera-stop")).to_be_visible()
    expect(screen).not_to_have_attribute("data-act", re.compile("."))
    assert not Consent.objects.exists()
    assert not Visitor.objects.exists()


@pytest.mark.parametrize("clip", [a_still_photo, a_photo_moved_about])
def test_a_photo_is_asked_to_move_and_cannot(
    town: Town, open_browser: Callable[..., Browser], tmp_path: Path, clip: Callable[[], Clip]
) -> None:
    webcam = tmp_path / "photo.y4m"
    faces.write_y4m(webcam, clip(), fps=10)
    page = enrolled(town, open_browser(webcam))
    page.clock.install()
    agree(page)
    asked_to_move(page)
    assert not faults(page)
    time_flies(page)
    refused(page, "We did not see the movement in time.")
    assert not faults(page)


def test_a_replay_of_another_session_makes_the_movements_of_that_session(
    town: Town, open_browser: Callable[..., Browser]
) -> None:
    page = enrolled(town, open_browser(), acting(PERSON, manner="replay"))
    agree(page)
    refused(page, "That was another movement than we asked for.")


@pytest.mark.parametrize(
    ("then", "sentence"),
    [
        # Whose nose is another may not even be seen to move as asked.
        (
            "another",
            re.compile("do not show the same person|did not see the movement|movement than"),
        ),
        ("two", "We saw two faces. Please come alone to the picture."),
    ],
)
def test_whoever_takes_over_halfway_is_noticed(
    town: Town, open_browser: Callable[..., Browser], then: str, sentence: str | re.Pattern[str]
) -> None:
    """Another person, or a second face beside the first."""
    second: NDArray[np.uint8] | Reel = {  # type: ignore[assignment]
        "another": next(faces.relative(OTHER, PERSON, 1.0, seconds=0.1)),
        "two": standing(next(faces.frames(PERSON, "two", seconds=0.1))),
    }[then]
    page = enrolled(town, open_browser(), acting(PERSON, second, manner="swap"))
    agree(page)
    asked_to_move(page)
    refused(page, sentence)


def test_a_lens_that_is_covered_halfway_is_noticed(
    town: Town, open_browser: Callable[..., Browser]
) -> None:
    cap = standing(np.zeros_like(still()))
    page = enrolled(town, open_browser(), acting(PERSON, cap, manner="swap"))
    page.clock.install()
    agree(page)
    asked_to_move(page)
    expect(page.get_by_test_id("guidance")).to_have_text("Please look into the oval.")
    time_flies(page)
    refused(page, "We did not see the movement in time.")


def test_whoever_tries_again_alone_is_enrolled(
    town: Town, open_browser: Callable[..., Browser]
) -> None:
    """A photo first, then the person: nothing of the first try is in the way."""
    page = enrolled(town, open_browser(), acting(standing(still()), PERSON, manner="again"))
    page.clock.install()
    agree(page)
    asked_to_move(page)
    time_flies(page)
    refused(page, "We did not see the movement in time.")
    page.unroute("**/kiosk/act/")
    page.get_by_test_id("camera-again").click()
    expect(page.get_by_test_id("receipt-code")).to_be_visible(timeout=60_000)
    assert Consent.objects.count() == Visitor.objects.count() == 1
