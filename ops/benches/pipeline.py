"""`ops/bench pipeline`: a clip through decode, detect, track, align, embed and match.

The clip is the group picture that insightface ships, swaying, made at run time; each frame's six
faces are all embedded, which no camera of ours does. It is decoded beside, one frame ahead, as each
camera's own thread does. Block by block in turns the same networks run
bare on the same inputs, and other libraries run the same weights on the same pixels; a block is
long enough to find the memory caches as each itself left them, as it would working alone.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import uuid
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import mean, median
from time import perf_counter
from typing import Any

import cv2
import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from apps.recognition.engine.packs import Pack, load_pack
from apps.recognition.engine.quality import assess
from apps.recognition.engine.runtime import session
from apps.recognition.engine.starter import build_starter
from apps.recognition.engine.types import Crops, Image
from apps.recognition.engine.yunet import gathered, picture_blob
from apps.recognition.gallery import Enrolled, Gallery
from apps.recognition.matching import decide
from apps.visits.pipeline.motion import MotionGate
from apps.visits.pipeline.stream import Frame, every_frame
from apps.visits.pipeline.track import Tracker
from apps.visits.pipeline.zone import Zone
from ops.benches.outcome import Outcome
from ops.benches.peers import REACH, open_peers
from ops.clips import group_picture, write_mp4

WIDTH = 640
SWAY = 6
"""Pixels."""
FPS = 10
TEMPLATES = 1000
WARM = 3
"""Frames before anything is timed."""
BLOCK = 10
"""Frames at a time; figures of a whole frame are of blocks' means, those of stages of frames."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2, help="of each network")
    parser.add_argument("--no-peers", action="store_true", help="leave other libraries out")
    parser.add_argument("--profile", type=Path, help="draw where a frame's time goes, FILE.png")


def measure(given: argparse.Namespace) -> Outcome:
    env = settings.CONSENTRY
    # Not through the command, which records a calibration too: there is no database here.
    if env.pack_dir is None:
        build_starter(env.packs)
    pack = load_pack(env.packs, threads=given.threads)
    line = Line(pack)
    bare = Bare(env.packs, given.threads)
    laps: list[dict[str, float]] = []
    ours: list[float] = []
    floor: list[float] = []
    calls: list[tuple[float, float]] = []
    theirs: dict[str, list[float]] = {}
    faces: dict[str, list[int]] = {"ours": []}
    with tempfile.TemporaryDirectory(prefix="bench-") as made, ExitStack() as stack:
        clip = Path(made) / "group.mp4"
        write_mp4(clip, swaying(WARM + given.frames), fps=FPS)
        peers = {}
        if not given.no_peers:
            peers = open_peers(Path(made), [frame.image for frame in every_frame(clip)])
        for name, peer in peers.items():
            stack.callback(peer.close)
            theirs[name], faces[name] = [], []
        frames = stack.enter_context(closing(ahead(every_frame(clip))))
        for number in range(WARM):
            line.run(frames)
            for peer in peers.values():
                peer.look(number)
        for first in range(WARM, WARM + given.frames, BLOCK):
            numbers = range(first, min(first + BLOCK, WARM + given.frames))
            inputs = []
            for _ in numbers:
                laps.append(line.run(frames))
                inputs.append((line.image, line.crops))
            ours.append(mean(sum(each.values()) for each in laps[-len(numbers) :]))
            faces["ours"] += [len(crops) for _, crops in inputs]
            called = [bare.run(image, crops) for image, crops in inputs]
            floor.append(mean(detect + embed for detect, embed in called))
            calls += called
            for name, peer in peers.items():
                looks = [peer.look(number) for number in numbers]
                theirs[name].append(mean(taken for taken, _ in looks))
                faces[name] += [found for _, found in looks]
    took = calm(ours)
    stages = {name: round(median([each[name] for each in laps]), 2) for name in laps[0]}
    outcome = Outcome(
        {
            "frames": len(faces["ours"]),
            "faces": {name: round(mean(found), 2) for name, found in faces.items()},
            "frames_per_s": round(1000 / mean(ours), 1),
            "ms_per_image": round(median(ours), 2),
            "bare_ms": round(median(floor), 2),
            "floor_ratio": round(took / calm(floor), 3),
            "peers": {name: round(calm(taken) / took, 2) for name, taken in theirs.items()},
            "peers_ms": {name: round(median(taken), 1) for name, taken in theirs.items()},
            "stages_ms": stages,
            "threads": given.threads,
        }
    )
    outcome.at_most("floor_ratio", 1.25)
    for name, ratio in outcome.values["peers"].items():
        if not ratio >= REACH[name]:
            outcome.missed.append(f"{name} takes {ratio} times as long, not {REACH[name]}")
    if given.profile:
        # matplotlib takes half a second to load.
        from ops.benches.picture import stages_picture

        networks = {
            "detect": median([detect for detect, _ in calls]),
            "embed": median([embed for _, embed in calls]),
        }
        given.profile.write_bytes(stages_picture(stages, networks, mean(faces["ours"])))
    return outcome


