"""Run one command beside servers of its own, which are thrown away afterwards.

Each run has its own folder, so that several can go on at once and each begins clean.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from ops.bootstrap import VENV
from ops.console import Refusal, sentences, step
from ops.local import claimed, local
from ops.supervision import clear_leftovers

RUNS = VENV / "runs"
CHROMIUM = Path("/usr/bin/chromium")
FONTS = ["fonts-noto-core", "fonts-noto-cjk"]  # the kiosk writes Chinese


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--browser"]:
        arguments = arguments[1:]
        require_browser()
    if not arguments:
        raise Refusal("Say what to run: ops/run python manage.py check")
    _sweep_killed_runs()
    RUNS.mkdir(exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=RUNS))
    try:
        with claimed(root) as folder, local(folder, throw_away=True) as running:
            return _run(arguments, running.environment)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def require_browser() -> None:
    """Debian's Chromium and the fonts that pages need, installed when this is an administrator."""
    if CHROMIUM.exists():
        return
    wanted = ["chromium", *FONTS]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Refusal(
            f"The browser journeys need {CHROMIUM}. On Debian: sudo apt install {' '.join(wanted)}"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step("Installing Debian's Chromium, a minute or two"):
        for command in (
            ["apt-get", "update", "-qq"],
            ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *wanted],
        ):
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
            if done.returncode:
                said = done.stdout.decode(errors="replace").strip().splitlines()[-5:]
                raise Refusal("\n    ".join([f"{' '.join(command)} failed:", *said]))


def _run(arguments: list[str], environment: dict[str, str]) -> int:
    process = subprocess.Popen(arguments, env=environment)
    # Ctrl-C reaches the command too, which decides what to do about it; the servers outlive it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    code = process.wait()
    return 128 - code if code < 0 else code


def _sweep_killed_runs() -> None:
    """Folders are named after the process that owns them; those without one were killed."""
    for folder in RUNS.glob("*-*"):
        if not Path(f"/proc/{folder.name.split('-')[0]}").exists():
            clear_leftovers(folder)
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    with sentences():
        sys.exit(main(sys.argv[1:]))
