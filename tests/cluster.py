"""A PostgreSQL of one's own, whose files are read byte by byte."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from ops.local import Folder, local
from tests.conftest import ROOT
from tests.memory import found_in


class Cluster:
    """A server with an empty database, and commands of the house that use it."""

    def __init__(self, folder: Folder, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment

    def manage(self, *arguments: str, succeeds: bool = True) -> str:
        """Run a command of the house; what it said, or why it failed."""
        return self._run([sys.executable, "manage.py", *arguments], "", succeeds)

    def python(self, script: str, *arguments: str) -> str:
        """Run a script of the house, given the models."""
        begun = f"import django\ndjango.setup()\n{script}"
        return self._run([sys.executable, "-", *arguments], begun, succeeds=True)

    def _run(self, command: list[str], stdin: str, succeeds: bool) -> str:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert (done.returncode == 0) is succeeds, done.stdout + done.stderr
        return done.stdout if succeeds else done.stderr

    def found(self, secrets: Mapping[str, bytes]) -> set[str]:
        """Of which of these any piece lies in any file: tables, indexes, the write-ahead log. In
        pieces, because a record may be cut where a page ends."""
        host = self.folder.run / "servers"
        with psycopg.connect(
            host=str(host), user="postgres", dbname="postgres", autocommit=True
        ) as administrator:
            # What lies in the server's memory alone would be missed.
            administrator.execute("CHECKPOINT")
        files = [path for path in self.folder.root.rglob("*") if path.is_file()]
        held = (path.read_bytes() for path in files if not path.is_symlink())
        return set(found_in(held, secrets))


@contextmanager
def cluster(**environment: str) -> Iterator[Cluster]:
    """A new one for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="consentry-pg-", dir="/tmp") as name:
        root = Path(name)
        root.chmod(0o711)
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("DATABASE_URL", raising=False)
            for key, value in environment.items():
                patch.setenv(key, value)
            with local(Folder(root), throw_away=True) as running:
                yield Cluster(Folder(root), {**os.environ, **running.environment})
