"""Clips that a browser and a lane camera can play, of people that no file here shows."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from apps.recognition.engine.detection import load_detector
from apps.recognition.engine.starter import build_starter
from apps.recognition.engine.types import Detector, Image
from ops.clips import main
from tests.faces import frames, walk_by, write_mp4, write_y4m


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return load_detector(build_starter(tmp_path_factory.mktemp("packs") / "starter"))


def played(path: Path) -> list[Image]:
    with av.open(str(path)) as clip:
        return [np.asarray(f.to_ndarray(format="rgb24"), np.uint8) for f in clip.decode(video=0)]


def test_a_lane_is_empty_then_has_the_people_then_is_empty(detector: Detector) -> None:
    clip = list(walk_by([2, 3], seconds_present=3, seconds_absent=1, fps=5))
    seen = [len(detector.detect(frame)) for frame in clip]
    assert len(clip) == 5 + 15 + 2
    assert seen[:5] == [0] * 5
    assert seen[5 + 5 : 5 + 10] == [2] * 5
    assert seen[-2:] == [0, 0]
    assert np.array_equal(clip[0], clip[-1])


def test_the_lane_clip_plays_and_still_shows_a_face(tmp_path: Path, detector: Detector) -> None:
    write_mp4(tmp_path / "lane.mp4", walk_by([2], seconds_present=3, seconds_absent=1), fps=10)
    clip = played(tmp_path / "lane.mp4")
    assert len(clip) == 45
    assert clip[0].shape == (480, 640, 3)
    assert detector.detect(clip[0]) == []
    assert len(detector.detect(clip[25])) == 1


def test_the_kiosk_clip_is_what_chromium_takes(tmp_path: Path, detector: Detector) -> None:
    write_y4m(tmp_path / "kiosk.y4m", frames(3, seconds=1, fps=4, size=(320, 240)), fps=4)
    data = (tmp_path / "kiosk.y4m").read_bytes()
    header = b"YUV4MPEG2 W320 H240 F4:1 Ip A1:1 C420jpeg\n"
    assert data.startswith(header)
    assert len(data) == len(header) + 4 * (len(b"FRAME\n") + 320 * 240 * 3 // 2)
    first = played(tmp_path / "kiosk.y4m")[0]
    assert np.abs(first.astype(int) - next(frames(3, size=(320, 240)))).mean() < 6
    assert len(detector.detect(first)) == 1


def test_the_demo_makes_its_clips_from_the_command_line(tmp_path: Path) -> None:
    main([str(tmp_path / "lane.mp4"), "--face", "2", "--seconds", "1", "--absent", "0.5"])
    main([str(tmp_path / "kiosk.y4m"), "--face", "2", "--kind", "kiosk", "--seconds", "0.5"])
    assert len(played(tmp_path / "lane.mp4")) == 20
    assert len(played(tmp_path / "kiosk.y4m")) == 5
