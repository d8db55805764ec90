"""In another store of the group a match becomes a visit only where its consent covers that store.

Whatever the recognizers hold: here the gallery is taken to have found the person everywhere.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Thread

import pytest
from django.db import DatabaseError, connection, transaction
from redis.client import PubSub

from apps.consent import services as consents
from apps.consent.models import Consent, Purpose
from apps.consent.services import ConsentRefused
from apps.retention.services.sweep import sweep
from apps.retention.services.withdraw import withdraw_purpose
from apps.stores.devices import live_events
from apps.stores.models import Organization, Store, StoreGroup
from apps.visitors.models import Visitor
from apps.visitors.services import SealedTemplate, enroll
from apps.visits import selectors
from apps.visits.models import Visit
from apps.visits.services import disclose
from tests.clients import browser
from tests.conftest import House
from tests.database import run, without_triggers
from tests.groups import agreed_for, grouped, joined, left
from tests.visits.test_disclose import match_of, old_town, visit_of
from tests.waiting import until


@dataclass(frozen=True, slots=True)
class Pair:
    """Somebody of the house who agreed to be recognised in the other store of the group too."""

    here: House
    there: House
    group: StoreGroup
    visitor: Visitor

    def comes(self, store: House) -> str:
        """What becomes of a match in a store."""
        return disclose(match_of(self.visitor, store)).outcome


@pytest.fixture
def pair(house: House) -> Pair:
    there = old_town(house)
    group = grouped(house, there)
    return Pair(house, there, group, house.visitor(**agreed_for(there)))


def test_a_visit_in_another_store_of_the_group_belongs_to_that_store(pair: Pair) -> None:
    assert (pair.comes(pair.there), pair.comes(pair.here)) == ("visit", "visit")
    assert (pair.comes(pair.there), pair.comes(pair.here)) == ("still_here", "still_here")
    for house in (pair.here, pair.there):
        (visit,) = selectors.current(house.store)
        assert (visit.store, visit.number) == (house.store, 1), "each store counts its own visits"
    board = browser(pair.here.staff).get("/floor/harbour-street/").content.decode()
    assert board.count('data-testid="visit-card"') == 1


def purpose_withdrawn(pair: Pair) -> None:
    withdraw_purpose(visitor=pair.visitor, purpose=Purpose.GROUP, actor="self")


def store_left(pair: Pair) -> None:
    left(pair.there)


def home_left(pair: Pair) -> None:
    left(pair.here)


def store_came_back(pair: Pair) -> None:
    left(pair.there)
    joined(pair.there, pair.group)


def home_came_back(pair: Pair) -> None:
    left(pair.here)
    joined(pair.here, pair.group)


def both_in_another_group(pair: Pair) -> None:
    left(pair.here)
    left(pair.there)
    grouped(pair.here, pair.there, name="Another")


def store_in_another_group(pair: Pair) -> None:
    left(pair.there)
    grouped(pair.there, old_town(pair.here, "Far Away"), name="Another")


def store_sold(pair: Pair) -> None:
    """Past the trigger that refuses it while the store is in the group."""
    buyer = Organization.objects.create(
        name="Other", address="x", contact_name="x", contact_email="x@x.example"
    )
    with without_triggers("stores_store"):
        Store.objects.filter(pk=pair.there.store.pk).update(organization=buyer)


def store_under_another_law(pair: Pair) -> None:
    with without_triggers("stores_store"):
        Store.objects.filter(pk=pair.there.store.pk).update(jurisdiction="cn")


def not_named(pair: Pair) -> None:
    """Whoever took the store's name out of what was signed."""
    with without_triggers("consent_consent"):
        Consent.objects.update(group_stores=[uuid.uuid4()])


ENDS: list[Callable[[Pair], None]] = [
    purpose_withdrawn,
    store_left,
    home_left,
    store_came_back,
    home_came_back,
    both_in_another_group,
    store_in_another_group,
    store_sold,
    store_under_another_law,
    not_named,
]


@pytest.mark.parametrize("end", ENDS)
def test_where_the_consent_does_not_cover_a_store_nothing_is_disclosed(
    pair: Pair, end: Callable[[Pair], None]
) -> None:
    assert pair.comes(pair.there) == "visit"
    end(pair)
    Visit.objects.all().delete()
    assert pair.comes(pair.there) == "refused"
    assert not Visit.objects.exists()
    assert pair.comes(pair.here) == "visit", "where they signed nothing has changed"


@pytest.mark.parametrize("end", ENDS)
def test_a_card_that_is_on_a_board_goes_with_what_covered_it(
    pair: Pair, end: Callable[[Pair], None]
) -> None:
    assert (pair.comes(pair.there), pair.comes(pair.here)) == ("visit", "visit")
    end(pair)
    assert not selectors.current(pair.there.store)
    assert selectors.current(pair.here.store)


def test_a_store_that_joins_later_is_not_covered_by_what_was_signed_before(pair: Pair) -> None:
    later = old_town(pair.here, "Far Away")
    joined(later, pair.group)
    assert pair.comes(later) == "refused"
    assert pair.comes(pair.there) == "visit"
    newcomer = replace(pair, visitor=pair.here.visitor(**agreed_for(pair.there, later)))
    assert newcomer.comes(later) == "visit"


def test_who_did_not_agree_to_the_group_is_known_in_one_store(pair: Pair) -> None:
    asked = [Purpose.LANE, Purpose.GROUP]
    one = replace(pair, visitor=pair.here.visitor(purposes=[Purpose.LANE], asked=asked))
    assert one.comes(pair.there) == "refused"
    assert Consent.objects.get(subject=one.visitor.subject).declined == ["group"]


