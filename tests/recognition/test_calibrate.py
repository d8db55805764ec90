"""What was measured of a pack is recorded, and nothing answers before; see services.calibrated."""

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from numpy.typing import NDArray

from apps.audit.models import Entry
from apps.recognition.client import Decision, MatchRequest, Recognizer
from apps.recognition.engine import starter
from apps.recognition.measured import (
    BINS,
    Measurement,
    MeasurementInvalid,
    bins,
    read_measurement,
    shipped,
    written,
)
from apps.recognition.models import Calibration
from apps.recognition.services import choose_threshold, record_calibration, record_shipped
from apps.visits.models import Visit
from tests.clients import rows
from tests.conftest import House, build_house
from tests.database import run
from tests.people import enrolled_for_good

Crops = Callable[[int], NDArray[np.uint8]]


def the_shipped() -> Measurement:
    found = shipped(starter.NAME, starter.VERSION)
    assert found is not None
    return found


def changed(**changes: Any) -> bytes:
    """The shipped file with some fields as a broken or a forged one would have them."""
    return json.dumps({**the_shipped().model_dump(), **changes}).encode()


# The file.


def test_the_starter_pack_of_today_comes_with_its_measurement() -> None:
    """Whoever raises starter.VERSION measures it anew: measured.shipped says how."""
    measurement = the_shipped()
    assert (measurement.pack, measurement.version) == (starter.NAME, starter.VERSION)
    assert measurement.threshold == starter.THRESHOLD["value"]
    assert measurement.slope == starter.THRESHOLD["slope"]
    assert measurement.false_greetings(measurement.threshold).share <= 0.01
    assert measurement.misses(measurement.threshold).share <= 0.02
    assert read_measurement(written(measurement).encode()) == measurement


@pytest.mark.parametrize(
    "name", ["../consentry-starter", "/etc/passwd", "..", "consentry-starter/x"]
)
def test_no_pack_names_a_file_elsewhere(name: str) -> None:
    assert shipped(name, "1") is None


def test_errors_are_told_for_any_threshold_and_never_too_low() -> None:
    measurement = Measurement(
        pack="p",
        version="1",
        threshold=0.4,
        slope=0.064,
        people=4,
        photos=40,
        enroll=3,
        enrolled=2,
        rounds=1,
        genuine=bins([0.39, 0.40, 0.9, 1.0]),
        impostor=bins([-1.0, 0.1, 0.4, 0.402]),
        returning=bins([0.5, 0.9, float("-inf")]),
        lost=1,
        strangers=bins([0.1, 0.45]),
        spared=2,
    )
    assert measurement.false_matches(0.4).share == 0.5
    assert measurement.false_matches(0.405).share == 0.0
    assert measurement.false_matches(0.403).share == 0.5, "a bin that is divided counts as an error"
    assert measurement.false_non_matches(0.4).share == 0.25
    assert measurement.false_non_matches(0.401).share == 0.5
    assert measurement.misses(0.6).share == pytest.approx(2 / 3)
    assert measurement.false_greetings(0.4).share == 0.25
    assert measurement.stranger_greeted(0.4, 2)[0] == 0.75
    assert measurement.stranger_greeted(0.9, 0) == (0.0, 0.0)
    share, most = measurement.stranger_greeted(0.9, 10)
    assert share == 0.0
    assert most > 0.5, "four pairs rule nothing out"


BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "no json": b"\xff\xfe",
    "a list": b"[]",
    "half": changed()[:2000],
    "deep": b"[" * 60_000,
    "too large": b" " * 70_000 + changed(),
    "a vector": changed(vector=[0.1] * 128),
    "another format": changed(format="consentry-measurement/2"),
    "too few bins": changed(genuine=[1] * (BINS - 1)),
    "parts of a count": changed(genuine=[0.5] * BINS),
    "less than nothing": changed(impostor=[-1] * BINS),
    "words": changed(strangers=["1"] * BINS),
    "nobody measured": changed(genuine=[0] * BINS),
    "no strangers": changed(strangers=[0] * BINS, spared=0),
    "all enrolled": changed(enrolled=20),
    "not a number": changed(threshold=float("nan")),
    "above one": changed(threshold=1.5),
    "true": changed(people=True),
    "a long name": changed(pack="p" * 61),
    "a NUL": changed(pack="p\x00"),
    "a newline": changed(version="1\n2"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_measurement_is_refused_in_words_and_leaves_nothing(
    db: None, tmp_path: Path, name: str
) -> None:
    with pytest.raises(MeasurementInvalid) as refusal:
        read_measurement(BROKEN[name])
    assert 20 < len(str(refusal.value)) < 300
    (tmp_path / "measured.json").write_bytes(BROKEN[name])
    before = rows()
    with pytest.raises(CommandError, match=r"measur"):
        call_command("calibrate", str(tmp_path / "measured.json"))
    assert rows() == before


def test_the_command_records_a_file_and_says_what_it_means(db: None, tmp_path: Path) -> None:
    path = tmp_path / "measured.json"
    path.write_bytes(changed(version="7"))
    said = io.StringIO()
    call_command("calibrate", str(path), "--note", "our own staff", stdout=said)
    row = Calibration.objects.of(starter.NAME, "7").get()
    assert (row.source, row.note, row.threshold) == (
        "measured",
        "our own staff",
        starter.THRESHOLD["value"],
    )
    assert json.loads(said.getvalue())["fpir"] < 0.01
    entry = Entry.objects.get(action="pack.calibrated")
    assert entry.detail["version"] == "7"
    with pytest.raises(CommandError, match="no such file"):
        call_command("calibrate", str(tmp_path / "nowhere"))
    with pytest.raises(CommandError, match="200 characters"):
        call_command("calibrate", str(path), "--note", "x" * 201)


def test_building_the_starter_pack_records_what_comes_with_it_once(db: None) -> None:
    for _ in range(2):
        call_command("pack", "build")
    row = Calibration.objects.of(starter.NAME, starter.VERSION).get()
    assert (row.source, row.recorded_by) == ("shipped", "system:pack")
    choose_threshold(basis=row, threshold=0.5, reason="too many", actor="test")
    call_command("pack", "build")
    latest = Calibration.objects.of(starter.NAME, starter.VERSION)[0]
    assert latest.threshold == 0.5, "what an officer chose stands"


# The rows.


@pytest.fixture
def calibration(db: None) -> Calibration:
    row = record_shipped(pack=starter.NAME, version=starter.VERSION, actor="test")
    assert row is not None
    return row


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE recognition_calibration SET threshold = 0.1",
        "UPDATE recognition_calibration SET recorded_at = now()",
        "DELETE FROM recognition_calibration",
    ],
)
def test_postgresql_changes_no_calibration(calibration: Calibration, statement: str) -> None:
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        run(statement)
    calibration.refresh_from_db()
    assert calibration.threshold == starter.THRESHOLD["value"]


def test_postgresql_empties_no_calibrations(calibration: Calibration) -> None:
    """The test runner empties tables; for this test the trigger is as the migration left it."""
    run("SET CONSTRAINTS ALL IMMEDIATE")
    name = "recognition_calibration"
    run(f"ALTER TABLE {name} ENABLE ALWAYS TRIGGER {name}_no_truncate")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        run(f"TRUNCATE {name}")


