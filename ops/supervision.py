"""Long-running processes under `supervisord`: its configuration, its wishes and its leftovers.

Supervising is the library's work. This module only writes what it reads and asks what it knows.
"""

import http.client
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import psutil
from supervisor.xmlrpc import SupervisorTransport

from ops.bootstrap import ROOT
from ops.console import Refusal, last_lines

# Every process of one run carries it, so that what a killed run left behind can be told apart.
MARK = "CONSENTRY_RUN"

# supervisord stops one group after the other, the highest priority first.
SERVERS, PROCESSES = 10, 20


@dataclass(frozen=True, kw_only=True)
class Program:
    """One process to keep running. `user` is whom to become, for an administrator's run."""

    name: str
    command: Sequence[str]
    group: int = PROCESSES
    stop_signal: str = "TERM"
    user: str | None = None
    # Ended sooner than this many seconds after its start, it counts as failed to start.
    settles_after: int = 5


@dataclass(frozen=True)
class Supervisor:
    """A running supervisord and the programs that it was given."""

    process: subprocess.Popen[bytes]
    socket: Path
    logs: Path

    def await_answer(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                self._ask("getState")
                return
            except Refusal:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def start(self, group: int) -> None:
        """Start a group's programs now: being asked wakes it, or it would sleep out its second."""
        self._ask("startProcessGroup", str(group), False)

    def states(self) -> dict[str, str]:
        """Program name → supervisor's word: STARTING, RUNNING, BACKOFF, EXITED, FATAL, …"""
        return {each["name"]: each["statename"] for each in self._ask("getAllProcessInfo")}

    def pids(self) -> dict[str, int]:
        """Program name → its process; 0 while it has none."""
        return {each["name"]: each["pid"] for each in self._ask("getAllProcessInfo")}

    def require_well(self) -> None:
        """Refuse when a program failed to start, with the end of what it said."""
        for name, state in self.states().items():
            if state in {"BACKOFF", "EXITED", "FATAL", "UNKNOWN"}:
                raise Refusal(
                    f"{name} did not start. The end of {self.log(name)}:\n"
                    f"{last_lines(self.log(name))}"
                )

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def shut_down(self) -> None:
        """Stop all programs in order and the supervisor itself; returns when all are gone."""
        try:
            # Asked through its socket it wakes at once; a signal waits for its next tick.
            self._ask("shutdown")
        except Refusal:
            self.process.terminate()
        try:
            self.process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _ask(self, method: str, *arguments: object) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self.socket}")
        try:
            return getattr(ServerProxy("http://localhost", transport).supervisor, method)(
                *arguments
            )
        except (OSError, http.client.HTTPException, Fault) as error:
            raise Refusal(
                f"The supervisor does not answer ({error}). The end of its log:\n"
                f"{last_lines(self.logs / 'supervisord.log')}\n"
                f"{last_lines(self.logs / 'supervisord.err')}"
            ) from error
        finally:
            transport.close()


@contextmanager
def supervised(
    programs: Sequence[Program], *, run: Path, logs: Path, environment: dict[str, str]
) -> Iterator[Supervisor]:
    """Run supervisord over `programs`, none of which is started yet.

    It lives in a session of its own: Ctrl-C at the terminal reaches us alone, and we stop the
    processes in order. Its configuration holds no secret; those are in the environment only.
    """
    configuration = run / "supervisord.conf"
    configuration.write_text(_configuration(programs, run=run, logs=logs))
    process = subprocess.Popen(
        [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", configuration],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(logs / "supervisord.err").open("wb"),
        start_new_session=True,
    )
    supervisor = Supervisor(process, run / "supervisor.sock", logs)
    try:
        supervisor.await_answer()
        yield supervisor
    finally:
        supervisor.shut_down()


def _configuration(programs: Sequence[Program], *, run: Path, logs: Path) -> str:
    """supervisord's own file format; `%` introduces its expansions and is doubled."""
    sections = [
        "[unix_http_server]",
        f"file={run / 'supervisor.sock'}",
        "chmod=0700",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "[supervisord]",
        f"logfile={logs / 'supervisord.log'}",
        "logfile_maxbytes=1MB",
        "logfile_backups=1",
        f"pidfile={run / 'supervisord.pid'}",
        "nodaemon=true",
        "silent=true",
    ]
    if os.geteuid() == 0:
        sections.append("user=root")  # said aloud, or it warns at each start
    for group in sorted({program.group for program in programs}):
        names = [program.name for program in programs if program.group == group]
        sections += [f"[group:{group}]", f"programs={','.join(names)}", f"priority={group}"]
    for program in programs:
        sections += [
            f"[program:{program.name}]",
            f"command={shlex.join(program.command)}",
            f"directory={ROOT}",
            "autostart=false",
            "autorestart=true",
            f"startsecs={program.settles_after}",
            f"stopsignal={program.stop_signal}",
            "stopwaitsecs=10",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile={logs / program.name}.log",
            "stdout_logfile_maxbytes=2MB",
            "stdout_logfile_backups=1",
            "umask=077",
        ]
        if program.user:
            sections.append(f"user={program.user}")
    return "\n".join(line.replace("%", "%%") for line in sections) + "\n"


def clear_leftovers(folder: Path) -> int:
    """End what an earlier, killed run of `folder` left behind; returns how many processes."""
    left = list(_marked(folder))
    supervisors = [process for process in left if _is(process, "supervisord")]
    # A supervisor first, alone: it stops its own in order and would restart them otherwise.
    _end(supervisors, patience=20)
    # psutil's word for "no such process" covers those that went with it.
    _end([process for process in left if process not in supervisors], patience=10)
    return len(left)


def _marked(folder: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(folder):
                yield process
        except (psutil.Error, OSError):
            continue  # gone, or somebody else's


def _is(process: psutil.Process, word: str) -> bool:
    try:
        return any(word in argument for argument in process.cmdline())
    except psutil.Error:
        return False


def _end(processes: list[psutil.Process], *, patience: float) -> None:
    for process in processes:
        try:
            # PostgreSQL's word for "now, but in order" is SIGINT; SIGTERM would wait for clients.
            process.send_signal(2) if _is(process, "postgres") else process.terminate()
        except psutil.NoSuchProcess:
            continue
    for process in psutil.wait_procs(processes, timeout=patience)[1]:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=5)
