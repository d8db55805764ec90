"""By receipt: somebody with a card sees it, replaces it, renews it and takes it back."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.audit.models import Entry
from apps.consent import services as consents
from apps.consent.models import Consent, Purpose
from apps.consent.wording import Registers
from apps.privacy.export import Export
from apps.privacy.paper import package_pdf
from apps.privacy.records import activities
from apps.visitors import cards
from apps.visitors.cards import CardCode
from apps.visitors.models import Card, Visitor
from apps.visits.checkin import check_in
from tests import qr
from tests.clients import browser
from tests.conftest import House
from tests.privacy.conftest import Customer
from tests.privacy.test_paper import text_of
from tests.privacy.test_renewal import near_the_end, offered

SIGNS = re.compile(r'data-testid="card-signs">([^<]+)<')


@pytest.fixture
def code() -> CardCode:
    return cards.draw()


@pytest.fixture
def holder(house: House, code: CardCode) -> Customer:
    visitor = house.visitor(card=code, purposes=[Purpose.CARD, Purpose.HISTORY])
    return Customer(visitor, consents.reissue(Consent.objects.get()).secret, browser())


def outcome(code: CardCode | None, house: House) -> str:
    assert code is not None
    return check_in(code=code, store=house.store, actor=f"user:{house.staff.pk}").outcome


def test_the_letter_tells_of_the_card_and_of_no_face(
    house: House, holder: Customer, code: CardCode
) -> None:
    outcome(code, house)
    text = holder.text()
    assert 'data-testid="receipt-card"' in text
    assert "A digest of your card’s code" in text
    assert "Someone who works here: read your card and told the floor board" in text
    assert "your card, your name and your visits" in text
    assert "face template" not in text
    assert code.signs not in text


def test_a_lost_card_is_replaced_and_the_new_one_is_shown_once(
    house: House, holder: Customer, code: CardCode
) -> None:
    text = holder.text("card/")
    fresh = cards.read(SIGNS.findall(text)[0])
    assert cards.read(qr.text_in(qr.drawn(text[text.index('data-testid="card-qr"') :]))) == fresh
    assert outcome(code, house) == "refused"
    assert outcome(fresh, house) == "visit"
    assert not SIGNS.findall(holder.text())
    assert Entry.objects.filter(action="card.replaced").count() == 1


def test_who_has_no_card_gets_none(customer: Customer) -> None:
    assert customer.post("card/").status_code == 409
    assert 'data-testid="receipt-card"' not in customer.text()
    assert not Card.objects.exists()


def test_a_paused_card_is_good_for_nothing_until_it_is_resumed(
    house: House, holder: Customer, code: CardCode
) -> None:
    holder.post("pause/", paused="yes")
    assert outcome(code, house) == "refused"
    holder.post("pause/", paused="no")
    assert outcome(code, house) == "visit"


def test_taking_the_card_back_is_ending_everything_where_nothing_else_knows_them(
    house: House, holder: Customer, code: CardCode
) -> None:
    text = holder.text("stop/", purpose="card")
    assert "Your card, your name and your visits are erased." in text
    assert "sealed bytes" not in text
    assert not Visitor.objects.exists()
    assert outcome(code, house) == "refused"
    assert b"." in holder.post("certificate/").content


def test_everything_held_names_the_card_and_a_visit_without_a_score(
    house: House, holder: Customer, code: CardCode
) -> None:
    outcome(code, house)
    held = Export.model_validate_json(holder.post("everything/").content)
    assert held.card is not None
    assert (held.templates, held.visits[0].similarity, held.visits[0].number) == ([], None, 1)
    assert "by your card" in text_of(package_pdf(held, "en"))


def test_one_tap_renews_a_card_without_a_recognizer(
    house: House, holder: Customer, code: CardCode
) -> None:
    near_the_end()
    former = Consent.objects.get()
    text = holder.text("renew/", **offered(holder))
    assert 'data-testid="receipt-done"' in text
    card = Card.objects.get()
    assert card.consent.renews == former
    assert card.delete_after > timezone.now() + timedelta(days=300)
    assert outcome(code, house) == "visit"


def test_the_records_of_processing_say_what_a_card_keeps(house: House) -> None:
    (card,) = [
        each
        for each in activities(Registers(house.organization))
        if each.title == Purpose.CARD.label
    ]
    assert "digest of the code of a card" in card.data
    assert not any("face" in each for each in card.data)
