"""They declined every use of their face and took a card: greeted by it as anybody, and no camera of
the kiosk was ever asked for."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from apps.consent.models import Consent, Refusal
from apps.stores.devices import add_door
from apps.stores.models import Camera, Device
from apps.visitors import cards
from apps.visitors.models import Card, FaceTemplate, Visitor
from apps.visits.checkin import check_in
from apps.visits.models import OptIn, Visit
from tests import faces, qr
from tests.journeys.accessible import crowded, faults
from tests.journeys.conftest import (
    PERSON,
    Town,
    agree,
    answer_others,
    choose,
    draw,
    enrolled,
    log_in,
    others,
    watched,
)
from tests.journeys.test_door import hears, hung
from tests.journeys.test_network import answer_lost

NO_CAMERA = "--use-fake-ui-for-media-stream=deny"
LISTEN = """
navigator.mediaDevices.getUserMedia = () => { window.filmed = true; return Promise.reject(); };
"""


def photographed(page: Page) -> str:
    """What a phone reads from the card on the screen."""
    shot = page.get_by_test_id("card-qr").screenshot()
    grey = cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_GRAYSCALE)
    return qr.text_in(np.asarray(grey, dtype=np.uint8))


def test_a_guest_without_a_face_takes_a_card_and_is_greeted_by_it(
    town: Town, open_browser: Callable[..., Browser], tmp_path: Path
) -> None:
    floor = watched(open_browser().new_context(), town)
    log_in(floor, town, "linda", f"/floor/{town.house.store.slug}/")
    expect(floor.get_by_test_id("floor-empty")).to_be_visible()
    tablet = enrolled(town, open_browser(None, NO_CAMERA), LISTEN)

    # One looks at the question and goes: the face was declined, the card was not.
    choose(tablet)
    tablet.get_by_test_id("notice-go").click()
    tablet.get_by_test_id("lane-no").click()
    expect(tablet.get_by_test_id("card-yes")).to_be_visible()
    with tablet.expect_response("**/kiosk/refuse/") as counted:
        tablet.get_by_test_id("start-over").click()
    assert counted.value.request.post_data_json == {"purposes": ["lane"]}

    # The next one takes it.
    choose(tablet)
    tablet.get_by_test_id("notice-go").click()
    tablet.get_by_test_id("lane-no").click()
    yes, no = (tablet.get_by_test_id(f"card-{answer}") for answer in ("yes", "no"))
    for answer in (yes, no):
        expect(answer).to_have_attribute("aria-pressed", "false")
    size = "node => [node.offsetWidth, node.offsetHeight]"
    assert yes.evaluate(size) == no.evaluate(size)
    assert not [*faults(tablet), *crowded(tablet)]
    yes.click()
    answer_others(tablet, "history")
    for tap in ("term-12", "age-yes"):
        tablet.get_by_test_id(tap).click()
    tablet.get_by_test_id("name").fill("Ms Rivera")
    tablet.get_by_test_id("name-go").click()
    expect(tablet.get_by_test_id("answers")).to_contain_text("by a card, without your face")
    draw(tablet)
    tablet.get_by_test_id("signature-go").click()
    expect(tablet.get_by_test_id("receipt-code")).to_be_visible()
    signs = tablet.get_by_test_id("card-signs").inner_text()
    code = cards.read(signs)
    assert code is not None
    assert photographed(tablet) == code.text()
    assert tablet.get_by_test_id("pass").is_hidden()
    assert not [*faults(tablet), *crowded(tablet)]
    assert tablet.evaluate("() => window.filmed") is None
    consent = Consent.objects.get()
    assert consent.purposes == ["card", "history"]
    assert consent.declined == ["lane", *(key for key in others(tablet) if key != "history")]
    assert not FaceTemplate.objects.exists()
    assert Refusal.objects.get(purpose="lane").count == 2
    assert OptIn.objects.get().finished == 1
    tablet.get_by_test_id("finished").click()
    tablet.get_by_test_id("language-en").wait_for()
    assert signs not in tablet.content()

    # At the desk: typed, or by a scanner that types.
    floor.get_by_test_id("card-open").click()
    floor.get_by_test_id("card-code").fill(signs.lower())
    floor.get_by_test_id("card-code").press("Enter")
    expect(floor.get_by_test_id("visit-name")).to_have_text("Ms Rivera")
    expect(floor.get_by_test_id("visit-number")).to_contain_text("First visit")

    # At the door: the tablet sees the code, and nobody's face.
    device = add_door(Device(store=town.house.store, name="Main door"), actor="test")
    Camera.objects.filter(tablet=device).update(signage_confirmed_at=timezone.now())
    webcam = tmp_path / "card.y4m"
    faces.write_y4m(webcam, faces.showing(faces.frames(PERSON, "blank", seconds=2.0), code.text()))
    door = hung(town, device, open_browser(webcam))
    hears(door, "Welcome. Please come in.")
    assert not faults(door)
    assert "Rivera" not in door.content()
    assert (Visit.objects.count(), Visit.objects.get().camera) == (1, None), "still here"
    assert Camera.objects.get(tablet=device).triggers == 0


def test_whoever_stops_before_the_camera_may_take_a_card_and_a_lost_answer_loses_none(
    town: Town, tablet: Page
) -> None:
    agree(tablet)
    expect(tablet.get_by_test_id("oval")).to_have_attribute("data-state", "looking")
    tablet.get_by_test_id("camera-stop").click()
    expect(tablet.get_by_test_id("card-yes")).to_be_visible()
    assert tablet.locator("video").evaluate("video => video.srcObject") is None
    tablet.get_by_test_id("card-yes").click()
    expect(tablet.get_by_test_id("answers")).to_contain_text("by a card, without your face")
    tablet.get_by_test_id("signature-go").click()
    expect(tablet.get_by_text("Please sign in the box")).to_be_visible()
    draw(tablet)
    tablet.route("**/kiosk/opt-in/", answer_lost, times=1)
    with tablet.expect_request("**/kiosk/opt-in/") as sent:
        tablet.get_by_test_id("signature-go").click()
    told = json.loads(sent.value.post_data or "")
    assert (told["photos"], told["frames"], told["challenge"]) == ([], [], "")
    assert told["purposes"]["lane"] is False
    expect(tablet.get_by_role("button", name="Stop: without a card")).to_be_visible()
    assert not faults(tablet)
    tablet.get_by_test_id("resend").click()
    expect(tablet.get_by_test_id("card-signs")).to_be_visible()
    code = cards.read(tablet.get_by_test_id("card-signs").inner_text())
    assert code is not None
    assert Visitor.objects.count() == Card.objects.count() == Consent.objects.count() == 1
    assert not FaceTemplate.objects.exists()
    assert check_in(code=code, store=town.house.store, actor="test").outcome == "visit"
