"""What is written down every hour, without a broker: for a timer, and for when Redis is gone."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.visits import hourly


class Command(BaseCommand):
    help = (
        "Put every camera's counters into the ledger, once an hour, sign and export the ledger's "
        "head, and verify what is new in it; all of it once a day, or with --full."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--full", action="store_true", help="verify the ledger from its start")

    def handle(self, *args: Any, full: bool, **options: Any) -> None:
        done = hourly.run(full=full)
        self.stdout.write(
            json.dumps(
                {
                    "cameras": done.cameras,
                    "entries": done.check.entries,
                    "root": done.check.root,
                    "exported": done.exported,
                    "ok": done.check.ok,
                    "problem": done.check.problem,
                }
            )
        )
        if not done.check.ok:
            raise CommandError(done.check.problem)
