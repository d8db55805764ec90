"""The sweep without a broker: for a timer, and for the day when Redis is gone."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.retention.services.sweep import sweep


class Command(BaseCommand):
    help = "Erase everything that is past its deadline and finish pending certificates."

    def handle(self, *args: Any, **options: Any) -> None:
        swept = sweep()
        self.stdout.write(json.dumps(swept.as_dict()))
        if swept.failed:
            raise CommandError("Some rows could not be erased; the log says which. Run it again.")
