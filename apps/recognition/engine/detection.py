"""Opens a pack's detector alone, for processes that look and never recognise.

Loads no embedding code for the starter pack; with an operator's pack, insightface is told to open
the detection network only.
"""

import json
from pathlib import Path

from apps.recognition.engine import starter
from apps.recognition.engine.types import Detector
from apps.recognition.engine.yunet import YuNet


def load_detector(
    directory: Path, *, allow_noncommercial: bool = False, threads: int = 1
) -> Detector:
    """Open the detector of the pack in `directory`. Raises PackBroken, LicenceRefused."""
    if not starter.is_starter(directory):
        from apps.recognition.engine.packs import load_pack

        return load_pack(
            directory, allow_noncommercial=allow_noncommercial, threads=threads
        ).detector
    manifest = json.loads((directory / starter.MANIFEST).read_text(encoding="utf-8"))
    return YuNet(directory / manifest["models"]["detection"]["file"], threads=threads)
