"""A stranger with a bare machine starts Consentry, stops it, and finds nothing left behind.

Each test runs the commands themselves, in a clone of its own.
"""

import ast
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from ops import bootstrap, console

ROOT = bootstrap.ROOT
COMMANDS = ["up", "run", "test"]


@dataclass(frozen=True)
class Clone:
    """A copy of the source, with a home folder beside it that should stay empty."""

    root: Path
    home: Path

    def environment(self, **more: str) -> dict[str, str]:
        """As a stranger's: without what `ops/test` set for the tests themselves."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in {"DATABASE_URL", "REDIS_URL"} and not name.startswith("CONSENTRY_")
        }
        return {**kept, "HOME": str(self.home), **more}

    def start(self, *command: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str, **more: str) -> tuple[int, str]:
        process = self.start(*command, **more)
        said, _ = process.communicate(timeout=120)
        return process.returncode, said

    def running(self) -> list[str]:
        """Every process that knows this clone's path, by its arguments or its environment."""
        return [
            " ".join(process.info["cmdline"])
            for process in psutil.process_iter(["cmdline", "environ"])
            if process.pid != os.getpid()
            and str(self.root)
            in " ".join(
                [*(process.info["cmdline"] or []), *(process.info["environ"] or {}).values()]
            )
        ]

    def files(self) -> set[Path]:
        """What lies in the clone and the home folder, `.venv` apart."""
        venv = self.root / ".venv"
        everything = [*self.root.rglob("*"), *self.home.rglob("*")]
        return {path for path in everything if not path.is_relative_to(venv)}


@pytest.fixture
def bare(tmp_path: Path) -> Clone:
    """The source alone, as after `git clone`."""
    root, home = tmp_path / "clone", tmp_path / "home"
    home.mkdir()
    leave = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "tests")
    shutil.copytree(ROOT, root, ignore=leave)
    return Clone(root, home)


@pytest.fixture
def clone(bare: Clone) -> Clone:
    """A clone whose packages are installed: they are lent by the environment of this test run."""
    venv = bare.root / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib"))
    shutil.copy(bootstrap.STAMP, venv)
    return bare


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def said_until(process: subprocess.Popen[str], words: str) -> str:
    """What a command says up to the line with these words; all of it if it ends before."""
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if words in line:
            break
    return said


def test_one_command_brings_it_up_and_ctrl_c_leaves_nothing(clone: Clone, free_port: int) -> None:
    before = clone.files()
    up = clone.start("ops/up", "--port", str(free_port))
    said = said_until(up, "Ctrl-C stops everything")
    assert "Consentry is up." in said, said
    assert f"http://127.0.0.1:{free_port}/kiosk/" in said
    with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/healthz", timeout=10) as answer:
        assert answer.status == 200

    code, refused = clone.run("ops/up", "--port", str(free_port))
    assert code == 1
    assert "already" in refused
    assert str(up.pid) in refused

    secret = clone.root / ".venv/consentry/keys/secret"
    assert secret.stat().st_mode & 0o777 == 0o400
    up.send_signal(signal.SIGINT)
    rest, _ = up.communicate(timeout=60)
    assert up.returncode == 0, rest
    assert "nothing is left running" in rest
    assert clone.running() == []
    assert clone.files() == before


def test_what_a_killed_run_left_behind_is_stopped_by_the_next(clone: Clone) -> None:
    with clone.start("ops/run", "sh", "-c", "echo here; exec sleep 600") as first:
        assert "here" in said_until(first, "here")
        first.kill()
    assert clone.running() != []
    code, said = clone.run("ops/run", "true")
    assert code == 0, said
    assert clone.running() == []
    assert list((clone.root / ".venv/runs").iterdir()) == []


def test_a_command_runs_beside_real_servers_and_its_code_is_handed_on(clone: Clone) -> None:
    ask = (
        "import os, psycopg, redis, sys\n"
        "with psycopg.connect(os.environ['DATABASE_URL']) as database:\n"
        "    print(*database.execute('SELECT current_user, current_database()').fetchone())\n"
        "print(redis.Redis.from_url(os.environ['REDIS_URL']).ping())\n"
        "sys.exit(7)\n"
    )
    code, said = clone.run("ops/run", "python", "-c", ask)
    assert code == 7, said
    assert "consentry consentry\nTrue\n" in said
    assert clone.running() == []


