"""One store, three cameras and a shop full of people: six are counted, she who signed is greeted
once, he who holds a pass is greeted by it, and of the others nothing is known but how many.
"""

from collections.abc import Callable, Iterator
from itertools import chain, cycle
from pathlib import Path

import numpy as np
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from apps.audit import services as audit
from apps.recognition.passes import Pass
from apps.stores.models import Camera
from apps.visitors.models import FaceTemplate, Visitor
from apps.visits.models import Footfall, Visit
from tests import faces
from tests.clients import rows
from tests.conftest import Process
from tests.journeys.acting import acting
from tests.journeys.conftest import (
    PERSON,
    Town,
    answer_others,
    choose,
    draw,
    enrolled,
    log_in,
    watched,
)
from tests.journeys.test_pass import photographed
from tests.journeys.test_visit import expect_soon

HOLDER, STRANGER, CROWD = 5, 3, (0, 1)
LEFT = [[0, 0], [0.49, 0], [0.49, 1], [0, 1]]
Walk = Iterator[np.ndarray]


def walk(person: int) -> Walk:
    return faces.walk_by([person], seconds_present=3.0, seconds_absent=2.5)


def in_a_crowd(*walks: Walk) -> Walk:
    """The walks one after the other in the left half of the picture, a crowd in the right half."""
    crowd = cycle(list(faces.walk_by(CROWD, seconds_present=5.0, seconds_absent=0.0)))
    for alone, others in zip(chain(*walks), crowd, strict=False):
        yield np.hstack([alone, others])


def opts_in(page: Page, name: str, *, lane: bool) -> Pass:
    """She reads, agrees, signs and is photographed; the pass that her phone reads afterwards."""
    choose(page)
    page.get_by_test_id("notice-go").click()
    page.get_by_test_id("lane-yes" if lane else "lane-no").click()
    page.get_by_test_id("pass-yes").click()
    answer_others(page, "history")
    page.get_by_test_id("term-12").click()
    page.get_by_test_id("age-yes").click()
    page.get_by_test_id("name").fill(name)
    page.get_by_test_id("name-go").click()
    draw(page)
    page.get_by_test_id("signature-go").click()
    expect(page.get_by_test_id("pass-qr").locator("svg")).to_be_visible(timeout=60_000)
    return photographed(page)


def camera(town: Town, name: str, **settings: object) -> Camera:
    made: Camera = Camera.objects.create(
        store=town.house.store, name=name, signage_confirmed_at=timezone.now(), **settings
    )
    return made


def test_three_cameras_do_each_what_was_agreed_and_no_more(
    town: Town,
    open_browser: Callable[..., Browser],
    tmp_path: Path,
) -> None:
    door = str(tmp_path / "door.mp4")
    entrance = camera(town, "Entrance", mode="count", source=door, line=[[0.5, 1], [0.5, 0]])
    # It has no picture yet.
    reader = camera(town, "Pass reader", mode="pass", source="later.mp4", loop=True, zone=LEFT)
    lane = town.house.camera

    hers = opts_in(enrolled(town, open_browser(), acting(PERSON)), "Ms Chen", lane=True)
    his = opts_in(enrolled(town, open_browser(), acting(HOLDER)), "Mr Rivera", lane=False)
    assert sorted(FaceTemplate.objects.values_list("purpose", flat=True)) == [
        *("lane", "pass", "pass")
    ]

    faces.write_mp4(Path(door), faces.procession(range(faces.PEOPLE)))
    faces.write_mp4(tmp_path / "lane.mp4", in_a_crowd(walk(PERSON), walk(STRANGER)))
    shown = [
        faces.showing(walk(person), code.text(), seconds=(2.9, 5.0))
        for person, code in ((PERSON, hers), (HOLDER, his))
    ]
    faces.write_mp4(tmp_path / "pass.mp4", in_a_crowd(*shown))
    Camera.objects.filter(pk=lane.pk).update(
        source=str(tmp_path / "lane.mp4"), loop=True, zone=LEFT
    )

    floor = watched(open_browser().new_context(), town)
    log_in(floor, town, "linda", f"/floor/{town.house.store.slug}/")
    expect(floor.get_by_test_id("floor-empty")).to_be_visible()
    before = rows()
    watcher = Process("watcher")
    try:
        # The lane greets her; nobody who walks in it or beside it without having signed.
        expect(floor.get_by_test_id("visit-name")).to_have_text("Ms Chen", timeout=60_000)
        assert Visit.objects.get().camera == lane
        # Then both show their passes. He is greeted; she is here already, for any camera.
        Camera.objects.filter(pk=reader.pk).update(source=str(tmp_path / "pass.mp4"))
        cards = floor.get_by_test_id("visit-name")
        expect(cards).to_have_text(["Mr Rivera", "Ms Chen"], timeout=60_000)
        assert Visit.objects.latest("sequence").camera == reader
        shows = Camera.objects.filter(pk=reader.pk, triggers__gte=3)
        walks = Camera.objects.filter(pk=lane.pk, triggers__gte=3)
        ended = Camera.objects.filter(pk=entrance.pk, state="ended")
        expect_soon(floor, lambda: shows.exists() and walks.exists() and ended.exists(), 120)
    finally:
        watcher.stop()

    assert not [line for line in watcher.lines if hers.text() in line or his.text() in line]
    assert sum(row.entered for row in Footfall.objects.filter(camera=entrance)) == faces.PEOPLE
    assert sum(row.left for row in Footfall.objects.filter(camera=entrance)) == 0
    expect(cards).to_have_text(["Mr Rivera", "Ms Chen"])
    assert Visit.objects.count() == Visitor.objects.count() == 2
    grown = {label for label, number in rows().items() if number != before[label]}
    counts = {"visits.Footfall", "visits.Disclosure", "visits.Unmatched"}
    assert grown <= {"visits.Visit", "audit.Entry", *counts}
    for watched_by in Camera.objects.all():
        assert watched_by.embeddings_outside_trigger == 0
        assert "too_many_faces" not in watched_by.aborts, "the crowd is outside its zone"
    assert audit.verify().ok
