"""Verify the ledger, or sign its head."""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.audit import services, signing


class Command(BaseCommand):
    help = (
        "verify: find any changed, dropped or reordered entry, also by the heads that were "
        "exported. checkpoint: sign the head. "
        "key: print the public key."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("verb", choices=["verify", "checkpoint", "key"])

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        if verb == "key":
            self.stdout.write(json.dumps(signing.public_jwk()))
            return
        if verb == "checkpoint":
            head = services.checkpoint()
            self.stdout.write(json.dumps({"entries": head.size, "root": head.root, "ok": True}))
            return
        found = services.verify()
        self.stdout.write(json.dumps(asdict(found), default=str))
        if not found.ok:
            raise CommandError(found.problem)
