"""`ops/bench fleet`: many lane cameras at once, in real time, from the frame to the boards.

One watcher and one recognizer run as in a shop, on the run's own PostgreSQL and Redis. Each camera
has a store of its own, where the person who walks by is enrolled: each gives one greeting.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from time import monotonic, time
from typing import Self

import numpy as np
import psutil
from django.conf import settings
from django.utils import timezone

from apps.kiosk.demo import assess
from apps.recognition.engine.align import align
from apps.recognition.engine.packs import Pack, load_pack
from apps.recognition.engine.types import Floats
from apps.recognition.matching import mean_of
from apps.stores.devices import live_events
from apps.stores.models import Camera, Device, Role, Store, User
from apps.visits.models import Visit
from apps.visits.pipeline.lane import GOOD_FRAMES
from ops.benches import house
from ops.benches.outcome import Outcome, memory_mib, percentile
from ops.clips import frames, walk_by, write_mp4

PEOPLE = (2, 3, 5)
"""Those of the six who face the camera best."""
PRESENT, ABSENT, APART = 4.0, 2.0, 0.5
"""Seconds in the lane, before it, and between one camera's arrival and the next one's."""
WARM = 1 / 3
"""Share of the time after which memory must not grow any more."""
ENDED = re.compile(r"camera \S+ ended: (\d+) frames, (\d+) dropped")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cameras", type=int, default=22)
    parser.add_argument("--fps", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60.0)


def measure(given: argparse.Namespace) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        stores = set_up(Path(made), given.cameras, given.fps)
        news = live_events().pubsub()
        news.psubscribe("floor:*")
        with Running("recognizer") as recognizer, Running("watcher") as watcher:
            both = (recognizer, watcher)
            cpu = sum(process.cpu_s() for process in both)
            begun = monotonic()
            shown: dict[str, float] = {}
            warm = 0.0
            while (passed := monotonic() - begun) < given.seconds:
                message = news.get_message(ignore_subscribe_messages=True, timeout=0.2)
                if message:
                    shown.setdefault(message["channel"].decode().split(":")[1], time())
                if not warm and passed >= WARM * given.seconds:
                    warm = sum(memory_mib(process.pid) for process in both)
            cpu = sum(process.cpu_s() for process in both) - cpu
            memory = sum(memory_mib(process.pid) for process in both)
        news.close()
    ended = [match for line in watcher.lines if (match := ENDED.search(line))]
    done, dropped = (sum(int(match[group]) for match in ended) for group in (1, 2))
    late = [
        (shown[str(visit.store_id)] - visit.seen_at.timestamp()) * 1000
        - (GOOD_FRAMES - 1) / given.fps * 1000
        for visit in Visit.objects.filter(store__in=stores)
        if str(visit.store_id) in shown
    ]
    outcome = Outcome(
        {
            "cameras": given.cameras,
            "fps": given.fps,
            "seconds": given.seconds,
            "frames_done": done - dropped,
            "frames_dropped": dropped,
            "cpu_s": round(cpu, 1),
            "visits": len(late),
            # From the frame that completes the question, which is GOOD_FRAMES - 1 frames after the
            # first good one: what a camera of few frames a second adds is not ours.
            "board_p95_ms": percentile(late, 95) if late else None,
            "mib": round(memory, 1),
            "mib_growth": round(memory / warm, 3),
        }
    )
    if len(ended) != given.cameras:
        outcome.missed.append(f"{len(ended)} of {given.cameras} cameras ran to the end")
    outcome.at_most("frames_dropped", 0)
    outcome.at_most("mib_growth", 1.05)
    if len(late) < given.cameras:
        outcome.missed.append(f"{len(late)} of {given.cameras} people were greeted")
    if late:
        outcome.at_most("board_p95_ms", 500)
    return outcome


def set_up(folder: Path, cameras: int, fps: int) -> list[Store]:
    """One store a camera, the person of its clip enrolled there."""
    demo = house.prepare(folder / "nobody.mp4")
    Camera.objects.update(active=False)
    pack = load_pack(settings.CONSENTRY.packs, threads=2)
    people = {index: template(pack, index) for index in PEOPLE}
    stores = []
    for number in range(cameras):
        person = PEOPLE[number % len(PEOPLE)]
        clip = folder / f"{number}.mp4"
        absent = ABSENT + APART * number
        pictures = walk_by([person], seconds_present=PRESENT, seconds_absent=absent, fps=fps)
        write_mp4(clip, pictures, fps=fps)
        store = Store.objects.create(
            organization=demo.organization,
            name=f"Store {number + 1}",
            slug=f"store-{number + 1}",
            jurisdiction=demo.jurisdiction,
            non_face_check_in=demo.non_face_check_in,
        )
        Device.objects.create(store=store, name="Tablet")
        lane(store, clip)
        house.enrol(store, people[person][None], pack=pack)
        stores.append(store)
    return stores


def lane(store: Store, clip: Path) -> None:
    """A lawful lane that plays `clip` again and again."""
    for name in ("diana", "omar"):
        officer = User.objects.get(username=name)
        Role.objects.create(user=officer, store=store, kind=Role.Kind.DPO)
    assess(
        Camera.objects.create(
            store=store,
            name="Lane",
            mode=Camera.Mode.LANE,
            source=str(clip),
            loop=True,
            zone=[[0, 0], [1, 0], [1, 1], [0, 1]],
            signage_confirmed_at=timezone.now(),
        )
    )


def template(pack: Pack, index: int) -> Floats:
    """What enrolling one of the six people gives, float32 (D,)."""
    crops = []
    for frame in frames(index, seconds=0.3):
        (face,) = pack.detector.detect(frame)
        crops.append(align(frame, face.landmarks))
    return mean_of(pack.embedder.embed(np.stack(crops)))


@dataclass
class Running:
    """One of the house's own processes, from "ready" to its clean end."""

    command: str
    lines: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "manage.py", self.command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=dict(os.environ),
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line)
            if line.startswith("ready"):
                self._reader = Thread(target=self._read, daemon=True)
                self._reader.start()
                return self
        raise RuntimeError(f"{self.command} did not start:\n{''.join(self.lines)}")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=60)
        self._reader.join()

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_s(self) -> float:
        """Processor seconds so far."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.lines.extend(self._process.stdout)
