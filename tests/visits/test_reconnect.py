"""A camera on the network: killed, hung, restarted, and back within ten seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from apps.recognition.engine.types import Image
from apps.stores.models import Camera
from apps.visits.pipeline.stream import Stream, open_stream
from tests.conftest import House, Process
from tests.faces import walk_by
from tests.visits.rtsp import FPS, RtspCamera, number_of, numbered
from tests.waiting import until

BACK_WITHIN = 10.0
"""Seconds from a camera's return to its first picture."""


@pytest.fixture(scope="session")
def clip() -> list[Image]:
    """256 numbered pictures: person 2 comes and goes every four seconds."""
    visit = list(walk_by([2], seconds_absent=0.5, seconds_present=3.0))
    return list(numbered(visit[number % len(visit)] for number in range(256)))


@pytest.fixture
def camera(tmp_path: Path, clip: list[Image]) -> Iterator[RtspCamera]:
    camera = RtspCamera(tmp_path, clip)
    camera.start()
    yield camera
    camera.kill()


def _back(stream: Stream) -> float:
    """Seconds until the next picture comes; what came before was taken."""
    begun = time.monotonic()
    frame = stream.take(30)
    assert frame is not None, "it did not come back"
    assert frame.image.shape == (480, 640, 3)
    return time.monotonic() - begun


def test_a_camera_that_is_killed_in_mid_stream_is_back_within_ten_seconds(
    camera: RtspCamera, caplog: pytest.LogCaptureFixture
) -> None:
    with open_stream(camera.address, name="gate") as stream:
        assert stream.take(10) is not None
        for tries in (1, 5):
            before = stream.health.reconnects
            camera.kill()
            # Away until the waits between two tries have grown to their longest.
            until(lambda: stream.health.reconnects >= before + tries, seconds=30)  # noqa: B023
            assert stream.health.state == "waiting"
            stream.take(0.01)
            camera.start()
            seconds = _back(stream)
            assert seconds < BACK_WITHIN
            assert stream.health.state == "live"
            print(f"back {seconds:.1f} s after its return, {tries} tries in vain")
    for secret in ("hunter2", "viewer", "127.0.0.1"):
        assert secret not in caplog.text


def test_a_camera_that_hangs_is_noticed_and_back_within_ten_seconds(camera: RtspCamera) -> None:
    with open_stream(camera.address) as stream:
        assert stream.take(10) is not None
        camera.freeze()
        noticed = until(lambda: stream.health.state != "live", seconds=15)
        stream.take(0.01)
        camera.thaw()
        seconds = _back(stream)
    assert seconds < BACK_WITHIN
    print(f"noticed after {noticed:.1f} s, back after {seconds:.1f} s")


def test_a_slow_reader_of_a_camera_sees_the_present_and_not_a_queue(camera: RtspCamera) -> None:
    with open_stream(camera.address) as stream:
        first = stream.take(10)
        assert first is not None
        until(lambda: stream.health.frames > first.index + 2 * FPS, seconds=10)
        second = stream.take(1)
        assert second is not None
        health = stream.health
    assert second.index >= health.frames - 2, "the newest that was decoded"
    assert health.dropped >= 2 * FPS - 1
    shown = (number_of(second.image) - number_of(first.image)) % 256
    assert shown == second.index - first.index, "nothing is missing in between"
    # The picture is as old as its time says: no queue grows before the decoder either.
    assert second.at - first.at == pytest.approx(shown / FPS, abs=0.3)


@pytest.mark.django_db(transaction=True)
def test_the_watcher_tells_how_a_camera_fares_through_a_restart(
    camera: RtspCamera, house: House
) -> None:
    """The whole process, as the portal sees it: its reports come every five seconds."""
    Camera.objects.update(mode=Camera.Mode.COUNT, source=camera.address)
    watcher = Process("watcher", "--camera", str(house.camera.pk))

    def row() -> Camera:
        return Camera.objects.get(pk=house.camera.pk)

    def seen_since(moment: float) -> bool:
        at: datetime | None = row().last_frame_at
        return at is not None and at.timestamp() > moment

    try:
        until(lambda: row().state == "live" and seen_since(0), seconds=20)
        camera.kill()
        until(lambda: row().state == "waiting", seconds=10)
        camera.start()
        returned = time.time()
        until(lambda: row().state == "live" and seen_since(returned), seconds=20)
    finally:
        watcher.stop()
    at = row().last_frame_at
    assert at is not None
    assert not [line for line in watcher.lines if "hunter2" in line or "rtsp:" in line]
