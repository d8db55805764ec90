"""Staff vouch at the tablet by a code from their floor board: once, soon, in their own store."""

import json
import logging
import re
import uuid

import pytest

from apps.audit import services as audit
from apps.audit import signing
from apps.audit.models import Entry
from apps.consent.document import RECEIPT_TYPE
from apps.consent.models import Consent, Receipt
from apps.kiosk.views import CHALLENGES, WITNESS_TRIES
from apps.recognition.client import Recognizer
from apps.recognition.engine.imagefile import decode_jpeg
from apps.stores import witnesses
from apps.stores.devices import live_events
from apps.stores.models import Role, Store, User
from apps.stores.witnesses import Seen
from apps.visitors.models import Visitor
from apps.visits.floor import WITNESS_CODES
from ops.heads import on_screen
from ops.tablet import Answer
from tests import faces
from tests.clients import KioskTablet, browser, enrolled, opt_in_form, rows
from tests.conftest import SIGNATURE, House
from tests.kiosk.conftest import Photos

TYPED = {"name": "Chen Mei"}
SHOWN = re.compile(r'data-testid="witness-code">(\d{6})<')


@pytest.fixture
def tablet(house: House) -> KioskTablet:
    return enrolled(house.kiosk)


def code_of(user: User, store: Store) -> str:
    """The code that the floor board shows to this member of staff."""
    answer = browser(user).post(f"/floor/{store.slug}/witness/")
    assert answer.status_code == 200
    found = SHOWN.search(answer.content.decode())
    assert found
    return found[1]


def vouch(tablet: KioskTablet, code: str, attempt: uuid.UUID, **what: str) -> Answer:
    body = json.dumps({"attempt": str(attempt), "code": code, **what}).encode()
    return tablet.signed("/kiosk/witness/", body)


def unmoved(
    house: House, tablet: KioskTablet, attempt: uuid.UUID, pictures: list[bytes], **changes: object
) -> Answer:
    """Send the opt-in of somebody who was asked for no movement."""
    still = {"attempt": str(attempt), "still": True, "challenge": "", "frames": []}
    form = opt_in_form(house, pictures, **{**still, **changes})
    return tablet.signed("/kiosk/opt-in/", json.dumps(form).encode())


def error_of(answer: Answer) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status, error["code"], error["step"]


def test_a_typed_name_is_signed_before_a_witness(
    house: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos
) -> None:
    attempt = uuid.uuid4()
    form = {**opt_in_form(house, photos(), signature=TYPED), "attempt": str(attempt)}
    before = rows()
    assert error_of(tablet.opt_in(form)) == (422, "no_witness", "witness")
    assert rows() == before
    assert vouch(tablet, code_of(house.staff, house.store), attempt).status == 204
    answer = tablet.opt_in(form)
    assert answer.status == 201, answer.body
    assert Consent.objects.get().witness == house.staff
    receipt = answer.json()["receipt"]
    assert receipt["signed"] == ["With your typed name; one of our staff saw it."]
    letter = browser().post("/receipt/", {"secret": receipt["code"]}).content.decode()
    assert receipt["signed"][0] in letter
    assert "Linda" not in letter


def test_a_guardian_co_signs_before_a_witness(
    house: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos
) -> None:
    attempt = uuid.uuid4()
    guardian = {"name": "Chen Hua", "signature": SIGNATURE}
    form = opt_in_form(house, photos(), age_ok=False, guardian=guardian, attempt=str(attempt))
    assert error_of(tablet.opt_in(form)) == (422, "no_witness", "witness")
    assert vouch(tablet, code_of(house.staff, house.store), attempt).status == 204
    answer = tablet.opt_in(form)
    assert answer.status == 201, answer.body
    assert "Chen Hua" in answer.json()["receipt"]["signed"][1]
    assert Consent.objects.get().guardian == guardian


def test_whoever_cannot_move_enrols_before_a_witness(
    house: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos
) -> None:
    attempt = uuid.uuid4()
    assert error_of(unmoved(house, tablet, attempt, photos())) == (422, "no_presence", "witness")
    # Who saw something signed has not said who is before the camera.
    assert vouch(tablet, code_of(house.staff, house.store), attempt).status == 204
    assert error_of(unmoved(house, tablet, attempt, photos())) == (422, "no_presence", "witness")
    code = code_of(house.staff, house.store)
    assert vouch(tablet, code, attempt, seen="presence").status == 204
    # Without the witness's word in the form, the movements are asked for as ever.
    moved = unmoved(house, tablet, attempt, photos(), still=False)
    assert error_of(moved) == (422, "too_slow", "camera")
    # One face, one identity, and no screen: a witness stands in for the movements alone.
    two = [*photos()[:2], photos(5)[0]]
    assert error_of(unmoved(house, tablet, attempt, two)) == (422, "different_faces", "camera")
    screen = [faces.jpeg(on_screen(decode_jpeg(each))) for each in photos()]
    assert error_of(unmoved(house, tablet, attempt, screen)) == (422, "looks_flat", "camera")
    assert not Consent.objects.exists()
    assert not Visitor.objects.exists()

    answer = unmoved(house, tablet, attempt, photos())
    assert answer.status == 201, answer.body
    consent = Consent.objects.get()
    assert (consent.presence_witness, consent.witness) == (house.staff, None)
    told = answer.json()["receipt"]["signed"]
    assert told[1:] == ["Without the movements before the camera; one of our staff saw you there."]
    fields = signing.verify(Receipt.objects.get().document, signing.public_jwk(), RECEIPT_TYPE)
    (party,) = (one for one in fields["party_identification"] if one["party_type"] == "witness")
    assert (party["party_id"], party["reason"]) == (f"user:{house.staff.pk}", "movement")
    leaf = audit.leaf_data(Entry.objects.get(action="consent.signed"))["detail"]
    assert (leaf["presence"], leaf["presence_for"]) == (f"user:{house.staff.pk}", "movement")
    assert "1 in seven days" in browser(house.dpo).get("/admin/").content.decode()


