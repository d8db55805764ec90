"""Renew the secret that turns an organization's templates, or show how things are."""

import json
import resource
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from apps.audit.keyfile import KeyFileError
from apps.recognition.renewal import census, renew
from apps.stores.models import Organization
from apps.visitors.vault import SealBroken, UnknownGeneration, open_keyring

ACTOR = "operator:rotation"


class Command(BaseCommand):
    help = (
        "renew: turn every template by a new secret; nobody has to come back, and everybody is "
        "recognised meanwhile. Run it again if it was stopped. show: which templates are where. "
        "Run it as the user who owns the keyring. The last line is JSON."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("verb", choices=["renew", "show"])
        parser.add_argument("--organization", type=UUID, help="its id; all of them by default")

    def handle(self, *args: Any, verb: str, organization: UUID | None, **options: Any) -> None:
        # A core dump would hold vectors and keys.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        organizations = Organization.objects.order_by("name", "pk")
        if organization is not None:
            organizations = organizations.filter(pk=organization)
            if not organizations:
                raise CommandError("There is no such organization; `rotation show` lists them.")
        if verb == "show":
            self.stdout.write(json.dumps({"organizations": [_state(one) for one in organizations]}))
            return
        done = [self._renew(one) for one in organizations]
        self.stdout.write(json.dumps({"organizations": done}))
        if any(one["left"] for one in done):
            raise CommandError("Some templates were locked all the time; run it again.")

    def _renew(self, organization: Organization) -> dict[str, Any]:
        unfinished = organization.rotations.filter(finished_at=None).exists()
        self.stdout.write(
            f"{organization}: going on with the renewal that was stopped."
            if unfinished
            else f"{organization}: renewing the rotation."
        )

        def progress(moved: int, left: int) -> None:
            self.stdout.write(f"  {moved} moved, {left} left")
            self.stdout.flush()

        try:
            renewed = renew(
                organization=organization.pk,
                keyring=open_keyring(settings.CONSENTRY),
                actor=ACTOR,
                progress=progress,
            )
        except KeyFileError as error:
            raise CommandError(str(error)) from None
        except (SealBroken, UnknownGeneration):
            raise CommandError(
                "A rotation does not open with this keyring. Is it the right keyring?"
            ) from None
        except DatabaseError as error:
            raise CommandError(
                f"The database refused ({type(error).__name__}); nothing is lost. Run it again."
            ) from None
        if renewed.broken:
            self.stderr.write(f"  {renewed.broken} do not open; the log says which")
        if renewed.for_passes:
            self.stdout.write(f"  {renewed.for_passes} follow when their passes are shown")
        return renewed.as_dict()


def _state(organization: Organization) -> dict[str, Any]:
    newest = organization.rotations.order_by("number").last()
    return {
        "organization": str(organization.pk),
        "name": organization.name,
        "rotation": newest.number if newest else 0,
        "unfinished": bool(newest and newest.finished_at is None),
        "kept": sorted(organization.rotations.values_list("number", flat=True)),
        "lane": census(organization.pk, "lane"),
        "pass": census(organization.pk, "pass"),
    }
