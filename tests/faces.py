"""Faces for tests: people, frames and clips made at run time from what installed packages ship.

No picture of a person lies in this project. The maker itself is ops/clips.py, which the demo uses
too; this is the tests' door to it.
"""

from __future__ import annotations

from ops.clips import (
    FPS,
    PEOPLE,
    SIZE,
    Mode,
    frames,
    group_picture,
    jpeg,
    portrait,
    showing,
    walk_by,
    write_mp4,
    write_y4m,
)

__all__ = [
    "FPS",
    "PEOPLE",
    "SIZE",
    "Mode",
    "frames",
    "group_picture",
    "jpeg",
    "portrait",
    "showing",
    "walk_by",
    "write_mp4",
    "write_y4m",
]
