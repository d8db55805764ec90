"""A simulated month at several stores: what the portal tells, beside a plain count of the same."""

import csv
import io
from datetime import date, datetime, timedelta

from django.core.management import call_command
from django.utils import timezone

from apps.stores.models import Camera
from apps.visits.models import Footfall, Rollup
from tests.clients import browser
from tests.conftest import House


def month_ago() -> date:
    """The first day of the latest month that is over for long enough."""
    return ((timezone.localdate() - timedelta(days=5)).replace(day=1) - timedelta(1)).replace(day=1)


def at(day: date, hour: int, minute: int = 0) -> datetime:
    return timezone.make_aware(datetime(day.year, day.month, day.day, hour, minute))


def table(house: House, key: str, month: date, pk: object = None) -> dict[str, list[str]]:
    """A chart's CSV by its first column."""
    answer = browser(house.dpo).get(
        f"/admin/insights/{pk or house.store.pk}/{key}.csv?month={month:%Y-%m}"
    )
    assert answer.status_code == 200
    _head, *rows = csv.reader(io.StringIO(answer.content.decode("utf-8-sig")))
    return {label: values for label, *values in rows}


def test_footfall_by_hour_is_rolled_up_drawn_and_taken_along(house: House) -> None:
    month = month_ago()
    door = Camera.objects.create(store=house.store, name="Door", source="door.mp4")
    for day, people in ((month, 4), (month + timedelta(days=1), 7)):
        for camera in (house.camera, door):
            for minute in (0, 15):
                Footfall.objects.create(
                    camera=camera, quarter=at(day, 9, minute), entered=people, left=1
                )
    Footfall.objects.create(camera=door, quarter=at(month, 17), entered=0, left=5)
    call_command("insights")
    assert table(house, "hours", month)["09"] == ["22.0", "4.0"]
    assert table(house, "hours", month)["17"] == ["0.0", "2.5"]
    assert table(house, "entrances", month) == {"Door": ["22", "9"], "Lane": ["22", "4"]}

    before = list(Rollup.objects.order_by("pk").values())
    call_command("insights")
    assert list(Rollup.objects.order_by("pk").values()) == before, "twice is once"

    client = browser(house.dpo)
    address = f"/admin/insights/{house.store.pk}/"
    page = client.get(address, {"month": f"{month:%Y-%m}"})
    assert page.status_code == 200
    assert "<b>44</b>" in page.content.decode()
    png = client.get(f"{address}hours.png?month={month:%Y-%m}")
    assert png.content.startswith(b"\x89PNG")
    light, dark = (
        client.get(f"{address}hours.svg?month={month:%Y-%m}{theme}").content.decode()
        for theme in ("", "&theme=dark")
    )
    assert "#faf8f4" not in dark
    assert ">In<" in light
    assert light != dark
