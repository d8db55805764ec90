"""An opt-in at the kiosk: everything is kept, or nothing is and the person hears why."""

import io
import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.utils import timezone
from numpy.typing import NDArray
from PIL import Image
from pydantic import SecretStr
from pytest_django.fixtures import Settings

from apps.audit import signing
from apps.consent.document import RECEIPT_TYPE
from apps.consent.models import Consent, NoticeText, Refusal
from apps.recognition.client import MatchRequest, Recognizer
from apps.stores.devices import live_events, revoke
from apps.visitors.models import FaceTemplate, Visitor
from apps.visits.models import OptIn
from ops.tablet import Answer
from tests.clients import KioskTablet, alive, browser, enrolled, nothing_kept, opt_in_form, rows
from tests.conftest import House
from tests.consent.notices import published
from tests.kiosk.conftest import Photos
from tests.waiting import until


@pytest.fixture
def tablet(house: House) -> KioskTablet:
    return enrolled(house.kiosk)


def error_of(answer: Answer) -> tuple[int, str, str]:
    """Status, code and step of a refusal, whose sentence must be one."""
    error = answer.json()["error"]
    assert len(error["text"]) > 15
    assert error["text"].endswith((".", "。"))
    return answer.status, error["code"], error["step"]


# What is kept when all goes well.


def test_an_opt_in_leaves_a_consent_a_receipt_and_a_template_that_recognises(
    house: House,
    tablet: KioskTablet,
    recognizer: Recognizer,
    photos: Photos,
    crops_of: Callable[[int], NDArray[np.uint8]],
) -> None:
    known = recognizer.status()["templates"]
    answer = tablet.opt_in(opt_in_form(house, photos()))
    assert answer.status == 201, answer.body
    receipt = answer.json()["receipt"]
    consent, visitor = Consent.objects.get(), Visitor.objects.get()
    assert consent.purposes == ["lane", "history"]
    assert consent.declined == ["contact"]
    assert (consent.digest, consent.locale) == (house.text.digest, "en")
    assert consent.device == house.kiosk
    assert (visitor.subject, visitor.greeting_name) == (consent.subject, "Ms Chen")
    assert receipt["url"] == f"/receipt/#{receipt['code']}"
    assert receipt["qr_svg"].startswith("<svg")
    assert Refusal.objects.get().purpose == "contact"
    assert OptIn.objects.get(store=house.store).finished == 1

    until_loaded(recognizer, templates=known + 1)
    asked = MatchRequest(house.camera.pk, house.store.pk, time.time())
    assert recognizer.match(asked, crops_of(2)).outcome == "visit"
    assert recognizer.match(asked, crops_of(5)).outcome == "unknown"


def until_loaded(recognizer: Recognizer, *, templates: int) -> None:
    until(lambda: recognizer.status()["templates"] == templates)


def test_an_answer_that_was_lost_is_asked_for_again_without_enrolling_twice(
    house: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos
) -> None:
    form = {**opt_in_form(house, photos()), "attempt": str(uuid.uuid4())}
    lost = tablet.opt_in(form).json()["receipt"]["code"]
    again = tablet.opt_in(form)
    assert again.status == 201
    assert Visitor.objects.count() == Consent.objects.count() == OptIn.objects.get().finished == 1
    customer = browser()
    assert customer.post("/receipt/", {"secret": lost}).status_code == 404
    fresh = again.json()["receipt"]["code"]
    assert customer.post("/receipt/", {"secret": fresh}).status_code == 200


def test_another_tablet_cannot_take_the_receipt_of_an_attempt(
    house: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos
) -> None:
    form = {**opt_in_form(house, photos()), "attempt": str(uuid.uuid4())}
    secret = tablet.opt_in(form).json()["receipt"]["code"]
    other = enrolled(house.store.devices.create(name="Another tablet"))
    assert other.opt_in(form).status == 503
    assert browser().post("/receipt/", {"secret": secret}).status_code == 200


