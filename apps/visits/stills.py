"""Asks for one covered picture of a camera, from a process that lives as long as the picture.

That process gets no secret of this one: no key, no database, not even the environment.
"""

import os
import subprocess
import sys

from django.conf import settings
from django.utils.translation import gettext as _

from apps.stores.models import Camera

MODULE = "apps.visits.pipeline.still"
PATIENCE = 20.0
"""Seconds: opening and reading a camera may each take five, and a slow machine loads a network."""
HANDED_ON = ("PATH", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE", "LANG", "TZ")


class NoPicture(Exception):
    """There is no picture; the text says why and what to do, for the person who asked."""


def take(camera: Camera) -> bytes:
    """What the camera sees now as a JPEG, faces covered. Raises NoPicture."""
    if camera.is_tablet:
        raise NoPicture(_("A door tablet sends no picture to look at; stand in front of it."))
    try:
        done = subprocess.run(
            [sys.executable, "-m", MODULE],
            input=camera.source.encode(),
            capture_output=True,
            cwd=settings.BASE_DIR,
            env={name: os.environ[name] for name in HANDED_ON if name in os.environ},
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NoPicture(_unreachable()) from None
    if done.returncode == 0:
        return done.stdout
    if done.returncode == os.EX_TEMPFAIL:
        raise NoPicture(
            _(
                "Another program holds this camera, perhaps the watcher. Untick “active”, save, "
                "wait five seconds and look again; tick it again when the lane is drawn."
            )
        )
    if done.returncode == os.EX_CONFIG:
        raise NoPicture(
            _(
                "This camera's source is none. It is the path of a file, an address that begins "
                "with rtsp:// or rtsps://, or a device such as /dev/video0."
            )
        )
    raise NoPicture(_unreachable())


def _unreachable() -> str:
    return _(
        "The camera gives no picture. Check that it has power, that this machine reaches it and "
        "that its source is right, then try again. You can draw the lane without a picture too."
    )