def test_without_movements_too_pictures_are_tried_at_a_limited_rate(
    house: House, tablet: KioskTablet, photos: Photos
) -> None:
    for _ in range(CHALLENGES):
        assert error_of(unmoved(house, tablet, uuid.uuid4(), photos()))[0] == 422
    refused = unmoved(house, tablet, uuid.uuid4(), photos())
    assert error_of(refused) == (429, "slow_down", "camera")


@pytest.mark.parametrize(
    "guardian",
    [
        {"name": "", "signature": SIGNATURE},
        {"name": "Chen\x00", "signature": SIGNATURE},
        {"name": "Chen Hua"},
        {"name": "Chen Hua", "signature": SIGNATURE, "id": "110101"},
        "Chen Hua",
    ],
)
def test_what_does_not_fit_leads_back_to_the_guardians_screen(
    house: House, tablet: KioskTablet, photos: Photos, guardian: object
) -> None:
    before = rows()
    form = opt_in_form(house, photos(), age_ok=False, guardian=guardian)
    assert error_of(tablet.opt_in(form)) == (400, "form", "guardian")
    assert rows() == before


def test_a_code_works_once_and_for_one_attempt(house: House, tablet: KioskTablet) -> None:
    code, attempt = code_of(house.staff, house.store), uuid.uuid4()
    assert vouch(tablet, code, attempt).status == 204
    assert error_of(vouch(tablet, code, uuid.uuid4())) == (403, "code", "witness")
    assert witnesses.witness_of(attempt=attempt, device=house.kiosk) == house.staff
    assert witnesses.witness_of(attempt=uuid.uuid4(), device=house.kiosk) is None


def test_the_witness_of_one_tablet_is_not_that_of_another(
    house: House, tablet: KioskTablet
) -> None:
    attempt = uuid.uuid4()
    assert vouch(tablet, code_of(house.staff, house.store), attempt).status == 204
    assert witnesses.witness_of(attempt=attempt, device=house.kiosk, seen=Seen.PRESENCE) is None
    other = house.store.devices.create(name="Another tablet")
    assert witnesses.witness_of(attempt=attempt, device=other) is None


def test_a_code_of_another_store_is_not_known_here(house: House, tablet: KioskTablet) -> None:
    other = Store.objects.create(organization=house.organization, name="Hill", slug="hill")
    Role.objects.create(user=house.staff, store=other, kind=Role.Kind.STAFF)
    code = code_of(house.staff, other)
    assert error_of(vouch(tablet, code, uuid.uuid4())) == (403, "code", "witness")


def test_whoever_works_here_no_more_vouches_for_nothing(house: House, tablet: KioskTablet) -> None:
    code, spent, attempt = code_of(house.staff, house.store), uuid.uuid4(), uuid.uuid4()
    assert vouch(tablet, code_of(house.staff, house.store), attempt).status == 204
    Role.objects.filter(user=house.staff).delete()
    assert error_of(vouch(tablet, code, spent)) == (403, "code", "witness")
    assert witnesses.witness_of(attempt=attempt, device=house.kiosk) is None


def test_only_staff_of_the_store_get_a_code(house: House) -> None:
    assert browser(house.dpo).post("/floor/harbour-street/witness/").status_code == 404
    assert browser().post("/floor/harbour-street/witness/").status_code == 302
    assert browser(house.staff).get("/floor/harbour-street/witness/").status_code == 405


def test_a_code_is_soon_over_and_redis_holds_neither_it_nor_a_name(
    house: House, tablet: KioskTablet
) -> None:
    redis = live_events()
    before = set(redis.scan_iter("witness:*"))
    code = code_of(house.staff, house.store)
    (place,) = set(redis.scan_iter("witness:*")) - before
    assert code not in place.decode()
    assert redis.get(place) == str(house.staff.pk).encode()
    assert 0 < redis.ttl(place) <= 180
    redis.delete(place)  # as its time does
    assert error_of(vouch(tablet, code, uuid.uuid4())) == (403, "code", "witness")


def test_codes_are_guessed_at_a_limited_rate(house: House, tablet: KioskTablet) -> None:
    for _ in range(WITNESS_TRIES):
        assert error_of(vouch(tablet, "000000x", uuid.uuid4()))[0] == 403
    code = code_of(house.staff, house.store)
    assert error_of(vouch(tablet, code, uuid.uuid4()))[:2] == (429, "slow_down")


def test_codes_are_made_at_a_limited_rate(house: House) -> None:
    staff = browser(house.staff)
    for _ in range(WITNESS_CODES):
        assert SHOWN.search(staff.post("/floor/harbour-street/witness/").content.decode())
    page = staff.post("/floor/harbour-street/witness/").content.decode()
    assert not SHOWN.search(page)
    assert "wait ten minutes" in page


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"null", b'{"attempt": 3, "code": "1"}', b'{"attempt": "x", "code": "1"}'),
        b'{"attempt": "b6f2a0f2-6f0c-4a51-9d54-7ad0a3a7c9b5", "code": "1", "seen": "all"}',
    ],
)
def test_a_body_that_is_no_witness_is_refused(tablet: KioskTablet, body: bytes) -> None:
    assert error_of(tablet.signed("/kiosk/witness/", body)) == (400, "form", "witness")


def test_a_code_is_in_no_log(
    house: House, tablet: KioskTablet, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        code = code_of(house.staff, house.store)
        vouch(tablet, code, uuid.uuid4())
        vouch(tablet, code, uuid.uuid4())
    assert code not in caplog.text
