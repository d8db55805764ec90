"""The watchdog without a broker: for a timer, and for the day when Celery is gone."""

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand

from apps.retention.services import watchdog


class Command(BaseCommand):
    help = "Say per kind of data what is overdue, as JSON lines; end with 1 when something is late."

    def handle(self, *args: Any, **options: Any) -> None:
        seen = watchdog.watch()
        late = {each.kind for each in watchdog.late(seen)}
        for each in seen:
            line = {
                "kind": each.kind,
                "overdue": each.count,
                "since": each.since.isoformat() if each.since else None,
                "held": each.held,
                "late": each.kind in late,
            }
            self.stdout.write(json.dumps(line))
        if late:
            sys.exit(1)
