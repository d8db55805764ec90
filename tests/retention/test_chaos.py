"""Clocks that are wrong and connections that are lost: nobody is disclosed after their time, nobody
is erased twice or by half, and nothing is left.

A worker that is killed, two at once and a broker that is gone: see test_sweep. Recognizers when the
clock is set back: see recognition/test_several.
"""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.models import Entry
from apps.retention.models import Erasure
from apps.retention.services.sweep import sweep
from apps.visitors.models import FaceTemplate, Visitor
from apps.visits.models import Visit
from apps.visits.services import disclose
from tests.conftest import House, build_house
from tests.database import clock_moved, run, without_triggers
from tests.people import manage
from tests.retention.test_sweep import all_is_gone, many
from tests.visits.test_disclose import match_of
from tests.waiting import until

HOUR = timedelta(hours=1)


def ends_in(visitor: Visitor, time: timedelta) -> None:
    with without_triggers("visitors_facetemplate"):
        FaceTemplate.objects.filter(visitor=visitor).update(delete_after=timezone.now() + time)


def test_a_clock_that_jumps_ahead_and_back_erases_once_and_brings_nothing_back(
    house: House,
) -> None:
    visitor, other = house.visitor(), house.visitor()
    ends_in(visitor, HOUR)
    match, stays = match_of(visitor, house), match_of(other, house)
    with clock_moved(2 * HOUR):
        assert disclose(match).outcome == "refused"
        assert sweep().people == 1
    assert disclose(match).outcome == "refused"
    with clock_moved(-2 * HOUR):
        assert sweep().people == 0
        assert disclose(match).outcome == "refused"
    assert sweep().people == 0
    assert Erasure.objects.get().state == Erasure.State.COMPLETE
    assert Entry.objects.filter(action="visitor.erased").count() == 1
    assert disclose(stays).visit
    assert audit.verify().ok


def test_a_clock_that_is_late_keeps_nobody_for_longer_once_it_is_right(house: House) -> None:
    visitor = house.visitor()
    ends_in(visitor, -HOUR)
    with clock_moved(-2 * HOUR):
        # As far as anybody can tell it is still their time.
        assert sweep().people == 0
    assert disclose(match_of(visitor, house)).outcome == "refused"
    assert sweep().people == 1
    assert not FaceTemplate.objects.exists()


@pytest.mark.parametrize("day", ["2026-03-28", "2026-10-24"])
def test_a_day_is_a_day_when_clocks_change(house: House, day: str) -> None:
    """A deadline is so many times 24 hours away, whatever the server calls its time."""
    noon = datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC)
    visitor = house.visitor()
    with clock_moved(noon - timezone.now()), connection.cursor() as cursor:
        with without_triggers("consent_consent"), without_triggers("visitors_facetemplate"):
            cursor.execute(
                "UPDATE consent_consent SET signed_at = clock_timestamp(), "
                "expires_at = clock_timestamp() + interval '8000 hours', "
                "delete_after = clock_timestamp() + interval '80000 hours'"
            )
            cursor.execute(
                "UPDATE visitors_facetemplate SET not_after = clock_timestamp() + "
                "interval '8000 hours', delete_after = clock_timestamp() + interval '1 hour'"
            )
            cursor.execute(
                "UPDATE stores_assessment SET signed_at = clock_timestamp() - interval '1 hour', "
                "expires_at = clock_timestamp() + interval '1 hour'"
            )
        assert disclose(match_of(visitor, house)).visit
    visit = Visit.objects.get()
    assert visit.arrived_at.date() == noon.date()
    days = house.store.pack.visit_days
    assert abs(visit.delete_after - visit.arrived_at - timedelta(days=days)) < timedelta(seconds=1)


@pytest.fixture
def town(transactional_db: None) -> House:
    return build_house()


def test_a_sweep_that_loses_its_database_leaves_nothing_half(town: House) -> None:
    many(town, 40)
    process = manage("sweep")
    until(lambda: Erasure.objects.count() >= 5, seconds=30)
    run(
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
              AND backend_type = 'client backend'"""
    )
    process.communicate(timeout=60)
    left = Visitor.objects.count()
    assert left < 40
    assert process.returncode != 0 or not left, "it says that it failed"
    assert Erasure.objects.count() == 40 - left
    assert sweep().people == left
    all_is_gone(40)
