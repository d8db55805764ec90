"""The portal's page on calibration: what an officer sees, tries, records, and may not do."""

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from apps.audit.models import Entry
from apps.recognition.engine import starter
from apps.recognition.engine.rates import threshold_at_size
from apps.recognition.measured import Measurement, shipped, written
from apps.recognition.models import Calibration, Recognizer
from apps.recognition.services import choose_threshold
from apps.stores.models import Camera, Role, Store, User
from apps.visits.models import Disclosure, FalseGreeting, Unmatched
from tests.clients import browser
from tests.conftest import House
from tests.database import run

PAGE = "/admin/recognition/calibration/"


@pytest.fixture
def officer(house: House) -> Client:
    return browser(house.dpo)


def page(officer: Client, query: str = "") -> str:
    answer = officer.get(PAGE + query)
    assert answer.status_code == 200
    return answer.content.decode()


def row() -> Calibration:
    return Calibration.objects.all()[0]


def try_out(
    officer: Client, threshold: str, reason: str = "too many", **more: str
) -> tuple[int, str]:
    form = {"act": "preview", "threshold": threshold, "reason": reason, **more}
    answer = officer.post(PAGE, form)
    return answer.status_code, answer.content.decode()


def upload(officer: Client, raw: bytes, note: str = "") -> tuple[int, str]:
    file = SimpleUploadedFile("measured.json", raw, "application/json")
    answer = officer.post(PAGE, {"act": "record", "file": file, "note": note}, follow=True)
    return answer.status_code, answer.content.decode()


def measurement(**changes: object) -> Measurement:
    found = shipped(starter.NAME, starter.VERSION)
    assert found is not None
    return found.model_copy(update=changes)


def say_false(house: House, score: float, camera: Camera | None = None, days: int = 0) -> None:
    FalseGreeting.objects.create(
        store=house.store,
        camera=camera or house.camera,
        day=timezone.now().date() - timedelta(days=days),
        score=score,
        threshold=0.4,
    )


def greeted(threshold: float) -> str:
    """The share of strangers that the measurement says would be greeted."""
    return f"{100 * measurement().false_greetings(threshold).share:.2f} %"


def test_it_says_in_words_and_numbers_how_often_recognition_errs(officer: Client) -> None:
    text = page(officer)
    assert f"Good enough to go by: {greeted(starter.THRESHOLD['value'])} of strangers" in text
    assert "200 photos of 20 people" in text
    assert "measured by the makers of this software" in text
    assert text.count('<svg class="chart"') == 2
    at_most = threshold_at_size(starter.THRESHOLD["value"], starter.THRESHOLD["slope"], 10_000)
    assert f'<th scope="row">10000</th><td>{at_most:.3f}</td>' in text


def test_expected_false_greetings_follow_traffic_and_gallery(house: House, officer: Client) -> None:
    assert "none counted yet" in page(officer)
    house.visitor()
    today = timezone.now().date()
    for day, count in ((0, 30), (1, 50), (40, 10_000)):
        Unmatched.objects.create(store=house.store, day=today - timedelta(days=day), count=count)
    text = page(officer)
    assert '<dd data-testid="strangers">40.0</dd>' in text
    each = measurement().false_matches(starter.THRESHOLD["value"]).share
    assert f'<dd data-testid="expected">{40 * each:.2f}, at most' in text


def test_what_staff_said_is_there_with_how_sure_it_is(house: House, officer: Client) -> None:
    today = timezone.now().date()
    Disclosure.objects.create(store=house.store, day=today, count=50)
    say_false(house, 0.42)
    text = page(officer)
    # Wilson's interval of 1 in 50.
    assert "1 of 50: 2.0 % (0.4 to 10.5 %)" in text
    assert text.count('class="mark"') == 1
    assert "Staff saw more false greetings" not in text
    Unmatched.objects.create(store=house.store, day=today, count=1)
    for _ in range(20):
        say_false(house, 0.42)
    assert "Staff saw more false greetings" in page(officer)


def test_a_threshold_is_shown_before_it_is_recorded(house: House, officer: Client) -> None:
    reader = Camera.objects.create(
        store=house.store, name="Reader", mode=Camera.Mode.PASS, source="pass.mp4"
    )
    say_false(house, 0.44)
    say_false(house, 0.46)
    say_false(house, 0.449, camera=reader)
    say_false(house, 0.41, days=40)
    status, text = try_out(officer, "0.45")
    assert status == 200
    assert "Of 3 false greetings that staff reported in four weeks, 2 would not have" in text
    assert f'<td data-testid="then-greeted">{greeted(0.45)}</td>' in text
    assert Calibration.objects.count() == 1
    status, text = try_out(officer, "0.45", act="choose")
    assert (status, Calibration.objects.count()) == (200, 1), "what nobody saw is not recorded"
    before = row()
    shown = {"act": "choose", "shown": f"{before.pk} 0.45"}
    status, _text = try_out(officer, "0.46", **shown)
    assert (status, Calibration.objects.count()) == (200, 1), "nor is another number"
    status, _text = try_out(officer, "0.45", reason="a busy weekend", **shown)
    assert status == 302
    assert (row().threshold, row().note, row().basis) == (0.45, "a busy weekend", before)
    entry = Entry.objects.filter(action="pack.calibrated").latest("seq")
    assert entry.actor == f"user:{house.dpo.pk}"
    assert (entry.detail["source"], entry.detail["threshold"]) == ("chosen", "0.4500")
    assert "a busy weekend" in page(officer)
    assert "diana" in page(officer)


