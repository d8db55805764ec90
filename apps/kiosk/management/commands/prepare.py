"""Bring a demo house to where it should be, in one process: `ops/up` calls this at each start."""

import json
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from apps.kiosk import demo_footfall
from apps.kiosk.demo import seed
from apps.visits import hourly


class Command(BaseCommand):
    help = "Migrate, make missing keys, build the starter pack, seed the demo; print pages as JSON."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--clip", type=Path, required=True, help="what the lane camera sees")

    def handle(self, *args: Any, clip: Path, **options: Any) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        call_command("keys", "init")
        call_command("pack", "build")
        demo = seed(clip.resolve())
        demo_footfall.invent([demo.store, demo.other])
        # The first hour begins now: the portal says how the ledger is from the start.
        hourly.run()
        slug, other = demo.store.slug, demo.other.slug
        pages = [
            {"name": "Front door", "path": "/", "opens": ""},
            {"name": "Kiosk", "path": "/kiosk/", "opens": _opens(demo.code)},
            {"name": "Door tablet", "path": "/door/", "opens": _opens(demo.door_code)},
            {
                "name": "Floor board",
                "path": f"/floor/{slug}/",
                "opens": f"linda / {demo.logins['linda']}",
            },
            {
                "name": "as a colleague",
                "path": f"/floor/{slug}/",
                "opens": f"marco / {demo.logins['marco']} or yuki / {demo.logins['yuki']}, "
                "in another browser",
            },
            {
                "name": "Insights",
                "path": "/admin/insights/",
                "opens": f"mara / {demo.logins['mara']}",
            },
            {"name": "DPO portal", "path": "/admin/", "opens": f"diana / {demo.logins['diana']}"},
            {
                "name": "as second person",
                "path": "/admin/",
                "opens": f"omar / {demo.logins['omar']}",
            },
            {"name": "Public page", "path": f"/public/{slug}/", "opens": ""},
            {
                "name": "Other store's door",
                "path": "/door/",
                "opens": f"{_opens(demo.other_door_code)}, in another browser",
            },
            {
                "name": "Other store's floor",
                "path": f"/floor/{other}/",
                "opens": f"linda / {demo.logins['linda']}",
            },
        ]
        self.stdout.write(json.dumps({"pages": pages, "store": slug, "logins": demo.logins}))


def _opens(code: str) -> str:
    return f"code {code}" if code else "enrolled; a new code: portal, Devices"
