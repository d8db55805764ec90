"""She took a pass: shown with her own face it greets her, with anybody else's it does nothing.

Shown on her receipt's page it goes on for a year, and stays the same pass.
"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
from django.utils import timezone
from playwright.sync_api import Browser, FilePayload, Page, expect

from apps.consent.models import Consent
from apps.recognition.passes import Pass, read
from apps.stores.models import Camera
from apps.visitors.models import FaceTemplate
from apps.visits.asking import PassDesk
from apps.visits.models import Visit
from tests import faces, qr
from tests.conftest import Process
from tests.journeys.accessible import faults
from tests.journeys.conftest import PERSON, Town, answer_others, choose, draw, log_in, watched
from tests.journeys.test_visit import expect_soon

SOMEBODY_ELSE = 3


def pass_reader(town: Town, source: str = "nothing.mp4") -> Camera:
    return Camera.objects.create(
        store=town.house.store,
        name="Pass reader",
        mode=Camera.Mode.PASS,
        source=source,
        loop=True,
        signage_confirmed_at=timezone.now(),
    )


def photographed(page: Page) -> Pass:
    """What a phone reads from the pass on the screen."""
    shot = page.get_by_test_id("pass-qr").screenshot()
    grey = cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_GRAYSCALE)
    shown = read(qr.text_in(np.asarray(grey, dtype=np.uint8)))
    assert shown is not None
    return shown


def agree_to_a_pass(page: Page) -> None:
    choose(page)
    page.get_by_test_id("notice-go").click()
    page.get_by_test_id("lane-no").click()
    page.get_by_test_id("pass-yes").click()
    answer_others(page, "history")
    page.get_by_test_id("term-12").click()
    page.get_by_test_id("age-yes").click()
    page.get_by_test_id("name").fill("Ms Rivera")
    page.get_by_test_id("name-go").click()
    draw(page)
    page.get_by_test_id("signature-go").click()


def test_a_guest_takes_a_pass_and_is_greeted_by_it_and_nobody_else_is(
    town: Town, tablet: Page, open_browser: Callable[..., Browser], tmp_path: Path
) -> None:
    reader = pass_reader(town)
    floor = watched(open_browser().new_context(), town)
    log_in(floor, town, "linda", f"/floor/{town.house.store.slug}/")
    expect(floor.get_by_test_id("floor-empty")).to_be_visible()

    agree_to_a_pass(tablet)
    expect(tablet.get_by_test_id("pass-qr").locator("svg")).to_be_visible(timeout=30_000)
    expect(tablet.get_by_test_id("receipt-code")).to_be_visible()
    assert not faults(tablet)
    shown, screenshot = photographed(tablet), tablet.screenshot()
    code = tablet.get_by_test_id("receipt-code").inner_text()
    assert FaceTemplate.objects.get().purpose == "pass"
    tablet.get_by_test_id("finished").click()
    expect(tablet.get_by_test_id("language-en")).to_be_visible()

    copied, own = tmp_path / "copied.mp4", tmp_path / "own.mp4"
    for path, person in ((copied, SOMEBODY_ELSE), (own, PERSON)):
        walk = faces.walk_by([person], seconds_present=3.0, seconds_absent=2.5)
        faces.write_mp4(path, faces.showing(walk, shown.text(), seconds=(2.9, 5.0)))
    Camera.objects.filter(pk=town.house.camera.pk).update(active=False)
    Camera.objects.filter(pk=reader.pk).update(source=str(copied))

    watcher = Process("watcher")
    tried = Camera.objects.filter(pk=reader.pk, aborts__has_key="another_face")
    expect_soon(floor, tried.exists)
    expect(floor.get_by_test_id("visit-card")).to_have_count(0)
    assert not Visit.objects.exists()

    Camera.objects.filter(pk=reader.pk).update(source=str(own))
    expect(floor.get_by_test_id("visit-name")).to_have_text("Ms Rivera", timeout=30_000)
    expect(floor.get_by_test_id("visit-number")).to_contain_text("First visit")
    reader.refresh_from_db()
    assert reader.embeddings_outside_trigger == 0
    assert Visit.objects.get().camera == reader
    watcher.stop()
    assert not [line for line in watcher.lines if shown.text() in line]

    # Eleven months later, at home: her picture of the pass is all that can open her template.
    Consent.objects.update(expires_at=timezone.now() + timedelta(days=30))
    phone = watched(open_browser().new_context(viewport={"width": 390, "height": 844}), town)
    phone.goto(f"{town.origin}/receipt/#{code}")
    picture = phone.get_by_test_id("renew-picture")
    expect(picture).to_be_visible()
    assert not faults(phone)
    huge: FilePayload = {"name": "film.png", "mimeType": "image/png", "buffer": bytes(6_000_000)}
    picture.set_input_files(huge)
    phone.get_by_test_id("receipt-renew").click()
    expect(phone.get_by_test_id("renew-too-large")).to_contain_text("too large")
    assert not faults(phone)
    for name, content, said in (
        ("cat.png", floor.screenshot(), "No pass could be read"),
        ("pass.png", screenshot, "The code and the pass that you have stay the same."),
    ):
        picture.set_input_files({"name": name, "mimeType": "image/png", "buffer": content})
        phone.get_by_test_id("receipt-renew").click()
        expect(phone.locator("#letter-news")).to_contain_text(said)
    assert not faults(phone)
    assert Consent.objects.live().get().expires_at > timezone.now() + timedelta(days=360)
    assert PassDesk(reader.pk).present(shown)


def test_saying_no_to_both_kinds_leads_to_the_same_benefits(town: Town, tablet: Page) -> None:
    pass_reader(town)
    choose(tablet)
    tablet.get_by_test_id("notice-go").click()
    tablet.get_by_test_id("lane-no").click()
    expect(tablet.get_by_test_id("pass-no")).to_be_visible()
    assert not faults(tablet)
    tablet.get_by_test_id("pass-no").click()
    with tablet.expect_response("**/kiosk/refuse/") as counted:
        tablet.get_by_test_id("card-no").click()
    assert counted.value.status == 204
    assert counted.value.request.post_data_json == {"purposes": ["lane", "pass", "card"]}
    expect(tablet.get_by_test_id("alternative")).to_have_text("Show your card.")
    tablet.get_by_test_id("change-answer").click()
    tablet.get_by_test_id("lane-yes").click()
    tablet.get_by_test_id("pass-no").click()
    expect(tablet.get_by_test_id("history-yes")).to_be_visible()
