"""Enrolling twice, and beside somebody who looks alike: no mix-up, and no word of the other."""

import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pytest
from django.utils import timezone
from numpy.typing import NDArray

from apps.consent.models import Consent
from apps.kiosk.faces import look
from apps.recognition.client import Decision, MatchRequest, Recognizer, SealRequest
from apps.retention.models import Erasure
from apps.retention.services.sweep import sweep
from apps.stores.models import Camera
from apps.visitors.models import FaceTemplate, Visitor
from apps.visitors.services import restrict
from apps.visits.models import LookAlike, Visit
from ops.tablet import Answer
from tests import database, faces
from tests.clients import KioskTablet, browser, enrolled, nothing_kept, opt_in_form, rows
from tests.conftest import House
from tests.kiosk.conftest import Photos
from tests.waiting import until

Crops = Callable[[int], NDArray[np.uint8]]
PERSON, SISTERS_OTHER_HALF = 3, 5


@pytest.fixture
def tablet(house: House) -> KioskTablet:
    return enrolled(house.kiosk)


@pytest.fixture(scope="session")
def sister(keys_and_pack: None) -> list[bytes]:
    """Three JPEGs of somebody whose template is at about 0.45 of person 3's."""
    shots = faces.relative(PERSON, SISTERS_OTHER_HALF, 0.42, seconds=0.3, fps=10)
    return [faces.jpeg(shot) for shot in shots]


def opts_in(
    tablet: KioskTablet, house: House, photos: list[bytes], name: str = "Ms Chen"
) -> Answer:
    return tablet.opt_in(opt_in_form(house, photos, name=name))


@pytest.fixture
def blind(house: House) -> Camera:
    """A camera that may recognise nobody, to ask through without making a visit."""
    return Camera.objects.create(store=house.store, name="Counting", source="x")


@dataclass(frozen=True, slots=True)
class Lane:
    """The lane of the house, and its recognizer."""

    house: House
    tablet: KioskTablet
    recognizer: Recognizer
    blind: Camera

    def joins(self, photos: list[bytes], name: str = "Ms Chen") -> str:
        """Opt in as the first of this face, until the recognizer knows; the receipt's code."""
        answer = opts_in(self.tablet, self.house, photos, name)
        assert answer.status == 201, answer.body
        until(lambda: self.knows(photos))
        return str(answer.json()["receipt"]["code"])

    def knows(self, photos: list[bytes]) -> bool:
        """Whether the recognizer holds a template of this face."""
        return self._ask(self.blind, photos).outcome == "refused"

    def greets(self, photos: list[bytes]) -> str:
        """By which name, once the recognizer has heard of everything."""
        names: list[str] = []

        def seen() -> bool:
            visit = self._ask(self.house.camera, photos).visit
            if visit:
                names.append(Visit.objects.get(pk=visit).visitor.greeting_name)
            return bool(names)

        until(seen)
        return names[0]

    def _ask(self, camera: Camera, photos: list[bytes]) -> Decision:
        crops = [look(photo).crop for photo in photos]
        request = MatchRequest(camera.pk, self.house.store.pk, time.time())
        return self.recognizer.match(
            request, np.stack([crop for crop in crops if crop is not None])
        )


@pytest.fixture
def lane(house: House, tablet: KioskTablet, recognizer: Recognizer, blind: Camera) -> Lane:
    return Lane(house, tablet, recognizer, blind)


# The same person.


def test_whoever_says_yes_twice_is_one_visitor_under_the_newer_yes(
    house: House, tablet: KioskTablet, lane: Lane, photos: Photos
) -> None:
    lane.joins(photos(PERSON), "Ms Chen")
    assert opts_in(tablet, house, photos(PERSON), "Mei").status == 201
    assert Visitor.objects.get().greeting_name == "Mei"
    assert FaceTemplate.objects.count() == 1
    older, newer = Consent.objects.order_by("signed_at")
    assert older.withdrawn_at is not None
    assert newer.live
    assert lane.greets(photos(PERSON)) == "Mei"


def test_a_second_yes_renews_and_its_term_runs_anew(
    house: House, tablet: KioskTablet, lane: Lane, photos: Photos
) -> None:
    lane.joins(photos(PERSON))
    assert tablet.opt_in(opt_in_form(house, photos(PERSON), term=3)).status == 201
    older, newer = Consent.objects.order_by("signed_at")
    assert not older.live
    assert timedelta(days=88) < newer.expires_at - newer.signed_at < timedelta(days=93)
    (template,) = FaceTemplate.objects.all()
    assert template.consent == newer
    assert template.not_after == newer.expires_at, "what was agreed last, though it is shorter"


