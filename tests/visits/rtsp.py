"""A camera on the network for tests: a real RTSP server, which can be killed and started again."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from apps.recognition.engine.types import Image

SYSTEM_PYTHON = "/usr/bin/python3"
"""Debian's GStreamer is bound to Debian's Python."""
SCRIPT = Path(__file__).with_name("rtsp_server.py")
FPS = 10
BITS = 8
BLOCK = 16
"""Pixels, side of one bit of the number that `numbered` paints."""


class RtspCamera:
    """A camera that plays a clip for ever at `address`, and comes back there after a kill."""

    def __init__(self, folder: Path, clip: Iterable[Image], *, fps: int = FPS) -> None:
        self._clip = folder / "camera.h264"
        self._fps = fps
        write_h264(self._clip, clip, fps=fps)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        return f"rtsp://viewer:hunter2@127.0.0.1:{self._port}/lane"

    def start(self) -> None:
        """Serve; returns when a client may connect."""
        self._process = subprocess.Popen(
            [SYSTEM_PYTHON, str(SCRIPT), str(self._clip), str(self._port), str(self._fps)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert said == "ready\n", said or "the RTSP server did not start"

    def kill(self) -> None:
        """Pull the plug: no farewell to anybody who watches."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def freeze(self) -> None:
        """Hang: connections stay open and nothing comes."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


def write_h264(path: Path, clip: Iterable[Image], *, fps: int = FPS) -> None:
    """Bare H.264 as a camera sends it: a delimiter before each picture, a key frame a second."""
    with av.open(str(path), mode="w", format="h264") as out:
        stream = out.add_stream("libx264", rate=Fraction(fps))
        stream.pix_fmt = "yuv420p"
        stream.options = {
            "crf": "18",
            "preset": "veryfast",
            "tune": "zerolatency",
            "g": str(fps),
            "x264-params": "aud=1:repeat-headers=1:sliced-threads=0",
        }
        for number, picture in enumerate(clip):
            if number == 0:
                stream.height, stream.width = picture.shape[:2]
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))


def numbered(clip: Iterable[Image]) -> Iterable[Image]:
    """The clip with each picture's number, modulo 256, painted as black and white blocks."""
    for number, picture in enumerate(clip):
        painted = picture.copy()
        for bit in range(BITS):
            painted[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 255 * (number >> bit & 1)
        yield painted


def number_of(picture: Image) -> int:
    """The number that `numbered` painted."""
    middle = BLOCK // 2
    row: np.ndarray = picture[middle, middle : BITS * BLOCK : BLOCK].mean(axis=1)
    return sum(int(level > 127) << bit for bit, level in enumerate(row))
