"""Restore a backup without bringing back whoever was erased since: manage.py restore DIR"""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from apps.audit.deletions import ListBroken
from apps.audit.keyfile import KeyFileError
from apps.retention.services.backup import BackupFailed, restore
from apps.retention.services.backup import replay as delete_again


class Command(BaseCommand):
    help = (
        "Write a backup into the empty database that DATABASE_URL names, delete again whatever was "
        "deleted since, and only then let anything be served. The last line is JSON."
    )
    # A restored database lets nobody in; this command is the one that may.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, nargs="?", help="what `manage.py backup` made")
        parser.add_argument(
            "--replay",
            action="store_true",
            help="only delete again: the database was restored in another way, or this was stopped",
        )

    def handle(self, *args: Any, folder: Path | None, replay: bool, **options: Any) -> None:
        if replay is (folder is not None):
            raise CommandError("Name the folder of a backup, or say --replay.")
        try:
            restored = delete_again() if folder is None else restore(folder)
        except (BackupFailed, ListBroken, KeyFileError, OSError) as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(
                f"The database refused or was lost ({type(error).__name__}). Nothing is served; "
                "when it is well again: manage.py restore --replay"
            ) from None
        self.stdout.write(json.dumps(restored.as_dict()))
