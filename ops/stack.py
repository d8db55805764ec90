"""Consentry as `ops/up` runs it: a demo store on this machine, all processes, until Ctrl-C.

Everything lies in `.venv/consentry`. Plain HTTP, and therefore the loopback address only.
"""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from ops.bootstrap import PYTHON, VENV, require_free, up_arguments
from ops.console import Refusal, last_lines, note, sentences, step
from ops.local import Local, claimed, local
from ops.supervision import PROCESSES, Program

STATE = VENV / "consentry"
# The story begins in a house where nothing has happened yet, and leaves the demo's alone.
STORY = VENV / "consentry-story"


class Stop(BaseException):
    """Ctrl-C, or a signal that means the same. No `Exception`: nothing may swallow it."""


@dataclass(frozen=True)
class Page:
    """One page of the demo, and what opens it: a log-in or a one-time code."""

    name: str
    path: str
    opens: str


def main(arguments: list[str]) -> int:
    chosen = up_arguments().parse_args(arguments)
    # A crash must not write a face to the disk: no core file, of us or of what we start.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ready = False
    try:
        state = STORY if chosen.story else STATE
        if chosen.story:
            shutil.rmtree(STORY, ignore_errors=True)
        with _stop_on_signals(), claimed(state) as folder:
            require_free(chosen.port)
            programs = processes(chosen.port, state)
            with local(folder, port=chosen.port, programs=programs) as running:
                demo = prepare(running)
                running.supervisor.start(PROCESSES)
                with step("Starting web, recognizer, watcher, worker and beat"):
                    await_all(running, chosen.port)
                if chosen.story:
                    return tell_story(running, demo)
                print(welcome(demo, port=chosen.port), flush=True)
                ready = True
                watch(running)
    except Stop:
        note("Stopped; nothing is left running.")
    return 0 if ready else 130


def processes(port: int, state: Path) -> list[Program]:
    python = str(PYTHON)
    manage = [python, "manage.py"]
    celery = [python, "-m", "celery", "--app", "apps.config"]
    return [
        Program(
            name="web",
            command=[
                *(python, "-m", "uvicorn", "apps.config.asgi:application"),
                *("--host", "127.0.0.1", "--port", str(port)),
                # A log of addresses asked for is a log of who looked at what.
                *("--no-access-log", "--no-server-header", "--timeout-graceful-shutdown", "2"),
            ],
        ),
        Program(name="recognizer", command=[*manage, "recognizer"]),
        Program(name="watcher", command=[*manage, "watcher"]),
        Program(
            name="worker",
            command=[
                *(*celery, "worker", "--concurrency", "1", "--loglevel", "info"),
                *("--without-gossip", "--without-mingle"),  # there is one worker
            ],
        ),
        Program(
            name="beat",
            command=[
                *(*celery, "beat", "--loglevel", "info", "--pidfile", ""),
                *("--schedule", str(state / "beat-schedule")),
            ],
        ),
    ]


def prepare(running: Local) -> str:
    """Bring the database, the keys, the model pack and the demo store to where they should be.

    Returns what `manage.py prepare` says last: the demo's pages and log-ins as JSON.
    """
    clip = _lane_clip(running)
    log = running.folder.logs / "prepare.log"
    with step("Preparing the database, the keys, the model pack and the demo store"):
        said = _python("manage.py", "prepare", "--clip", str(clip), running=running, log=log)
    return said.strip().splitlines()[-1]


def _lane_clip(running: Local) -> Path:
    """What the demo's lane camera sees."""
    clip = running.folder.clips / "lane.mp4"
    if not clip.exists():
        clip.parent.mkdir(exist_ok=True)
        with step("Making the lane camera's clip"):
            unfinished = clip.with_stem("unfinished")
            _python(
                *("-m", "ops.clips", str(unfinished), "--kind", "lane"),
                running=running,
                log=running.folder.logs / "clips.log",
            )
            unfinished.rename(clip)
    return clip


def _python(*arguments: str, running: Local, log: Path) -> str:
    with log.open("wb") as errors:
        done = subprocess.run(
            [PYTHON, *arguments],
            env=running.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            check=False,
        )
    if done.returncode:
        raise Refusal(f"{' '.join(arguments[:2])} failed. The end of {log}:\n{last_lines(log)}")
    return done.stdout.decode()


def await_all(running: Local, port: int) -> None:
    """Return once web and recognizer answer and nothing has failed to start."""
    # What does not run is noticed at once; a machine that is busy elsewhere is waited for.
    deadline = time.monotonic() + 180
    while not (_web_answers(port) and _recognizer_answers(running)):
        running.supervisor.require_well()
        if time.monotonic() > deadline:
            logs = [running.supervisor.log(name) for name in ("web", "recognizer")]
            raise Refusal(
                "Consentry did not answer within three minutes.\n"
                + "\n".join(f"The end of {log}:\n{last_lines(log)}" for log in logs)
            )
        time.sleep(0.1)


def _web_answers(port: int) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _recognizer_answers(running: Local) -> bool:
    with socket.socket(socket.AF_UNIX) as knock:
        try:
            knock.connect(running.environment["CONSENTRY_RECOGNIZER_SOCKET"])
        except OSError:
            return False
        return True


def tell_story(running: Local, demo: str) -> int:
    """`ops.story` reads the demo's log-ins from stdin; its last line is the result."""
    return subprocess.run(
        [PYTHON, "-m", "ops.story"], env=running.environment, input=demo.encode(), check=False
    ).returncode


def welcome(demo: str, *, port: int) -> str:
    """The addresses and what opens them, aligned."""
    pages = [Page(**page) for page in json.loads(demo)["pages"]]
    name = max(len(page.name) for page in pages)
    path = max(len(page.path) for page in pages)
    lines = [
        f"  {page.name:<{name}}  http://127.0.0.1:{port}{page.path:<{path}}  {page.opens}".rstrip()
        for page in pages
    ]
    return "\n".join(
        [
            "",
            "Consentry is up.",
            "",
            *lines,
            "",
            f"Logs are in {(STATE / 'log').relative_to(VENV.parent)}. Ctrl-C stops everything.",
        ]
    )


def watch(running: Local) -> None:
    """Stay until stopped, and say when a process falls over or gets up again."""
    usual = "RUNNING"
    known: dict[str, str] = {}
    while running.supervisor.process.poll() is None:
        states = running.supervisor.states()
        for name, state in states.items():
            before = known.get(name, usual)
            if state != before and usual in (state, before) and state != "STARTING":
                log = running.supervisor.log(name).relative_to(VENV.parent)
                note(f"{name} is {'well again' if state == usual else 'down'}; see {log}")
            if state != "STARTING":
                known[name] = state
        time.sleep(2)
    raise Refusal(
        "The supervisor has ended. The end of its log:\n"
        + last_lines(running.supervisor.logs / "supervisord.log")
    )


@contextmanager
def _stop_on_signals() -> Iterator[None]:
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(number: int, frame: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)  # once is enough: stopping is not interrupted
        os.write(2, b"\nStopping\n")
        raise Stop

    for each in signals:
        signal.signal(each, stop)
    yield


if __name__ == "__main__":
    with sentences():
        sys.exit(main(sys.argv[1:]))
