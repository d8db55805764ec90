"""Run the cameras of this machine. Holds no key and learns no name."""

import resource
import signal
from threading import Event
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.recognition.engine.detection import load_detector
from apps.visits.cameras import Cameras


class Command(BaseCommand):
    help = "Watch all active cameras, or those named."
    # They would load every page of the house, and with the door's what a watcher that only counts
    # must not have. `manage.py check` is for whoever deploys.
    requires_system_checks = ()

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--camera", type=UUID, action="append", default=[])

    def handle(self, *args: Any, camera: list[UUID], **options: Any) -> None:
        # A core dump would hold faces.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        env = settings.CONSENTRY
        try:
            detector = load_detector(env.packs, allow_noncommercial=env.allow_noncommercial)
        except (OSError, RuntimeError) as error:
            raise CommandError(str(error)) from None
        stop = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        self.stdout.write("ready: watcher")
        self.stdout.flush()
        Cameras(detector, set(camera)).run(stop)
