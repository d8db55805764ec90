"""A customer asks for a copy on their receipt, and writes a letter to be erased; two officers."""

import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from pypdf import PdfReader

from apps.consent import services as consents
from apps.recognition.engine import starter
from apps.retention.models import Erasure, Package, Request
from apps.retention.services.erase import waiting_for
from apps.stores.models import Role, User
from apps.visitors.models import Visitor
from apps.visitors.services import SealedTemplate, enroll
from apps.visits.services import disclose
from tests.conftest import Process, hashed
from tests.journeys.accessible import crowded, faults
from tests.journeys.conftest import Town, log_in, watched
from tests.ops.test_verify_certificate import Inspector
from tests.ops.test_verify_certificate import inspector as inspector
from tests.visits.test_disclose import match_of
from tests.waiting import until

NARROW = ((390, 844), (820, 1180))


@pytest.fixture
def worker(town: Town) -> Iterator[None]:
    """A Celery worker on the test's database."""
    process = Process.__new__(Process)
    celery = [sys.executable, "-m", "celery", "--app", "apps.config", "worker", "--pool", "solo"]
    process._begin(celery, " -------------- celery@", {})
    yield
    process.stop()


def customer(town: Town) -> tuple[Visitor, str]:
    """Somebody who opted in, and the code of their receipt."""
    signed = consents.sign(town.house.draft())
    template = SealedTemplate(uuid.uuid4(), b"wrapped", 1, b"sealed", starter.NAME, starter.VERSION)
    visitor = enroll(
        visitor=uuid.uuid4(),
        consent=signed.consent,
        greeting_name="Ms Chen",
        contact="",
        templates=[template],
        actor="test",
    )
    return visitor, signed.secret


def seen(page: Page, *, dark: bool = False) -> list[str]:
    """What is wrong with the page as it stands: at any width, and by axe."""
    name = page.url.rpartition("/admin/")[2] or page.url
    page.emulate_media(color_scheme="dark" if dark else "light")
    found = [*crowded(page, NARROW), *faults(page)]
    return [f"{name}: {fault}" for fault in found]


