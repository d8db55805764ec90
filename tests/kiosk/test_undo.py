"""An attempt whose answer never arrived is undone when the person leaves, whichever was first."""

import json
import uuid

import pytest

from apps.consent.models import Consent
from apps.recognition.client import Recognizer
from apps.retention.models import Erasure
from apps.visitors.models import FaceTemplate, Visitor
from ops.tablet import Answer
from tests.clients import KioskTablet, enrolled, opt_in_form
from tests.conftest import House
from tests.kiosk.conftest import Photos


@pytest.fixture
def tablet(house: House) -> KioskTablet:
    return enrolled(house.kiosk)


def undo(tablet: KioskTablet, attempt: str) -> Answer:
    return tablet.signed("/kiosk/undo/", json.dumps({"attempt": attempt}).encode())


def test_what_succeeded_unseen_is_erased(
    house: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos
) -> None:
    attempt = str(uuid.uuid4())
    assert tablet.opt_in(opt_in_form(house, photos(), attempt=attempt)).status == 201
    assert undo(tablet, attempt).status == 204
    assert not Visitor.objects.exists()
    assert not FaceTemplate.objects.exists()
    assert Consent.objects.get().withdrawn_at is not None
    assert Erasure.objects.get().cause == Erasure.Cause.WITHDRAWAL
    assert undo(tablet, attempt).status == 204, "twice does nothing more"
    assert Erasure.objects.count() == 1


def test_what_arrives_after_it_was_undone_is_refused(
    house: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos
) -> None:
    attempt = str(uuid.uuid4())
    assert undo(tablet, attempt).status == 204
    answer = tablet.opt_in(opt_in_form(house, photos(), attempt=attempt))
    assert (answer.status, answer.json()["error"]["code"]) == (422, "undone")
    assert not Consent.objects.exists()
    assert not Visitor.objects.exists()


def test_another_tablet_undoes_nothing(
    house: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos
) -> None:
    attempt = str(uuid.uuid4())
    assert tablet.opt_in(opt_in_form(house, photos(), attempt=attempt)).status == 201
    other = enrolled(house.store.devices.create(name="Another tablet"))
    assert undo(other, attempt).status == 204
    assert Visitor.objects.count() == 1


@pytest.mark.parametrize("body", [b"", b"[]", b'{"attempt": 5}', b'{"attempt": "x"}'])
def test_a_body_that_names_no_attempt_is_refused(tablet: KioskTablet, body: bytes) -> None:
    assert tablet.signed("/kiosk/undo/", body).status == 400
