"""The kiosk asks whoever declined every face about a card; cards are not drawn by the dozen."""

import json
import re
import uuid

from apps.stores.models import Camera, Store
from apps.visitors import cards
from apps.visitors.models import Card, Visitor
from apps.visits.checkin import check_in
from tests.clients import KioskTablet, enrolled, opt_in_form
from tests.conftest import House

CARD = {"lane": False, "card": True, "history": False, "contact": False}


def asked(tablet: KioskTablet) -> str:
    return tablet.request("/kiosk/en/").body.decode()


def test_it_is_asked_after_the_faces_and_has_no_number_among_the_questions(house: House) -> None:
    Camera.objects.create(store=house.store, name="Pass reader", mode="pass", source="x.mp4")
    page = asked(enrolled(house.kiosk))
    questions = re.findall(r'data-purpose="(\w+)"', page)
    assert questions[:4] == ["lane", "pass", "card", "history"]
    numbers = re.findall(r"question (\d+) of (\d+)", page)
    rest = len(questions) - 1
    assert numbers == [(str(number), str(rest)) for number in range(1, rest + 1)]
    assert page.count("what you agree to, one more question") == 1


def test_where_nobody_is_checked_in_without_a_face_no_card_is_offered(house: House) -> None:
    tablet = enrolled(house.kiosk)
    assert 'data-testid="alike-card"' in asked(tablet)
    Camera.objects.create(store=house.store, name="Pass reader", mode="pass", source="x.mp4")
    assert 'data-testid="alike-card"' in asked(tablet), "beside a pass too"
    Store.objects.update(non_face_check_in="")
    page = asked(tablet)
    assert 'data-purpose="card"' not in page
    assert 'data-testid="alike-card"' not in page


def test_an_attempt_by_card_that_succeeded_unseen_is_undone(house: House) -> None:
    tablet, attempt = enrolled(house.kiosk), str(uuid.uuid4())
    body = json.dumps(opt_in_form(house, [], purposes=CARD, attempt=attempt)).encode()
    lost = cards.read(tablet.signed("/kiosk/opt-in/", body).json()["receipt"]["card"])
    assert lost is not None
    undone = tablet.signed("/kiosk/undo/", json.dumps({"attempt": attempt}).encode())
    assert undone.status == 204
    assert not Visitor.objects.exists()
    assert not Card.objects.exists()
    assert check_in(code=lost, store=house.store, actor="test").outcome == "refused"
    late = tablet.signed("/kiosk/opt-in/", body)
    assert (late.status, late.json()["error"]["code"]) == (422, "undone")


def test_cards_are_limited_and_the_tablet_may_try_again_later(house: House) -> None:
    tablet = enrolled(house.kiosk)
    body = json.dumps(opt_in_form(house, [], purposes=CARD)).encode()
    answers = [tablet.signed("/kiosk/opt-in/", body) for _ in range(31)]
    assert [answer.status for answer in answers] == [201] * 30 + [429]
    # What was said stays on the screen that sends it.
    assert answers[-1].json()["error"]["step"] == "sending"
    assert Card.objects.count() == 30
