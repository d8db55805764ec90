"""What five points tell of a head: turned, nearer, or flat. No picture is needed for most of it."""

import math
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from apps.recognition.engine import liveness
from apps.recognition.engine.detection import load_detector
from apps.recognition.engine.imagefile import decode_jpeg
from apps.recognition.engine.liveness import ACTS, BOX_S, Act, Asked, Glance
from apps.recognition.engine.starter import PackBroken, build_starter, digest
from apps.recognition.engine.types import Detector
from ops.heads import on_screen
from tests import faces
from tests.recognition.liveness_model import build, declare


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return load_detector(build_starter(tmp_path_factory.mktemp("packs") / "starter"))


# A face in distances between its eyes: across, down, and towards the camera.
HEAD = np.array(
    [[-0.5, 0, 0], [0.5, 0, 0], [0, 0.6, 0.6], [-0.4, 1.15, 0.05], [0.4, 1.15, 0.05]], np.float64
)
PHOTO = HEAD * [1, 1, 0]
Points = NDArray[np.float32]


def seen(
    shape: NDArray[np.float64] = HEAD, *, turn: float = 0, tilt: float = 0, size: float = 1
) -> Points:
    """Landmarks (5, 2) of a shape that is turned and tilted by degrees, from two metres."""
    a, b = math.radians(turn), math.radians(tilt)
    upright = np.array([[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]])
    spin = np.array([[math.cos(b), -math.sin(b), 0], [math.sin(b), math.cos(b), 0], [0, 0, 1]])
    points = shape @ (spin @ upright).T
    near = 30 / (30 - points[:, 2])
    return (points[:, :2] * near[:, None] * 80 * size + [320, 240]).astype(np.float32)


@pytest.mark.parametrize("turn", [-40, -25, -15, 15, 25, 40])
def test_a_turned_head_shows_how_far_and_to_which_side(turn: float) -> None:
    found = liveness.degrees(liveness.parallax(seen(), seen(turn=turn)))
    assert abs(found - turn) < 5
    side: Asked = "left" if turn > 0 else "right"
    other: Asked = "right" if turn > 0 else "left"
    assert liveness.doing(side, seen(), seen(turn=turn)) == "done"
    assert liveness.doing(other, seen(), seen(turn=turn)) == "other"
    assert liveness.doing("nearer", seen(), seen(turn=turn)) == "other"
    assert liveness.doing("front", seen(), seen(turn=turn)) == "not_yet"


@pytest.mark.parametrize("turn", range(-60, 61, 10))
@pytest.mark.parametrize("tilt", [-20, 0, 20])
def test_a_turned_photo_shows_no_turn(turn: float, tilt: float) -> None:
    moved = seen(PHOTO, turn=turn, tilt=tilt)
    assert abs(liveness.parallax(seen(PHOTO), moved)) < 0.03
    assert liveness.doing("left", seen(PHOTO), moved) in ("not_yet", "flat")
    assert liveness.doing("right", seen(PHOTO), moved) in ("not_yet", "flat")


def test_a_bent_photo_that_is_narrowed_too_much_is_flat() -> None:
    """Rolled, it has a little depth; so little that the turn would have to be large."""
    bent = HEAD * [1, 1, 0.2]
    assert liveness.doing("left", seen(bent), seen(bent, turn=60)) == "flat"


@pytest.mark.parametrize("tilt", [-25, 0, 25])
def test_a_tilted_head_is_not_a_turned_one(tilt: float) -> None:
    assert abs(liveness.parallax(seen(), seen(tilt=tilt))) < 0.01
    assert liveness.doing("left", seen(), seen(turn=25, tilt=tilt)) == "done"


def test_coming_nearer_is_growing_and_no_turn() -> None:
    assert liveness.growth(seen(), seen(size=1.4)) == pytest.approx(1.4, rel=1e-3)
    assert liveness.doing("nearer", seen(), seen(size=1.4)) == "done"
    assert liveness.doing("nearer", seen(), seen(size=1.1)) == "not_yet"
    assert liveness.doing("nearer", seen(), seen(size=0.7)) == "not_yet"
    assert liveness.doing("left", seen(), seen(size=1.4)) == "other"


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 1e30])
def test_points_that_are_no_face_are_not_yet_anything(value: float) -> None:
    broken = np.full((5, 2), value, np.float32)
    for asked in get_args(Asked):
        assert liveness.doing(asked, seen(), broken) == "not_yet"
        assert liveness.doing(asked, broken, seen()) == "not_yet"


ENDS: dict[Act, Points] = {
    "left": seen(turn=25),
    "right": seen(turn=-25),
    "nearer": seen(size=1.4),
}


