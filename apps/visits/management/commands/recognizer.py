"""Run the recognizer. It lives here because only `visits` may turn its matches into visits."""

import resource
import signal
from threading import Thread
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from apps.audit.keyfile import KeyFileError
from apps.recognition.engine.packs import LicenceRefused, PackBroken, load_pack
from apps.recognition.gallery import Gallery
from apps.recognition.keeper import Keeper
from apps.recognition.server import Desk, Server, SocketTaken
from apps.visitors.vault import FileKeyring
from apps.visits.services import disclose


class Command(BaseCommand):
    help = "Answer seal and match requests on the recognizer's unix socket."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--threads", type=int, default=1, help="onnxruntime threads a call")

    def handle(self, *args: Any, threads: int, **options: Any) -> None:
        # A core dump would hold faces, vectors and keys.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        env = settings.CONSENTRY
        try:
            keyring = FileKeyring.load(env.keyring_path)
            pack = load_pack(
                env.packs, allow_noncommercial=env.allow_noncommercial, threads=threads
            )
            gallery = Gallery(pack.dim)
            keeper = Keeper(
                database=env.database_url.get_secret_value(),
                pack=pack,
                keyring=keyring,
                gallery=gallery,
            )
            server = Server(env.socket, Desk(pack, keyring, gallery, keeper, disclose))
        except (PackBroken, LicenceRefused, KeyFileError, SocketTaken) as error:
            raise CommandError(str(error)) from None
        # Desk threads keep their database connection; nothing else ends a request here.
        connections.settings["default"]["CONN_MAX_AGE"] = None
        keeper.start()
        signal.signal(signal.SIGTERM, lambda *_: Thread(target=server.shutdown).start())
        signal.signal(signal.SIGINT, lambda *_: Thread(target=server.shutdown).start())
        self.stdout.write(f"ready: recognizer with {pack.name} {pack.version}, {pack.licence}")
        self.stdout.flush()
        try:
            server.serve_forever(poll_interval=0.2)
        finally:
            server.server_close()
            keeper.stop()
