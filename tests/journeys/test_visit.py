"""What a shop would tell: she signed, she was greeted, she ended it, nobody greeted her again."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from apps.audit import services as audit
from apps.audit import signing
from apps.stores.models import Camera
from apps.visitors.models import FaceTemplate, Visitor
from apps.visits.models import Visit
from tests import faces
from tests.conftest import ROOT, Process
from tests.journeys.conftest import PERSON, Town, agree, log_in, watched


def test_a_guest_opts_in_is_greeted_pauses_ends_it_and_is_a_stranger_again(
    town: Town, tablet: Page, open_browser: Callable[..., Browser], tmp_path: Path
) -> None:
    clip = tmp_path / "lane.mp4"
    faces.write_mp4(clip, faces.walk_by([PERSON], seconds_present=2.5, seconds_absent=1.0))
    Camera.objects.update(source=str(clip), loop=True)

    floor = watched(open_browser().new_context(), town)
    log_in(floor, town, "linda", f"/floor/{town.house.store.slug}/")
    expect(floor.get_by_test_id("floor-empty")).to_be_visible()
    expect(floor.get_by_test_id("floor-state")).to_have_attribute("data-state", "live")

    agree(tablet)
    expect(tablet.get_by_test_id("receipt-code")).to_be_visible(timeout=30_000)
    code = tablet.get_by_test_id("receipt-code").inner_text()
    tablet.get_by_test_id("finished").click()
    expect(tablet.get_by_test_id("language-en")).to_be_visible()

    watcher = Process("watcher")
    expect(floor.get_by_test_id("visit-name")).to_have_text("Ms Rivera", timeout=30_000)
    expect(floor.get_by_test_id("visit-number")).to_contain_text("First visit")
    floor.get_by_test_id("greet").click()
    expect(floor.get_by_test_id("visit-greeted")).to_contain_text("Linda")
    assert Visit.objects.get().greeted_by == town.house.staff

    customer = watched(open_browser().new_context(accept_downloads=True), town)
    customer.goto(f"{town.origin}/receipt/#{code}")
    expect(customer.get_by_test_id("receipt-letter")).to_be_visible()
    expect(customer.get_by_test_id("receipt-holds")).to_contain_text("Ms Rivera")
    assert code not in customer.url

    # A pause takes her card down, and the next passes are a stranger's.
    customer.get_by_test_id("receipt-pause").click()
    expect(customer.get_by_test_id("receipt-paused")).to_be_visible()
    expect(floor.get_by_test_id("visit-card")).to_have_count(0)
    walk_by_twice_more(floor)
    expect(floor.get_by_test_id("visit-card")).to_have_count(0)

    customer.get_by_test_id("receipt-end-open").click()
    customer.get_by_test_id("receipt-end-confirm").click()
    expect(customer.get_by_test_id("receipt-erased")).to_be_visible()
    with customer.expect_download() as download:
        customer.get_by_test_id("certificate-download").click()
    certificate = tmp_path / "certificate.jws"
    download.value.save_as(certificate)
    assert verified(certificate, tmp_path)

    expect(floor.get_by_test_id("visit-card")).to_have_count(0)
    assert not Visitor.objects.exists()
    assert not FaceTemplate.objects.exists()
    walk_by_twice_more(floor)
    expect(floor.get_by_test_id("visit-card")).to_have_count(0)
    assert not Visit.objects.exists()
    assert audit.verify().ok
    watcher.stop()


def walk_by_twice_more(page: Page) -> None:
    """Until the person in the clip has come by twice."""
    passes = Camera.objects.get().triggers
    camera = Camera.objects.filter(triggers__gte=passes + 2, embeddings_outside_trigger=0)
    expect_soon(page, camera.exists)


def verified(certificate: Path, folder: Path) -> bool:
    """Whether the offline verifier, a process of its own, accepts the certificate."""
    key = folder / "key.json"
    key.write_text(json.dumps(signing.public_jwk()))
    done = subprocess.run(
        [sys.executable, "ops/verify-certificate", str(certificate), "--key", str(key)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return bool(json.loads(done.stdout.splitlines()[-1])["valid"])


def expect_soon(page: Page, happened: Callable[[], bool], seconds: int = 30) -> None:
    """Wait for the database to say so, while the page lives on."""
    for _ in range(seconds * 5):
        if happened():
            return
        page.wait_for_timeout(200)
    raise AssertionError("it did not happen")
