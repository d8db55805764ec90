"""The officer looks through a camera, draws its lane by hand and by keyboard, and sees it fare."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from apps.audit.models import Entry
from apps.stores.models import Camera
from apps.visits.models import Footfall
from tests import faces
from tests.journeys.accessible import faults, faults_everywhere
from tests.journeys.conftest import Town, log_in, watched
from tests.visits.rtsp import RtspCamera

TALL: Any = {"viewport": {"width": 820, "height": 1180}}

# For a still a process of its own starts and opens its models.
PATIENCE = 60_000


@pytest.fixture
def lane(town: Town, tmp_path: Path) -> Iterator[RtspCamera]:
    """The house's lane, watched by a camera on the network that sees two people."""
    camera = RtspCamera(tmp_path, faces.frames(2, "two", seconds=2, size=(960, 540)))
    camera.start()
    Camera.objects.update(source=camera.address, zone=[])
    yield camera
    camera.kill()


def zone_page(town: Town, page: Page) -> None:
    log_in(page, town, "diana", f"/admin/stores/camera/{town.house.camera.pk}/zone/")


def tap(page: Page, x: float, y: float) -> None:
    """Tap the stage at a place, 0 to 1."""
    box = page.get_by_test_id("stage").locator("canvas").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def drag(page: Page, corner: int, x: float, y: float) -> None:
    box = page.get_by_test_id("stage").locator("canvas").bounding_box()
    assert box is not None
    page.get_by_test_id("handle").nth(corner).hover()
    page.mouse.down()
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=5)
    page.mouse.up()


def coloured(page: Page) -> bool:
    """Whether the canvas shows a picture: many colours, not two."""
    return bool(
        page.evaluate(
            """() => { const c = document.querySelector(".stage canvas");
            const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
            const seen = new Set();
            for (let i = 0; i < d.length; i += 4096) seen.add(d[i] << 16 | d[i+1] << 8 | d[i+2]);
            return seen.size > 20; }"""
        )
    )


def test_a_lane_is_drawn_on_what_the_camera_sees(
    town: Town, lane: RtspCamera, open_browser: Callable[..., Browser]
) -> None:
    page = watched(open_browser().new_context(**TALL), town)
    zone_page(town, page)
    problems = faults(page)
    assert not coloured(page)
    page.get_by_test_id("still-take").click()
    expect(page.get_by_test_id("zone-said")).to_have_text(
        "The picture is here. Faces are covered.", timeout=PATIENCE
    )
    assert coloured(page)
    assert Entry.objects.filter(action="camera.still").count() == 1

    for x, y in ((0.1, 0.1), (0.5, 0.1), (0.5, 0.9), (0.1, 0.9)):
        tap(page, x, y)
    expect(page.get_by_test_id("handle")).to_have_count(4)
    drag(page, 1, 0.7, 0.2)
    page.get_by_test_id("handle").nth(2).focus()
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_test_id("zone-said")).to_have_text(
        "Corner 3: 55 % from the left, 89 % from the top"
    )
    problems += faults(page)
    page.get_by_test_id("zone-save").click()
    expect(page.get_by_text("The zone is drawn.")).to_be_visible()
    zone = Camera.objects.get().zone
    assert zone[0] == pytest.approx([0.1, 0.1], abs=0.01)
    assert zone[1] == pytest.approx([0.7, 0.2], abs=0.01)
    assert zone[2] == pytest.approx([0.55, 0.89], abs=0.011)
    assert len(zone) == 4
    assert not problems


