"""Tends the keyring: a new generation in time, live keys under it, the old one destroyed.

Design. Deleting a key's row leaves its bytes in the database's files, its log and its backups. So
what wrapped it must go. A new generation is made every `rotate_after`; every live data key and
every organization's rotation is wrapped by it anew, a batch a statement, by compare-and-swap: a key
that was erased meanwhile stays erased, one that somebody else rewrapped stays as it is, and a
killed run leaves each key whole under one generation or the other. Reads go on: both generations
open until the older one is destroyed.

That happens when it was superseded for `keep` (a backup of that age can still be restored), when no
key was wrapped by it for `grace`, when no transaction is open that may have read one before, and
when every running recognizer wraps with a newer one. First the database is told to refuse any key
under it, then keys are counted again, then it is destroyed. Recognizers forget it with their next
beat and say so (`Recognizer.oldest`); one that is silent answers nobody anyway.

Only a process that may open the keyring can do this: a recognizer once an hour, one of them at a
time, or the operator with `manage.py keys`.
"""

import logging
import threading
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, connection, transaction

from apps.audit import clock
from apps.audit import services as audit
from apps.audit.keyfile import KeyFileError
from apps.config.environment import Environment
from apps.recognition.models import Recognizer
from apps.recognition.sealed import rows_of
from apps.visitors.models import KeyGeneration
from apps.visitors.vault import (
    FileKeyring,
    Generation,
    SealBroken,
    UnknownGeneration,
    rewrap,
    rewrap_rotation,
)

log = logging.getLogger(__name__)

LOCK = 0x4B455953
BATCH = 500
# Whoever read a wrapped key has opened it by then.
GRACE = timedelta(minutes=1)
HOUR = 3600.0
# A recognizer that was started just now has better things to do.
AT_FIRST = 60.0

KEYS = """
SELECT k.visitor_id, k.wrapped, s.organization_id FROM visitors_datakey k
  JOIN visitors_visitor v ON v.id = k.visitor_id JOIN stores_store s ON s.id = v.store_id
 WHERE k.generation < %(newest)s AND k.visitor_id > %(after)s ORDER BY k.visitor_id LIMIT %(batch)s
"""
SWAP_KEYS = """
UPDATE visitors_datakey k SET wrapped = anew.wrapped, generation = %s
  FROM unnest(%s::uuid[], %s::bytea[], %s::bytea[]) AS anew (visitor, was, wrapped)
 WHERE k.visitor_id = anew.visitor AND k.wrapped = anew.was
"""
ROTATIONS = "SELECT id, organization_id, number, wrapped FROM visitors_rotation ORDER BY id"
# The generation of a rotation stands in its header, see the vault's rotation.py.
USED = """
SELECT (SELECT count(*) FROM visitors_datakey WHERE generation = %(number)s)
     + (SELECT count(*) FROM visitors_rotation
         WHERE substring(wrapped FROM 5 FOR 4) = int4send(%(number)s::int))
"""
# Of another user's sessions PostgreSQL shows no time; for them `grace` must do.
OLD_READERS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < %s
"""


@dataclass(frozen=True, slots=True)
class Policy:
    """When a generation is due, and how long it stays when the next one is there."""

    rotate_after: timedelta = timedelta(days=7)
    keep: timedelta = timedelta(days=7)
    grace: timedelta = GRACE

    @classmethod
    def of(cls, env: Environment) -> "Policy":
        return cls(timedelta(days=env.key_rotation_days), timedelta(days=env.key_keep_days))


@dataclass(slots=True)
class Tended:
    """What was done. rewrapped, rotations: moved to the newest generation; broken: keys that do not
    open, which hold their generation back; lost: whose generation is destroyed already, as after
    the restore of an old backup; waiting: why a superseded generation is still there."""

    generation: int = 0
    rotated: bool = False
    rewrapped: int = 0
    rotations: int = 0
    broken: int = 0
    lost: int = 0
    destroyed: list[int] = field(default_factory=list)
    waiting: dict[int, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def tend(
    *, keyring: FileKeyring, policy: Policy, actor: str, rotate: bool = False
) -> Tended | None:
    """Do what is due now, or `rotate` in any case. None when somebody else is at it.

    Safe to be killed anywhere and to be run again. Raises KeyFileError, DatabaseError.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:
            return None
        try:
            return _tend(keyring, policy, actor, rotate)
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


def _tend(keyring: FileKeyring, policy: Policy, actor: str, rotate: bool) -> Tended:
    tended = Tended()
    publish(keyring)
    if rotate or clock.now() - _at(keyring.generations[-1]) >= policy.rotate_after:
        keyring.rotate()
        tended.rotated = True
        publish(keyring)
        with transaction.atomic():
            audit.record(actor=actor, action="keyring.rotated", generation=keyring.newest)
    tended.generation = keyring.newest
    _rewrap_keys(keyring, tended)
    _rewrap_rotations(keyring, tended)
    for generation in keyring.generations[:-1]:
        if generation.state != "destroyed":
            _end(keyring, generation, policy, actor, tended)
    return tended