def test_a_copy_is_fetched_and_an_erasure_takes_two(
    town: Town,
    worker: None,
    open_browser: Callable[..., Browser],
    inspector: Inspector,
    tmp_path: Path,
) -> None:
    house, browser = town.house, open_browser()
    visitor, secret = customer(town)
    disclose(match_of(visitor, house))
    dora = User.objects.create(username="dora", password=hashed(), first_name="Dora")
    Role.objects.create(user=dora, store=house.store, kind=Role.Kind.DPO)
    problems: list[str] = []

    # She asks for a copy on her receipt page, and is shown the passphrase.
    hers = watched(browser.new_context(accept_downloads=True), town)
    hers.goto(f"{town.origin}/receipt/#{secret}")
    hers.get_by_test_id("receipt-ask-open").click()
    problems += seen(hers)
    hers.get_by_test_id("ask-access").check()
    hers.get_by_test_id("ask-words").fill("Everything, please.")
    hers.get_by_test_id("receipt-ask-go").click()
    passphrase = hers.get_by_test_id("passphrase").inner_text()
    expect(hers.get_by_test_id("receipt-done")).to_be_focused()
    problems += seen(hers)

    # The officer finds it on the board and approves it; a worker makes the package.
    desk = watched(browser.new_context(accept_downloads=True), town)
    log_in(desk, town, "diana", "/admin/")
    expect(desk.get_by_test_id("number-overdue")).to_have_text("0 overdue")
    expect(desk.get_by_test_id("number-open")).to_have_text("1 open")
    desk.get_by_test_id("requests-link").click()
    problems += seen(desk, dark=True)
    desk.get_by_test_id("queue-item").get_by_role("link").click()
    expect(desk.get_by_test_id("request-words")).to_have_text("Everything, please.")
    problems += seen(desk)
    desk.get_by_test_id("approve-answer").fill("Here it is.")
    desk.get_by_test_id("request-approve").click()
    expect(desk.get_by_test_id("request-state")).to_be_visible()
    until(Package.objects.filter(state=Package.State.READY).exists, seconds=60)
    hers.goto(f"{town.origin}/receipt/#{secret}")
    package = hers.get_by_test_id("receipt-package")
    expect(package).to_be_visible()
    problems += seen(hers)
    with hers.expect_download() as download:
        package.click()
    download.value.save_as(tmp_path / "everything.pdf")
    reader = PdfReader(tmp_path / "everything.pdf", password=passphrase)
    assert "Ms Chen" in reader.pages[0].extract_text()
    assert {"everything.json", "schema.json"} == set(reader.attachments)

    # A letter: everything is to be erased. Staff have seen her; they tell the officer a code.
    desk.goto(f"{town.origin}/admin/retention/request/add/")
    problems += seen(desk)
    desk.get_by_label("What they ask for").select_option("erasure")
    desk.get_by_label("Whose, as far as it says").fill(str(visitor.pk))
    desk.get_by_label("Where to answer").fill("1 Quay Lane")
    desk.get_by_test_id("request-begin-go").click()
    expect(desk.get_by_test_id("request-identity")).to_be_visible()
    problems += seen(desk)
    desk.get_by_test_id("identity-await").click()
    expect(desk.get_by_test_id("request-state")).to_have_text("Waiting for identity")
    floor = watched(browser.new_context(), town)
    log_in(floor, town, "linda", f"/floor/{house.store.slug}/")
    floor.get_by_test_id("witness-new").click()
    code = floor.get_by_test_id("witness-code").inner_text()
    floor.get_by_test_id("floor-asked").click()
    expect(floor.get_by_test_id("counter")).to_be_visible()
    problems += seen(floor)
    desk.get_by_test_id("identity-witness").fill(code)
    desk.get_by_test_id("identity-witness-go").click()
    desk.get_by_test_id("request-preview-link").click()
    expect(desk.get_by_test_id("erase-plan")).to_contain_text("sealed face template")
    problems += seen(desk)
    desk.get_by_test_id("request-propose").click()
    expect(desk.get_by_test_id("request-done")).to_be_visible()
    assert Visitor.objects.filter(pk=visitor.pk).exists()

    # A second person approves it.
    second = watched(browser.new_context(accept_downloads=True), town)
    log_in(second, town, "dora", "/admin/")
    second.get_by_test_id("queue-item").get_by_role("link").click()
    second.get_by_test_id("request-preview-link").click()
    second.get_by_test_id("request-approve").click()
    expect(second.get_by_test_id("request-finish")).to_be_visible()
    assert not Visitor.objects.filter(pk=visitor.pk).exists()
    problems += seen(second)
    if second.get_by_test_id("request-partial").is_visible():
        # A slow recognizer: the certificate waited for its word.
        until(lambda: not waiting_for(Erasure.objects.get()), seconds=60)
        second.get_by_test_id("request-retry").click()
    second.get_by_test_id("answer-text").fill("Erased; here is the certificate.")
    second.get_by_test_id("answer-told-letter").check()
    second.get_by_test_id("request-answer").click()
    expect(second.get_by_test_id("request-state")).to_have_text("Answered")
    problems += seen(second)
    second.get_by_test_id("request-erasure").click()
    with second.expect_download() as download:
        second.get_by_role("link", name="Download certificate.jws").click()
    download.value.save_as(tmp_path / "certificate.jws")
    key = second.request.get(f"{town.origin}/keys.json").text()
    checked = inspector.checks((tmp_path / "certificate.jws").read_text(), key)
    assert checked.code == 0, checked.complaint
    second.goto(f"{town.origin}/admin/")
    expect(second.get_by_test_id("number-open")).to_have_text("0 open")

    # The page of a link, for those who have no receipt.
    hers.goto(f"{town.origin}/package/#dead")
    hers.get_by_test_id("package-download").click()
    expect(hers.get_by_test_id("package-error")).to_be_visible()
    problems += seen(hers)
    assert set(Request.objects.values_list("state", flat=True)) == {"answered"}
    assert not problems, "\n".join(problems)
