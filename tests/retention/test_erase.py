"""An erasure goes through whatever happens in the same moment, and once only."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import pytest
from django.db import connection, transaction

from apps.audit import services as audit
from apps.audit.models import Entry
from apps.consent import services as consents
from apps.consent.models import Consent, Purpose
from apps.recognition.client import Decision
from apps.retention.models import Erasure
from apps.retention.services.erase import complete, erase
from apps.visitors import cards
from apps.visitors.models import Visitor
from apps.visits.checkin import check_in
from apps.visits.models import Visit
from apps.visits.services import disclose, greet
from tests.conftest import House, build_house
from tests.database import run
from tests.visits.test_disclose import match_of
from tests.waiting import until

Result = TypeVar("Result")


@pytest.fixture
def town(transactional_db: None) -> House:
    return build_house()


class Moment:
    """Threads that wait for a lock which this test holds, in the order in which they came."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(4)
        self._begun = 0

    def begin(self, act: Callable[[], Result]) -> "Future[Result]":
        """Start an act and come back when it waits."""

        def alone() -> Result:
            try:
                return act()
            finally:
                connection.close()

        future = self._pool.submit(alone)
        self._begun += 1
        until(lambda: waiting() == self._begun)
        return future


def waiting() -> int:
    with connection.cursor() as cursor:
        # Not pg_stat_activity, which stands still within a transaction.
        cursor.execute("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
        return int(cursor.fetchone()[0])


def end(visitor: Visitor) -> Erasure:
    return complete(erase(visitor=visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self"))


def test_who_withdraws_while_somebody_greets_them_is_erased(town: House) -> None:
    """The two wait for each other's rows in one order, or PostgreSQL would end one of them."""
    visitor = town.visitor()
    disclose(match_of(visitor, town))
    visit, moment = Visit.objects.get(), Moment()
    consents.withdraw(consent=Consent.objects.get(), actor="self")
    with transaction.atomic():
        # Whoever writes into the ledger waits.
        run(f"SELECT pg_advisory_xact_lock({audit.LOCK})")
        erased = moment.begin(lambda: end(visitor))
        greeted = moment.begin(lambda: greet(visit=visit, user=town.staff))
    assert erased.result(timeout=10).document
    # Before the rows went or after: either way the greeting is answered.
    assert isinstance(greeted.exception(timeout=10), Visit.DoesNotExist | None)
    nothing_is_left()


def arriving(town: House, way: str) -> tuple[Visitor, Callable[[], Decision]]:
    """Somebody, and how they arrive."""
    code = cards.draw()
    agreed = [Purpose.HISTORY, Purpose(way)]
    visitor = town.visitor(card=code, purposes=agreed)
    if way == "card":
        return visitor, lambda: check_in(code=code, store=town.store, actor="test")
    match = match_of(visitor, town)
    return visitor, lambda: disclose(match)


@pytest.mark.parametrize("way", ["lane", "card"])
def test_who_withdraws_while_they_arrive_is_erased(town: House, way: str) -> None:
    (visitor, arrive), moment = arriving(town, way), Moment()
    with transaction.atomic():
        # Whoever needs the consent waits.
        Consent.objects.select_for_update().get()
        seen = moment.begin(arrive)
        erased = moment.begin(lambda: end(visitor))
    assert seen.result(timeout=10).outcome == "visit", "a moment before"
    assert erased.result(timeout=10).document
    nothing_is_left()


@pytest.mark.parametrize("way", ["lane", "card"])
def test_who_arrives_while_being_erased_is_not_disclosed(town: House, way: str) -> None:
    (visitor, arrive), moment = arriving(town, way), Moment()
    with transaction.atomic():
        run(f"SELECT pg_advisory_xact_lock({audit.LOCK})")
        erased = moment.begin(lambda: end(visitor))
        seen = moment.begin(arrive)
    assert erased.result(timeout=10).document
    assert seen.result(timeout=10) == Decision(None, "refused")
    nothing_is_left()


def test_two_who_erase_at_once_make_one_certificate(town: House) -> None:
    visitor, moment = town.visitor(), Moment()
    with transaction.atomic():
        run(f"SELECT pg_advisory_xact_lock({audit.LOCK})")
        both = [moment.begin(lambda: end(visitor)) for _ in range(2)]
    faster = [each for each in both if each.exception(timeout=10) is None]
    slower = [each for each in both if each.exception(timeout=10) is not None]
    assert faster[0].result().document
    assert isinstance(slower[0].exception(), Visitor.DoesNotExist)
    assert Erasure.objects.count() == 1
    assert Entry.objects.filter(action="visitor.erased").count() == 1
    nothing_is_left()


def nothing_is_left() -> None:
    assert not Visitor.objects.exists()
    assert not Visit.objects.exists()
    assert audit.verify().ok
