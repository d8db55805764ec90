"""Build the starter pack and record its calibration, or show the packs that would be used."""

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from apps.recognition.benches import open_benches
from apps.recognition.engine.packs import LicenceRefused, Pack, PackBroken
from apps.recognition.engine.starter import (
    NAME,
    VERSION,
    StarterFailed,
    build_starter,
    is_current,
    keep_former,
)
from apps.recognition.services import record_shipped


class Command(BaseCommand):
    help = (
        "build: make the starter pack if it is missing or old, and record the calibration that "
        "comes with it. show: what packs are used."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("verb", choices=["build", "show"])

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        env = settings.CONSENTRY
        try:
            if verb == "build":
                # An operator's own pack is never written to.
                if env.pack_dir is None and not is_current(env.packs):
                    kept = keep_former(env.packs)
                    build_starter(env.packs)
                    if kept:
                        self.stdout.write(
                            f"The former pack is kept: set CONSENTRY_FORMER_PACK_DIR={kept} until "
                            "everybody was taken anew (portal: Models)."
                        )
                if is_current(env.packs):
                    record_shipped(pack=NAME, version=VERSION, actor="system:pack")
                return
            benches = open_benches(
                env.packs, env.former_pack_dir, allow_noncommercial=env.allow_noncommercial
            )
        except (StarterFailed, PackBroken, LicenceRefused) as error:
            raise CommandError(str(error)) from None
        except DatabaseError:
            raise CommandError(
                "The pack is built; its calibration cannot be recorded. Run `manage.py migrate`."
            ) from None
        shown = _shown(benches.present.pack)
        if benches.former:
            shown["former"] = _shown(benches.former.pack)
        self.stdout.write(json.dumps(shown))


def _shown(pack: Pack) -> dict[str, Any]:
    return {
        "name": pack.name,
        "version": pack.version,
        "licence": pack.licence,
        "commercial": pack.commercial,
        "dim": pack.dim,
        "threshold": pack.threshold,
    }