def test_a_lane_is_drawn_with_the_keyboard_alone(
    town: Town, lane: RtspCamera, open_browser: Callable[..., Browser]
) -> None:
    page = watched(open_browser().new_context(**TALL), town)
    zone_page(town, page)
    handles = page.get_by_test_id("handle")
    for number in range(4):
        page.get_by_test_id("zone-add").press("Enter")
        expect(handles).to_have_count(number + 1)
    expect(handles.last).to_be_focused()
    page.keyboard.press("Delete")
    expect(handles).to_have_count(3)
    page.get_by_test_id("zone-undo").press("Enter")
    expect(handles).to_have_count(4)
    page.get_by_test_id("zone-clear").press("Enter")
    expect(handles).to_have_count(0)
    page.get_by_test_id("zone-undo").press("Enter")
    page.get_by_text("Corners in numbers").click()
    for axis, percent in (("left", "33.3"), ("top", "12")):
        page.get_by_label(f"Corner 1, % from the {axis}").fill(percent)
        page.keyboard.press("Tab")
    expect(handles.first).to_have_accessible_name("Corner 1: 33 % from the left, 12 % from the top")
    page.get_by_test_id("zone-save").press("Enter")
    expect(page.get_by_text("The zone is drawn.")).to_be_visible()
    zone = Camera.objects.get().zone
    assert len(zone) == 4
    assert zone[0] == [0.333, 0.12]


def test_edges_that_cross_are_told_before_anything_is_sent(
    town: Town, lane: RtspCamera, open_browser: Callable[..., Browser]
) -> None:
    Camera.objects.update(zone=[[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]])
    page = watched(open_browser().new_context(**TALL), town)
    zone_page(town, page)
    drag(page, 0, 0.9, 0.5)
    expect(page.get_by_test_id("zone-said")).to_contain_text("The edges cross.")
    page.get_by_test_id("zone-save").click()
    expect(page.get_by_test_id("zone-said")).to_contain_text("The edges cross.")
    assert Camera.objects.get().zone[0] == [0.2, 0.2]


def test_a_camera_that_is_away_is_explained_and_the_lane_can_be_drawn_all_the_same(
    town: Town, lane: RtspCamera, open_browser: Callable[..., Browser]
) -> None:
    lane.kill()
    page = watched(open_browser().new_context(**TALL), town)
    zone_page(town, page)
    page.get_by_test_id("still-take").click()
    expect(page.get_by_test_id("zone-said")).to_contain_text("The camera gives no picture.")
    problems = faults(page)
    for x, y in ((0.1, 0.1), (0.9, 0.1), (0.5, 0.9)):
        tap(page, x, y)
    page.get_by_test_id("zone-save").click()
    expect(page.get_by_text("The zone is drawn.")).to_be_visible()
    assert len(Camera.objects.get().zone) == 3
    assert not problems


def test_without_javascript_the_corners_are_typed(
    town: Town, open_browser: Callable[..., Browser]
) -> None:
    Camera.objects.update(zone=[])
    page = watched(open_browser().new_context(java_script_enabled=False), town)
    zone_page(town, page)
    page.get_by_text("Corners in numbers").click()
    for number, (x, y) in enumerate((("10", "10"), ("90", "10"), ("50", "90")), 1):
        page.get_by_label(f"Corner {number}, % from the left").fill(x)
        page.get_by_label(f"Corner {number}, % from the top").fill(y)
    page.get_by_test_id("zone-save").click()
    expect(page.get_by_text("The zone is drawn.")).to_be_visible()
    assert Camera.objects.get().zone == [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]


def wall_of_cameras(town: Town) -> None:
    """One camera of each kind of state."""
    now = timezone.now()
    house = town.house
    Camera.objects.update(
        state="live",
        last_frame_at=now,
        reported_at=now,
        triggers=1204,
        outside_zone=31,
        aborts={"too_many_faces": 12, "too_small": 7, "left_early": 3},
    )
    make = Camera.objects.create
    lost = now - timedelta(minutes=14)
    make(store=house.store, name="Entrance", source="x", state="waiting", reported_at=now,
         last_frame_at=lost)  # fmt: skip
    make(store=house.store, name="Service desk", source="x", mode="lane")
    make(store=house.store, name="Garage", source="x", active=False)
    make(store=house.store, name="Yard", source="x", state="live", reported_at=lost,
         last_frame_at=lost)  # fmt: skip


