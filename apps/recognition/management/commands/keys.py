"""The house's keys: made once, then rotated, and the old ones destroyed."""

import json
import resource
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from apps.audit import signing
from apps.audit.keyfile import KeyFileError
from apps.recognition.upkeep import Policy, tend
from apps.visitors.models import DataKey
from apps.visitors.vault import create_keyring, open_keyring

ACTOR = "operator:keys"


class Command(BaseCommand):
    help = (
        "init: make the keyring and the signing key where they are missing; never replace one. "
        "show: the keyring's generations and what is under them. tend: do what is due, as a "
        "recognizer does every hour. rotate: make a new generation now and move every key under "
        "it. Run it as the user who owns the keyring. The last line is JSON, without any key."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("verb", choices=["init", "show", "tend", "rotate"])
        parser.add_argument(
            "--destroy",
            action="store_true",
            help="with tend and rotate: keep nothing for the restore of older backups",
        )

    def handle(self, *args: Any, verb: str, destroy: bool, **options: Any) -> None:
        # A core dump would hold keys.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            match verb:
                case "init":
                    self._init()
                case "show":
                    self.stdout.write(json.dumps(_shown()))
                case _:
                    self._tend(rotate=verb == "rotate", destroy=destroy)
        except (KeyFileError, OSError) as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(
                f"The database refused or was lost ({type(error).__name__}). Nothing is half done; "
                "run it again."
            ) from None

    def _init(self) -> None:
        env = settings.CONSENTRY
        for path, create in (
            (env.keyring_path, lambda _path: create_keyring(env)),
            (env.signing_key_path, signing.create_key),
        ):
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                create(path)

    def _tend(self, *, rotate: bool, destroy: bool) -> None:
        env = settings.CONSENTRY
        due = Policy.of(env)
        policy = Policy(due.rotate_after, due.keep * 0, due.grace) if destroy else due
        tended = tend(keyring=open_keyring(env), policy=policy, actor=ACTOR, rotate=rotate)
        if tended is None:
            raise CommandError("A recognizer is tending the keyring just now; run it again.")
        self.stdout.write(json.dumps(tended.as_dict()))
        if tended.broken:
            raise CommandError(
                "Some keys do not open with the generation that they name; the log says whose. "
                "That generation stays until their rows are erased."
            )


def _shown() -> dict[str, Any]:
    env = settings.CONSENTRY
    keyring = open_keyring(env)
    return {
        "held_by": env.custodian.partition(":")[0] if env.custodian else "file",
        "rotate_days": env.key_rotation_days,
        "keep_days": env.key_keep_days,
        "generations": [
            {
                "number": each.number,
                "created_at": each.created_at,
                "state": each.state,
                "destroyed_at": each.destroyed_at,
                "held_by": (each.handle or "file").partition(":")[0],
                "keys": DataKey.objects.filter(generation=each.number).count(),
            }
            for each in keyring.generations
        ],
    }