def test_the_receipt_is_signed_and_says_what_iso_27560_asks_for(
    house: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos
) -> None:
    secret = tablet.opt_in(opt_in_form(house, photos())).json()["receipt"]["code"]
    customer = browser()
    document = customer.post("/receipt/download/", {"secret": secret}).content.decode()
    (key,) = customer.get("/keys.json").json()["keys"]
    receipt = signing.verify(document, key, RECEIPT_TYPE)

    consent = Consent.objects.get()
    assert receipt["record_id"] == str(consent.pk)
    assert {"schema_version", "receipt_id", "pii_principal_id", "language"} <= receipt.keys()
    assert receipt["privacy_notice"]["full"] == house.text.full
    assert receipt["privacy_notice"]["sha256"] == house.text.digest
    assert [each["purpose"] for each in receipt["pii_processing"]] == ["lane", "history"]
    for processing in receipt["pii_processing"]:
        for field in (
            "pii_information",
            "purpose",
            "purpose_type",
            "lawful_basis",
            "pii_controllers",
            "collection_method",
            "processing_method",
            "storage_locations",
            "processing_locations",
            "geographic_restrictions",
            "retention_period",
            "jurisdiction",
            "withdrawal_method",
            "privacy_rights",
            "services",
        ):
            assert processing[field], field
        assert processing["recipient_third_parties"] == []
        for information in processing["pii_information"]:
            assert information["pii_type"]
            assert {"pii_optional", "sensitive_pii_category", "special_pii_category"} <= set(
                information
            )
    (face, name) = receipt["pii_processing"][0]["pii_information"]
    assert (face["sensitive_pii_category"], face["special_pii_category"]) == (True, True)
    assert not name["special_pii_category"]
    (controller,) = receipt["party_identification"]
    for field in ("id", "name", "address", "contact", "email", "url", "role", "type"):
        assert controller[f"party_{field}"], field
    (event,) = receipt["events"]
    assert (event["event_type"], event["event_state"]) == ("explicit consent", "given")
    assert event["entity_id"] == receipt["pii_principal_id"]
    assert event["device_id"] == str(house.kiosk.pk)
    assert event["purposes"] == ["lane", "history"]
    assert datetime.fromisoformat(event["event_time"]) <= timezone.now()
    assert datetime.fromisoformat(event["validity_duration"]) == consent.expires_at
    # What is signed can be handed to anyone who has to see it: it names nobody.
    assert "Ms Chen" not in document
    assert secret not in json.dumps(receipt)


def test_no_picture_no_vector_and_no_secret_lies_in_the_database(
    house: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos
) -> None:
    secret = tablet.opt_in(opt_in_form(house, photos())).json()["receipt"]["code"]
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT string_agg(t::text, chr(10)) FROM "{table}" t')  # noqa: S608
            text = cursor.fetchone()[0] or ""
            assert secret not in text, table
            assert secret.replace("-", "") not in text, table
            # A JPEG begins so, as bytes and as base64.
            assert "\\xffd8" not in text, table
            assert "/9j/" not in text, table
    sealed = bytes(FaceTemplate.objects.get().sealed)
    assert len(set(sealed)) > 100, "a sealed template looks random"


def test_a_contact_is_dropped_when_its_purpose_was_declined(
    house: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos
) -> None:
    tablet.opt_in(opt_in_form(house, photos(), contact="chen@example.org"))
    assert Visitor.objects.get().contact == ""


def test_a_contact_is_kept_when_its_purpose_was_agreed_to(
    house: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos
) -> None:
    purposes = {"lane": True, "history": False, "contact": True}
    tablet.opt_in(opt_in_form(house, photos(), contact="chen@example.org", purposes=purposes))
    assert Visitor.objects.get().contact == "chen@example.org"


def test_a_receipt_arrives_even_when_redis_has_no_room_for_the_next_nonce(
    house: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos
) -> None:
    """What is signed is signed: to say that nothing was kept would be a lie."""
    body = json.dumps(alive(tablet, opt_in_form(house, photos()))).encode()
    redis = live_events()
    before = redis.config_get("maxmemory")["maxmemory"]
    redis.config_set("maxmemory", 1)
    try:
        answer = tablet.signed("/kiosk/opt-in/", body)
    finally:
        redis.config_set("maxmemory", before or 0)
    assert answer.status == 201, answer.body
    assert "Consentry-Nonce" not in answer.headers
    assert Consent.objects.count() == 1
    assert tablet.signed("/kiosk/look/", photos()[0], "image/jpeg").status == 200


# Pictures that are no good.


def bomb() -> bytes:
    """Fifty megapixels in a small file."""
    out = io.BytesIO()
    Image.new("1", (10_000, 5_000)).save(out, "PNG")
    assert len(out.getvalue()) < 100_000
    return out.getvalue()


