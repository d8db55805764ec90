"""How a camera fares, in words: what the portal shows of its last report and its last picture."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from django.utils import timezone
from django.utils.translation import gettext as _

from apps.recognition.models import Recognizer
from apps.stores.models import Camera

SILENT = timedelta(seconds=20)
"""Without a report: four of the watcher's, who sends one every five seconds."""
STALE = timedelta(seconds=15)
"""Without a picture: twice what a report and a hanging connection take to be noticed."""

Tone = Literal["ok", "soon", "bad", ""]


@dataclass(frozen=True, slots=True)
class Health:
    """`word` is short; `advice` says what to do and is empty when there is nothing to do."""

    word: str
    tone: Tone
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """One camera as the portal's pages show it."""

    camera: Camera
    health: Health
    reasons: list[str]
    aborts: list[tuple[str, int]]
    picture_age: int | None
    """Seconds since the last picture; None when there never was one."""


def look_at(camera: Camera, *, uncalibrated: bool) -> Seen:
    """What to show of a camera; `assessments` and `store` should be fetched with it.

    uncalibrated: whether a recognizer runs that may not answer, see `answers_nobody`.
    """
    now = timezone.now()
    reasons = camera.blockers()
    return Seen(
        camera=camera,
        health=_health(camera, reasons, uncalibrated, now),
        reasons=reasons,
        aborts=abort_counts(camera),
        picture_age=_seconds(now, camera.last_frame_at),
    )


def answers_nobody() -> bool:
    """Whether a recognizer runs of whose pack no calibration is recorded."""
    return Recognizer.objects.running().uncalibrated().exists()


def _health(camera: Camera, reasons: list[str], uncalibrated: bool, now: datetime) -> Health:
    if not camera.active:
        return Health(_("switched off"), "")
    if reasons:
        return Health(_("may not run"), "soon")
    if camera.state == "misconfigured":
        return Health(
            _("not set up right"),
            "bad",
            _("Its source, zone or line cannot be used; the watcher's log says which."),
        )
    if camera.is_tablet and (camera.reported_at is None or now - camera.reported_at > SILENT):
        return Health(
            _("tablet silent"),
            "bad" if camera.reported_at else "soon",
            _("See that it is on, in the network, enrolled, and shows its page."),
        )
    if camera.reported_at is None:
        return Health(_("not started"), "soon", _("No watcher has reported on it yet."))
    # Nothing comes after its end, no report either.
    if camera.state == "ended":
        return Health(_("clip ended"), "", _("A file plays once unless “loop” is ticked."))
    if now - camera.reported_at > SILENT:
        return Health(
            _("watcher silent"), "bad", _("The watcher does not report. Start it on this machine.")
        )
    if camera.last_frame_at is None or now - camera.last_frame_at > STALE:
        advice = (
            _("See whether its browser is allowed to use its camera.")
            if camera.is_tablet
            else _("Check its power, its network and its source. It is tried every few seconds.")
        )
        return Health(_("no picture"), "bad", advice)
    if uncalibrated and camera.mode != Camera.Mode.COUNT:
        return Health(
            _("recognises nobody"),
            "bad",
            _("This pack has no recorded calibration. Record one in the portal, Calibration."),
        )
    if camera.state == "waiting":
        return Health(_("reconnecting"), "soon", _("It was just lost; it is tried again."))
    return Health(_("running"), "ok")


def abort_counts(camera: Camera) -> list[tuple[str, int]]:
    """Why nobody was greeted and how often, in words, the commonest first."""
    ordered = sorted(camera.aborts.items(), key=lambda item: (-item[1], item[0]))
    return [(abort_words(reason), number) for reason, number in ordered]


def abort_words(reason: str) -> str:
    """Why nobody was greeted, for people; a reason that has no words yet is shown as it is."""
    return {
        "too_many_faces": _("more faces than allowed"),
        "too_small": _("too far away"),
        "too_dark": _("too dark"),
        "too_bright": _("too bright"),
        "blurred": _("blurred"),
        "turned": _("looked away"),
        "cut_off": _("not whole in the zone"),
        "covered": _("face covered"),
        "left_early": _("left early"),
        "no_face": _("no face beside the pass"),
        "two_passes": _("two passes at once"),
        "another_face": _("not the pass's own face"),
        "pass_unknown": _("pass not known here"),
        "card_unknown": _("card not known here"),
        "pass_elsewhere": _("pass of another store"),
        "pass_ended": _("pass no longer valid"),
        "pass_broken": _("pass damaged"),
        "pass_replayed": _("answered before"),
        "unsure": _("too much like somebody else"),
        "refused": _("not permitted at that moment"),
        "recognizer_down": _("recognizer did not answer"),
        "crops_refused": _("pictures not accepted"),
        "no_code": _("no pass could be read"),
        "uncalibrated": _("no recorded calibration"),
    }.get(reason, reason.replace("_", " "))


def _seconds(now: datetime, then: datetime | None) -> int | None:
    return None if then is None else max(0, round((now - then).total_seconds()))
