"""An officer sees how busy an entrance was, by the quarter hour: a picture and a table."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from apps.stores.models import Camera
from apps.visits.footfall import day_at
from apps.visits.models import Footfall
from tests.clients import browser
from tests.conftest import House

DAY = datetime(2025, 3, 4, tzinfo=UTC)


@pytest.fixture
def entrance(house: House) -> Camera:
    return Camera.objects.create(store=house.store, name="Entrance", source="x")


@pytest.fixture
def officer(house: House) -> Client:
    return browser(house.dpo)


def counted(entrance: Camera, hour: int, minute: int, entered: int, left: int) -> None:
    Footfall.objects.create(
        camera=entrance, quarter=DAY.replace(hour=hour, minute=minute), entered=entered, left=left
    )


def page(officer: Client, entrance: Camera, day: str) -> str:
    answer = officer.get(f"/admin/stores/camera/{entrance.pk}/footfall/", {"day": day})
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_day_is_a_picture_and_a_table_of_the_same_numbers(
    entrance: Camera, officer: Client
) -> None:
    counted(entrance, 9, 15, 4, 0)
    counted(entrance, 14, 0, 8, 2)
    counted(entrance, 21, 45, 0, 6)
    next_day = DAY + timedelta(days=1)
    Footfall.objects.create(camera=entrance, quarter=next_day, entered=50, left=50)
    text = page(officer, entrance, "2025-03-04")
    assert "12 in, 8 out." in text
    assert "Busiest from 14:00: 8 came in within a quarter of an hour." in text
    bars = re.findall(
        r'class="bar-in" x="([\d.]+)" y="([\d.]+)" width="0.8" height="([\d.]+)"', text
    )
    assert bars == [("5.1", "50.0", "50.0"), ("24.1", "0.0", "100.0"), ("55.1", "100.0", "0.0")]
    rows = re.findall(r'<th scope="row">([\d:]+)</th><td>(\d+)</td><td>(\d+)</td>', text)
    assert rows == [("09:15", "4", "0"), ("14:00", "8", "2"), ("21:45", "0", "6")]


def test_a_quiet_day_says_so(entrance: Camera, officer: Client) -> None:
    assert "Nobody was counted on this day." in page(officer, entrance, "2025-01-01")


@pytest.mark.parametrize("day", ["yesterday", "2025-13-01", "0", "2025-01-01T00:00"])
def test_what_is_no_day_is_told(entrance: Camera, officer: Client, day: str) -> None:
    answer = officer.get(f"/admin/stores/camera/{entrance.pk}/footfall/", {"day": day})
    assert answer.status_code == 400
    assert "That is no day." in answer.content.decode()


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_a_day_out_of_all_time_is_the_nearest_there_is(
    entrance: Camera, officer: Client, day: str
) -> None:
    assert "Nobody was counted on this day." in page(officer, entrance, day)


def test_the_numbers_of_another_store_are_not_shown(house: House, entrance: Camera) -> None:
    answer = browser(house.staff).get(f"/admin/stores/camera/{entrance.pk}/footfall/")
    assert answer.status_code in (302, 403)
    house.dpo.roles.all().delete()
    answer = browser(house.dpo).get(f"/admin/stores/camera/{entrance.pk}/footfall/")
    assert answer.status_code in (302, 403, 404)


def test_a_day_on_which_clocks_change_has_all_its_quarters(entrance: Camera) -> None:
    with timezone.override("Europe/Berlin"):
        for hour in (0, 1):  # both are two o'clock in Berlin
            Footfall.objects.create(
                camera=entrance, quarter=datetime(2025, 10, 26, hour, tzinfo=UTC), entered=1
            )
        day = day_at(entrance, datetime(2025, 10, 26).date())
    assert [bar.at.strftime("%H:%M") for bar in day.told] == ["02:00", "02:00"]
    assert day.entered == 2