def tiny() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (1, 1)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("mode", "code"),
    [
        ("blank", "no_face"),
        ("two", "two_faces"),
        ("dark", "too_dark"),
        ("far", "too_small"),
        ("blurred", "blurred"),
        ("masked", "covered"),
    ],
)
def test_a_picture_that_will_not_do_says_what_to_change(
    house: House, tablet: KioskTablet, photos: Photos, mode: str, code: str
) -> None:
    good, bad = photos(2), photos(2, mode)
    with nothing_kept():
        look = tablet.signed("/kiosk/look/", bad[0], "image/jpeg")
        assert (look.status, look.json()["ok"], look.json()["code"]) == (200, False, code)
        answer = tablet.opt_in(opt_in_form(house, [good[0], good[1], bad[0]]))
    assert error_of(answer) == (422, code, "camera")
    assert answer.json()["error"]["text"] == look.json()["text"]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda good: b"<html>not a picture</html>", "not_an_image"),
        (lambda good: b"", "not_an_image"),
        (lambda good: b"GIF89a" + bytes(100), "not_an_image"),
        (lambda good: good[: len(good) // 2], "truncated"),
        (lambda good: bomb(), "too_large"),
        (lambda good: bytes(good) + bytes(5 * 1024 * 1024), "too_large"),
        (lambda good: tiny(), "no_face"),
    ],
    ids=["html", "empty", "gif", "half", "fifty megapixels", "five megabytes", "one pixel"],
)
def test_a_file_that_is_no_usable_picture_is_refused(
    house: House,
    tablet: KioskTablet,
    photos: Photos,
    spoil: Callable[[bytes], bytes],
    code: str,
) -> None:
    good = photos()
    bad = spoil(good[0])
    with nothing_kept():
        look = tablet.signed("/kiosk/look/", bad, "image/jpeg")
        assert (look.json()["ok"], look.json()["code"]) == (False, code)
        if len(bad) < 4 * 1024 * 1024:
            answer = tablet.opt_in(opt_in_form(house, [good[0], good[1], bad]))
            assert error_of(answer) == (422, code, "camera")


def test_a_photo_that_is_not_base64_is_no_picture(
    house: House, tablet: KioskTablet, photos: Photos
) -> None:
    form = opt_in_form(house, photos())
    form["photos"][1] = "data:image/jpeg;base64,####"
    with nothing_kept():
        assert error_of(tablet.opt_in(form)) == (422, "not_an_image", "camera")


@pytest.mark.parametrize("number", [0, 1, 2, 6])
def test_three_to_five_photos_are_needed(
    house: House, tablet: KioskTablet, photos: Photos, number: int
) -> None:
    with nothing_kept():
        status, _code, step = error_of(tablet.opt_in(opt_in_form(house, (photos() * 2)[:number])))
    assert status in (400, 422)
    assert step == "camera"


def test_photos_of_different_people_are_refused(
    house: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos
) -> None:
    with nothing_kept():
        answer = tablet.opt_in(opt_in_form(house, [photos(2)[0], photos(3)[0], photos(5)[0]]))
    assert error_of(answer) == (422, "different_faces", "camera")
    assert "same person" in answer.json()["error"]["text"]


# What the person said.


@pytest.mark.parametrize(
    ("signature", "status"),
    [
        ([], 422),
        ([[[0.5, 0.5]]], 422),
        ([[[0.5, 0.5]] * 50], 422),
        ([[[0.1, 0.1], [0.9, 0.9]]], 422),
        ([[[float("nan"), 0.5]] * 40], 422),
        ([[[float("inf"), 0.5]] * 40], 422),
        ([[[1e300, -4], [0, 1]] * 20], 422),
        ([[[i / 6000, 0.5] for i in range(6000)]], 422),
        ([[["here", "there"]] * 40], 400),
        ([[[0.1, 0.2, 0.3]] * 40], 422),
        ("my name", 400),
        ({"strokes": []}, 400),
        (None, 400),
    ],
    ids=[
        "nothing",
        "a dot",
        "a pressed dot",
        "a slip",
        "NaN",
        "infinity",
        "outside the pad",
        "6,000 points",
        "words for numbers",
        "with pressure",
        "a text",
        "an object",
        "null",
    ],
)
def test_what_is_no_drawn_signature_is_refused(
    house: House, tablet: KioskTablet, photos: Photos, signature: object, status: int
) -> None:
    with nothing_kept():
        answer = tablet.opt_in(opt_in_form(house, photos(), signature=signature))
    assert error_of(answer) == (status, "signature" if status == 422 else "form", "signature")


