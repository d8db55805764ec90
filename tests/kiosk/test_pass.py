"""A pass at the kiosk: asked for where a camera reads it, given once, kept by nobody here."""

import base64
import logging
import time
import uuid
from collections.abc import Callable

import numpy as np
import pytest
from django.db import connection
from django.utils import timezone, translation
from numpy.typing import NDArray

from apps.consent.models import Consent, Refusal
from apps.kiosk.views import purposes
from apps.recognition.client import PassRefused, Recognizer, VerifyRequest
from apps.recognition.passes import Pass, read
from apps.stores import policies
from apps.stores.models import Camera
from apps.visitors.models import FaceTemplate, Visitor
from tests import qr
from tests.clients import KioskTablet, browser, enrolled, opt_in_form
from tests.conftest import House, build_house
from tests.kiosk.conftest import Photos

YES = {"lane": False, "pass": True, "history": True, "contact": False}
BOTH = {**YES, "lane": True}


@pytest.fixture
def house(transactional_db: None) -> House:
    house = build_house()
    reader(house)
    return house


def reader(house: House) -> Camera:
    return Camera.objects.create(
        store=house.store,
        name="Pass reader",
        mode=Camera.Mode.PASS,
        source="door.mp4",
        signage_confirmed_at=timezone.now(),
    )


@pytest.fixture
def tablet(house: House) -> KioskTablet:
    return enrolled(house.kiosk)


def pass_of(answer: dict[str, str]) -> Pass:
    shown = read(qr.text_in(qr.drawn(answer["pass_svg"])))
    assert shown is not None
    return shown


def outcome(recognizer: Recognizer, shown: Pass, crops: NDArray[np.uint8]) -> str:
    camera = Camera.objects.get(mode=Camera.Mode.PASS)
    nonce = recognizer.present(camera=camera.pk, shown=shown)
    return recognizer.verify(VerifyRequest(camera.pk, nonce, time.time()), crops).outcome


def test_a_pass_alone_is_enough_and_enters_no_gallery(
    house: House,
    tablet: KioskTablet,
    recognizer: Recognizer,
    photos: Photos,
    crops_of: Callable[[int], NDArray[np.uint8]],
) -> None:
    known = recognizer.status()["templates"]
    answer = tablet.opt_in(opt_in_form(house, photos(), purposes=YES))
    assert answer.status == 201, answer.body
    consent, template = Consent.objects.get(), FaceTemplate.objects.get()
    assert (consent.purposes, consent.declined) == (["pass", "history"], ["lane", "contact"])
    assert template.purpose == "pass"
    shown = pass_of(answer.json()["receipt"])
    assert shown.template == template.pk
    assert outcome(recognizer, shown, crops_of(2)) == "visit"
    assert outcome(recognizer, shown, crops_of(5)) == "unknown"
    assert recognizer.status()["templates"] == known


def test_both_kinds_are_two_templates_under_one_key(
    house: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos
) -> None:
    answer = tablet.opt_in(opt_in_form(house, photos(), purposes=BOTH))
    assert answer.status == 201, answer.body
    assert sorted(FaceTemplate.objects.values_list("purpose", flat=True)) == ["lane", "pass"]
    letter = browser().post("/receipt/", {"secret": answer.json()["receipt"]["code"]})
    text = letter.content.decode()
    assert "only your pass opens it" in text
    assert "exists only where you keep it" in text
    secret = answer.json()["receipt"]["code"]
    assert (
        browser().post("/receipt/withdraw/", {"secret": secret, "confirm": "1"}).status_code == 200
    )
    assert not FaceTemplate.objects.exists()


def test_a_lane_alone_gives_no_pass(
    house: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos
) -> None:
    answer = tablet.opt_in(opt_in_form(house, photos(), purposes={**BOTH, "pass": False}))
    receipt = answer.json()["receipt"]
    assert receipt["pass_svg"] == ""
    assert Consent.objects.get().declined == ["pass", "contact"]
    letter = browser().post("/receipt/", {"secret": receipt["code"]}).content.decode()
    assert "Your pass" not in letter


def test_neither_is_nothing_to_keep(house: House, tablet: KioskTablet, photos: Photos) -> None:
    answer = tablet.opt_in(opt_in_form(house, photos(), purposes={**YES, "pass": False}))
    assert answer.status == 422
    assert answer.json()["error"]["step"] == "purposes"
    assert not Consent.objects.exists()
    assert tablet.signed("/kiosk/refuse/", b'{"purposes": ["lane", "pass"]}').status == 204
    assert set(Refusal.objects.values_list("purpose", flat=True)) == {"lane", "pass"}


def test_the_share_is_in_the_pass_and_nowhere_else(
    house: House,
    tablet: KioskTablet,
    recognizer: Recognizer,
    photos: Photos,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = tablet.opt_in(opt_in_form(house, photos(), purposes=BOTH))
    shown = pass_of(answer.json()["receipt"])
    spellings = [
        shown.share.hex(),
        base64.b64encode(shown.share).decode().rstrip("="),
        base64.urlsafe_b64encode(shown.share).decode().rstrip("="),
        shown.text(),
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = current_schema()"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT t::text FROM {table} t")  # noqa: S608
            for (row,) in cursor.fetchall():
                assert not any(spelling in row for spelling in spellings), table
    assert not any(spelling in caplog.text for spelling in spellings)
    assert not any(spelling in str(answer.headers) for spelling in spellings)


def test_a_lost_answer_gives_a_new_pass_and_ends_the_lost_one(
    house: House,
    tablet: KioskTablet,
    recognizer: Recognizer,
    photos: Photos,
    crops_of: Callable[[int], NDArray[np.uint8]],
) -> None:
    form = {**opt_in_form(house, photos(), purposes=BOTH), "attempt": str(uuid.uuid4())}
    lost = pass_of(tablet.opt_in(form).json()["receipt"])
    again = tablet.opt_in(form)
    assert again.status == 201, again.body
    fresh = pass_of(again.json()["receipt"])
    assert Visitor.objects.count() == 1
    assert FaceTemplate.objects.filter(purpose="pass").count() == 1
    with pytest.raises(PassRefused):
        outcome(recognizer, lost, crops_of(2))
    assert outcome(recognizer, fresh, crops_of(2)) == "visit"


REST = ["card", "history", "statistics", "notes", "contact"]


@pytest.mark.parametrize(
    ("modes", "asked"),
    [
        (["lane", "pass"], ["lane", "pass", *REST]),
        (["pass"], ["pass", *REST]),
        (["lane"], ["lane", *REST]),
        (["count"], ["lane", *REST]),
    ],
)
def test_only_what_a_camera_here_does_is_asked_for(
    house: House, modes: list[str], asked: list[str]
) -> None:
    Camera.objects.exclude(mode__in=modes).update(active=False)
    with translation.override("en"):
        assert [
            each["key"] for each in purposes(house.store, [], policies.days(house.store))
        ] == asked


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_the_page_asks_for_each_kind_by_itself(
    house: House, tablet: KioskTablet, language: str
) -> None:
    page = tablet.request(f"/kiosk/{language}/").body.decode()
    assert page.count("data-recognition") == 3, "two by the face, and a card"
    assert ("通行码" in page) == (language == "zh-hans")
    assert "checked" not in page
