"""Make the keyring and the signing key on a new house."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.audit import signing
from apps.audit.keyfile import KeyFileError
from apps.visitors.vault import FileKeyring


class Command(BaseCommand):
    help = "init: make the keyring and the signing key where they are missing; never replace one."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("verb", choices=["init"])

    def handle(self, *args: Any, **options: Any) -> None:
        env = settings.CONSENTRY
        try:
            for path, create in (
                (env.keyring_path, FileKeyring.create),
                (env.signing_key_path, signing.create_key),
            ):
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                    create(path)
        except (KeyFileError, OSError) as error:
            raise CommandError(str(error)) from None
