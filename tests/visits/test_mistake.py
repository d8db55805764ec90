"""“Not this person”: the visit was nobody's, the threshold learns of it, and a slip is undone."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from apps.audit.models import Entry
from apps.consent import services as consents
from apps.consent.models import Consent, Purpose
from apps.retention.models import Erasure
from apps.retention.services.erase import erase
from apps.retention.services.sweep import sweep
from apps.stores.models import Store
from apps.visitors.models import FaceTemplate
from apps.visitors.services import restrict
from apps.visits import selectors
from apps.visits.mistakes import UNDO, mark_wrong
from apps.visits.models import Disclosure, FalseGreeting, Visit
from apps.visits.services import disclose
from tests.clients import browser
from tests.conftest import House
from tests.visits.test_board import BOARD, arrives, colleague, shown
from tests.visits.test_disclose import match_of, visit_of

PARTIAL = {"Consentry-Partial": "1"}


@pytest.fixture
def linda(house: House) -> Client:
    return browser(house.staff)


def wrong(visit: Visit) -> str:
    return f"{BOARD}visits/{visit.pk}/wrong/"


def undo(visit: Visit) -> str:
    return f"{wrong(visit)}undo/"


def leaves_for_long_enough(house: House) -> None:
    Visit.objects.update(
        last_seen_at=timezone.now() - timedelta(minutes=house.store.absence_minutes + 1)
    )


def again(visit: Visit, house: House, score: float = 0.8) -> Visit:
    """The same template matches anew, after an absence."""
    leaves_for_long_enough(house)
    return visit_of(disclose(match_of(visit.visitor, house, score=score)))


# The board.


def test_one_tap_takes_the_card_off_the_board(house: House, linda: Client) -> None:
    visit = arrives(house)
    assert linda.post(wrong(visit))["Location"] == BOARD
    assert shown(linda) == shown(browser(colleague(house, "Mia"))) == []
    visit.refresh_from_db()
    assert visit.wrong_by == house.staff
    assert visit.wrong_at is not None
    (entry,) = Entry.objects.filter(action="visit.wrong")
    assert entry.actor == f"user:{house.staff.pk}"
    assert entry.detail == {"visit": str(visit.pk)}


def test_also_after_a_greeting_which_is_when_staff_notice(house: House, linda: Client) -> None:
    visit = arrives(house)
    card = linda.post(f"{BOARD}visits/{visit.pk}/greet/", headers=PARTIAL).content.decode()
    assert "Not this person" in card
    linda.post(wrong(visit))
    assert shown(linda) == []


def test_a_wrong_visit_is_greeted_by_nobody(house: House, linda: Client) -> None:
    visit = arrives(house)
    linda.post(wrong(visit))
    assert linda.post(f"{BOARD}visits/{visit.pk}/greet/").status_code == 404
    visit.refresh_from_db()
    assert visit.greeted_at is None


def test_only_whoever_tapped_is_offered_the_undo(house: House, linda: Client) -> None:
    visit = arrives(house)
    line = linda.post(wrong(visit), headers=PARTIAL).content.decode()
    assert line.lstrip().startswith(f'<li id="wrong-{visit.pk}"')
    assert undo(visit) in line
    assert undo(visit) in linda.get(BOARD).content.decode()
    assert undo(visit) not in browser(colleague(house, "Mia")).get(BOARD).content.decode()


def test_a_colleagues_later_tap_changes_nothing(house: House, linda: Client) -> None:
    visit = arrives(house)
    linda.post(wrong(visit))
    mia = browser(colleague(house, "Mia"))
    assert mia.post(wrong(visit), headers=PARTIAL).status_code == 204
    visit.refresh_from_db()
    assert visit.wrong_by == house.staff
    assert FalseGreeting.objects.count() == 1
    assert Entry.objects.filter(action="visit.wrong").count() == 1


def test_of_many_taps_at_once_one_counts(house: House, transactional_db: None) -> None:
    visit = arrives(house)
    people = [browser(colleague(house, f"Person{index}")) for index in range(6)]

    def tap(client: Client) -> int:
        try:
            return client.post(wrong(visit)).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        assert set(threads.map(tap, people)) == {302}
    assert FalseGreeting.objects.count() == 1
    assert Entry.objects.filter(action="visit.wrong").count() == 1


def test_only_staff_of_the_store_say_so(house: House, linda: Client) -> None:
    visit = arrives(house)
    elsewhere = Store.objects.create(
        organization=house.organization, name="Old Town", slug="old-town", jurisdiction="eu"
    )
    otto, officer = browser(colleague(house, "Otto", elsewhere)), browser(house.dpo)
    for client in (otto, officer):
        for path in (wrong(visit), undo(visit)):
            assert client.post(path).status_code == 404
    through_their_own = wrong(visit).replace("harbour-street", "old-town")
    assert otto.post(through_their_own).status_code == 404
    assert browser().post(wrong(visit))["Location"].startswith("/login/")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(house.staff)
    assert strict.post(wrong(visit)).status_code == 403
    assert linda.get(wrong(visit)).status_code == 405
    assert shown(linda) == ["Ms Chen"]


# Whose visit it was not.


def test_it_is_no_visit_of_the_person_it_named(house: House, linda: Client) -> None:
    first = arrives(house)
    second = again(first, house)
    assert second.number == 2
    linda.post(wrong(second))
    third = again(first, house)
    assert third.number == 2
    (card,) = [each for each in selectors.current(house.store) if each.pk == third.pk]
    assert selectors.card(card).last_visit == first.arrived_at


def test_after_a_wrong_first_visit_the_real_one_is_the_first(house: House, linda: Client) -> None:
    visit = arrives(house)
    linda.post(wrong(visit))
    assert again(visit, house).number == 1
    page = linda.get(BOARD).content.decode()
    assert "First visit" in page
    assert 'data-testid="visit-last"' not in page


def test_a_wrong_visit_is_not_the_last_that_an_empty_board_names(
    house: House, linda: Client
) -> None:
    linda.post(wrong(arrives(house)))
    assert selectors.last_arrival(house.store) is None


def test_the_letter_tells_of_the_mistake_and_lists_no_visit(house: House, linda: Client) -> None:
    visit = arrives(house)
    linda.post(wrong(visit))
    secret = consents.reissue(visit.consent).secret
    letter = browser().post("/receipt/", {"secret": secret}).content.decode()
    assert 'data-testid="receipt-visits"' not in letter
    assert "Your visits" not in letter
    assert "Someone else was taken for you" in letter
    assert "Someone who works here: said that it was someone else" in letter


def test_a_wrong_visit_keeps_no_template_longer(house: House, linda: Client) -> None:
    visitor = house.visitor()
    template = visitor.templates.get()
    due = timezone.now() + timedelta(days=9)
    FaceTemplate.objects.update(delete_after=due)
    visit = visit_of(disclose(match_of(visitor, house)))
    template.refresh_from_db()
    assert template.delete_after > due
    linda.post(wrong(visit))
    template.refresh_from_db()
    assert template.delete_after == due


def test_of_two_wrong_visits_in_any_order_none_keeps_the_template_longer(
    house: House, linda: Client
) -> None:
    visitor = house.visitor()
    due = timezone.now() + timedelta(days=9)
    FaceTemplate.objects.update(delete_after=due)
    first = visit_of(disclose(match_of(visitor, house)))
    second = again(first, house)
    linda.post(wrong(first))
    assert visitor.templates.get().delete_after > due, "the second may be theirs"
    linda.post(wrong(second))
    assert visitor.templates.get().delete_after == due


def test_a_template_that_only_a_wrong_visit_kept_is_erased_at_once(
    house: House, linda: Client
) -> None:
    visit = arrives(house)
    Visit.objects.update(template_due=timezone.now() - timedelta(hours=1))
    linda.post(wrong(visit))
    due = FaceTemplate.objects.get().delete_after
    assert timezone.now() < due < timezone.now() + timedelta(minutes=2)


def test_a_template_is_not_changed_by_it(house: House, linda: Client) -> None:
    """It sets the threshold, it never trains."""
    visit = arrives(house)
    before = FaceTemplate.objects.values("sealed", "pack", "not_after").get()
    linda.post(wrong(visit))
    assert FaceTemplate.objects.values("sealed", "pack", "not_after").get() == before


# The same wrong thing is not said again.


def test_whoever_was_mistaken_is_not_announced_again_in_the_same_stay(
    house: House, linda: Client
) -> None:
    visit = arrives(house)
    linda.post(wrong(visit))
    for _frame in range(3):
        assert disclose(match_of(visit.visitor, house)).outcome == "still_here"
    assert shown(linda) == []
    assert FalseGreeting.objects.count() == Visit.objects.count() == 1


def test_the_stay_is_measured_from_the_last_time_they_were_seen(
    house: House, linda: Client
) -> None:
    visit = arrives(house)
    linda.post(wrong(visit))
    almost = timedelta(minutes=house.store.absence_minutes - 1)
    Visit.objects.update(last_seen_at=timezone.now() - almost)
    assert disclose(match_of(visit.visitor, house)).outcome == "still_here"
    visit.refresh_from_db()
    assert timezone.now() - visit.last_seen_at < timedelta(minutes=1)
    again(visit, house)
    assert shown(linda) == ["Ms Chen"]


# What is learnt.


def test_what_is_kept_for_the_threshold_names_nobody(house: House, linda: Client) -> None:
    visit = visit_of(disclose(match_of(house.visitor(), house, score=0.456789)))
    linda.post(wrong(visit))
    kept = FalseGreeting.objects.values().get()
    assert kept == {
        "id": kept["id"],
        "store_id": house.store.pk,
        "camera_id": house.camera.pk,
        "day": timezone.now().date(),
        "score": 0.457,
        "threshold": 0.4,
    }


def test_the_wrong_visit_goes_with_its_shift_and_the_score_stays(
    house: House, linda: Client
) -> None:
    visit = arrives(house)
    assert visit.delete_after > timezone.now() + timedelta(days=100)
    linda.post(wrong(visit))
    visit.refresh_from_db()
    assert visit.delete_after < timezone.now() + timedelta(hours=13)
    Visit.objects.update(delete_after=timezone.now())
    assert sweep().visits == 1
    assert FalseGreeting.objects.count() == 1


def test_the_score_outlives_the_person_it_was_not(house: House, linda: Client) -> None:
    visit = arrives(house)
    linda.post(wrong(visit))
    erase(visitor=visit.visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")
    assert not Visit.objects.exists()
    assert FalseGreeting.objects.count() == 1


def test_the_rate_is_of_the_arrivals_of_its_week(house: House, linda: Client) -> None:
    visits = [arrives(house, f"Visitor {index}") for index in range(4)]
    linda.post(wrong(visits[0]))
    last_week = timezone.now().date() - timedelta(days=7)
    Disclosure.objects.create(store=house.store, day=last_week, count=50)
    long_ago = timezone.now().date() - timedelta(days=30)
    Disclosure.objects.create(store=house.store, day=long_ago, count=1000)
    ((store, week, before),) = selectors.weeks(Store.objects.all())
    assert store == house.store
    assert (week.arrivals, week.wrong, week.percent) == (4, 1, 25)
    assert (before.arrivals, before.wrong, before.percent) == (50, 0, 0)


def test_a_store_without_arrivals_has_no_rate(house: House) -> None:
    ((_store, week, _before),) = selectors.weeks(Store.objects.all())
    assert week.percent is None


def test_the_rate_counts_people_without_a_history_after_their_visits_are_gone(
    house: House, linda: Client
) -> None:
    for _each in range(2):
        disclose(match_of(house.visitor(purposes=[Purpose.LANE]), house))
    linda.post(wrong(Visit.objects.all()[0]))
    Visit.objects.all().delete()
    ((_store, week, _before),) = selectors.weeks(Store.objects.all())
    assert week.percent == 50


# A slip.


def test_a_slip_is_undone_as_if_nothing_had_been(house: House, linda: Client) -> None:
    first = arrives(house)
    visit = again(first, house)
    kept = ("number", "greeted_at", "arrived_at", "last_seen_at", "wrong_at", "wrong_by")
    before = {name: getattr(visit, name) for name in kept}
    due = FaceTemplate.objects.get().delete_after
    linda.post(wrong(visit))
    assert linda.post(undo(visit))["Location"] == BOARD
    sequence = visit.sequence
    visit.refresh_from_db()
    assert {name: getattr(visit, name) for name in kept} == before
    assert visit.sequence > sequence
    assert visit.delete_after == visit.arrived_at + timedelta(days=house.store.pack.visit_days)
    assert abs(FaceTemplate.objects.get().delete_after - due) < timedelta(minutes=1)
    assert not FalseGreeting.objects.exists()
    assert visit.pk in {each.pk for each in selectors.current(house.store)}
    assert Entry.objects.filter(action="visit.wrong_undone").count() == 1


def test_an_undone_visit_without_a_history_still_goes_with_its_shift(
    house: House, linda: Client
) -> None:
    visit = visit_of(disclose(match_of(house.visitor(purposes=[Purpose.LANE]), house)))
    linda.post(wrong(visit))
    linda.post(undo(visit))
    visit.refresh_from_db()
    assert visit.delete_after == visit.arrived_at + timedelta(hours=12)


def test_an_undo_answers_with_the_card(house: House, linda: Client) -> None:
    visit = arrives(house)
    linda.post(wrong(visit))
    card = linda.post(undo(visit), headers=PARTIAL).content.decode()
    assert card.lstrip().startswith(f'<li id="visit-{visit.pk}"')


def too_late(house: House, visit: Visit) -> None:
    Visit.objects.update(wrong_at=timezone.now() - UNDO)


def by_a_colleague(house: House, visit: Visit) -> None:
    Visit.objects.update(wrong_by=colleague(house, "Mia"))


def withdrawn(house: House, visit: Visit) -> None:
    consents.withdraw(consent=Consent.objects.get(pk=visit.consent_id), actor="self")


def paused(house: House, visit: Visit) -> None:
    restrict(visitor=visit.visitor, restricted=True, actor="self")


@pytest.mark.parametrize("meanwhile", [too_late, by_a_colleague, withdrawn, paused])
def test_what_cannot_be_undone_any_more_stays_off_the_board(
    house: House, linda: Client, meanwhile: Callable[[House, Visit], None]
) -> None:
    visit = arrives(house)
    linda.post(wrong(visit))
    meanwhile(house, visit)
    assert linda.post(undo(visit))["Location"] == BOARD
    assert linda.post(undo(visit), headers=PARTIAL).status_code == 404
    assert shown(linda) == []
    visit.refresh_from_db()
    assert visit.wrong_at is not None
    assert FalseGreeting.objects.count() == 1


def test_a_consent_that_ends_under_the_tap_is_no_fault(house: House) -> None:
    """The page was loaded before, the database is asked after."""
    visit = arrives(house)
    found = selectors.lawful(house.store).get(pk=visit.pk)
    withdrawn(house, visit)
    assert mark_wrong(visit=found, user=house.staff).wrong_at is not None