def test_what_another_officer_recorded_meanwhile_is_shown_first(officer: Client) -> None:
    before = row()
    choose_threshold(basis=before, threshold=0.5, reason="meanwhile", actor="test")
    status, text = try_out(officer, "0.45", act="choose", shown=f"{before.pk} 0.45")
    assert status == 200
    assert "now, 0.500" in text
    assert row().threshold == 0.5


@pytest.mark.parametrize("threshold", ["", "x", "0", "1", "nan", "inf", "-0.4", "1e9", "٠"])
def test_a_number_that_is_none_is_refused_and_changes_nothing(
    officer: Client, threshold: str
) -> None:
    for act in ("preview", "choose"):
        status, text = try_out(officer, threshold, act=act, shown=f"{row().pk} {threshold}")
        assert status == 400
        assert 'data-testid="problem"' in text
    status, _text = try_out(officer, "0.5", reason="")
    assert status == 400
    status, _text = try_out(officer, "0.5", reason="x" * 201)
    assert status == 400
    assert Calibration.objects.count() == 1


def test_a_measurement_is_taken_from_a_file(house: House, officer: Client) -> None:
    new = measurement(pack="buffalo_l", version="abc", threshold=0.35)
    status, text = upload(officer, written(new).encode(), "our own staff")
    assert status == 200
    assert "buffalo_l abc answers with the threshold 0.350" in text
    assert (row().pack, row().source, row().note) == ("buffalo_l", "measured", "our own staff")
    assert f"Not good enough: {greeted(0.35)} of strangers" in text
    assert "consentry-starter" in text, "the other pack is one link away"
    assert f"consentry-starter {starter.VERSION}</b>" in page(
        officer, f"?pack=consentry-starter&version={starter.VERSION}"
    )


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"\xff\xd8\xff\xe0 a photo", b"[" * 60_000, b"x" * 500_000]
)
def test_a_file_that_is_no_measurement_is_refused_in_words(officer: Client, raw: bytes) -> None:
    status, text = upload(officer, raw)
    assert status == 400
    assert 'data-testid="problem"' in text
    assert Calibration.objects.count() == 1


def test_a_running_pack_without_calibration_is_said_everywhere(
    house: House, officer: Client
) -> None:
    now = timezone.now()
    Recognizer.objects.create(
        pack="buffalo_l",
        pack_version="abc",
        licence="a licence",
        commercial=True,
        generation=1,
        started_at=now,
        seen_at=now,
    )
    Camera.objects.update(state="running", reported_at=now, last_frame_at=now)
    text = page(officer)
    assert "Nobody is recognised: nothing is recorded" in text
    assert "buffalo_l abc" in text
    assert 'data-testid="uncalibrated"' in officer.get("/admin/").content.decode()
    cameras = officer.get("/admin/stores/camera/").content.decode()
    assert "recognises nobody" in cameras
    assert "This pack has no recorded calibration" in cameras
    upload(officer, written(measurement(pack="buffalo_l", version="abc")).encode())
    assert "Good enough" in page(officer)
    assert "recognises nobody" not in officer.get("/admin/stores/camera/").content.decode()


def test_before_anything_is_recorded_the_page_says_how(house: House, officer: Client) -> None:
    run("SET CONSTRAINTS ALL IMMEDIATE")
    run("TRUNCATE recognition_calibration")
    text = page(officer)
    assert "no pack runs" in text
    assert "manage.py evaluate" in text
    assert try_out(officer, "0.5")[0] == 200
    assert not Calibration.objects.exists()


def test_it_is_the_officers_page_alone_and_of_their_stores(house: House, officer: Client) -> None:
    other = Store.objects.create(
        organization=house.organization, name="Elsewhere", slug="elsewhere", jurisdiction="eu"
    )
    stranger = User.objects.create(username="otto")
    Role.objects.create(user=stranger, store=other, kind=Role.Kind.DPO)
    assert "Elsewhere" not in page(officer)
    assert "Harbour Street" not in page(browser(stranger))
    for client in (browser(house.staff), browser()):
        assert client.get(PAGE).status_code == 302
        answer = client.post(PAGE, {"act": "preview", "threshold": "0.5", "reason": "x"})
        assert answer.status_code == 302
    change = f"{PAGE}{row().pk}/change/"
    assert officer.get(change).status_code == 200
    assert officer.post(change, {"threshold": "0.9"}).status_code == 403
    assert officer.post(f"{PAGE}{row().pk}/delete/", {"post": "yes"}).status_code == 403
    assert officer.get(f"{PAGE}add/").status_code == 403
    assert row().threshold == starter.THRESHOLD["value"]


def test_a_word_in_the_address_that_is_no_pack_shows_the_pack_that_counts(officer: Client) -> None:
    assert "consentry-starter" in page(officer, "?pack=%00<script>&version=2")
    assert "<script>&version" not in page(officer, "?pack=<script>&version=2")
