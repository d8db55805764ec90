"""Make `.venv` out of a lock file with nothing but a bare Python, then go on inside it.

Writes in `.venv` only. Refuses packages whose hash is not in the lock, and never leaves a
half-installed `.venv` that looks whole: the stamp is written last.
"""

import argparse
import errno
import hashlib
import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from ops.console import FULL_DISK, GIB, Refusal, last_lines, require_room, step

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed"
LOG = VENV / "install.log"

RUNTIME = "requirements.lock"
DEVELOPMENT = "requirements-dev.lock"  # holds everything of RUNTIME too

# Measured: 0.8 GiB of packages, or 1.2 GiB with the tools, beside pip's temporary copies.
ROOM_TO_INSTALL = 2 * GIB
ROOM_TO_RUN = GIB // 2

# A process that tests waits for its servers and its browser half of the time.
TESTERS = 2
# File by file, in the order of ops/worker.py.
SHARED = ["--numprocesses", str(TESTERS), "--dist", "loadfile", "--no-loadscope-reorder"]


def up_arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ops/up", description="Run Consentry with a demo store on this machine."
    )
    parser.add_argument("--port", type=int, default=8000, help="where to listen (default 8000)")
    parser.add_argument(
        "--story", action="store_true", help="play the main story unattended, print it, and stop"
    )
    return parser


def up(arguments: list[str]) -> NoReturn:
    chosen = up_arguments().parse_args(arguments)
    if not installed(RUNTIME):
        require_free(chosen.port)  # rather now than after a minute of installing
    install(RUNTIME)
    go_on("ops.stack", arguments)


def run(arguments: list[str]) -> NoReturn:
    install(DEVELOPMENT)
    go_on("ops.within", arguments)


def bench(arguments: list[str]) -> NoReturn:
    install(DEVELOPMENT)
    go_on("ops.within", ["python", "-m", "ops.benches", *arguments])


def test(arguments: list[str]) -> NoReturn:
    """All tests in two processes beside servers of their own, or what pytest's arguments name."""
    install(DEVELOPMENT)
    whole = not arguments
    go_on(
        "ops.within",
        [
            "--debian",
            *(["--workers", str(TESTERS)] if whole else []),
            *("python", "-m", "pytest"),
            *("-o", f"cache_dir={VENV / 'pytest'}", "--output", str(VENV / "test-results")),
            *(SHARED if whole else arguments),
        ],
    )


def go_on(module: str, arguments: list[str]) -> NoReturn:
    """Become `python -m module` of `.venv`. Byte code is kept in `.venv`, not beside the source."""
    environment = {
        **os.environ,
        "VIRTUAL_ENV": str(VENV),
        "PATH": f"{PYTHON.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(VENV / "hypothesis"),
        "PYTHONPYCACHEPREFIX": os.environ.get("PYTHONPYCACHEPREFIX", str(VENV / "pycache")),
    }
    # Who sets it wants no byte code beside the source. Without any, each of the many processes
    # compiles two thousand modules before it says a word: half of its start.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    os.chdir(ROOT)
    command = [str(PYTHON), "-m", module, *arguments]
    os.execve(PYTHON, command, environment)  # noqa: S606  no shell is wanted


def install(lock: str) -> None:
    """Bring `.venv` to what the lock names, unless it is there already."""
    if installed(lock):
        require_room(ROOT, needed=ROOM_TO_RUN)
        return
    require_room(ROOT, needed=ROOM_TO_INSTALL)
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        raise Refusal(
            "This Python cannot make a virtual environment. "
            "On Debian and Ubuntu install it with: apt install python3-venv"
        )
    with step("Making .venv"):
        STAMP.unlink(missing_ok=True)
        VENV.mkdir(exist_ok=True)
        _quietly([sys.executable, "-m", "venv", str(VENV)])
    with step("Installing the packages, about a minute"):
        _quietly(
            # pip's own cache lies in the home folder: off, unless it was asked for. Byte code is
            # made when a module is first used, which is a fraction of what is installed.
            [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
            + ([] if "PIP_CACHE_DIR" in os.environ else ["--no-cache-dir"])
            + ["--no-compile", "--no-deps", "--require-hashes", "-r", str(ROOT / lock)]
        )
    met = [lock, RUNTIME] if lock == DEVELOPMENT else [lock]
    STAMP.write_text("".join(f"{_digest(each)}\n" for each in met))


def installed(lock: str) -> bool:
    if not (STAMP.exists() and PYTHON.exists()):
        return False
    return _digest(lock) in STAMP.read_text().split()


def require_free(port: int) -> None:
    """Refuse when the port is not one, not allowed, or taken."""
    if not 1 <= port <= 65535:
        raise Refusal(f"{port} is not a port. Choose one between 1024 and 65535: ops/up --port …")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            why = {
                errno.EADDRINUSE: "is taken by another program",
                errno.EACCES: "is reserved for the administrator",
            }.get(error.errno or 0)
            if why is None:
                raise
            other = port + 1 if 1024 <= port < 65535 else 8001
            raise Refusal(f"Port {port} {why}. Choose another one: ops/up --port {other}") from None


def _digest(lock: str) -> str:
    version = "{}.{}".format(*sys.version_info)
    return hashlib.sha256(version.encode() + (ROOT / lock).read_bytes()).hexdigest()


def _quietly(command: list[str]) -> None:
    with LOG.open("wb") as log:
        status = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
        ).returncode
    if status:
        if os.strerror(errno.ENOSPC).encode() in LOG.read_bytes():
            raise Refusal(FULL_DISK)
        raise Refusal(f"That did not work. The end of {LOG}:\n{last_lines(LOG)}")
