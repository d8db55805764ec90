"""Opens a pack's detector alone, for processes that look and never recognise.

With the starter pack no embedding code is even imported; with an operator's pack insightface is
told to open the detection network only. Licence and digests are held as strictly as in packs.py.
"""

from __future__ import annotations

from pathlib import Path

from . import starter
from .types import Detector
from .yunet import YuNet


def load_detector(
    directory: Path, *, allow_noncommercial: bool = False, threads: int = 1
) -> Detector:
    """The detector of the pack in `directory`. Raises PackBroken, LicenceRefused."""
    if not directory.is_dir():
        raise starter.not_whole(directory)
    if starter.is_starter(directory):
        manifest = starter.read_manifest(directory)
        return YuNet(starter.verified(directory, manifest, "detection"), threads=threads)
    from .packs import supplied_detector

    return supplied_detector(directory, allow_noncommercial=allow_noncommercial, threads=threads)
