"""Several recognizers on one store: each forgets, each says so, and any of them answers."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from django.db import connection
from numpy.typing import NDArray
from psycopg import sql
from pytest_django.plugin import DjangoDbBlocker

from apps.consent import services as consents
from apps.consent.models import Consent
from apps.recognition.client import MatchRequest, Recognizer, RecognizerDown
from apps.recognition.models import Recognizer as Row
from apps.retention.models import Erasure
from apps.retention.services.erase import complete, erase, waiting_for
from apps.visitors.models import Visitor
from tests.conftest import House, Process, build_house
from tests.database import run
from tests.people import enrolled_for_good, manage
from tests.recognition.test_keep import admit
from tests.waiting import until

Crops = Callable[[int], NDArray[np.uint8]]
PATHS: list[Path] = [
    settings.CONSENTRY.socket.with_name(f"several-{letter}.sock") for letter in "abc"
]
SOCKETS = os.pathsep.join(map(str, PATHS))


class Several:
    """Three sockets, two recognizers that share them, and a store."""

    def __init__(self, crops_of: Crops) -> None:
        self.crops_of = crops_of
        self.house: House = build_house()
        self.each = [Recognizer(path, timeout=30) for path in PATHS[:2]]
        self.any = Recognizer(PATHS[0], timeout=30, others=PATHS[1:])
        # The tests before emptied the tables under their feet.
        until(lambda: Row.objects.filter(stopped_at=None).count() == 2, seconds=20)
        self.until_trusted()

    def until_trusted(self) -> None:
        until(lambda: all(one.status()["trusted"] for one in self.each), seconds=30)

    def enrol(self, person: int) -> Visitor:
        return enrolled_for_good(self.house, self.each, self.crops_of(person))

    def sees(self, recognizer: Recognizer, person: int) -> str:
        asked = MatchRequest(self.house.camera.pk, self.house.store.pk, time.time())
        return recognizer.match(asked, self.crops_of(person)).outcome


@pytest.fixture(scope="module")
def two(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[list[Process]]:
    with django_db_blocker.unblock():
        running = [Process("recognizer", CONSENTRY_RECOGNIZER_SOCKET=SOCKETS) for _ in range(2)]
    yield running
    for process in running:
        process.stop()


@pytest.fixture
def several(two: list[Process], transactional_db: None, crops_of: Crops) -> Iterator[Several]:
    several = Several(crops_of)
    yield several
    # Emptying tables tells nobody, deleting does.
    Visitor.objects.all().delete()
    until(lambda: not any(one.status()["templates"] for one in several.each), seconds=20)


def end(visitor: Visitor) -> Erasure:
    return complete(erase(visitor=visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self"))


# One address list for all of them.


def test_each_takes_a_socket_of_its_own_and_one_too_many_does_not_start(several: Several) -> None:
    third = Process("recognizer", CONSENTRY_RECOGNIZER_SOCKET=SOCKETS)
    try:
        assert [path.exists() for path in PATHS] == [True] * 3
        fourth = manage("recognizer", CONSENTRY_RECOGNIZER_SOCKET=SOCKETS)
        _, complaint = fourth.communicate(timeout=60)
        assert fourth.returncode == 1
        assert f"Another recognizer answers at {PATHS[2]}" in complaint
    finally:
        third.stop()


def test_who_asks_finds_one_that_answers(several: Several, two: list[Process]) -> None:
    """The first is stopped where it stands, with its socket open; the second answers."""
    several.enrol(2)
    patient = Recognizer(PATHS[0], timeout=8.0, others=(PATHS[2], PATHS[1]))
    two[0].send(signal.SIGSTOP)
    try:
        assert several.sees(patient, 2) == "visit"
    finally:
        two[0].send(signal.SIGCONT)
    several.until_trusted()
    assert several.sees(several.any, 2) == "still_here"
    assert Recognizer.any_of(PATHS[::-1]).status()["trusted"]
    nobody = Recognizer.any_of([PATHS[2], PATHS[2].with_name("nobody.sock")])
    with pytest.raises(RecognizerDown):
        nobody.status()


# Each of them forgets.


def test_the_certificate_waits_for_one_that_was_killed_before_it_could_say_so(
    several: Several,
) -> None:
    third = Process("recognizer", CONSENTRY_RECOGNIZER_SOCKET=SOCKETS)
    killed = Row.objects.filter(stopped_at=None).latest("started_at")
    visitor = several.enrol(2)
    until(lambda: Recognizer(PATHS[2]).status()["templates"] == 1)
    third.send(signal.SIGSTOP)
    erasure = end(visitor)
    until(lambda: waiting_for(erasure) in ([str(killed.pk)], []), seconds=20)
    assert not killed.acknowledgements.exists()
    third.kill()
    # It might have gone on by itself for five more seconds, so they are waited for.
    until(lambda: complete(erasure).state == Erasure.State.COMPLETE, seconds=30)
    done = Erasure.objects.get()
    others = Row.objects.exclude(pk=killed.pk)
    assert all(one.acknowledgements.exists() for one in others)
    killed.refresh_from_db()
    assert done.completed_at is not None
    assert (done.completed_at - killed.seen_at).total_seconds() >= 5.0
    for recognizer in several.each:
        assert several.sees(recognizer, 2) == "unknown"


# Without its database, and with one that lies about the time.


@contextmanager
def cut_off() -> Iterator[None]:
    """Every connection but this test's own is ended, and nobody is let back in."""
    admit(False)
    try:
        reconnect()
        yield
    finally:
        admit(True)


