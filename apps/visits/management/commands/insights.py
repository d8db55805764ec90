"""Work out what is due of the insights, without a broker: for a timer, or after a pause."""

from typing import Any

from django.core.management.base import BaseCommand

from apps.visits.insights import rollup


class Command(BaseCommand):
    help = "Roll up the days and months that are due. Doing it twice changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"rolled up: {rollup.run()}")