def test_the_list_says_how_each_camera_fares_and_stays_fresh(
    town: Town, open_browser: Callable[..., Browser]
) -> None:
    wall_of_cameras(town)
    page = watched(open_browser().new_context(viewport={"width": 1440, "height": 900}), town)
    page.clock.install()
    log_in(page, town, "diana", "/admin/stores/camera/")
    states = page.get_by_test_id("camera-health")
    expect(states).to_have_text(
        ["no picture", "switched off", "running", "may not run", "watcher silent"]
    )
    expect(page.get_by_test_id("camera-aborts")).to_contain_text("more faces than allowed")
    problems = faults(page)
    now = timezone.now()
    Camera.objects.filter(name="Entrance").update(
        state="live", last_frame_at=now, reported_at=now, triggers=5
    )
    page.clock.fast_forward(6_000)
    expect(states.first).to_have_text("running")
    page.goto(f"{town.origin}/admin/")
    expect(page.get_by_text("watcher silent")).to_be_visible()
    problems += faults(page)
    page.goto(f"{town.origin}/admin/stores/camera/{town.house.camera.pk}/change/")
    problems += faults(page)
    page.goto(f"{town.origin}/admin/stores/store/{town.house.store.pk}/change/")
    page.get_by_label("Cool-down, minutes").fill("45")
    problems += faults(page)
    page.get_by_role("button", name="Save", exact=True).click()
    town.house.store.refresh_from_db()
    assert town.house.store.cool_down_minutes == 45
    assert not problems


def test_the_pages_fit_every_screen_in_light_and_dark(
    town: Town, lane: RtspCamera, open_browser: Callable[..., Browser]
) -> None:
    wall_of_cameras(town)
    Camera.objects.filter(pk=town.house.camera.pk).update(
        zone=[[0.08, 0.1], [0.55, 0.06], [0.62, 0.9], [0.05, 0.94]]
    )
    page = watched(open_browser().new_context(), town)
    log_in(page, town, "diana", "/admin/stores/camera/")
    expect(page.get_by_test_id("camera")).to_have_count(5)
    problems = faults_everywhere(page)
    page.goto(f"{town.origin}/admin/stores/camera/{town.house.camera.pk}/zone/")
    page.get_by_test_id("still-take").click()
    expect(page.get_by_test_id("zone-said")).to_contain_text("Faces are covered.", timeout=PATIENCE)
    problems += faults_everywhere(page)
    entrance = busy(Camera.objects.get(name="Entrance"))
    for path in (
        f"/admin/stores/camera/{entrance.pk}/footfall/?day=2025-03-04",
        f"/admin/stores/camera/{town.house.camera.pk}/change/",
        f"/public/{town.house.store.slug}/",
    ):
        page.goto(f"{town.origin}{path}")
        problems += [f"{path} {fault}" for fault in faults_everywhere(page)]
    assert not problems


def busy(entrance: Camera) -> Camera:
    """A day at an entrance: most come at noon and after work."""
    begin = datetime(2025, 3, 4, 9, tzinfo=UTC)
    coming = (1, 2, 2, 4, 5, 3, 6, 8, 11, 14, 12, 9, 7, 5, 4, 6, 5, 4, 3, 5, 6, 9, 12, 15, 9, 4, 2)
    for number, entered in enumerate(coming):
        Footfall.objects.create(
            camera=entrance,
            quarter=begin + timedelta(minutes=15 * number),
            entered=entered,
            left=coming[number - 3],
        )
    return entrance


def test_an_officer_sees_when_an_entrance_is_busy(
    town: Town, open_browser: Callable[..., Browser]
) -> None:
    busy(Camera.objects.create(store=town.house.store, name="Entrance", source="x"))
    page = watched(open_browser().new_context(**TALL), town)
    log_in(page, town, "diana", "/admin/stores/camera/")
    page.get_by_test_id("camera-footfall").click()
    expect(page.get_by_test_id("footfall-empty")).to_be_visible()
    page.get_by_label("Day", exact=True).fill("2025-03-04")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_test_id("footfall-sum")).to_contain_text("173 in")
    expect(page.get_by_test_id("footfall-chart")).to_be_visible()
    page.get_by_text("As a table").click()
    expect(page.get_by_test_id("footfall-table").get_by_text("14:45")).to_be_visible()
    page.get_by_test_id("footfall-before").click()
    expect(page.get_by_test_id("footfall-empty")).to_be_visible()
