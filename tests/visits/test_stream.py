"""Frames of a camera: in time, newest first, back after a failure, and silent about addresses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from apps.visits.pipeline.stream import Source, every_frame, open_stream
from tests.faces import write_mp4
from tests.visits.cameras import START, FastClock


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """Two seconds at 10 fps that turn from black to red."""
    path = tmp_path / "colours.mp4"
    write_mp4(path, (_red(level) for level in np.linspace(0, 240, 20)))
    return path


def _red(level: float) -> np.ndarray:
    picture = np.zeros((48, 64, 3), dtype=np.uint8)
    picture[:, :, 0] = int(level)
    return picture


def test_a_file_is_played_by_its_own_timing(colours: Path) -> None:
    clock = FastClock()
    with open_stream(colours, clock=clock) as stream:
        for _frame in stream:
            pass
        health = stream.health
    assert clock.now() - START == pytest.approx(2.0, abs=0.01), "the last one lasts as long too"
    assert health.frames == 20
    assert health.state == "ended"
    assert health.last_frame_at == pytest.approx(START + 1.9, abs=0.01)


def test_every_frame_comes_once_in_rgb_and_in_order(colours: Path) -> None:
    frames = list(every_frame(colours, start=START))
    assert [frame.index for frame in frames] == list(range(20))
    assert [round(frame.at - START, 3) for frame in frames] == [i / 10 for i in range(20)]
    image = frames[-1].image
    assert image.shape == (48, 64, 3)
    assert image.dtype == np.uint8
    red, green, blue = image.reshape(-1, 3).mean(axis=0)
    assert red > 200
    assert max(green, blue) < 40
    assert frames[-1].image is image, "converted once"


def test_a_slow_reader_gets_the_newest_frame_and_the_rest_is_counted(colours: Path) -> None:
    clock = FastClock(limit=18)
    with open_stream(colours, clock=clock) as stream:
        assert clock.exhausted.wait(10)
        frame = stream.take(1.0)
        health = stream.health
    assert frame is not None
    assert frame.index == health.frames - 1
    assert health.dropped == health.frames - 1
    assert health.dropped >= 15


def test_a_demo_clip_plays_again_and_again(colours: Path) -> None:
    clock = FastClock(limit=100)
    with open_stream(colours, loop=True, clock=clock) as stream:
        assert clock.exhausted.wait(20)
        health = stream.health
    assert health.frames > 90
    assert health.reconnects == 0, "the end of a clip is no failure"
    assert clock.now() - START == pytest.approx(health.frames / 10, abs=0.11), "nor a hurry"


def test_a_camera_that_is_not_there_yet_is_waited_for(tmp_path: Path, colours: Path) -> None:
    late = tmp_path / "late.mp4"

    class ThenItComes(FastClock):
        def wait(self, event, seconds):  # type: ignore[no-untyped-def]
            if len(self.waits) == 3:
                late.write_bytes(colours.read_bytes())
            return super().wait(event, seconds)

    clock = ThenItComes()
    with open_stream(late, clock=clock) as stream:
        frames = list(stream)
        health = stream.health
    assert frames
    assert health.frames == 20
    assert clock.waits[:4] == [0.5, 1.0, 2.0, 3.0]
    assert health.reconnects == 4


def test_a_camera_is_tried_again_within_seconds_however_long_it_was_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FastClock(limit=400)
    with open_stream(tmp_path / "never.mp4", clock=clock) as stream:
        assert clock.exhausted.wait(20)
        assert stream.health.state == "waiting"
        assert stream.take(0.01) is None
    assert clock.waits[:5] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert set(clock.waits[4:]) == {3.0}
    assert clock.now() - START > 1000
    said = [record for record in caplog.records if "gives no picture" in record.message]
    assert 3 <= len(said) <= 5, "once, then every five minutes"


def test_a_broken_file_is_a_camera_without_pictures(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no clip" * 100)
    clock = FastClock(limit=3)
    with open_stream(broken, clock=clock) as stream:
        assert clock.exhausted.wait(10)
        assert stream.health.frames == 0
        assert stream.health.state == "waiting"
        assert not stream.ended


def test_no_log_line_holds_the_address_of_a_camera(caplog: pytest.LogCaptureFixture) -> None:
    clock = FastClock(limit=2)
    address = "rtsp://owner:hunter2@127.0.0.1:9/street"
    with open_stream(address, name="gate", clock=clock) as stream:
        assert clock.exhausted.wait(20)
        assert stream.health.reconnects == 2
    assert "camera gate gives no picture" in caplog.text
    for secret in ("hunter2", "owner", "127.0.0.1", "street"):
        assert secret not in caplog.text


def test_closing_ends_it_for_whoever_waits(colours: Path) -> None:
    stream = open_stream(colours, loop=True, clock=FastClock(limit=5))
    stream.close()
    assert stream.ended
    assert stream.take(5.0) is None
    assert list(stream) == []
    assert stream.health.state == "stopped"


@pytest.mark.parametrize("source", ["", "   ", "http://camera/stream", "ftp://x/y"])
def test_a_source_that_cannot_be_one_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match=r"source|rtsp"):
        open_stream(source)


def test_sources_are_told_apart() -> None:
    assert Source.parse("usb:1") == Source("/dev/video1", "usb")
    assert Source.parse("/dev/video0").kind == "usb"
    assert Source.parse(" rtsps://gate/1 ").kind == "network"
    assert Source.parse("/var/clips/demo.mp4").kind == "file"