def reconnect() -> None:
    """End every connection but this test's own."""
    run(
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
              AND backend_type = 'client backend'"""
    )


def test_ten_seconds_without_the_database_and_the_first_answer_is_right(several: Several) -> None:
    gone, _stays = several.enrol(2), several.enrol(3)
    begun = time.monotonic()
    with cut_off():
        until(lambda: not any(one.status()["trusted"] for one in several.each), seconds=20)
        consents.withdraw(consent=Consent.objects.get(subject=gone.subject), actor="self")
        until(lambda: time.monotonic() - begun > 10.0, seconds=20)
        for person in (2, 3, 4):
            with pytest.raises(RecognizerDown):
                several.sees(several.any, person)
    # Each by itself: from its first answer on.
    for recognizer in several.each:
        until(lambda: recognizer.status()["trusted"], seconds=30)  # noqa: B023
        assert several.sees(recognizer, 2) == "unknown"
        assert several.sees(recognizer, 3) in {"visit", "still_here"}


@contextmanager
def an_hour_ago() -> Iterator[None]:
    """The database's clock is set back, for every session that begins from now on."""
    name = sql.Identifier(str(connection.settings_dict["NAME"]))
    run(
        """CREATE SCHEMA earlier;
           CREATE FUNCTION earlier.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
               $$ SELECT pg_catalog.clock_timestamp() - interval '1 hour' $$"""
    )
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("ALTER DATABASE {} SET search_path = earlier, pg_catalog, public").format(name)
        )
    try:
        reconnect()
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("ALTER DATABASE {} RESET search_path").format(name))
        reconnect()
        run("DROP SCHEMA earlier CASCADE")


def test_when_the_databases_clock_is_set_back_they_answer_nobody(
    several: Several, two: list[Process]
) -> None:
    """Whose time is over would be within it again."""
    several.enrol(2)
    said = [len(process.lines) for process in two]
    with an_hour_ago():
        for process, before in zip(two, said, strict=True):
            until(
                lambda: any(
                    "clock runs backwards" in line
                    for line in process.lines[before:]  # noqa: B023
                ),
                seconds=30,
            )
        for recognizer in (*several.each, several.any):
            with pytest.raises(RecognizerDown):
                several.sees(recognizer, 2)
    several.until_trusted()
    for recognizer in several.each:
        assert several.sees(recognizer, 2) in {"visit", "still_here"}
