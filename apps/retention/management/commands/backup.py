"""Back up the database: manage.py backup DIR"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.audit.keyfile import KeyFileError
from apps.retention.services.backup import BackupFailed, back_up


class Command(BaseCommand):
    help = (
        "Dump the database into a new folder, with a signed manifest. It holds names in the open "
        "and templates sealed: keep it encrypted, and the keyring elsewhere. The last line is JSON."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path)

    def handle(self, *args: Any, folder: Path, **options: Any) -> None:
        try:
            self.stdout.write(json.dumps(asdict(back_up(folder))))
        except (BackupFailed, KeyFileError, OSError) as error:
            raise CommandError(str(error)) from None
