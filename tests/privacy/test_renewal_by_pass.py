"""Who has a pass and nothing else shows it to go on: it is theirs, it stays, nobody else's does."""

import json
from collections.abc import Callable
from datetime import timedelta

import cv2
import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.utils import timezone
from numpy.typing import NDArray

from apps.audit.models import Entry
from apps.consent import notices
from apps.consent import services as consents
from apps.consent.document import RECEIPT_TYPE
from apps.consent.models import Consent, Purpose
from apps.consent.qr import drawn
from apps.recognition.client import Recognizer
from apps.recognition.passes import Pass
from ops.clips import jpeg
from tests import qr
from tests.clients import browser
from tests.conftest import build_house
from tests.consent.notices import SECOND, new_version
from tests.database import refusing
from tests.privacy.conftest import Customer
from tests.privacy.test_renewal import former_and_renewal, near_the_end, offered, sealed
from tests.privacy.test_self_service import fields_of, presented
from tests.recognition.test_present import Holder, holder_of, verify

Crops = Callable[[int], NDArray[np.uint8]]
ALONE = [Purpose.PASS, Purpose.HISTORY]


def photo(text: str) -> bytes:
    """A telephone's picture of a code on paper: on a table, aslant, a little to the side."""
    code = qr.drawn(drawn(text, error="l"), pixels=12)
    side = code.shape[0]
    from_ = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32)
    to = np.array([[700, 420], [1180, 460], [1150, 930], [690, 880]], np.float32)
    matrix = cv2.getPerspectiveTransform(from_, to)
    table = np.full((1500, 2000), 120, np.uint8)
    cv2.warpPerspective(code, matrix, (2000, 1500), table, borderMode=cv2.BORDER_TRANSPARENT)
    return jpeg(np.repeat(table[:, :, None], 3, axis=2))


def showing(customer: Customer, picture: bytes | None, path: str = "") -> HttpResponse:
    """Press the button that renews, under the text that is on the screen, with this picture."""
    fields = {"secret": customer.secret, **offered(customer, path)}
    files = {} if picture is None else {"picture": SimpleUploadedFile("pass.jpg", picture)}
    answer = customer.client.post("/receipt/renew/", {**fields, **files})
    assert isinstance(answer, HttpResponse)
    return answer


def told(answer: HttpResponse) -> tuple[int, str]:
    return answer.status_code, answer.content.decode()


def alone(recognizer: Recognizer, crops: NDArray[np.uint8]) -> tuple[Holder, Customer]:
    holder = holder_of(build_house(), recognizer, crops, ALONE)
    return holder, Customer(holder.visitor, consents.reissue(holder.consent).secret, browser())


def test_the_pass_that_was_shown_goes_on_under_the_new_consent(
    recognizer: Recognizer, crops_of: Crops, caplog: pytest.LogCaptureFixture
) -> None:
    holder, customer = alone(recognizer, crops_of(2))
    assert 'data-testid="renew-picture"' not in customer.text(), "eleven months too soon"
    near_the_end()
    letter = customer.text()
    assert 'data-testid="renew-picture"' in letter
    assert 'data-testid="receipt-at-kiosk"' not in letter
    before = holder.template

    status, letter = told(showing(customer, photo(holder.shown.text())))
    assert (status, "The code and the pass that you have stay the same." in letter) == (200, True)
    assert 'data-testid="pass-qr"' not in letter, "no new pass: the old one is good"

    former, renewal = former_and_renewal()
    after = holder.template
    assert (after.pk, after.consent, after.not_after) == (before.pk, renewal, renewal.expires_at)
    assert bytes(after.sealed) != bytes(before.sealed)
    assert renewal.expires_at > timezone.now() + timedelta(days=360)
    assert not former.live
    assert verify(recognizer, holder, crops_of(2)) == "visit"
    assert verify(recognizer, holder, crops_of(3)) == "unknown"

    given, *_others = fields_of(customer.post("download/"), RECEIPT_TYPE)["events"]
    assert (given["event_state"], given["renewed_record_id"]) == ("renewed", str(former.pk))
    first = fields_of(customer.post("download/", record=str(former.pk)), RECEIPT_TYPE)
    assert first["events"][1]["renewed_by_record_id"] == str(renewal.pk)

    # What the pass says is nowhere: not in the ledger, not in a log.
    said = json.dumps(list(Entry.objects.values_list("detail", flat=True))) + caplog.text
    assert holder.shown.text() not in said
    assert holder.shown.share.hex() not in said


def test_any_other_picture_is_refused_in_a_kind_sentence_and_changes_nothing(
    recognizer: Recognizer, crops_of: Crops
) -> None:
    holder, customer = alone(recognizer, crops_of(2))
    other = holder_of(holder.house, recognizer, crops_of(4), ALONE)
    near_the_end()
    held, count = sealed(holder.visitor) | sealed(other.visitor), Consent.objects.count()
    whole = photo(holder.shown.text())
    forged = Pass(holder.shown.template, bytes(32))
    for picture, status, words in (
        (photo(other.shown.text()), 409, "not the one of this receipt"),
        (photo(forged.text()), 409, "not the one of this receipt"),
        (photo("https://example.org/"), 422, "No pass could be read"),
        (None, 422, "choose a picture"),
        (b"%PDF-1.7", 422, "no picture that can be read here"),
        (whole[:-2000], 422, "did not arrive whole"),
    ):
        answer = told(showing(customer, picture))
        assert (answer[0], words in answer[1]) == (status, True), words
    # A database that refuses half-way.
    with refusing("UPDATE", "consent_receipt"):
        assert showing(customer, whole).status_code == 500
    assert sealed(holder.visitor) | sealed(other.visitor) == held
    assert Consent.objects.count() == count
    assert presented(recognizer, holder.camera, holder.shown)
    # Ended: the pass renews nothing any more.
    shown = offered(customer)
    assert "It is ended" in customer.text("stop/", purpose="pass")
    assert customer.post("renew/", **shown).status_code == 410


def test_a_changed_text_is_read_before_the_pass_is_shown(
    recognizer: Recognizer, crops_of: Crops
) -> None:
    holder, customer = alone(recognizer, crops_of(2))
    end = (timezone.now() + timedelta(days=70)).replace(microsecond=0)
    notices.publish(notice=new_version(holder.house), actor=SECOND, former_end=end)
    assert 'data-testid="renew-picture"' not in customer.text()
    page = customer.text("renew/")
    assert 'data-testid="renew-picture"' in page
    assert "<ins>" in page
    refused = told(showing(customer, photo("https://example.org/"), "renew/"))
    assert (refused[0], 'data-testid="renew-page"' in refused[1]) == (422, True), "tried again here"
    assert showing(customer, photo(holder.shown.text()), "renew/").status_code == 200
    _former, renewal = former_and_renewal()
    assert renewal.text.notice.version == 2
    assert holder.template.consent == renewal
    assert presented(recognizer, holder.camera, holder.shown)