def publish(keyring: FileKeyring) -> None:
    """Write down what the keyring says of its generations, where that has changed."""
    known = {row.number: row for row in KeyGeneration.objects.all()}
    for each in keyring.generations:
        destroyed = datetime.fromisoformat(each.destroyed_at) if each.destroyed_at else None
        row = known.get(each.number)
        said = {
            "held_by": (each.handle or "file").partition(":")[0],
            "created_at": _at(each),
            "destroyed_at": destroyed,
        }
        if row is None or any(getattr(row, name) != value for name, value in said.items()):
            closed = (row.closed_at if row else None) or destroyed
            KeyGeneration.objects.update_or_create(
                number=each.number, defaults={**said, "closed_at": closed}
            )


def _rewrap_keys(keyring: FileKeyring, tended: Tended) -> None:
    after, newest = "00000000-0000-0000-0000-000000000000", keyring.newest
    while rows := rows_of(KEYS, {"newest": newest, "after": after, "batch": BATCH}):
        after = rows[-1].visitor_id
        swaps = []
        for row in rows:
            try:
                anew = rewrap(
                    bytes(row.wrapped),
                    visitor=row.visitor_id,
                    organization=row.organization_id,
                    keyring=keyring,
                )
            except SealBroken:
                log.error("the key of visitor %s cannot be opened", row.visitor_id)
                tended.broken += 1
            except UnknownGeneration:
                tended.lost += 1
            else:
                swaps.append((row.visitor_id, row.wrapped, anew))
        with connection.cursor() as cursor:
            visitors, was, anew_ = ([each[n] for each in swaps] for n in range(3))
            cursor.execute(SWAP_KEYS, [newest, visitors, was, anew_])
            tended.rewrapped += cursor.rowcount


def _rewrap_rotations(keyring: FileKeyring, tended: Tended) -> None:
    for row in rows_of(ROTATIONS, {}):
        try:
            anew = rewrap_rotation(
                bytes(row.wrapped),
                organization=row.organization_id,
                number=row.number,
                keyring=keyring,
            )
        except SealBroken:
            log.error("rotation %s cannot be opened", row.id)
            tended.broken += 1
            continue
        except UnknownGeneration:
            tended.lost += 1
            continue
        if anew != bytes(row.wrapped):
            with connection.cursor() as cursor:
                cursor.execute(
                    "UPDATE visitors_rotation SET wrapped = %s WHERE id = %s AND wrapped = %s",
                    [anew, row.id, row.wrapped],
                )
                tended.rotations += cursor.rowcount


def _end(
    keyring: FileKeyring, generation: Generation, policy: Policy, actor: str, tended: Tended
) -> None:
    """Destroy a superseded generation, or say what it waits for."""
    number, row = generation.number, KeyGeneration.objects.filter(pk=generation.number)
    if generation.state == "live":
        if why := _still_needed(keyring, number, policy):
            tended.waiting[number] = why
            return
        # From here on PostgreSQL takes no key under it; one that was being written is waited for.
        row.update(closed_at=clock.now())
        if _used(number):
            row.update(closed_at=None, emptied_at=None)
            tended.waiting[number] = "a key was just written under it"
            return
    if keyring.destroy(number).state != "destroyed":
        tended.waiting[number] = "its custodian can still bring it back"
        return
    publish(keyring)
    tended.destroyed.append(number)
    with transaction.atomic():
        audit.record(actor=actor, action="keyring.destroyed", generation=number)


def _still_needed(keyring: FileKeyring, number: int, policy: Policy) -> str:
    now, row = clock.now(), KeyGeneration.objects.get(pk=number)
    if used := _used(number):
        KeyGeneration.objects.filter(pk=number).update(emptied_at=None)
        return f"{used} keys are wrapped by it"
    if row.emptied_at is None:
        row.emptied_at = now
        row.save(update_fields=["emptied_at"])
    if now - _at(keyring.generations[number]) < policy.keep:
        return "backups of its time are kept restorable"
    if now - row.emptied_at < policy.grace:
        return "whoever read a key under it may still be at it"
    if Recognizer.objects.running().filter(generation__lte=number).exists():
        return "a recognizer still wraps with it"
    with connection.cursor() as cursor:
        cursor.execute(OLD_READERS, [row.emptied_at])
        readers = cursor.fetchone()[0]
    return f"{readers} transactions are older than its last key" if readers else ""


def _used(number: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(USED, {"number": number})
        return int(cursor.fetchone()[0])


def _at(generation: Generation) -> datetime:
    return datetime.fromisoformat(generation.created_at)


class Upkeep(threading.Thread):
    """Tends the keyring for as long as its recognizer runs."""

    def __init__(self, keyring: FileKeyring, policy: Policy, *, every: float = HOUR) -> None:
        super().__init__(name="upkeep", daemon=True)
        self._keyring = keyring
        self._policy = policy
        self._every = every
        self._stopping = threading.Event()

    def run(self) -> None:
        wait = min(AT_FIRST, self._every)
        while not self._stopping.wait(wait):
            wait = self._every
            try:
                tend(keyring=self._keyring, policy=self._policy, actor="system:recognizer")
            except (KeyFileError, OSError) as error:
                log.error("the keyring cannot be tended: %s", error)
            except DatabaseError as error:
                log.warning("the keyring is tended later (%s)", type(error).__name__)
            except Exception as error:
                # The thread must not end before its process does.
                log.error("tending the keyring failed (%s)", type(error).__name__)
            finally:
                connection.close()

    def stop(self) -> None:
        """End after what is being done."""
        self._stopping.set()
        self.join(timeout=10)
