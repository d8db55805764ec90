"""Guests who came back, of those who agreed to be counted, and never fewer than five at once."""

import re
from collections.abc import Sequence
from datetime import datetime, time, timedelta

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


def monday(ago: int) -> datetime:
    """Noon of the Monday so many whole weeks ago; 0: of this week."""
    today = timezone.localdate()
    first = today - timedelta(days=today.weekday() + 7 * ago)
    return timezone.make_aware(datetime.combine(first, time(12)))


def comes(house: House, visitor: Visitor, days: Sequence[datetime]) -> None:
    """This guest was recognised on these days."""
    for day in days:
        assert disclose(match_of(visitor, house)).outcome == "visit"
        visitor.visits.filter(arrived_at__gt=timezone.now() - timedelta(hours=1)).update(
            arrived_at=day, last_seen_at=day
        )


def guests(
    house: House, number: int, *days: datetime, purposes: Sequence[Purpose] = COUNTED
) -> list[Visitor]:
    found = [house.visitor(purposes=purposes) for _ in range(number)]
    for visitor in found:
        comes(house, visitor, days)
    return found


def figures(house: House) -> tuple[str, list[str]]:
    """What the officer reads: the median's sentence, and week by week, the latest first."""
    answer = browser(house.dpo).get(f"/admin/stores/camera/{house.camera.pk}/footfall/")
    page = answer.content.decode().partition('data-testid="returning"')[2]
    told = re.search(r'data-testid="returning-median">([^<]*)<', page)
    return told[1].strip() if told else "", re.findall(r"<td>([^<]*)</td>", page)


def test_five_who_come_back_are_a_figure_and_four_are_none(house: House) -> None:
    first, *others = guests(house, 5, monday(3), monday(1))
    comes(house, first, [monday(1) + timedelta(days=2)])
    said, weeks = figures(house)
    assert said == "Half of them are back within 14 days."
    assert weeks[0] == "5"
    assert weeks[1:] == ["fewer than 5"] * 7

    # One of the five takes it back: at once there is nothing to see.
    withdraw_purpose(visitor=others[0], purpose=Purpose.STATISTICS, actor="self")
    assert figures(house) == ("", [])
    page = browser(house.dpo).get(f"/admin/stores/camera/{house.camera.pk}/footfall/")
    assert "only when at least 5 people are behind it" in page.content.decode()


def test_who_did_not_agree_is_never_in_it(house: House) -> None:
    guests(house, 5, monday(3), monday(1), purposes=[Purpose.LANE, Purpose.HISTORY])
    guests(house, 4, monday(3), monday(1))
    assert figures(house) == ("", [])
    guests(house, 1, monday(3), monday(1))
    assert figures(house)[1][0] == "5"
    Visitor.objects.filter(pk=guests(house, 1, monday(3), monday(1))[0].pk).update(
        restricted_at=timezone.now()
    )
    assert figures(house)[1][0] == "5", "a pause takes out of it too"


def test_twice_on_a_day_and_the_running_week_are_no_return(house: House) -> None:
    guests(house, 5, monday(1), monday(1) + timedelta(hours=3), monday(0))
    assert figures(house) == ("", [])


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
