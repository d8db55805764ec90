"""Whoever shows no face has the same visit, by a card that names nobody."""

import logging
import re
import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from apps.audit.models import Entry
from apps.consent import services as consents
from apps.consent.models import Consent, Purpose
from apps.recognition.client import Decision
from apps.stores.models import Store
from apps.visitors import cards
from apps.visitors.cards import CardCode
from apps.visitors.models import Card, FaceTemplate, Visitor
from apps.visitors.services import restrict
from apps.visits.checkin import check_in
from apps.visits.floor import CARDS
from apps.visits.insights.rollup import Month, figures
from apps.visits.mistakes import mark_wrong, take_back
from apps.visits.models import Disclosure, FalseGreeting, Visit
from apps.visits.services import disclose
from tests.clients import browser
from tests.conftest import House
from tests.database import without_triggers
from tests.groups import agreed_for, grouped
from tests.visits.test_board import BOARD
from tests.visits.test_disclose import match_of, old_town, visit_of

BY_CARD = [Purpose.CARD, Purpose.HISTORY]
NOT_GOOD = "No card with this code is good here."


@pytest.fixture
def code() -> CardCode:
    return cards.draw()


@pytest.fixture
def guest(house: House, code: CardCode) -> Visitor:
    return house.visitor("Ms Chen", code, purposes=BY_CARD)


def shows(code: CardCode, house: House) -> Decision:
    return check_in(code=code, store=house.store, actor=f"user:{house.staff.pk}")


def typed(client: Client, code: object, path: str = "card/", **headers: str) -> tuple[int, str]:
    answer = client.post(f"{BOARD}{path}", {"card": code}, headers=headers)
    return answer.status_code, answer.content.decode()


def test_a_code_is_read_as_it_is_scanned_and_as_it_is_typed() -> None:
    code = cards.draw()
    signs = code.typed()
    for text in (code.text(), signs, signs.lower().replace("-", " "), f"cc1>{code.signs}\n"):
        assert cards.read(text) == code
    for text in ("", signs[:-1], f"{signs}A", "CP1:0000", "O" * 16, consents.new_secret()):
        assert cards.read(text) is None
    assert code.signs not in f"{code!r} {code}"


def test_a_card_makes_a_visit_and_a_ledger_entry(
    house: House, guest: Visitor, code: CardCode
) -> None:
    visit = visit_of(shows(code, house))
    assert (visit.visitor, visit.number, visit.camera, visit.score) == (guest, 1, None, None)
    entry = Entry.objects.get(action="visit.disclosed")
    assert (entry.actor, entry.detail["mode"]) == (f"user:{house.staff.pk}", "card")
    # What the rate of false greetings is divided by are matches of faces.
    assert Disclosure.objects.values_list("count", "by_card").get() == (0, 1)


# Rule 4: the statement asks everything again.


def withdrawn(house: House) -> None:
    consents.withdraw(consent=Consent.objects.get(), actor="test")


def expired(house: House) -> None:
    Consent.objects.update(expires_at=timezone.now())


def purpose_gone(house: House) -> None:
    Consent.objects.update(purposes=["history"])


def paused(house: House) -> None:
    restrict(visitor=Visitor.objects.get(), restricted=True, actor="test")


def past_its_time(house: House) -> None:
    with without_triggers("visitors_card"):
        Card.objects.update(delete_after=timezone.now() - timedelta(seconds=1))


def of_somebody_else(house: House) -> None:
    """The card hangs on another person than its consent does."""
    other = Visitor.objects.create(subject=uuid.uuid4(), store=house.store, greeting_name="Bo")
    with without_triggers("visitors_card"):
        Card.objects.update(visitor=other)


def of_another_store(house: House) -> None:
    with without_triggers("visitors_card"):
        Card.objects.update(store=old_town(house).store)


def no_way_in_without_a_face(house: House) -> None:
    Store.objects.update(non_face_check_in="")


def of_another_code(house: House) -> None:
    Card.objects.update(digest=cards.digest(cards.draw()))


