"""The other stores of a group at the kiosk: asked for where there are any, each by its name."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from django.test import Client
from numpy.typing import NDArray

from apps.consent.models import Consent, Refusal
from apps.recognition.client import MatchRequest, Recognizer
from apps.visitors.models import Visitor
from tests.clients import KioskTablet, browser, enrolled, nothing_kept, opt_in_form
from tests.conftest import House, build_house
from tests.groups import grouped, joined, left
from tests.kiosk.conftest import Photos
from tests.visits.test_disclose import old_town
from tests.waiting import until

YES = {"lane": True, "history": True, "group": True, "contact": False}


@pytest.fixture
def house(transactional_db: None) -> House:
    return build_house()


@pytest.fixture
def there(house: House) -> House:
    return old_town(house)


@pytest.fixture
def tablet(house: House) -> KioskTablet:
    return enrolled(house.kiosk)


def page(tablet: KioskTablet) -> str:
    return tablet.request("/kiosk/en/").body.decode()


def test_it_is_asked_where_the_group_has_another_store_and_names_it(
    house: House, there: House, tablet: KioskTablet
) -> None:
    assert 'data-purpose="group"' not in page(tablet)
    grouped(house, there)
    asked = page(tablet)
    assert asked.count('data-purpose="group"') == 1
    assert '<li dir="auto">Old Town</li>' in asked
    assert "It rests on the lane, the pass or the card" in asked
    questions = ("lane", "history", "group", "contact")
    order = [asked.index(f'data-purpose="{key}"') for key in questions]
    assert order == sorted(order)
    assert asked.count('data-testid="group-yes"') == 1
    assert 'aria-pressed="true"' not in asked, "nothing is ticked before"
    left(there)
    assert 'data-purpose="group"' not in page(tablet)


def test_who_says_yes_is_known_in_the_stores_that_were_named(
    house: House,
    there: House,
    tablet: KioskTablet,
    recognizer: Recognizer,
    photos: Photos,
    crops_of: Callable[[int], NDArray[np.uint8]],
) -> None:
    group = grouped(house, there)
    known = recognizer.status()["templates"]
    form = opt_in_form(house, photos(), purposes=YES, stores=[str(there.store.pk)])
    answer = tablet.opt_in(form)
    assert answer.status == 201, answer.body
    consent = Consent.objects.get()
    assert (consent.group, consent.group_stores) == (group, [there.store.pk])
    until(lambda: recognizer.status()["templates"] == known + 1)
    asked = MatchRequest(there.camera.pk, there.store.pk, time.time())
    assert recognizer.match(asked, crops_of(2)).outcome == "visit"

    # Who comes again at the other store is one person, and that store's from now on.
    anew = opt_in_form(there, photos(), name="Ms C.")
    assert enrolled(there.kiosk).opt_in(anew).status == 201
    assert Visitor.objects.get().store == there.store
    customer: Client = browser()
    secret = answer.json()["receipt"]["code"]
    assert "took its place" in customer.post("/receipt/", {"secret": secret}).content.decode()


def test_a_no_is_a_no_and_counts(
    house: House, there: House, tablet: KioskTablet, recognizer: Recognizer, photos: Photos
) -> None:
    grouped(house, there)
    form = opt_in_form(house, photos(), purposes={**YES, "group": False}, stores=[])
    assert tablet.opt_in(form).status == 201
    consent = Consent.objects.get()
    assert (consent.group, consent.group_stores) == (None, [])
    assert consent.declined == ["group", "contact"]
    assert Refusal.objects.get(purpose="group").count == 1


@pytest.mark.parametrize("what", ["a store joined", "a store left", "no store was named"])
def test_when_the_stores_changed_meanwhile_it_is_asked_again(
    house: House, there: House, tablet: KioskTablet, photos: Photos, what: str
) -> None:
    group = grouped(house, there)
    named = [str(there.store.pk)]
    if what == "a store joined":
        joined(old_town(house, "Far Away"), group)
    elif what == "a store left":
        left(there)
    else:
        named = []
    with nothing_kept():
        answer = tablet.opt_in(opt_in_form(house, photos(), purposes=YES, stores=named))
    assert (answer.status, answer.json()["error"]["code"]) == (409, "group_changed")


def test_without_any_recognition_there_is_nothing_in_other_stores_either(
    house: House, there: House, tablet: KioskTablet, photos: Photos
) -> None:
    grouped(house, there)
    purposes = {**YES, "lane": False}
    with nothing_kept():
        form = opt_in_form(house, photos(), purposes=purposes, stores=[str(there.store.pk)])
        assert tablet.opt_in(form).json()["error"]["code"] == "nothing_agreed"