WRITE_TO = {"purposes": {"lane": True, "history": True, "contact": True}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"purposes": {"lane": False, "history": True, "contact": True}}, (422, "purposes")),
        ({"purposes": {"lane": True}}, (400, "purposes")),
        ({"purposes": {"lane": True, "history": 0, "contact": 0, "ads": True}}, (400, "purposes")),
        ({"term": 5}, (422, "term")),
        ({"term": 1200}, (422, "term")),
        ({"term": "long"}, (400, "term")),
        ({"age_ok": False}, (422, "age")),
        ({"age_ok": "perhaps"}, (400, "age")),
        ({"name": ""}, (400, "name")),
        ({"name": "   "}, (400, "name")),
        ({"name": "\u200b\u2060"}, (400, "name")),
        ({"name": "Chen\x00"}, (400, "name")),
        ({"name": "n" * 61}, (400, "name")),
        ({"say_as": "n" * 61}, (400, "name")),
        ({"asks_for": "Li\nNa"}, (400, "name")),
        (WRITE_TO | {"contact": "+41 44 123 45 67"}, (422, "name")),
        (WRITE_TO | {"contact": "chen@example.org\u2028x"}, (422, "name")),
        ({"contact": "c" * 121}, (400, "name")),
        ({"contact": "a\x00b"}, (400, "name")),
        ({"surname": "Chen"}, (400, "notice")),
    ],
)
def test_an_answer_that_does_not_fit_leads_back_to_its_screen(
    house: House,
    tablet: KioskTablet,
    photos: Photos,
    changes: dict[str, Any],
    expected: tuple[int, str],
) -> None:
    with nothing_kept():
        status, _code, step = error_of(tablet.opt_in(opt_in_form(house, photos(), **changes)))
    assert (status, step) == expected


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"name": "\\ud800"}']
)
def test_a_body_that_is_no_form_is_refused(house: House, tablet: KioskTablet, body: bytes) -> None:
    with nothing_kept():
        for path in ("/kiosk/opt-in/", "/kiosk/refuse/"):
            assert error_of(tablet.signed(path, body))[:2] == (400, "form")


# What changed in the meantime.


def test_a_notice_that_changed_while_it_was_read_is_shown_again(
    house: House, tablet: KioskTablet, photos: Photos
) -> None:
    form = opt_in_form(house, photos())
    published(house)
    with nothing_kept():
        answer = tablet.opt_in(form)
    assert error_of(answer) == (409, "notice_changed", "notice")
    assert "nothing was kept" in answer.json()["error"]["text"]


def test_another_digest_than_the_published_one_is_refused(
    house: House, tablet: KioskTablet, photos: Photos
) -> None:
    with nothing_kept():
        answer = tablet.opt_in(opt_in_form(house, photos(), digest="0" * 64))
    assert error_of(answer) == (409, "notice_changed", "notice")


def test_a_tablet_that_was_stopped_sends_nothing_more(
    house: House, tablet: KioskTablet, photos: Photos
) -> None:
    body = json.dumps(alive(tablet, opt_in_form(house, photos()))).encode()
    revoke(device=house.kiosk, actor="test")
    with nothing_kept():
        answer = tablet.signed("/kiosk/opt-in/", body)
    assert error_of(answer)[:2] == (403, "device")
    assert "staff" in answer.json()["error"]["text"]


def test_a_tablet_past_its_end_sends_nothing_more(
    house: House, tablet: KioskTablet, photos: Photos
) -> None:
    body = json.dumps(alive(tablet, opt_in_form(house, photos()))).encode()
    house.kiosk.refresh_from_db()
    house.kiosk.expires_at = timezone.now() - timedelta(seconds=1)
    house.kiosk.save()
    with nothing_kept():
        answer = tablet.signed("/kiosk/opt-in/", body)
    assert error_of(answer)[:2] == (403, "device")


def test_a_form_sent_twice_is_taken_once(
    house: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos
) -> None:
    body = json.dumps(alive(tablet, opt_in_form(house, photos()))).encode()
    headers = {
        **tablet.headers_for("/kiosk/opt-in/", body, tablet.nonce()),
        "Content-Type": "application/json",
    }
    assert tablet.request("/kiosk/opt-in/", body, headers).status == 201
    with nothing_kept():
        again = tablet.request("/kiosk/opt-in/", body, headers)
    assert error_of(again) == (409, "replayed", "camera")


