"""Two at one person at the same moment: nobody knows of them without hearing that it is over."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction

from apps.retention.models import Erasure
from apps.retention.services.erase import erase, lock
from apps.systems import delivery
from apps.systems.models import Delivery, Told
from apps.visits.services import disclose
from tests.conftest import House, build_house
from tests.systems.others import Caller, let_in, listening
from tests.visits.test_disclose import match_of
from tests.waiting import until

BLOCKED = "SELECT count(*) FROM pg_locks WHERE NOT granted"

Meanwhile = Callable[[Callable[[], Any]], Future[Any]]


@pytest.fixture
def town(transactional_db: None) -> House:
    return build_house()


@pytest.fixture
def meanwhile() -> Iterator[Meanwhile]:
    """Begins an act on a connection of its own; returns once it waits for a lock of this one."""

    def alone(act: Callable[[], Any]) -> Any:
        try:
            return act()
        finally:
            connection.close()

    def waits() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(BLOCKED)
            return bool(cursor.fetchone()[0])

    with ThreadPoolExecutor(1) as pool:

        def begin(act: Callable[[], Any]) -> Future[Any]:
            begun = pool.submit(alone, act)
            until(waits, seconds=20)
            return begun

        yield begin


def test_a_system_that_reads_while_somebody_is_erased_reads_nothing(
    town: House, meanwhile: Meanwhile
) -> None:
    visitor = town.visitor()
    disclose(match_of(visitor, town))
    caller = Caller(let_in(town))
    with transaction.atomic():
        lock(visitor.pk)
        reading = meanwhile(lambda: caller.get(f"stores/{town.store.pk}/visits"))
        erase(visitor=visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")
    assert reading.result(20).json()["visits"] == []
    assert not Told.objects.exists()


def test_an_acknowledgement_and_an_erasure_do_not_wait_for_each_other(
    town: House, meanwhile: Meanwhile
) -> None:
    listening(town)
    visitor = town.visitor()
    disclose(match_of(visitor, town))
    arrival = Delivery.objects.get()
    with transaction.atomic():
        lock(visitor.pk)
        acknowledging = meanwhile(lambda: delivery.acknowledge(arrival.pk, by="test"))
        erase(visitor=visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")
    assert acknowledging.result(20) is False
    assert Told.objects.get().subject is None