@pytest.mark.parametrize(
    "end",
    [
        withdrawn,
        expired,
        purpose_gone,
        paused,
        past_its_time,
        of_somebody_else,
        of_another_store,
        no_way_in_without_a_face,
        of_another_code,
    ],
    ids=lambda end: end.__name__,
)
def test_rule_4_nothing_is_disclosed_that_the_law_of_this_moment_forbids(
    house: House, guest: Visitor, code: CardCode, end: Callable[[House], None]
) -> None:
    end(house)
    assert shows(code, house) == Decision(None, "refused")
    assert not Visit.objects.exists()
    assert not Entry.objects.filter(action="visit.disclosed").exists()


REFUSED: dict[str, Callable[[House], dict[str, object]]] = {
    "another person": lambda house: {"visitor": house.visitor("Bo")},
    "another store": lambda house: {"store": old_town(house).store},
    "a consent without a card": lambda house: {
        "consent": Consent.objects.get(subject=house.visitor("Bo").subject)
    },
    "a time that is over": lambda _house: {"delete_after": timezone.now()},
    "what is no digest": lambda _house: {"digest": b"ABCDEFGHJKMNPQRS"},
}


@pytest.mark.parametrize("what", REFUSED)
def test_rule_1_postgresql_takes_no_card_for(house: House, guest: Visitor, what: str) -> None:
    changes = REFUSED[what](house)
    with pytest.raises(IntegrityError), transaction.atomic():
        Card.objects.filter(visitor=guest).update(**changes)


# Stays are the same, whichever way somebody came.


def test_one_stay_is_one_visit_by_face_and_by_card(house: House, code: CardCode) -> None:
    guest = house.visitor(card=code, purposes=[Purpose.LANE, *BY_CARD])
    assert disclose(match_of(guest, house)).outcome == "visit"
    assert shows(code, house) == Decision(None, "still_here")
    away = timedelta(minutes=house.store.absence_minutes + 1)
    Visit.objects.update(last_seen_at=timezone.now() - away)
    assert visit_of(shows(code, house)).number == 2
    assert disclose(match_of(guest, house)) == Decision(None, "still_here")


@pytest.mark.parametrize("by_card", [True, False])
def test_any_visit_sets_every_clock_back(house: House, code: CardCode, by_card: bool) -> None:
    guest = house.visitor(card=code, purposes=[Purpose.LANE, *BY_CARD])
    soon = timezone.now() + timedelta(days=1)
    for model in (Card, FaceTemplate):
        model.objects.update(delete_after=soon)
    visit_of(shows(code, house) if by_card else disclose(match_of(guest, house)))
    for model in (Card, FaceTemplate):
        assert model.objects.get().delete_after > soon + timedelta(days=30)


def test_the_card_is_good_where_the_consent_holds(house: House, code: CardCode) -> None:
    """In a store of the group that was signed for, and in no other, be it of another house."""
    branch, third = old_town(house), old_town(house, "Third Street")
    grouped(house, branch)
    agreed = agreed_for(branch, purposes=[Purpose.CARD, Purpose.GROUP])
    house.visitor(card=code, **agreed)
    assert shows(code, branch).outcome == "visit"
    assert shows(code, third).outcome == "refused"
    Consent.objects.update(purposes=["card"])
    Visit.objects.all().delete()
    assert shows(code, branch).outcome == "refused"
    assert shows(code, house).outcome == "visit"


def test_a_month_counts_who_came_by_a_card_as_anybody_else(house: House, code: CardCode) -> None:
    """Guests are never more than arrivals."""
    house.visitor(card=code, purposes=[Purpose.CARD, Purpose.STATISTICS])
    shows(code, house)
    month = Month(timezone.localdate().replace(day=1))
    Disclosure.objects.update(day=month.begins)
    row = figures([house.store], month)[house.store.pk]
    assert (row["guests"], row["arrivals"]) == (1, 1)


# The board.