def test_a_body_changed_on_the_way_does_not_fit_its_signature(
    house: House, tablet: KioskTablet, photos: Photos
) -> None:
    body = json.dumps(alive(tablet, opt_in_form(house, photos()))).encode()
    headers = tablet.headers_for("/kiosk/opt-in/", body, tablet.nonce())
    changed = body.replace(b"Ms Chen", b"Mr Chan")
    with nothing_kept():
        answer = tablet.request(
            "/kiosk/opt-in/", changed, {**headers, "Content-Type": "application/json"}
        )
    assert error_of(answer)[:2] == (403, "device")


def test_a_signature_for_one_address_opens_no_other(
    house: House, tablet: KioskTablet, photos: Photos
) -> None:
    body = json.dumps(alive(tablet, opt_in_form(house, photos()))).encode()
    headers = tablet.headers_for("/kiosk/look/", body, tablet.nonce())
    with nothing_kept():
        answer = tablet.request(
            "/kiosk/opt-in/", body, {**headers, "Content-Type": "application/json"}
        )
    assert error_of(answer)[:2] == (403, "device")


def test_a_body_beyond_the_cap_is_refused_with_a_sentence(
    house: House, tablet: KioskTablet
) -> None:
    with nothing_kept():
        answer = tablet.signed("/kiosk/opt-in/", b"x" * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1))
    assert error_of(answer) == (413, "too_large", "camera")


# What is broken.


def is_unavailable(answer: Answer) -> None:
    assert error_of(answer) == (503, "unavailable", "camera")
    assert "Nothing was kept" in answer.json()["error"]["text"]


def test_without_a_recognizer_nothing_is_kept(
    house: House, tablet: KioskTablet, photos: Photos
) -> None:
    with nothing_kept():
        is_unavailable(tablet.opt_in(opt_in_form(house, photos())))


@contextmanager
def connection_lost_at(table: str) -> Iterator[None]:
    """PostgreSQL ends the session that writes to this table, as an administrator might."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""CREATE FUNCTION test_connection_lost() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;
                CREATE TRIGGER test_connection_lost BEFORE INSERT ON {table}
                FOR EACH ROW EXECUTE FUNCTION test_connection_lost()"""
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION test_connection_lost() CASCADE")


@pytest.mark.parametrize("table", ["consent_receipt", "visitors_visitor", "visitors_facetemplate"])
def test_a_database_lost_in_the_middle_leaves_nothing_half_done(
    house: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos, table: str
) -> None:
    """The template is sealed already; at this insert the database goes away."""
    with nothing_kept(), connection_lost_at(table):
        is_unavailable(tablet.opt_in(opt_in_form(house, photos())))
    # And it works again as soon as the database does.
    assert tablet.opt_in(opt_in_form(house, photos())).status == 201


def test_without_redis_nothing_is_accepted(
    house: House,
    tablet: KioskTablet,
    photos: Photos,
    settings: Settings,
    tmp_path: Path,
) -> None:
    form = alive(tablet, opt_in_form(house, photos()))
    body = json.dumps(form).encode()
    headers = tablet.headers_for("/kiosk/opt-in/", body, tablet.nonce())
    nobody = SecretStr(f"unix://{tmp_path / 'nobody.sock'}")
    settings.CONSENTRY = settings.CONSENTRY.model_copy(update={"redis_url": nobody})
    with nothing_kept():
        is_unavailable(
            tablet.request("/kiosk/opt-in/", body, {**headers, "Content-Type": "application/json"})
        )
        first = tablet.request(
            "/kiosk/nonce/", b"{}", {"Content-Type": "application/json", "X-CSRFToken": tablet.csrf}
        )
        is_unavailable(first)


# What is shown.

UNUSUAL = [
    "<script>alert(1)</script>",
    "שָׂרָה \u202eevil",
    "Zoë 👩🏽‍🦱 O'Neil & Söhne",
    "陈女士",
]