def test_a_taken_port_is_named_with_another_to_try(clone: Clone, taken_port: int) -> None:
    code, said = clone.run("ops/up", "--port", str(taken_port))
    assert code == 1
    assert f"Port {taken_port} is taken by another program." in said
    assert "ops/up --port" in said
    assert "Traceback" not in said


def test_a_taken_port_is_told_before_anything_is_installed(bare: Clone, taken_port: int) -> None:
    code, said = bare.run("ops/up", "--port", str(taken_port))
    assert (code, f"Port {taken_port} is taken" in said) == (1, True)
    assert not (bare.root / ".venv").exists()


@pytest.mark.parametrize(
    ("name", "url", "server"),
    [
        ("DATABASE_URL", "postgresql://owner:a-password@127.0.0.1:{port}/x", "PostgreSQL"),
        ("REDIS_URL", "redis://:a-password@127.0.0.1:{port}/0", "Redis"),
    ],
)
def test_a_server_that_does_not_answer_is_named_without_its_password(
    clone: Clone, free_port: int, name: str, url: str, server: str
) -> None:
    code, said = clone.run("ops/up", **{name: url.format(port=free_port)})
    assert code == 1
    assert f"{name} names 127.0.0.1:{free_port}, and no {server} answers there" in said
    assert "a-password" not in said
    assert "Traceback" not in said
    assert clone.running() == []


def test_a_database_of_another_kind_is_refused_without_its_password(clone: Clone) -> None:
    code, said = clone.run("ops/up", DATABASE_URL="mysql://owner:a-password@127.0.0.1/x")
    assert code == 1
    assert "DATABASE_URL is not an address that begins with postgresql://" in said
    assert "a-password" not in said


def test_a_full_disk_is_told_before_and_while_writing(tmp_path: Path) -> None:
    with pytest.raises(console.Refusal, match="The disk is too full"):
        console.require_room(tmp_path, needed=2**60)
    with pytest.raises(SystemExit, match="The disk is full"), console.sentences():
        Path("/dev/full").write_text("x")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_old_python_says_that_it_is_too_old(bare: Clone, command: str) -> None:
    source = (bare.root / "ops" / command).read_text()
    ast.parse(source, feature_version=(3, 4))
    older = f"import runpy, sys; sys.version_info = (3, 9, 2); runpy.run_path('ops/{command}')"
    code, said = bare.run(sys.executable, "-c", older)
    assert (code, said) == (1, "Consentry needs Python 3.11 or newer; this is 3.9.\n")
    assert not (bare.root / ".venv").exists()


def test_a_python_without_venv_names_the_package_to_install(bare: Clone) -> None:
    # Debian's Python comes without ensurepip: hide it from this one.
    without = (
        "import importlib.machinery as m, runpy\n"
        "real = m.PathFinder.find_spec\n"
        "hide = lambda name, *rest: None if name == 'ensurepip' else real(name, *rest)\n"
        "m.PathFinder.find_spec = hide\n"
        "runpy.run_path('ops/up')\n"
    )
    code, said = bare.run(sys.executable, "-c", without)
    assert code == 1
    assert "apt install python3-venv" in said
    assert not (bare.root / ".venv").exists()


@pytest.mark.parametrize("lock", [bootstrap.RUNTIME, bootstrap.DEVELOPMENT])
def test_the_lock_has_a_hash_for_everything_and_names_no_registry(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "index-url" not in text
    requirements = re.split(r"\n(?=[a-z0-9])", text)
    assert len(requirements) > 40
    assert [each for each in requirements if "--hash=sha256:" not in each] == []


def test_the_tools_are_locked_to_the_versions_that_run() -> None:
    def pins(lock: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9][^ ]+==[^ ]+", (ROOT / lock).read_text(), re.MULTILINE))

    assert pins(bootstrap.RUNTIME) <= pins(bootstrap.DEVELOPMENT)