def test_the_other_way_round_it_takes_a_consent_of_ones_own(pair: Pair) -> None:
    """A group does not make what was signed in one of its stores hold in both directions."""
    local = replace(pair, visitor=pair.there.visitor())
    assert local.comes(pair.here) == "refused"
    assert local.comes(pair.there) == "visit"


def test_another_organization_is_reached_by_no_group(pair: Pair) -> None:
    other = Organization.objects.create(
        name="Other", address="x", contact_name="x", contact_email="x@x.example"
    )
    strangers = old_town(replace(pair.here, organization=other), "Strangers")
    assert pair.comes(strangers) == "refused"
    with pytest.raises(DatabaseError, match="share one organization"), transaction.atomic():
        joined(strangers, pair.group)


@pytest.mark.parametrize("named", [[], "more", "fewer", "others"])
def test_who_was_asked_about_other_stores_than_there_are_is_asked_again(
    pair: Pair, named: object
) -> None:
    later = old_town(pair.here, "Far Away")
    joined(later, pair.group)
    stores: dict[object, list[uuid.UUID]] = {
        "more": [pair.there.store.pk, later.store.pk, uuid.uuid4()],
        "fewer": [pair.there.store.pk],
        "others": [later.store.pk, uuid.uuid4()],
    }
    shown = stores[named] if isinstance(named, str) else []
    with pytest.raises(ConsentRefused) as refused:
        pair.here.draft(**agreed_for(stores=shown))
    assert refused.value.code == "group_changed"


def test_a_store_that_leaves_while_somebody_signs_is_not_signed_for(pair: Pair) -> None:
    consent = pair.here.draft(**agreed_for(pair.there))
    left(pair.there)
    with pytest.raises(ConsentRefused) as refused:
        consents.sign(consent)
    assert refused.value.code == "group_changed"
    assert Consent.objects.count() == 1


def test_visits_in_a_store_that_left_are_swept_and_those_at_home_are_not(pair: Pair) -> None:
    assert (pair.comes(pair.there), pair.comes(pair.here)) == ("visit", "visit")
    left(pair.there)
    assert sweep().visits == 1
    assert Visit.objects.get().store == pair.here.store


def test_without_a_history_no_open_board_of_the_group_says_a_number(
    house: House, transactional_db: None
) -> None:
    there = old_town(house)
    grouped(house, there)
    purposes = [Purpose.LANE, Purpose.HISTORY, Purpose.STATISTICS, Purpose.GROUP]
    pair = Pair(
        house,
        there,
        StoreGroup.objects.get(),
        house.visitor(**agreed_for(there, purposes=purposes, asked=purposes)),
    )
    assert (pair.comes(pair.there), pair.comes(pair.here)) == ("visit", "visit")
    before = {visit.store_id: visit.sequence for visit in Visit.objects.all()}
    with live_events().pubsub(ignore_subscribe_messages=True) as boards:
        boards.psubscribe("floor:*")
        until(lambda: live_events().pubsub_numpat() == 1)
        withdraw_purpose(visitor=pair.visitor, purpose=Purpose.HISTORY, actor="self")
        told: set[bytes] = set()
        until(lambda: heard(boards, told) == {f"floor:{one}".encode() for one in before})
    for visit in Visit.objects.all():
        assert (visit.number, visit.sequence > before[visit.store_id]) == (None, True)


def heard(boards: PubSub, told: set[bytes]) -> set[bytes]:
    """The channels on which something was said until now."""
    if message := boards.get_message(timeout=1):
        told.add(message["channel"])
    return told


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_locks WHERE NOT granted")
        return cursor.fetchone() is not None


def test_a_withdrawal_that_is_under_way_is_waited_for(transactional_db: None, pair: Pair) -> None:
    """Whoever waited asks what is agreed to now, not what was agreed to when they began."""
    outcomes = []

    def come() -> None:
        outcomes.append(pair.comes(pair.there))
        connection.close()

    camera = Thread(target=come)
    with transaction.atomic():
        purpose_withdrawn(pair)
        camera.start()
        until(somebody_waits, seconds=20)
    camera.join()
    assert outcomes == ["refused"]
    assert not Visit.objects.exists()


def test_a_pass_is_good_in_the_other_store_too_and_nowhere_else(pair: Pair) -> None:
    purposes = [Purpose.PASS, Purpose.GROUP]
    consent = consents.sign(
        pair.here.draft(**agreed_for(pair.there, purposes=purposes, asked=purposes))
    ).consent
    holder = enroll(
        visitor=uuid.uuid4(),
        consent=consent,
        greeting_name="Mr Okoye",
        contact="",
        templates=[SealedTemplate(uuid.uuid4(), b"wrapped", 1, b"CPT1 sealed", "p", "1", "pass")],
        actor="test",
    )
    person = replace(pair, visitor=holder)
    elsewhere = old_town(pair.here, "Far Away")
    run("UPDATE stores_camera SET mode = 'pass'")
    assert person.comes(pair.there) == "visit"
    assert person.comes(elsewhere) == "refused"


def test_a_mistake_in_the_other_store_is_marked_and_taken_back_there(pair: Pair) -> None:
    visit = visit_of(disclose(match_of(pair.visitor, pair.there)))
    pair.here.staff.roles.create(store=pair.there.store, kind="staff")
    staff = browser(pair.here.staff)
    staff.post(f"/floor/old-town/visits/{visit.pk}/wrong/")
    assert not selectors.current(pair.there.store)
    staff.post(f"/floor/harbour-street/visits/{visit.pk}/wrong/undo/")
    assert not selectors.current(pair.there.store), "it was in the other store"
    staff.post(f"/floor/old-town/visits/{visit.pk}/wrong/undo/")
    assert selectors.current(pair.there.store)
