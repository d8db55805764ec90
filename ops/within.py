"""Run one command beside servers of its own, which are thrown away afterwards.

Each run has its own folder, so that several can go on at once and each begins clean.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ctypes.util import find_library
from pathlib import Path

from ops.bootstrap import VENV
from ops.console import Refusal, sentences, step
from ops.local import claimed, local
from ops.supervision import clear_leftovers
from ops.worker import handed_on

RUNS = VENV / "runs"
CHROMIUM = Path("/usr/bin/chromium")
FONTS = ["fonts-noto-core", "fonts-noto-cjk"]  # the kiosk writes Chinese and Arabic
# The receipt as a PDF, and what it is written in.
PAPER = ["libpango-1.0-0", "libpangoft2-1.0-0", "libharfbuzz-subset0", "poppler-utils", *FONTS]
SYSTEM_PYTHON = Path("/usr/bin/python3")
CAMERA = [
    "gir1.2-gst-rtsp-server-1.0",
    "python3-gi",
    "gstreamer1.0-plugins-base",  # appsrc
    "gstreamer1.0-plugins-good",  # rtph264pay
    "gstreamer1.0-plugins-bad",  # h264parse
]
SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--debian"]:
        arguments = arguments[1:]
        require_debian()
    houses = 1
    if arguments[:1] == ["--workers"]:
        houses, arguments = int(arguments[1]), arguments[2:]
    if not arguments:
        raise Refusal("Say what to run: ops/run python manage.py check")
    _sweep_killed_runs()
    RUNS.mkdir(exist_ok=True)
    with ExitStack() as stack:
        environments = [stack.enter_context(_throw_away()) for _ in range(houses)]
        return _run(arguments, {**environments[0], **handed_on(environments)})


@contextmanager
def _throw_away() -> Iterator[dict[str, str]]:
    """The environment of servers that end, and leave nothing, with the block."""
    root = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=RUNS))
    try:
        with claimed(root) as folder, local(folder, throw_away=True) as running:
            yield running.environment
    finally:
        shutil.rmtree(root, ignore_errors=True)


def require_debian() -> None:
    """What the tests need beside Python, installed when this is an administrator: Chromium and the
    fonts of pages, Pango for PDFs, an RTSP server that stands in for a camera, an HSM in software.
    """
    browser = [] if CHROMIUM.exists() else ["chromium", *FONTS]
    libraries = ("pango-1.0", "pangoft2-1.0", "harfbuzz-subset")
    paper = [] if all(map(find_library, libraries)) and shutil.which("pdftotext") else PAPER
    camera = [] if _bound_to_rtsp() else CAMERA
    if browser:
        _install(browser, f"The browser journeys need {CHROMIUM}.")
    if paper:
        _install(paper, "The tests of the receipt's PDF need Pango and Poppler.")
    if camera:
        _install(camera, "The camera tests need an RTSP server.")
    if not SOFTHSM.exists():
        _install(["softhsm2"], "The tests of a keyring in an HSM need SoftHSM.")


def _bound_to_rtsp() -> bool:
    """Whether Debian's own Python can start GStreamer's RTSP server."""
    script = "; ".join(
        [
            "import gi",
            "gi.require_version('GstRtspServer', '1.0')",
            "from gi.repository import Gst, GstRtspServer",
            "Gst.init(None)",
            "raise SystemExit(not all(map(Gst.ElementFactory.find, ('h264parse', 'rtph264pay'))))",
        ]
    )
    if not SYSTEM_PYTHON.exists():
        return False
    done = subprocess.run([SYSTEM_PYTHON, "-c", script], capture_output=True, check=False)
    return done.returncode == 0


def _install(wanted: list[str], why: str) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Refusal(f"{why} On Debian: sudo apt install {' '.join(wanted)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step(f"Installing Debian's {wanted[0]}, a minute or two"):
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
