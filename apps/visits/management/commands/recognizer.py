"""Run the recognizer. It lives here because only `visits` may turn its matches into visits."""

import resource
import signal
from threading import Thread
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection, connections

from apps.audit.deletions import NotReplayed
from apps.audit.keyfile import KeyFileError
from apps.recognition.engine.packs import LicenceRefused, PackBroken
from apps.recognition.server import SocketTaken, open_recognizer
from apps.recognition.upkeep import HOUR, Policy, Upkeep
from apps.visits.services import disclose


class Command(BaseCommand):
    help = "Answer seal and match requests on the recognizer's unix socket."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--threads", type=int, default=1, help="onnxruntime threads a call")
        parser.add_argument(
            "--upkeep", type=float, default=HOUR, help="seconds between looks after the keyring"
        )

    def handle(self, *args: Any, threads: int, upkeep: float, **options: Any) -> None:
        # A core dump would hold faces, vectors and keys.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # Desk threads keep their database connection; nothing else ends a request here.
        connections.settings["default"]["CONN_MAX_AGE"] = None
        try:
            connection.ensure_connection()
        except NotReplayed as error:
            raise CommandError(str(error)) from None
        except DatabaseError:
            pass  # the keeper waits for it
        finally:
            connection.close()
        try:
            server, keeper = open_recognizer(disclose, threads=threads)
        except (PackBroken, LicenceRefused, KeyFileError, SocketTaken) as error:
            raise CommandError(str(error)) from None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: Thread(target=server.shutdown).start())
        keeper.start()
        tending = Upkeep(server.desk.keyring, Policy.of(settings.CONSENTRY), every=upkeep)
        tending.start()
        if keeper.loaded.wait(timeout=10):
            benches = server.desk.benches
            pack = benches.present.pack
            left = f"; leaving {benches.former.pack.name}" if benches.former else ""
            self.stdout.write(f"ready: {pack.name} {pack.version}, {pack.licence}{left}")
            self.stdout.flush()
        try:
            server.serve_forever(poll_interval=0.2)
        finally:
            server.server_close()
            tending.stop()
            keeper.stop()