def test_staff_see_exactly_the_same_card(house: House, guest: Visitor, code: CardCode) -> None:
    """Nothing on the board tells who declined the face."""
    client = browser(house.staff)

    def seen(visit: Visit) -> str:
        html = client.get(BOARD).content.decode()
        (item,) = re.findall(r"<li id=\"visit-.*?</li>", html, re.DOTALL)
        plain = re.sub(r'value="\w{64}"', "", item).replace(str(visit.pk), "ID")
        return plain.replace(f'data-sequence="{visit.sequence}"', "")

    by_card = visit_of(shows(code, house))
    shown = seen(by_card)
    by_card.delete()
    moment = by_card.arrived_at
    by_face = visit_of(disclose(match_of(house.visitor("Ms Chen"), house)))
    Visit.objects.update(arrived_at=moment)
    by_face.refresh_from_db()
    assert seen(by_face) == shown
    assert "A sure match" in shown


def test_the_board_takes_a_card_without_javascript(
    house: House, guest: Visitor, code: CardCode
) -> None:
    linda = browser(house.staff)
    page = linda.get(f"{BOARD}card/").content.decode()
    assert "http-equiv" not in page
    status, html = typed(linda, "ABCD-EFGH-JKMN-PQRS")
    assert (status, NOT_GOOD in html, "ABCD-EFGH-JKMN-PQRS" in html) == (422, True, True)
    answer = linda.post(f"{BOARD}card/", {"card": code.typed()})
    assert (answer.status_code, answer["Location"]) == (302, BOARD)
    assert "Ms Chen" in linda.get(BOARD).content.decode()


def test_the_answer_says_nothing_of_anybody(house: House, guest: Visitor, code: CardCode) -> None:
    """A card of another house, one of nobody and one that is paused are answered alike."""
    linda = browser(house.staff)

    def asked(code: object) -> tuple[int, str]:
        status, html = typed(linda, code, **{"Consentry-Partial": "1"})
        html = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", html)
        return status, html.replace(str(code), "CODE")

    status, html = asked(code.typed())
    assert status == 200
    assert "Ms Chen" not in html
    assert "Checked in" in html
    Card.objects.update(digest=cards.digest(cards.draw()))
    nobodys = asked(code.typed())
    assert nobodys[0] == 422
    Card.objects.update(digest=cards.digest(code))
    paused(house)
    assert asked(code.typed()) == nobodys


def test_codes_are_tried_at_a_limited_rate_and_by_staff_of_the_store(
    house: House, guest: Visitor, code: CardCode
) -> None:
    linda = browser(house.staff)
    for _ in range(CARDS):
        assert typed(linda, "nothing")[0] == 422
    assert typed(linda, code.typed())[0] == 429
    assert not Visit.objects.exists()
    assert typed(browser(house.dpo), code.typed())[0] == 404
    assert typed(browser(), code.typed())[0] == 302


def test_the_code_is_kept_nowhere(
    house: House, guest: Visitor, code: CardCode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    typed(browser(house.staff), code.typed())
    assert Visit.objects.exists()
    Card.objects.all().delete()
    assert typed(browser(house.staff), code.typed())[0] == 422
    for model in apps.get_models():
        table = connection.ops.quote_name(model._meta.db_table)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT t::text FROM {table} t")  # noqa: S608
            for (row,) in cursor.fetchall():
                assert code.signs not in row, table
                assert code.typed() not in row, table
    assert code.signs not in caplog.text
    assert code.typed() not in caplog.text


def test_who_was_not_the_holder_is_no_false_greeting_and_prolongs_nothing(
    house: House, guest: Visitor, code: CardCode
) -> None:
    soon = timezone.now() + timedelta(days=1)
    Card.objects.update(delete_after=soon)
    visit = visit_of(shows(code, house))
    assert mark_wrong(visit=visit, user=house.staff).wrong_by == house.staff
    assert not FalseGreeting.objects.exists()
    assert Card.objects.get().delete_after == soon
    # The holder comes in by it all the same.
    assert visit_of(shows(code, house)).number == 1
    Visit.objects.exclude(pk=visit.pk).delete()
    assert take_back(visit=visit, user=house.staff)
    assert Card.objects.get().delete_after > soon