def ahead(frames: Iterator[Frame]) -> Generator[Frame, None, None]:
    """Decodes one frame ahead in a thread of its own, as `stream.Stream` does for every camera."""
    with ThreadPoolExecutor(1, "decode") as reader:
        coming = reader.submit(next, frames, None)
        while (frame := coming.result()) is not None:
            coming = reader.submit(next, frames, None)
            yield frame


def calm(taken: Sequence[float]) -> float:
    """What a frame takes when nothing else is done on the machine, which only ever adds: the tenth
    percentile of all blocks, for ratios of what ran in turns."""
    return float(np.percentile(taken, 10))


class Line:
    """What a frame goes through, each part the product's own."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self._store = uuid.uuid4()
        self._gallery = Gallery(pack.dim)
        chance = np.random.default_rng(5).standard_normal((TEMPLATES, pack.dim))
        vectors = chance / np.linalg.norm(chance, axis=1, keepdims=True)
        people = [Enrolled(uuid.uuid4(), uuid.uuid4(), math.inf) for _ in vectors]
        self._gallery.extend(self._store, people, vectors.astype(np.float32))
        self._zone = Zone([(0, 0), (1, 0), (1, 1), (0, 1)])
        self._gate = MotionGate()
        self._tracker = Tracker()
        self.image: Image
        self.crops: Crops

    def run(self, frames: Iterator[Frame]) -> dict[str, float]:
        """Takes the next frame through all stages; milliseconds by stage."""
        watch = _Watch()
        frame = next(frames)
        image = frame.image
        watch.lap("wait, convert")
        view = self._zone.view(image)
        self._gate.moved(view.image)
        self._gate.used()
        watch.lap("motion")
        found = self._pack.detector.detect(view.image)
        watch.lap("detect")
        tracks = self._tracker.update(found, frame.at)
        watch.lap("track")
        faces = [track.face for track in tracks.live if track.seen]
        looks = [assess(view.image, face)[1] for face in faces]
        self.image = view.image
        self.crops = np.stack([crop for crop in looks if crop is not None])
        watch.lap("quality, align")
        vectors = self._pack.embedder.embed(self.crops)
        watch.lap("embed")
        for vector in vectors:
            decide(self._pack, self._gallery, self._store, vector[None])
        watch.lap("match")
        return watch.laps


class Bare:
    """The same two networks in sessions of their own, called with inputs that are ready, on as
    many threads: the detector's inside the picture, the embedder's one crop after another."""

    def __init__(self, folder: Path, threads: int) -> None:
        self._detection = session(gathered(folder / "detection.onnx"), threads)
        self._recognition = session(folder / "recognition.onnx", 1)
        self._pool = ThreadPoolExecutor(threads)

    def run(self, image: Image, crops: Crops) -> tuple[float, float]:
        """Milliseconds of detecting in one picture, and of embedding its crops."""
        blob = picture_blob(image)
        shares = [
            np.ascontiguousarray(crop.transpose(2, 0, 1)[None], dtype=np.float32) for crop in crops
        ]
        begun = perf_counter()
        _call(self._detection, blob)
        between = perf_counter()
        for _ in self._pool.map(_call, [self._recognition] * len(shares), shares):
            pass
        return (between - begun) * 1000, (perf_counter() - between) * 1000


def _call(network: Any, blob: NDArray[Any]) -> None:
    network.run(None, {network.get_inputs()[0].name: blob})


class _Watch:
    """Milliseconds between laps, by name."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = perf_counter()

    def lap(self, name: str) -> None:
        now = perf_counter()
        self.laps[name] = (now - self._last) * 1000
        self._last = now


def swaying(count: int) -> Iterator[Image]:
    """The six people as a camera sees them: RGB uint8 frames, 640 wide, the whole room swaying."""
    picture = group_picture()
    scale = WIDTH / picture.shape[1]
    size = (WIDTH, round(picture.shape[0] * scale) // 2 * 2)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    for number in range(count):
        phase = 2 * math.pi * number / (2.5 * FPS)
        move = np.array([[1, 0, SWAY * math.sin(phase)], [0, 1, SWAY * math.cos(phase) / 2]])
        yield np.asarray(
            cv2.warpAffine(small, move, size, borderMode=cv2.BORDER_REPLICATE), dtype=np.uint8
        )
