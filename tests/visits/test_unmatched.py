"""How many people a store's lanes did not know: a count a day, and nothing else."""

from django.utils import timezone

from apps.stores.models import Camera
from apps.visits.models import Unmatched
from apps.visits.pipeline.lane import Counters
from apps.visits.pipeline.watcher import Report
from apps.visits.reports import report
from tests.conftest import House


def reported(camera: Camera, unmatched: int) -> None:
    report(
        Report(
            camera=camera.pk,
            counters=Counters(triggers=unmatched, asked=unmatched, unmatched=unmatched),
            looks=0,
            state="live",
            last_frame_at=None,
            frames=0,
            dropped=0,
            reconnects=0,
        )
    )


def test_a_lane_adds_up_whom_it_did_not_know_day_by_day(house: House) -> None:
    for people in (2, 0, 3):
        reported(house.camera, people)
    row = Unmatched.objects.get()
    assert (row.store, row.day, row.count) == (house.store, timezone.now().date(), 5)


def test_a_day_without_anybody_has_no_row(house: House) -> None:
    reported(house.camera, 0)
    assert not Unmatched.objects.exists()


def test_who_shows_a_pass_does_not_meet_the_gallery(house: House) -> None:
    reader = Camera.objects.create(
        store=house.store, name="Reader", mode=Camera.Mode.PASS, source="pass.mp4"
    )
    reported(reader, 4)
    assert not Unmatched.objects.exists()
