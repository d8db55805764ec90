"""A template serves cameras of its own purpose only, and a pass camera what its mode needs."""

import re
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone
from django.utils.html import strip_tags

from apps.consent import services as consents
from apps.consent.models import Consent, Purpose
from apps.recognition.client import Match
from apps.stores.models import Camera, Store
from apps.visitors.models import FaceTemplate, Visitor
from apps.visitors.services import SealedTemplate, enroll
from apps.visits.models import Visit
from apps.visits.services import disclose
from tests.clients import browser
from tests.conftest import House
from tests.visits.test_board import BOARD

SEALED = {"lane": b"CFT1 sealed", "pass": b"CPT1 sealed twice"}


def both(house: House) -> Visitor:
    """Somebody who agreed to a lane and to a pass."""
    signed = consents.sign(house.draft(purposes=[Purpose.LANE, Purpose.PASS, Purpose.HISTORY]))
    return enroll(
        visitor=uuid.uuid4(),
        consent=signed.consent,
        greeting_name="Ms Chen",
        contact="",
        templates=[
            SealedTemplate(uuid.uuid4(), b"wrapped", 1, SEALED[purpose], "pack", "1", purpose)
            for purpose in ("lane", "pass")
        ],
        actor="test",
    )


@pytest.fixture
def reader(house: House) -> Camera:
    return Camera.objects.create(
        store=house.store,
        name="Pass reader",
        mode=Camera.Mode.PASS,
        source="door.mp4",
        signage_confirmed_at=timezone.now(),
    )


def outcome(visitor: Visitor, purpose: str, camera: Camera) -> str:
    template = visitor.templates.get(purpose=purpose)
    return disclose(
        Match(template.pk, camera.pk, camera.store_id, 0.8, 0.4, timezone.now().timestamp())
    ).outcome


def test_who_comes_by_a_pass_has_the_very_same_card(house: House, reader: Camera) -> None:
    assert outcome(both(house), "lane", house.camera) == "visit"
    assert outcome(both(house), "pass", reader) == "visit"
    page = browser(house.staff).get(BOARD).content.decode()
    cards = re.findall(r'<li id="visit-.*?</article>', page, re.DOTALL)
    by_lane, by_pass = (
        (re.sub(r"\d\d:\d\d", "", strip_tags(card)), re.findall(r'data-testid="[^"]*"', card))
        for card in cards
    )
    assert by_lane == by_pass


def test_each_template_serves_its_own_kind_of_camera(house: House, reader: Camera) -> None:
    visitor = both(house)
    assert outcome(visitor, "pass", house.camera) == "refused"
    assert outcome(visitor, "lane", reader) == "refused"
    assert not Visit.objects.exists()
    assert outcome(visitor, "pass", reader) == "visit"
    assert outcome(visitor, "lane", house.camera) == "still_here", "one stay, two cameras"


def test_withdrawing_one_kind_leaves_the_other(house: House, reader: Camera) -> None:
    visitor = both(house)
    Consent.objects.update(purposes=["lane", "history"])
    assert outcome(visitor, "pass", reader) == "refused"
    assert outcome(visitor, "lane", house.camera) == "visit"


@pytest.mark.parametrize(
    ("model", "change"),
    [
        (Camera, {"signage_confirmed_at": None}),
        (Camera, {"active": False}),
        (Camera, {"mode": "count"}),
        (Store, {"non_face_check_in": ""}),
    ],
)
def test_a_pass_camera_that_lost_what_it_needs_discloses_nothing(
    house: House, reader: Camera, model: type, change: dict[str, object]
) -> None:
    visitor = both(house)
    model.objects.update(**change)  # type: ignore[attr-defined]
    assert outcome(visitor, "pass", reader) == "refused"


def test_a_pass_camera_needs_a_sign_and_another_way_in_but_no_assessment(
    house: House, reader: Camera
) -> None:
    assert reader.blockers() == []
    house.store.jurisdiction = "strict"
    reader.store = house.store
    assert reader.blockers() == []
    reader.signage_confirmed_at = None
    reader.store.non_face_check_in = ""
    assert len(reader.blockers()) == 2


def test_who_comes_with_a_pass_has_not_been_away_from_the_lane(
    house: House, reader: Camera
) -> None:
    visitor = both(house)
    soon = timezone.now() + timedelta(days=3)
    FaceTemplate.objects.update(delete_after=soon)
    assert outcome(visitor, "pass", reader) == "visit"
    for template in visitor.templates.all():
        assert template.delete_after > soon
