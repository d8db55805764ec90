"""Runs the cameras that may run: starts, stops and restarts them as their settings change.

A camera whose assessment ends, or that loses anything else it needs, is stopped within seconds.
"""

import logging
from dataclasses import dataclass
from functools import partial
from threading import Event, Thread
from uuid import UUID

from django.db import DatabaseError, close_old_connections

from apps.recognition.engine.types import Detector
from apps.stores.models import Camera
from apps.visits import reports
from apps.visits.pipeline.count import Footfall
from apps.visits.pipeline.lane import Ask
from apps.visits.pipeline.presenting import Desk
from apps.visits.pipeline.watcher import CameraSpec, Mode, Report, Watcher, open_camera

log = logging.getLogger(__name__)

LOOK_AGAIN = 3.0

_MODES: dict[Camera.Mode, Mode] = {
    Camera.Mode.COUNT: "count",
    Camera.Mode.PASS: "pass",
    Camera.Mode.LANE: "lane",
}


def specs(only: set[UUID]) -> dict[UUID, CameraSpec]:
    """What may run now, by camera; the state of what may not says so in the portal."""
    found = {}
    # A door tablet is a camera without a source: it sends what it sees by itself.
    cameras = Camera.objects.filter(active=True).exclude(source="")
    for camera in cameras.select_related("store").prefetch_related("assessments"):
        if only and camera.pk not in only:
            continue
        if camera.blockers():
            Camera.objects.filter(pk=camera.pk).update(state="blocked")
            continue
        assessment = camera.assessment()
        try:
            found[camera.pk] = CameraSpec(
                id=camera.pk,
                store=camera.store_id,
                name=camera.name,
                source=camera.source,
                mode=_MODES[Camera.Mode(camera.mode)],
                zone=[tuple(point) for point in camera.zone] or None,
                line=[tuple(point) for point in camera.line] or None,
                max_faces=assessment.max_faces if assessment else 1,
                loop=camera.loop,
            )
        except (TypeError, ValueError) as error:
            log.error("camera %s is not set up right (%s)", camera.pk, type(error).__name__)
            Camera.objects.filter(pk=camera.pk).update(state="misconfigured")
    return found


@dataclass(slots=True)
class _Running:
    spec: CameraSpec
    stop: Event
    thread: Thread


class Cameras:
    """Keeps the running cameras equal to what the database says may run."""

    def __init__(self, detector: Detector, only: set[UUID]) -> None:
        self._detector = detector
        self._only = only
        self._running: dict[UUID, _Running] = {}

    def run(self, stop: Event) -> None:
        """Follow the settings until told to stop."""
        while not stop.is_set():
            try:
                self._follow(specs(self._only))
            except DatabaseError as error:
                # Cameras go on: they disclose nothing that the recognizer does not check again.
                log.warning("settings cannot be read (%s)", type(error).__name__)
            close_old_connections()
            stop.wait(LOOK_AGAIN)
        self._follow({})

    def _follow(self, wanted: dict[UUID, CameraSpec]) -> None:
        for camera, running in list(self._running.items()):
            # One whose thread is over has played its clip to the end, and plays it again only
            # when it is changed.
            if wanted.get(camera) != running.spec:
                running.stop.set()
                running.thread.join(timeout=5)
                del self._running[camera]
        for camera, spec in wanted.items():
            if camera not in self._running:
                try:
                    self._running[camera] = self._start(spec)
                except (OSError, ValueError) as error:
                    # One camera that cannot start must not keep the others from it.
                    log.error("camera %s cannot start (%s)", camera, type(error).__name__)
                    Camera.objects.filter(pk=camera).update(state="misconfigured")

    def _start(self, spec: CameraSpec) -> _Running:
        stop = Event()
        watcher = Watcher(
            spec,
            open_camera(spec),
            self._detector,
            ask=_asking(spec),
            desk=_desk(spec),
            on_footfall=_count,
            on_counters=_report,
        )
        thread = Thread(target=watcher.run, args=(stop,), name=f"camera-{spec.id}", daemon=True)
        thread.start()
        return _Running(spec, stop, thread)


def _desk(spec: CameraSpec) -> Desk | None:
    """Where a camera that reads passes presents them; loaded by no other."""
    if spec.mode != "pass":
        return None
    from apps.visits.asking import PassDesk

    return PassDesk(spec.id)


def _asking(spec: CameraSpec) -> Ask | None:
    """How a lane asks. For a camera that counts there is nobody to ask, nor any code that could."""
    if spec.mode != "lane":
        return None
    from apps.visits.asking import ask_about

    return partial(ask_about, spec)


def _count(camera: UUID, seen: Footfall) -> None:
    reports.count(camera=camera, quarter=seen.quarter, entered=seen.entered, left=seen.left)
    close_old_connections()


def _report(report: Report) -> None:
    reports.report(report)
    close_old_connections()