def test_the_tablet_hears_the_same_of_a_first_yes_and_of_a_second(
    house: House, tablet: KioskTablet, lane: Lane, photos: Photos
) -> None:
    """Else holding up a photo would tell whether its person is a visitor here."""
    first = opts_in(tablet, house, photos(PERSON))
    until(lambda: lane.knows(photos(PERSON)))
    second = opts_in(tablet, house, photos(PERSON))
    assert first.status == second.status == 201
    assert first.json().keys() == second.json().keys()
    assert first.json()["receipt"].keys() == second.json()["receipt"].keys()


def test_the_older_yes_ends_with_a_certificate_and_its_receipt_says_why(
    house: House, tablet: KioskTablet, lane: Lane, photos: Photos
) -> None:
    secret = lane.joins(photos(PERSON))
    opts_in(tablet, house, photos(PERSON), "Mei")
    (erasure,) = Erasure.objects.all()
    assert erasure.cause == Erasure.Cause.REPLACED
    until(lambda: sweep() and Erasure.objects.get().state == Erasure.State.COMPLETE)
    letter = browser().post("/receipt/", {"secret": secret}).content.decode()
    assert 'data-testid="receipt-replaced"' in letter
    assert house.organization.contact_email in letter
    assert "Mei" not in letter


def test_nothing_of_the_older_yes_is_handed_to_the_newer(
    house: House, tablet: KioskTablet, lane: Lane, photos: Photos
) -> None:
    """A face alone does not prove who somebody is: a twin gets neither history nor name."""
    lane.joins(photos(PERSON), "Ms Chen")
    assert lane.greets(photos(PERSON)) == "Ms Chen"
    secret = opts_in(tablet, house, photos(PERSON), "Mei").json()["receipt"]["code"]
    assert not Visit.objects.exists()
    letter = browser().post("/receipt/", {"secret": secret}).content.decode()
    assert "Ms Chen" not in letter
    assert 'data-testid="receipt-visits"' not in letter
    assert lane.greets(photos(PERSON)) == "Mei"
    assert Visit.objects.get().number == 1


def test_a_second_yes_that_fails_leaves_the_first_as_it_was(
    house: House, tablet: KioskTablet, lane: Lane, photos: Photos
) -> None:
    lane.joins(photos(PERSON), "Ms Chen")
    with nothing_kept(), database.refusing("INSERT", "retention_erasure"):
        assert opts_in(tablet, house, photos(PERSON), "Mei").status == 503
    assert lane.greets(photos(PERSON)) == "Ms Chen"


def test_a_yes_in_another_store_ends_nothing_here(
    house: House, tablet: KioskTablet, lane: Lane, photos: Photos
) -> None:
    lane.joins(photos(PERSON), "Ms Chen")
    elsewhere = house.organization.stores.create(
        name="Old Town", slug="old-town", jurisdiction="eu", non_face_check_in="Show your card."
    )
    theirs = enrolled(elsewhere.devices.create(name="Old tablet"))
    assert opts_in(theirs, house, photos(PERSON), "Mei").status == 201
    assert Visitor.objects.count() == 2
    assert not Erasure.objects.exists()


# Another person.


def test_somebody_too_alike_is_told_kindly_and_nothing_is_kept(
    house: House,
    tablet: KioskTablet,
    lane: Lane,
    photos: Photos,
    sister: list[bytes],
) -> None:
    lane.joins(photos(PERSON), "Ms Chen")
    with nothing_kept():
        answer = opts_in(tablet, house, sister, "Her sister")
    assert answer.status == 422
    error = answer.json()["error"]
    assert (error["code"], error["step"]) == ("too_alike", "alike")
    # Neither who, nor how near; and as true for the same person on a bad day.
    assert set(error) == {"code", "text", "step"}
    assert "Chen" not in answer.body.decode()
    assert not any(sign.isdigit() for sign in error["text"])
    assert "nothing was kept" in error["text"]
    assert lane.greets(photos(PERSON)) == "Ms Chen"


@pytest.fixture
def pass_reader(house: House) -> Camera:
    """The store reads passes as well."""
    return Camera.objects.create(
        store=house.store,
        name="Pass reader",
        mode=Camera.Mode.PASS,
        source="door.mp4",
        signage_confirmed_at=timezone.now(),
    )


def board_of(house: House) -> str:
    """What staff see."""
    return browser(house.staff).get("/floor/harbour-street/").content.decode()


def says_it(page: str) -> bool:
    line = re.search(r'<p id="floor-look-alike"[^>]*>', page)
    assert line is not None
    return " hidden" not in line[0]