def performed(acts: list[Act], pace: float = 0.4) -> list[Glance]:
    glances: list[Glance] = []
    for number, act in enumerate(acts):
        front, moving = 2 * number, 2 * number + 1
        for step, points in ((front, seen()), (moving, seen()), (moving, ENDS[act])):
            glances.append(Glance(step, len(glances) * pace, points))
    return glances


@pytest.mark.parametrize("first", ACTS)
@pytest.mark.parametrize("second", ACTS)
def test_only_the_asked_order_counts(first: Act, second: Act) -> None:
    if first == second:
        return
    assert liveness.judge(seen(), [first, second], performed([first, second])) == "ok"
    assert liveness.judge(seen(), [second, first], performed([first, second])) == "other_act"


def test_what_is_missing_late_or_out_of_order_is_refused() -> None:
    acts: list[Act] = ["left", "nearer"]
    good = performed(acts)
    assert liveness.judge(seen(), acts, []) == "incomplete"
    assert liveness.judge(seen(), acts, good[:-3]) == "incomplete"
    assert liveness.judge(seen(), acts, good[:-1]) == "not_seen"
    assert liveness.judge(seen(), acts, good[::-1]) == "incomplete"
    late = [Glance(each.step, each.at + BOX_S, each.landmarks) for each in good]
    assert liveness.judge(seen(), acts, late) == "too_slow"
    unordered = [Glance(each.step, -each.at, each.landmarks) for each in good]
    assert liveness.judge(seen(), acts, unordered) == "incomplete"


def test_a_clip_that_is_in_the_pose_before_it_was_asked_is_no_answer() -> None:
    acts: list[Act] = ["left", "nearer"]
    eager = [each for number, each in enumerate(performed(acts)) if number != 1]
    assert liveness.judge(seen(), acts, eager) == "other_act"


@pytest.mark.parametrize("pitch", [2.2, 3.1, 4.4])
def test_the_grid_of_a_screen_stands_out_and_skin_has_none(
    detector: Detector, pitch: float
) -> None:
    for person in (2, 3, 5):
        frame = next(faces.frames(person, seconds=0.1))
        for shot, screen in ((frame, False), (on_screen(frame, pitch=pitch, depth=0.06), True)):
            picture = decode_jpeg(faces.jpeg(shot, 85))
            (face,) = detector.detect(picture)
            assert (liveness.grid(picture, face) > liveness.MAX_GRID) == screen


def test_a_picture_smaller_than_the_window_has_no_grid_to_judge(detector: Detector) -> None:
    frame = next(faces.frames(2, seconds=0.1))
    (face,) = detector.detect(frame)
    assert liveness.grid(np.ascontiguousarray(frame[:100, :100]), face) == 0.0


# insightface's add-on.


def test_a_pack_without_a_liveness_network_has_none(tmp_path: Path) -> None:
    assert liveness.load_addon(build_starter(tmp_path / "pack")) is None
    assert liveness.load_addon(tmp_path / "nothing") is None


@pytest.mark.parametrize(("probability", "alive"), [(0.81, True), (0.79, False)])
def test_a_declared_network_is_run(
    tmp_path: Path, detector: Detector, probability: float, alive: bool
) -> None:
    pack = build_starter(tmp_path / "pack")
    declare(pack, probability)
    network = liveness.load_addon(pack)
    assert network is not None
    frame = next(faces.frames(2, seconds=0.1))
    (face,) = detector.detect(frame)
    assert network.alive(frame, face) == alive
    # Too little of the picture around the face to judge: not alive.
    cut = np.ascontiguousarray(frame[:, 300:])
    moved = face.landmarks - np.array([300, 0], np.float32)
    assert not network.alive(cut, type(face)(face.box, moved, face.score))


def test_a_declared_network_that_is_another_or_missing_is_refused(tmp_path: Path) -> None:
    pack = build_starter(tmp_path / "pack")
    for spoilt in ({"sha256": "0" * 64}, {"file": "gone.onnx"}):
        declare(pack, 0.9, **spoilt)
        with pytest.raises(PackBroken, match="declared"):
            liveness.load_addon(pack)
    (pack / "liveness.onnx").write_bytes(b"no network")
    with pytest.raises(PackBroken, match="no liveness network"):
        liveness.AddOn(pack / "liveness.onnx", sha256=digest(pack / "liveness.onnx"))


def test_an_operators_pack_takes_the_published_network_only(tmp_path: Path) -> None:
    (tmp_path / "addons").mkdir()
    build(tmp_path / "addons" / "liveness.onnx", 0.99)
    with pytest.raises(PackBroken, match="not the file"):
        liveness.load_addon(tmp_path)
