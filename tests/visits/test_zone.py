"""What lies outside a zone is gone before anything looks; a line knows its two sides."""

from __future__ import annotations

import math

import numpy as np
import pytest

from apps.recognition.engine.types import Detector, Image
from apps.visits.pipeline.zone import Line, Zone
from tests.faces import group_picture
from tests.visits.cameras import WHOLE


def _corners(box: np.ndarray, shape: tuple[int, ...], grow: float) -> list[tuple[float, float]]:
    """A diamond around a face, so that its bounding box holds more than the zone."""
    height, width = shape[:2]
    x, y = float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2
    reach = grow * float(max(box[2] - box[0], box[3] - box[1]))
    around = ((0, -reach), (reach, 0), (0, reach), (-reach, 0))
    return [
        (min(max((x + dx) / width, 0.0), 1.0), min(max((y + dy) / height, 0.0), 1.0))
        for dx, dy in around
    ]


def test_a_face_outside_the_zone_is_never_seen(detector: Detector) -> None:
    picture = group_picture()
    six = detector.detect(picture)
    assert len(six) == 6
    for face in six:
        zone = Zone(_corners(face.box, picture.shape, 1.0))
        view = zone.view(picture)
        found = detector.detect(view.image)
        assert len(found) == 1
        assert zone.covers_face(view, found[0])
        x, y = view.unit(*(float(v) for v in found[0].landmarks[2]))
        nose = face.landmarks[2]
        apart = math.dist((x * 1280, y * 886), (float(nose[0]), float(nose[1])))
        assert apart < 0.1 * face.width, "the same face, at the same place of the full picture"


def test_outside_the_polygon_everything_is_black() -> None:
    white: Image = np.full((100, 200, 3), 255, dtype=np.uint8)
    zone = Zone([(0.25, 0.0), (0.75, 0.0), (0.25, 1.0)])
    view = zone.view(white)
    assert view.image.shape == (100, 100, 3)
    assert (view.left, view.top, view.width, view.height) == (50, 0, 200, 100)
    assert view.image[5, 5].min() == 255
    assert view.image[95, 95].max() == 0
    assert white.min() == 255, "the picture itself is left alone"


def test_without_a_zone_the_whole_picture_is_seen() -> None:
    picture = np.zeros((10, 20, 3), dtype=np.uint8)
    for zone in (Zone(None), Zone([]), Zone(WHOLE)):
        assert zone.view(picture).image.shape == picture.shape
        assert zone.contains((1.0, 0.5))
        assert not zone.contains((1.1, 0.5))


def test_a_zone_fits_whatever_size_the_camera_sends() -> None:
    zone = Zone([(0.5, 0.5), (1, 0.5), (1, 1), (0.5, 1)])
    for height, width in ((480, 640), (1080, 1920), (480, 640)):
        view = zone.view(np.zeros((height, width, 3), dtype=np.uint8))
        assert view.image.shape == (height // 2, width // 2, 3)


@pytest.mark.parametrize(
    "corners",
    [
        [(0, 0), (1, 1)],
        [(0, 0), (0.5, 0.5), (1, 1)],
        [(0, 0), (2, 0), (1, 1)],
        [(0, 0), (math.nan, 0), (1, 1)],
        [(0, 0), (1, 0), (0, -0.1)],
    ],
)
def test_a_zone_that_is_none_is_refused(corners: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="zone"):
        Zone(corners)


def test_a_line_has_a_right_hand_a_left_hand_and_two_ends() -> None:
    door = Line((0.5, 0.2), (0.5, 0.8))  # walking down the picture: its right hand is our left
    assert door.side((0.3, 0.5)) == 1
    assert door.side((0.7, 0.5)) == -1
    assert door.side((0.52, 0.5), margin=0.05) == 0
    assert door.crossed((0.3, 0.5), (0.7, 0.5))
    assert not door.crossed((0.3, 0.9), (0.7, 0.9)), "past its end"
    assert not door.crossed((0.3, 0.5), (0.4, 0.5))


def test_a_line_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="line"):
        Line((0.5, 0.5), (0.5, 0.5))
    with pytest.raises(ValueError, match="line"):
        Line((0.5, 0.5), (1.5, 0.5))
