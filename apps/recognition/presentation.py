"""A pass that was shown to a camera: one window, one comparison, with one template.

Design. `present` checks that the pass opens a live template whose consent covers the camera's
store, and gives a nonce; the share waits here, in memory, for `LIFETIME` seconds at most. `take`
hands it out once: a nonce that was used, is too old, or was given to another camera opens nothing,
whatever comes with it. The opened template itself is never kept: it is opened anew, from the
database of that moment, when the crops are there, and is gone when they are compared. Nothing of
this enters the gallery.
"""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from apps.consent.coverage import covers_sql
from apps.recognition.benches import Bench, Benches
from apps.recognition.briefly import briefly
from apps.recognition.passes import WINDOW_SECONDS
from apps.recognition.renewal import Carrier
from apps.recognition.rotations import Rotations
from apps.recognition.sealed import COLUMNS, LIVE, TEMPLATES, open_row, rows_of
from apps.visitors.vault import FileKeyring, SealBroken, Share, UnknownGeneration

LIFETIME = WINDOW_SECONDS + 3.0
"""Seconds: the camera's window, and the time that its best frames take to arrive."""
MOST = 256
"""Windows open at once; a store has a few doors, so more means that somebody tries things."""

SHOWN = f"""
SELECT DISTINCT ON (t.id) {COLUMNS}, ({LIVE}) AS live, {covers_sql("d.store_id")} AS here,
       d.store_id AS at, n.number, n.wrapped AS newest
{TEMPLATES}
  LEFT JOIN visitors_rotation n ON n.organization_id = s.organization_id AND n.number > t.rotation
  JOIN stores_camera d ON d.id = %(camera)s AND d.mode = 'pass' AND d.active
 WHERE (t.id = %(template)s OR t.shown_as = %(template)s) AND t.purpose = 'pass'
 ORDER BY t.id, n.number DESC NULLS LAST
"""


class PassInvalid(Exception):
    """This pass opens nothing here and now. `code` says why, and nothing about whose it is.

    pass_unknown: no such template, any more or ever. pass_ended: withdrawn, expired or paused.
    pass_elsewhere: its consent does not cover this store. pass_broken: its share does not open it.
    pass_replayed: the nonce was used, is too old, or is another camera's.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Window:
    """What a nonce stands for."""

    camera: UUID
    template: UUID
    share: Share
    until: float


class Windows:
    """All open windows of this recognizer. Any thread may open, take and forget."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[str, Window] = {}

    def __len__(self) -> int:
        with self._lock:
            self._purge()
            return len(self._open)

    def open(self, *, camera: UUID, template: UUID, share: Share) -> str:
        """Return a nonce; a camera has one window, so an earlier one of it is closed."""
        nonce = secrets.token_urlsafe(16)
        with self._lock:
            self._purge()
            self._drop(lambda window: window.camera == camera)
            while len(self._open) >= MOST:
                del self._open[next(iter(self._open))]
            until = self._clock() + LIFETIME
            self._open[nonce] = Window(camera, template, share, until)
        return nonce

    def take(self, nonce: str, *, camera: UUID) -> Window:
        """Close a window and return what it was. Raises PassInvalid."""
        with self._lock:
            self._purge()
            window = self._open.pop(nonce, None)
        if window is None or window.camera != camera:
            raise PassInvalid("pass_replayed")
        return window

    def expire(self) -> None:
        """Close the windows whose time is over, shares and all."""
        with self._lock:
            self._purge()

    def forget(self, template: UUID) -> None:
        """Close the windows of a template that ended."""
        with self._lock:
            self._drop(lambda window: window.template == template)

    def clear(self) -> None:
        """Close all."""
        with self._lock:
            self._open.clear()

    def _purge(self) -> None:
        now = self._clock()
        self._drop(lambda window: window.until <= now)

    def _drop(self, over: Callable[[Window], bool]) -> None:
        self._open = {nonce: one for nonce, one in self._open.items() if not over(one)}


@dataclass(frozen=True, slots=True)
class Shown:
    """The template that a pass opened, and the store of the camera that it was shown to.

    vector: float32 (D,) of its bench's pack, plain.
    """

    template: UUID
    store: UUID
    bench: Bench
    vector: NDArray[np.float32]


def open_shown(
    *,
    camera: UUID,
    template: UUID,
    share: Share,
    benches: Benches,
    keyring: FileKeyring,
    rotations: Rotations,
) -> Shown:
    """Open the template of a pass for a camera; the present pack's when there are two. The caller
    overwrites its vector when it is done.

    A pass names the template that it was made with. One that was taken anew since opens with the
    same share, so that what the person holds goes on. Raises PassInvalid.
    """
    which = {"camera": camera, "template": template}
    rows = {(row.pack, row.pack_version): row for row in rows_of(SHOWN, which)}
    mine = [(bench, rows.get((bench.pack.name, bench.pack.version))) for bench in benches]
    bench, row = next(((bench, row) for bench, row in mine if row), (benches.present, None))
    if row is None:
        raise PassInvalid("pass_unknown")
    if not row.here:
        raise PassInvalid("pass_elsewhere")
    if not row.live:
        raise PassInvalid("pass_ended")
    try:
        space = rotations.of(row, bench.pack.dim)
        with briefly(open_row(row, pack=bench.pack, keyring=keyring, share=share)) as opened:
            plain = space.leave(opened)
        if row.number is not None:
            # Renewed since: only now, with its share, can this template follow.
            wrapped = bytes(row.newest)
            Carrier(row.organization_id, row.number, wrapped, keyring, rotations).shown(row, share)
    except (SealBroken, UnknownGeneration):
        raise PassInvalid("pass_broken") from None
    return Shown(row.template, row.at, bench, plain)
