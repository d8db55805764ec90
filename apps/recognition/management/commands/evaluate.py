"""Measure the pack on photos of people: manage.py evaluate DIR --enroll 3 --out FOLDER"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.recognition.engine.evaluation import embed_photo, photos
from apps.recognition.engine.packs import LicenceRefused, PackBroken, load_pack
from apps.recognition.evaluation import evaluate, measurement_of
from apps.recognition.measured import written


class Command(BaseCommand):
    help = (
        "How often the product errs on photos: one folder a person. Writes nothing it could leak."
    )
    # No database is asked, so none need be there.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="holds one folder a person")
        parser.add_argument("--enroll", type=int, default=3, help="photos that make a template")
        parser.add_argument("--rounds", type=int, default=50, help="random choices of strangers")
        parser.add_argument("--seed", type=int, default=1, help="of these choices")
        parser.add_argument("--threads", type=int, default=2)
        parser.add_argument("--out", type=Path, help="folder for measured.json and two charts")
        parser.add_argument("--max-fpir", type=float, default=0.01, help="fail above this")
        parser.add_argument("--max-fnir", type=float, default=0.02, help="fail above this")

    def handle(self, *args: Any, folder: Path, **given: Any) -> None:
        env = settings.CONSENTRY
        if not folder.is_dir():
            raise CommandError("There is no such folder; name one that holds a folder a person.")
        try:
            pack = load_pack(
                env.packs, allow_noncommercial=env.allow_noncommercial, threads=given["threads"]
            )
        except (PackBroken, LicenceRefused) as error:
            raise CommandError(str(error)) from None
        refused: Counter[str] = Counter()
        people = {}
        for name, files in photos(folder):
            answers = [embed_photo(pack, path) for path in files]
            refused.update(answer for answer in answers if isinstance(answer, str))
            people[name] = [None if isinstance(answer, str) else answer for answer in answers]
        try:
            report = evaluate(
                pack, people, enroll=given["enroll"], rounds=given["rounds"], seed=given["seed"]
            )
        except ValueError as error:
            raise CommandError(f"These photos cannot be evaluated: {error}.") from None
        taken = sum(len(answers) for answers in people.values())
        if out := given["out"]:
            # matplotlib takes half a second to load.
            from apps.recognition import charts

            out.mkdir(parents=True, exist_ok=True)
            scores = (report.genuine, report.impostor, report.threshold)
            (out / "scores.png").write_bytes(charts.histogram(*scores))
            (out / "det.png").write_bytes(charts.det(*scores))
            kept = measurement_of(
                pack, report, photos=taken, enroll=given["enroll"], rounds=given["rounds"]
            )
            (out / "measured.json").write_text(written(kept), encoding="utf-8")
        fnmr, at = report.fnmr_at_fmr
        measured = {
            "pack": f"{pack.name} {pack.version}",
            "people": report.people,
            "photos": taken,
            "refused": dict(sorted(refused.items())),
            "enrolled": report.enrolled,
            "enroll": given["enroll"],
            "rounds": given["rounds"],
            "threshold": round(report.threshold, 4),
            "fpir": round(report.positives.share, 5),
            "fpir_of": report.positives.of,
            "fnir": round(report.negatives.share, 5),
            "fnir_of": report.negatives.of,
            "fnir_by_refusal": report.missed,
            "fmr": round(report.fmr.share, 6),
            "fnmr_at_fmr_1e3": round(fnmr, 5),
            "threshold_at_fmr_1e3": round(at, 4),
        }
        self.stdout.write(json.dumps(measured))
        if report.positives.share > given["max_fpir"] or report.negatives.share > given["max_fnir"]:
            raise CommandError("The reach is missed: see fpir and fnir above.")
