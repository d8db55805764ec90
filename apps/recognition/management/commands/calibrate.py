"""Record a measurement, so that its pack may answer: manage.py calibrate DIR/measured.json"""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.recognition.measured import LARGEST, MeasurementInvalid, read_measurement
from apps.recognition.models import Calibration
from apps.recognition.services import record_calibration


class Command(BaseCommand):
    help = "Record what `manage.py evaluate --out DIR` measured; its pack answers from now on."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="measured.json, as evaluate wrote it")
        parser.add_argument("--note", default="", help="whose photos, say; 200 characters")

    def handle(self, *args: Any, file: Path, note: str, **options: Any) -> None:
        if len(note) > 200:
            raise CommandError("The note is longer than 200 characters.")
        try:
            with file.open("rb") as opened:
                measurement = read_measurement(opened.read(LARGEST + 1))
        except OSError:
            raise CommandError("There is no such file; name the measured.json.") from None
        except MeasurementInvalid as error:
            raise CommandError(str(error)) from None
        row = record_calibration(
            measurement=measurement,
            source=Calibration.Source.MEASURED,
            note=note,
            actor="system:operator",
        )
        self.stdout.write(
            json.dumps(
                {
                    "pack": f"{row.pack} {row.pack_version}",
                    "threshold": row.threshold,
                    "fpir": round(measurement.false_greetings(row.threshold).share, 5),
                    "fnir": round(measurement.misses(row.threshold).share, 5),
                }
            )
        )