@pytest.mark.parametrize("name", UNUSUAL)
def test_any_name_comes_back_as_it_was_typed_and_never_as_markup(
    house: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos, name: str
) -> None:
    form = opt_in_form(house, photos(), name=name, say_as=f" {name} ", asks_for=" ")
    secret = tablet.opt_in(form).json()["receipt"]["code"]
    visitor = Visitor.objects.get()
    assert (visitor.greeting_name, visitor.say_as, visitor.asks_for) == (name, name, "")
    letter = browser().post("/receipt/", {"secret": secret}).content.decode()
    assert shown(name) in letter
    assert "<script>alert" not in letter


def shown(name: str) -> str:
    from django.utils.html import escape

    return f'<span dir="auto">{escape(name)}</span>'


def test_the_tablet_is_answered_in_the_language_it_asks_in(house: House, photos: Photos) -> None:
    tablet = enrolled(house.kiosk, "zh-hans")
    refused = tablet.opt_in(opt_in_form(house, photos(2, "dark")))
    look = tablet.signed("/kiosk/look/", photos()[0], "image/jpeg")
    for text in (refused.json()["error"]["text"], look.json()["text"]):
        assert any("\u4e00" <= sign <= "\u9fff" for sign in text), text


def test_a_chinese_opt_in_signs_the_chinese_text(
    house: House, recognizer: Recognizer, photos: Photos
) -> None:
    text = NoticeText.objects.get(locale="zh-hans")
    form = opt_in_form(house, photos(), notice=str(text.pk), digest=text.digest)
    answer = enrolled(house.kiosk, "zh-hans").opt_in(form)
    assert "年" in answer.json()["receipt"]["until"]
    assert Consent.objects.get().locale == "zh-hans"


def test_an_unknown_tablet_is_told_so(house: House, photos: Photos) -> None:
    stranger = KioskTablet()
    stranger.device = str(uuid.uuid4())
    body = photos()[0]
    headers = stranger.headers_for("/kiosk/look/", body, "made-up")
    answer = stranger.request("/kiosk/look/", body, {**headers, "Content-Type": "image/jpeg"})
    assert error_of(answer)[:2] == (403, "device")


def test_a_get_or_an_unsigned_post_reaches_nothing(house: House) -> None:
    client = Client()
    for path in ("/kiosk/look/", "/kiosk/opt-in/", "/kiosk/refuse/"):
        assert client.get(path).status_code == 405
        assert client.post(path, b"{}", content_type="application/json").status_code == 403


def test_a_refusal_is_counted_and_names_nobody(house: House, tablet: KioskTablet) -> None:
    before = rows()
    body = json.dumps({"purposes": ["lane", "lane", "history"]}).encode()
    assert tablet.signed("/kiosk/refuse/", body).status == 204
    assert tablet.signed("/kiosk/refuse/", b'{"purposes": ["lane"]}').status == 204
    today = datetime.now(UTC).date()
    counted = Refusal.objects.filter(store=house.store, day=today)
    assert dict(counted.values_list("purpose", "count")) == {"lane": 2, "history": 1}
    assert rows() == {**before, "consent.Refusal": 2}


@pytest.mark.parametrize("body", [b'{"purposes": ["ads"]}', b'{"purposes": 3}', b"{}", b"[[]]"])
def test_a_refusal_of_what_was_never_asked_is_not_counted(
    house: House, tablet: KioskTablet, body: bytes
) -> None:
    with nothing_kept():
        assert error_of(tablet.signed("/kiosk/refuse/", body))[:2] == (400, "form")


def test_the_pages_open_for_an_enrolled_tablet_only(house: House) -> None:
    tablet = KioskTablet()
    assert b"enroll-code" in tablet.request("/kiosk/").body
    assert tablet.request("/kiosk/en/").status == 302
    tablet = enrolled(house.kiosk)
    start, page = tablet.request("/kiosk/"), tablet.request("/kiosk/en/")
    assert "简体中文" in start.body.decode()
    assert (page.status, house.text.digest in page.body.decode()) == (200, True)
    assert tablet.request("/kiosk/de/").status == 302
    revoke(device=house.kiosk, actor="test")
    assert b"enroll-code" in tablet.request("/kiosk/").body


def test_without_a_published_notice_the_kiosk_is_closed(house: House) -> None:
    """A store of another organization, which has published nothing yet."""
    other = type(house.organization).objects.create(
        name="Other", address="2", contact_name="D", contact_email="d@other.example"
    )
    house.store.organization = other
    house.store.save()
    page = enrolled(house.kiosk).request("/kiosk/en/")
    assert page.status == 503
    assert "not open yet" in page.body.decode()
