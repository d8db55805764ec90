"""The dates that the statistics rest on: kept for them alone, and gone with them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from apps.consent.models import Consent, Purpose
from apps.retention.services.withdraw import withdraw_purpose
from apps.visitors.models import Visitor
from apps.visits.models import Visit
from apps.visits.services import disclose
from tests.clients import browser
from tests.conftest import House
from tests.visits.test_board import BOARD
from tests.visits.test_disclose import match_of

COUNTED = [Purpose.LANE, Purpose.STATISTICS]


def comes(house: House, visitor: Visitor, days: Sequence[datetime]) -> None:
    """This guest was recognised on these days."""
    for day in days:
        assert disclose(match_of(visitor, house)).outcome == "visit"
        visitor.visits.filter(arrived_at__gt=timezone.now() - timedelta(hours=1)).update(
            arrived_at=day, last_seen_at=day
        )


def test_its_dates_are_kept_for_it_alone_and_go_with_it(house: House) -> None:
    visitor = house.visitor(purposes=COUNTED)
    comes(house, visitor, [timezone.now() - timedelta(days=3), timezone.now()])
    visits = visitor.visits.all()
    assert all(visit.number is None for visit in visits)
    kept = timezone.now() + timedelta(days=house.store.pack.visit_days - 1)
    assert all(visit.delete_after > kept for visit in visits)
    page = browser(house.staff).get(BOARD).content.decode()
    assert "visit-number" not in page
    assert "visit-last" not in page
    withdraw_purpose(visitor=visitor, purpose=Purpose.STATISTICS, actor="self")
    assert not Visit.objects.exists()
    assert Consent.objects.get().purposes == ["lane"]


@pytest.mark.parametrize("gone", [Purpose.HISTORY, Purpose.STATISTICS])
def test_what_the_other_purpose_needs_stays(house: House, gone: Purpose) -> None:
    visitor = house.visitor(purposes=[Purpose.LANE, Purpose.HISTORY, Purpose.STATISTICS])
    comes(house, visitor, [timezone.now() - timedelta(days=3), timezone.now()])
    withdraw_purpose(visitor=visitor, purpose=gone, actor="self")
    numbers = sorted(Visit.objects.values_list("number", flat=True), key=str)
    assert numbers == ([None, None] if gone == Purpose.HISTORY else [1, 2])
    page = browser(house.staff).get(BOARD).content.decode()
    assert ("visit-number" in page) == (gone != Purpose.HISTORY)
