"""`manage.py evaluate`: photos in folders in, error rates and two charts out, no database asked."""

from __future__ import annotations

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image as Pillow

from apps.recognition.engine.evaluation import (
    false_non_matches,
    find,
    read,
    threshold_at,
    trade_off,
)
from apps.recognition.engine.packs import Pack
from apps.recognition.engine.rates import Rate
from apps.recognition.engine.starter import THRESHOLD
from apps.recognition.measured import read_measurement
from tests import faces

FACING = (0, 1, 2, 3, 5)
"""Person 4 looks away: every one of their photos is refused."""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five people, five photos each, in four formats; the last is grey, tight and tiny."""
    folder = tmp_path_factory.mktemp("people")
    for index in FACING:
        home = folder / f"person-{index}"
        home.mkdir()
        shots = list(faces.frames(index, seconds=0.5, fps=10))
        for number, (shot, kind) in enumerate(
            zip(shots, ("jpg", "png", "webp", "bmp", "pgm"), strict=True)
        ):
            picture = Pillow.fromarray(shot)
            if kind == "pgm":
                picture = Pillow.fromarray(tight(index)).convert("L")
            picture.save(home / f"{number}.{kind}")
    return folder


def tight(index: int) -> np.ndarray:
    """A portrait cut to the face, 92×112, as old collections have them."""
    portrait = faces.portrait(index)
    height, width = portrait.shape[:2]
    cut = portrait[int(0.14 * height) : int(0.92 * height), int(0.12 * width) : int(0.88 * width)]
    return np.asarray(cv2.resize(cut, (92, 112), interpolation=cv2.INTER_AREA))


def run(folder: Path, *options: str) -> dict[str, object]:
    out = io.StringIO()
    call_command("evaluate", str(folder), "--rounds", "6", *options, stdout=out)
    return dict(json.loads(out.getvalue().strip().splitlines()[-1]))


def test_people_are_told_apart_and_the_charts_are_drawn(people: Path, tmp_path: Path) -> None:
    measured = run(people, "--enroll", "3", "--out", str(tmp_path / "charts"))
    assert measured["people"] == 5
    assert measured["photos"] == 25
    assert measured["refused"] == {}
    assert measured["threshold"] == pytest.approx(THRESHOLD["value"])
    assert measured["fpir"] == 0
    assert measured["fnir"] == 0
    # Six rounds: two enrolled with two photos left, three strangers with five.
    assert (measured["fnir_of"], measured["fpir_of"]) == (24, 90)
    kept = read_measurement((tmp_path / "charts/measured.json").read_bytes())
    assert (kept.people, kept.photos, kept.enrolled, kept.rounds) == (5, 25, 2, 6)
    assert kept.misses(0.4) == Rate(0, 24)
    assert kept.false_greetings(0.4) == Rate(0, 90)
    assert kept.misses(1.0).share == 1.0
    assert kept.false_greetings(-1.0).share > 0.5, "the rest is too near to two people at once"
    for name in ("scores.png", "det.png"):
        with Pillow.open(tmp_path / "charts" / name) as chart:
            assert chart.format == "PNG"
            assert len(chart.convert("L").getcolors(256) or []) > 10


def test_a_folder_with_two_people_in_it_is_not_called_good(people: Path, tmp_path: Path) -> None:
    for index in FACING:
        (tmp_path / str(index)).mkdir()
        for path in (people / f"person-{index}").iterdir():
            (tmp_path / str(index) / path.name).write_bytes(path.read_bytes())
    (tmp_path / "1/0.jpg").write_bytes((people / "person-3/0.jpg").read_bytes())
    (tmp_path / "1/1.png").write_bytes((people / "person-3/1.png").read_bytes())
    with pytest.raises(CommandError, match="reach is missed"):
        run(tmp_path)


def test_what_cannot_be_used_is_counted_by_reason_and_as_not_found(
    people: Path, tmp_path: Path
) -> None:
    for index in FACING:
        (tmp_path / str(index)).mkdir()
        for path in (people / f"person-{index}").iterdir():
            (tmp_path / str(index) / path.name).write_bytes(path.read_bytes())
    (tmp_path / "2/6.txt").write_text("no picture")
    Pillow.new("RGB", (300, 300), "grey").save(tmp_path / "2/7.png")
    blurred = cv2.GaussianBlur(next(faces.frames(3)), (0, 0), 9)
    Pillow.fromarray(blurred).save(tmp_path / "3/6.png")
    with pytest.raises(CommandError, match="reach is missed"):
        run(tmp_path)
    measured = run(tmp_path, "--max-fnir", "1", "--out", str(tmp_path / "out"))
    assert measured["refused"] == {"blurred": 1, "no_face": 1, "not_an_image": 1}
    assert measured["fnir_by_refusal"] != 0
    assert measured["fnir"] != 0
    kept = read_measurement((tmp_path / "out/measured.json").read_bytes())
    assert kept.lost >= measured["fnir_by_refusal"]  # type: ignore[operator]
    for said, rate in (("fnir", kept.misses(0.4)), ("fpir", kept.false_greetings(0.4))):
        assert round(rate.share, 5) == measured[said]
        assert rate.of == measured[f"{said}_of"]


@pytest.mark.parametrize(("folders", "say"), [(0, "four people"), (3, "four people")])
def test_too_few_people_are_refused_in_words(
    people: Path, tmp_path: Path, folders: int, say: str
) -> None:
    for index in FACING[:folders]:
        (tmp_path / str(index)).symlink_to(people / f"person-{index}")
    with pytest.raises(CommandError, match=say):
        run(tmp_path)


def test_too_few_photos_and_no_folder_are_refused_in_words(people: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="more than 5 usable photos"):
        run(people, "--enroll", "5")
    with pytest.raises(CommandError, match="no such folder"):
        run(tmp_path / "nowhere")


def test_a_tight_photo_is_given_room_before_it_is_looked_at(starter: Pack) -> None:
    found = find(starter.detector, tight(2))
    assert found is not None
    seen, face = found
    assert seen.shape == (3 * 112 + 120, 3 * 92 + 120, 3)
    assert face.width > 100


def test_sixteen_bit_pictures_keep_their_range(tmp_path: Path) -> None:
    ramp = np.linspace(1000, 5000, 64 * 64).reshape(64, 64).astype(np.uint16)
    Pillow.fromarray(ramp).save(tmp_path / "deep.png")
    picture = read(tmp_path / "deep.png")
    assert picture is not None
    assert (picture.min(), picture.max()) == (0, 255)


def test_rates_are_counted_from_the_threshold_upwards() -> None:
    impostor = np.arange(1000) / 1000
    genuine = np.array([0.2, 0.9995, 0.9999, 1.0])
    at = threshold_at(impostor, 1e-3)
    assert 0.998 < at < 0.999
    assert false_non_matches(genuine, at).share == 0.25
    curve = trade_off(genuine, impostor)
    assert np.all(np.diff(curve.fmr) <= 0)
    assert np.all(np.diff(curve.fnmr) >= 0)
    assert (curve.fmr[0], curve.fnmr[0]) == (1.0, 0.0)