def test_where_passes_are_read_one_is_offered_and_staff_hear_of_it_without_a_name(
    house: House,
    tablet: KioskTablet,
    lane: Lane,
    photos: Photos,
    sister: list[bytes],
    pass_reader: Camera,
) -> None:
    lane.joins(photos(PERSON), "Ms Chen")
    assert not says_it(board_of(house))
    assert b'data-testid="alike-pass"' in tablet.request("/kiosk/en/").body
    known = rows()
    answer = opts_in(tablet, house, sister, "Her sister")
    assert (answer.status, answer.json()["error"]["step"]) == (422, "alike")
    # One count, and nothing else: nobody's name, template, consent or camera.
    kept = {name for name, number in rows().items() if number > known[name]}
    assert kept == {"visits.LookAlike"}
    row = LookAlike.objects.values().get()
    assert set(row) == {"id", "store_id", "day", "count", "latest_at"}
    page = board_of(house)
    assert says_it(page)
    assert "sister" not in page
    assert "Chen" not in page
    opts_in(tablet, house, sister, "Her sister")
    assert LookAlike.objects.get().count == 2
    LookAlike.objects.update(latest_at=timezone.now() - timedelta(minutes=3))
    assert not says_it(board_of(house)), "it is said while they may still stand there"
    overview = browser(house.dpo).get("/admin/").content.decode()
    assert "2 today, 2 in seven days" in overview


def test_a_pass_instead_is_agreed_to_by_itself_and_the_lane_is_not_in_it(
    house: House,
    tablet: KioskTablet,
    lane: Lane,
    photos: Photos,
    sister: list[bytes],
    pass_reader: Camera,
) -> None:
    lane.joins(photos(PERSON), "Ms Chen")
    opts_in(tablet, house, sister, "Her sister")
    instead = {"pass": True, "history": True, "contact": False}
    answer = tablet.opt_in(opt_in_form(house, sister, purposes=instead, name="Mei"))
    assert answer.status == 201, answer.body
    assert answer.json()["receipt"]["pass_svg"]
    consent = Consent.objects.order_by("signed_at").last()
    assert consent is not None
    assert (consent.purposes, consent.declined) == (["pass", "history"], ["contact"])
    assert [one.purpose for one in FaceTemplate.objects.filter(consent=consent)] == ["pass"]
    # Both are here, and neither is taken for the other.
    assert Visitor.objects.count() == 2
    assert lane.greets(photos(PERSON)) == "Ms Chen"


def test_where_no_camera_reads_passes_none_is_offered_and_nobody_is_told(
    house: House, tablet: KioskTablet, lane: Lane, photos: Photos, sister: list[bytes]
) -> None:
    lane.joins(photos(PERSON))
    opts_in(tablet, house, sister, "Her sister")
    assert b'data-testid="alike-pass"' not in tablet.request("/kiosk/en/").body
    assert not LookAlike.objects.exists()
    assert not says_it(board_of(house))


def test_a_stranger_beside_a_visitor_enrols(
    house: House, tablet: KioskTablet, lane: Lane, photos: Photos
) -> None:
    lane.joins(photos(PERSON), "Ms Chen")
    lane.joins(photos(2), "Mr Okoye")
    assert lane.greets(photos(PERSON)) == "Ms Chen"
    assert lane.greets(photos(2)) == "Mr Okoye"


def test_nobody_is_too_alike_to_somebody_who_has_left(
    house: House,
    tablet: KioskTablet,
    lane: Lane,
    photos: Photos,
    sister: list[bytes],
) -> None:
    secret = lane.joins(photos(PERSON))
    browser().post("/receipt/withdraw/", {"secret": secret})
    until(lambda: not lane.knows(photos(PERSON)))
    assert opts_in(tablet, house, sister, "Her sister").status == 201


def test_between_two_alike_nobodys_enrolment_is_ended_on_a_guess(
    house: House,
    tablet: KioskTablet,
    lane: Lane,
    photos: Photos,
    sister: list[bytes],
) -> None:
    """Two who are alike may both be enrolled: one was paused while the other came."""
    lane.joins(photos(PERSON), "Ms Chen")
    paused = Visitor.objects.get()
    restrict(visitor=paused, restricted=True, actor="self")
    until(lambda: not lane.knows(photos(PERSON)))
    lane.joins(sister, "Her sister")
    restrict(visitor=paused, restricted=False, actor="self")
    until(lambda: lane.knows(photos(PERSON)))
    with nothing_kept():
        assert opts_in(tablet, house, photos(PERSON)).json()["error"]["code"] == "too_alike"


def test_a_template_that_is_compared_one_to_one_may_be_alike(
    house: House,
    lane: Lane,
    photos: Photos,
    crops_of: Crops,
) -> None:
    lane.joins(photos(PERSON))
    sealed = lane.recognizer.seal(
        SealRequest(
            organization=house.organization.pk,
            store=house.store.pk,
            visitor=uuid.uuid4(),
            consent=uuid.uuid4(),
            templates={"pass": uuid.uuid4()},
            not_after=int(time.time()) + 60,
        ),
        crops_of(PERSON),
    )
    assert sealed.same is None