def test_every_guard_holds_for_replicas_too(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT tgname, tgenabled FROM pg_trigger
                WHERE tgrelid = 'recognition_calibration'::regclass AND NOT tgisinternal"""
        )
        found = dict(cursor.fetchall())
    assert found.pop("recognition_calibration_no_truncate") in ("A", "D")
    assert set(found.values()) == {"A"}
    assert len(found) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"pack_version": "another"},
        {"source": "measured"},
        {"threshold": 1.0},
        {"threshold": 0.0},
        {"basis_id": None},
        {"measured": {}},
    ],
)
def test_postgresql_takes_no_threshold_without_its_measurement(
    calibration: Calibration, change: dict[str, object]
) -> None:
    values: dict[str, object] = {
        "pack": calibration.pack,
        "pack_version": calibration.pack_version,
        "threshold": 0.5,
        "slope": 0.064,
        "source": "chosen",
        "basis_id": calibration.pk,
    }
    Calibration.objects.create(**values)
    with pytest.raises(DatabaseError), transaction.atomic():
        Calibration.objects.create(**{**values, **change})


@pytest.mark.parametrize("threshold", [0.0, 0.04, 0.96, float("nan"), float("inf"), -1.0])
def test_a_threshold_out_of_reason_is_refused_in_words(
    calibration: Calibration, threshold: float
) -> None:
    with pytest.raises(ValidationError, match=r"between 0\.05 and 0\.95"):
        choose_threshold(basis=calibration, threshold=threshold, reason="why", actor="test")
    with pytest.raises(ValidationError, match="Say why"):
        choose_threshold(basis=calibration, threshold=0.5, reason="  ", actor="test")
    assert Calibration.objects.count() == 1


def test_a_choice_rests_on_the_measurement_not_on_a_choice(calibration: Calibration) -> None:
    first = choose_threshold(basis=calibration, threshold=0.5, reason="one", actor="test")
    second = choose_threshold(basis=first, threshold=0.6, reason="two", actor="test")
    assert second.basis == calibration
    assert second.measurement == the_shipped()
    assert Calibration.objects.of(starter.NAME, starter.VERSION)[0] == second


# What a recognizer makes of it.


@pytest.fixture
def asked(recognizer: Recognizer, crops_of: Crops) -> tuple[Recognizer, House]:
    """A recognizer, and a house in which person 2 is enrolled."""
    house = build_house()
    enrolled_for_good(house, [recognizer], crops_of(2))
    return recognizer, house


def decided(asked: tuple[Recognizer, House], crops: NDArray[np.uint8]) -> Decision:
    recognizer, house = asked
    return recognizer.match(MatchRequest(house.camera.pk, house.store.pk, time.time()), crops)


def without_calibration() -> None:
    run("TRUNCATE recognition_calibration")


def test_without_a_recorded_calibration_it_seals_and_answers_nobody(
    asked: tuple[Recognizer, House], crops_of: Crops
) -> None:
    without_calibration()
    assert decided(asked, crops_of(2)) == Decision(None, "uncalibrated")
    enrolled_for_good(asked[1], [asked[0]], crops_of(3))
    record_calibration(
        measurement=read_measurement(changed(version="another")),
        source=Calibration.Source.MEASURED,
        note="",
        actor="test",
    )
    assert decided(asked, crops_of(2)).outcome == "uncalibrated", "that was of other weights"
    assert not Visit.objects.exists()
    record_shipped(pack=starter.NAME, version=starter.VERSION, actor="test")
    assert decided(asked, crops_of(2)).outcome == "visit"


def test_a_new_threshold_is_live_with_its_record(
    asked: tuple[Recognizer, House], crops_of: Crops
) -> None:
    poor = np.ascontiguousarray(crops_of(2) // 96 * 96)  # three levels of grey: cosine 0.53
    row = Calibration.objects.get()
    raised = choose_threshold(basis=row, threshold=0.7, reason="try", actor="test")
    assert decided(asked, poor).outcome == "unknown"
    with transaction.atomic():
        choose_threshold(basis=raised, threshold=0.3, reason="undone", actor="test")
        transaction.set_rollback(True)
    assert decided(asked, poor).outcome == "unknown"
    choose_threshold(basis=raised, threshold=0.4, reason="back", actor="test")
    assert decided(asked, poor).outcome == "visit"
    assert Visit.objects.get().threshold == 0.4


def test_the_two_most_alike_are_a_number_and_nobody(
    asked: tuple[Recognizer, House], crops_of: Crops
) -> None:
    recognizer, house = asked
    assert recognizer.closest(house.store.pk) is None, "one person is like nobody"
    enrolled_for_good(house, [recognizer], crops_of(3))
    enrolled_for_good(house, [recognizer], crops_of(5))
    most = recognizer.closest(house.store.pk)
    assert most is not None
    assert -0.2 < most < 0.4
    assert recognizer.closest(house.store.pk) == most
    assert recognizer.closest(house.organization.pk) is None
