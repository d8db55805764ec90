"""What other systems are told, that it reaches them whatever fails, and that it ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from apps.audit import services as audit
from apps.audit.models import Entry
from apps.consent.models import Purpose
from apps.privacy.services import pause, rename
from apps.retention.models import Erasure
from apps.retention.services.erase import erase
from apps.retention.services.withdraw import withdraw_purpose
from apps.systems import services
from apps.systems.delivery import deliver, payload
from apps.systems.models import Delivery, Event, Scope, Told
from apps.visits.mistakes import mark_wrong, take_back
from apps.visits.models import Visit
from apps.visits.services import disclose
from tests.conftest import House
from tests.systems.others import Crm, let_in, listening
from tests.visits.test_disclose import match_of


@pytest.fixture
def crm(tmp_path: Path) -> Iterator[Crm]:
    crm = Crm(tmp_path)
    yield crm
    crm.kill()


def test_a_system_hears_of_an_arrival_and_of_its_end_and_then_nothing_is_left(
    house: House, crm: Crm
) -> None:
    client = let_in(house)
    crm.subscribe(client)
    crm.start()
    visitor = house.visitor()
    subject = visitor.subject
    decision = disclose(match_of(visitor, house))
    assert deliver(client.pk) == 1
    ((visit, person, store, _at, name),) = crm.rows("visit")
    assert (visit, store, name) == (str(decision.visit), str(house.store.pk), "Ms Chen")
    assert Told.objects.get(subject=subject).person.hex == person.replace("-", "")
    assert not Delivery.objects.exists()

    erase(visitor=visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")
    # From the commit on nothing says who it was, and the end waits to be delivered.
    assert Told.objects.get().subject is None
    assert set(Delivery.objects.values_list("event", flat=True)) == {
        Event.WITHDRAWN,
        Event.ERASED,
    }
    assert deliver(client.pk) == 2
    assert crm.rows("visit") == []
    assert crm.rows("gone") == [(person,)]
    assert not Told.objects.exists()
    assert Entry.objects.filter(action="ending.acknowledged").count() == 2
    assert audit.verify().ok


def test_two_systems_know_one_person_by_different_ids_and_names_need_their_scope(
    house: House, tmp_path: Path
) -> None:
    seen = []
    systems = []
    for number, scopes in enumerate(([Scope.VISITS], [Scope.VISITS, Scope.NAMES])):
        folder = tmp_path / str(number)
        folder.mkdir()
        crm, client = Crm(folder), let_in(house, scopes)
        crm.subscribe(client)
        crm.start()
        systems.append((crm, client))
    disclose(match_of(house.visitor(), house))
    for crm, client in systems:
        assert deliver(client.pk) == 1
        seen.append(crm.rows("visit")[0])
        crm.kill()
    (visit, person, _store, _at, name), (visit_2, person_2, _store_2, _at_2, name_2) = seen
    assert visit == visit_2
    assert person != person_2
    assert (name, name_2) == (None, "Ms Chen")


def test_a_purpose_that_is_taken_back_is_told_and_one_that_no_system_knew_is_not(
    house: House,
) -> None:
    listening(house)
    agreed = [Purpose.LANE, Purpose.HISTORY, Purpose.CONTACT]
    visitor = house.visitor(purposes=agreed)
    disclose(match_of(visitor, house))
    Delivery.objects.all().delete()
    withdraw_purpose(visitor=visitor, purpose=Purpose.CONTACT, actor="self")
    assert not Delivery.objects.exists()
    withdraw_purpose(visitor=visitor, purpose=Purpose.HISTORY, actor="self")
    assert Delivery.objects.get().purpose == "history"
    assert Told.objects.get().subject == visitor.subject


def test_a_pause_is_told_and_so_is_its_end(house: House, crm: Crm) -> None:
    client = let_in(house)
    crm.subscribe(client)
    crm.start()
    visitor = house.visitor()
    disclose(match_of(visitor, house))
    deliver(client.pk)
    pause(visitor=visitor, paused=True, actor="self")
    assert deliver(client.pk) == 1
    assert crm.rows("paused") == [(str(Told.objects.get().person),)]
    pause(visitor=visitor, paused=False, actor="self")
    assert deliver(client.pk) == 1
    assert crm.rows("paused") == []


def test_what_was_not_sent_before_a_withdrawal_is_not_sent_after_it(house: House) -> None:
    listening(house)
    visitor = house.visitor()
    disclose(match_of(visitor, house))
    assert Delivery.objects.get().event == Event.ARRIVED
    erase(visitor=visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")
    assert not Delivery.objects.filter(event=Event.ARRIVED).exists()


def test_a_corrected_name_reaches_whoever_knew_the_wrong_one(
    house: House, crm: Crm, live_server: LiveServer
) -> None:
    client = let_in(house)
    crm.subscribe(client)
    token = services.new_token(client=client, actor="test")
    crm.start(CRM_API=f"{live_server.url}/api/v1", CRM_TOKEN=token)
    visitor = house.visitor("Ms Chen")
    disclose(match_of(visitor, house))
    deliver(client.pk)
    rename(visitor=visitor, greeting_name="Ms Chen", say_as="chuhn", actor="self")
    assert kinds() == [], "they were never told how it is said"
    rename(visitor=visitor, greeting_name="Ms Chan", actor="self")
    rename(visitor=visitor, greeting_name="Ms Chang", say_as="chahng", actor="self")
    message = Delivery.objects.get()
    assert message.event == Event.RECTIFIED
    assert "Chang" not in str(payload(message)), "it carries ids only"
    assert deliver(client.pk) == 1
    assert [row[4] for row in crm.rows("visit")] == ["Ms Chang"]
    assert not Delivery.objects.exists()

    # Corrected during a pause: no name may be used, and then the new one.
    pause(visitor=visitor, paused=True, actor="self")
    rename(visitor=visitor, greeting_name="Ms Zhang", actor="self")
    assert deliver(client.pk) == 2
    assert [row[4] for row in crm.rows("visit")] == [None]
    pause(visitor=visitor, paused=False, actor="self")
    assert deliver(client.pk) == 1
    assert [row[4] for row in crm.rows("visit")] == ["Ms Zhang"]


def test_without_an_answer_to_its_question_a_system_does_not_say_that_it_corrected(
    house: House, crm: Crm
) -> None:
    client = let_in(house)
    crm.subscribe(client)
    crm.start(CRM_API="http://127.0.0.1:9/api/v1", CRM_TOKEN="cst_x")
    visitor = house.visitor()
    disclose(match_of(visitor, house))
    deliver(client.pk)
    rename(visitor=visitor, greeting_name="Ms Chan", actor="self")
    assert deliver(client.pk) == 0
    assert Delivery.objects.get().outcome == "503"


def kinds(**about: object) -> list[str]:
    return list(Delivery.objects.filter(**about).order_by("at").values_list("event", flat=True))


def test_the_last_word_on_a_pause_holds_whatever_is_tried_again(house: House) -> None:
    listening(house)
    visitor = house.visitor()
    disclose(match_of(visitor, house))
    pause(visitor=visitor, paused=True, actor="self")
    assert kinds() == [Event.RESTRICTED], "what was not told before is told no more"
    Delivery.objects.update(attempts=3)
    pause(visitor=visitor, paused=False, actor="self")
    assert kinds() == [Event.RESUMED]


def test_a_mistake_and_its_undoing_leave_one_word(house: House) -> None:
    listening(house)
    visitor = house.visitor()
    disclose(match_of(visitor, house))
    Delivery.objects.update(attempts=1)
    mark_wrong(visit=Visit.objects.get(), user=house.staff)
    assert kinds() == [Event.RETRACTED], "an arrival that may come later would come last"
    take_back(visit=Visit.objects.get(), user=house.staff)
    assert kinds() == [Event.ARRIVED]
    mark_wrong(visit=Visit.objects.get(), user=house.staff)
    pause(visitor=visitor, paused=True, actor="self")
    take_back(visit=Visit.objects.get(), user=house.staff)
    assert Event.ARRIVED not in kinds(), "nobody is told where a paused person was"


def test_only_who_may_ask_for_arrivals_is_told_of_them_and_not_past_their_time(
    house: House,
) -> None:
    client = let_in(house, [Scope.CONSENTS])
    url = "https://crm.example/hook"
    services.set_webhook(client=client, url=url, arrivals=True, actor="test")
    disclose(match_of(house.visitor(), house))
    assert not Delivery.objects.exists()
    listening(house)
    disclose(match_of(house.visitor("Mr Okoye"), house))
    assert Delivery.objects.due().count() == 1
    Delivery.objects.update(delete_after=timezone.now())
    assert not Delivery.objects.due().exists()
