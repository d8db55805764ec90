"""The recognizer answers only while its gallery is as fresh as the database; it forgets at once."""

import resource
import signal
import socket
import struct
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta

import numpy as np
import psycopg
import pytest
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from numpy.typing import NDArray
from psycopg import sql
from pytest_django.plugin import DjangoDbBlocker

from apps.consent import services as consents
from apps.consent.models import Consent
from apps.recognition import protocol
from apps.recognition.client import CropsRefused, MatchRequest, Recognizer, RecognizerDown
from apps.recognition.models import Acknowledgement
from apps.recognition.models import Recognizer as Row
from apps.stores.models import Assessment
from apps.visitors.models import Eviction, FaceTemplate, Visitor
from apps.visitors.services import restrict
from apps.visits.models import Visit
from tests.conftest import Process, build_house, test_database_url
from tests.database import let_templates_expire, run, without_triggers
from tests.people import enrolled_for_good, manage
from tests.waiting import until

Crops = Callable[[int], NDArray[np.uint8]]


class Keep:
    """A recognizer's process, its socket, and a store in which people 2 and 3 are enrolled."""

    def __init__(self, process: Process, crops_of: Crops) -> None:
        self.process = process
        self.crops_of = crops_of
        self.recognizer = Recognizer(settings.CONSENTRY.socket)
        self.house = build_house()
        # The tests before emptied the tables under its feet.
        until(lambda: self.row is not None and self.recognizer.status()["trusted"])
        self.known = self.recognizer.status()["templates"]

    @property
    def row(self) -> Row | None:
        return Row.objects.filter(stopped_at=None).first()

    def enrol(self, person: int) -> Visitor:
        return enrolled_for_good(self.house, [self.recognizer], self.crops_of(person))

    def sees(self, person: int, *, within: float = 5.0) -> str:
        """The outcome of asking who this is."""
        asked = MatchRequest(self.house.camera.pk, self.house.store.pk, time.time())
        client = Recognizer(self.recognizer.path, timeout=within)
        return client.match(asked, self.crops_of(person)).outcome

    def holds(self) -> int:
        """How many templates of this test's people it has."""
        return int(self.recognizer.status()["templates"]) - self.known

    def has_acknowledged(self) -> bool:
        """Whether it has said of every eviction that it let go."""
        return not Eviction.objects.exclude(acknowledgements__isnull=False).exists()


@pytest.fixture(scope="module")
def process(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Process]:
    with django_db_blocker.unblock():
        process = Process("recognizer")
    yield process
    process.stop()


@pytest.fixture
def keep(process: Process, transactional_db: None, crops_of: Crops) -> Iterator[Keep]:
    keep = Keep(process, crops_of)
    yield keep
    # Emptying tables tells nobody, deleting does.
    Visitor.objects.all().delete()
    until(lambda: keep.holds() == 0)


def withdraw(visitor: Visitor) -> None:
    consents.withdraw(consent=Consent.objects.get(subject=visitor.subject), actor="self")


# What it hears.


def test_it_knows_who_is_enrolled_and_nobody_else(keep: Keep) -> None:
    assert keep.sees(2) == "unknown"
    keep.enrol(2)
    assert (keep.sees(2), keep.sees(3)) == ("visit", "unknown")
    assert keep.sees(2) == "still_here"


def test_a_withdrawal_is_heard_and_acknowledged_within_a_second(keep: Keep) -> None:
    visitor = keep.enrol(2)
    assert keep.sees(2) == "visit"
    begun = time.monotonic()
    withdraw(visitor)
    until(keep.has_acknowledged, seconds=1)
    assert keep.sees(2) == "unknown"
    assert time.monotonic() - begun < 1.0
    assert Acknowledgement.objects.get().recognizer == keep.row


def test_a_pause_is_heard_and_so_is_its_end(keep: Keep) -> None:
    visitor = keep.enrol(2)
    restrict(visitor=visitor, restricted=True, actor="test")
    until(keep.has_acknowledged)
    assert keep.sees(2) == "unknown"
    restrict(visitor=visitor, restricted=False, actor="test")
    until(lambda: keep.holds() == 1)
    assert keep.sees(2) == "visit"


def test_what_was_undone_is_not_heard(keep: Keep) -> None:
    """A notice travels with its commit."""
    visitor = keep.enrol(2)
    with transaction.atomic():
        withdraw(visitor)
        transaction.set_rollback(True)
    assert keep.sees(2) == "visit"


def test_an_expired_template_makes_no_visit_and_leaves_memory(keep: Keep) -> None:
    keep.enrol(2)
    let_templates_expire()
    assert keep.sees(2) == "refused"
    assert (keep.holds(), keep.sees(2)) == (0, "unknown")
    assert not Visit.objects.exists()


def test_a_camera_that_may_not_ask_ends_nobodys_agreement(keep: Keep) -> None:
    keep.enrol(2)
    now = timezone.now()
    Assessment.objects.update(expires_at=now - timedelta(days=1), signed_at=now - timedelta(days=2))
    assert keep.sees(2) == "refused"
    Assessment.objects.update(expires_at=now + timedelta(days=1))
    assert keep.sees(2) == "visit"


def test_nonsense_on_its_channel_does_not_end_it(keep: Keep) -> None:
    visitor = keep.enrol(2)
    for notice in ("", "evict", "enrol nobody", "evict x y z", "nonsense " * 50):
        run(f"NOTIFY gallery, '{notice}'")
    assert keep.sees(2) == "visit"
    withdraw(visitor)
    until(keep.has_acknowledged)
    assert keep.sees(2) == "unknown"


# What was done behind its back.


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE visitors_facetemplate SET not_after = not_after + interval '1 year'",
        "UPDATE visitors_facetemplate SET sealed = set_byte(sealed, 40, get_byte(sealed, 40) # 1)",
        "UPDATE visitors_facetemplate SET rotation = 0",
        "UPDATE visitors_facetemplate SET purpose = 'lane', sealed = sealed || '\\x00'::bytea",
        "UPDATE visitors_datakey SET wrapped = set_byte(wrapped, 40, get_byte(wrapped, 40) # 1)",
    ],
    ids=[
        "a longer term",
        "a bit of the template",
        "another space",
        "a byte more",
        "a bit of the key",
    ],
)
def test_what_was_tampered_with_stays_closed(keep: Keep, tampering: str) -> None:
    visitor = keep.enrol(2)
    with without_triggers("visitors_facetemplate"):
        run(tampering)
    # Taken out and looked at again.
    restrict(visitor=visitor, restricted=True, actor="test")
    restrict(visitor=visitor, restricted=False, actor="test")
    template = str(visitor.templates.get().pk)
    until(lambda: any(template in line and "ERROR" in line for line in keep.process.lines))
    assert keep.sees(2) == "unknown"


def test_the_template_of_another_person_does_not_open_in_this_row(keep: Keep) -> None:
    first, second = keep.enrol(2), keep.enrol(3)
    theirs = second.templates.get()
    with without_triggers("visitors_facetemplate"):
        FaceTemplate.objects.filter(visitor=first).update(sealed=bytes(theirs.sealed))
    for visitor in (first, second):
        restrict(visitor=visitor, restricted=True, actor="test")
        restrict(visitor=visitor, restricted=False, actor="test")
    until(lambda: keep.holds() == 1)
    assert (keep.sees(2), keep.sees(3)) == ("unknown", "visit")


# Without its database.


def admit(allowed: bool) -> None:
    """Let new connections to the test's database in, or not."""
    name = sql.Identifier(str(connection.settings_dict["NAME"]))
    with psycopg.connect(
        test_database_url().replace(str(connection.settings_dict["NAME"]), "postgres"),
        autocommit=True,
    ) as other:
        other.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(name, allowed))


@pytest.fixture
def cut_off(keep: Keep) -> Iterator[Callable[[], None]]:
    """Ends every connection but this test's own, and lets nobody back in until the test says so."""
    admit(False)
    run(
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
              AND backend_type = 'client backend'"""
    )
    yield lambda: admit(True)
    admit(True)
    until(lambda: keep.recognizer.status()["trusted"])


@pytest.fixture
def both(keep: Keep) -> tuple[Visitor, Visitor]:
    return keep.enrol(2), keep.enrol(3)


def test_it_answers_nobody_without_its_database_and_makes_up_for_what_it_missed(
    keep: Keep, both: tuple[Visitor, Visitor], cut_off: Callable[[], None]
) -> None:
    gone, stays = both
    # A match needs the database to be disclosed, so it is silent from the first moment.
    with pytest.raises(RecognizerDown, match="lost its database and refuses to answer"):
        keep.sees(2)
    until(lambda: not keep.recognizer.status()["trusted"], seconds=8)
    # Now nothing is even compared: whoever asks learns nothing, known or not.
    for person in (2, 3, 4):
        with pytest.raises(RecognizerDown, match="lost its database and refuses to answer"):
            keep.sees(person)
    withdraw(gone)
    assert not keep.has_acknowledged()
    cut_off()
    until(lambda: keep.recognizer.status()["trusted"])
    # The first answer after it trusts its gallery again must be right already.
    assert (keep.sees(2), keep.sees(3)) == ("unknown", "visit")
    assert keep.has_acknowledged()
    assert Visit.objects.get().visitor == stays
    assert "database lost (OperationalError)" in "\n".join(keep.process.lines)


def test_an_enrolment_while_it_was_cut_off_is_made_up_for(
    keep: Keep, both: tuple[Visitor, Visitor], cut_off: Callable[[], None]
) -> None:
    visitor, _ = both
    restrict(visitor=visitor, restricted=True, actor="test")
    restrict(visitor=visitor, restricted=False, actor="test")
    cut_off()
    until(lambda: keep.recognizer.status()["trusted"])
    until(lambda: keep.holds() == 2)
    assert keep.sees(2) == "visit"


def test_a_process_that_was_stopped_tells_nobody_of_who_withdrew(keep: Keep) -> None:
    visitor = keep.enrol(2)
    keep.process.send(signal.SIGSTOP)
    try:
        withdraw(visitor)
        with pytest.raises(RecognizerDown, match="does not answer"):
            keep.sees(2, within=0.3)
    finally:
        keep.process.send(signal.SIGCONT)
    # Whichever thread wakes first: an old gallery makes no visit.
    assert keep.sees(2) in {"unknown", "refused"}
    until(keep.has_acknowledged)
    assert keep.sees(2) == "unknown"
    assert not Visit.objects.exists()


# Its door.


def test_a_second_recognizer_at_the_same_socket_does_not_start(keep: Keep) -> None:
    second = manage("recognizer")
    out, complaint = second.communicate(timeout=60)
    assert second.returncode == 1
    sentence = complaint.strip().splitlines()[-1]
    assert sentence.startswith("CommandError: Another recognizer answers at ")
    assert sentence.endswith("stop it first.")
    assert "Traceback" not in complaint
    assert "ready" not in out
    assert keep.recognizer.status()["trusted"], "the first one was not disturbed"


def ask(raw: bytes) -> bytes:
    """Send bytes, say that there are no more, and return whatever comes back."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(10)
        line.connect(str(settings.CONSENTRY.socket))
        try:
            line.sendall(raw)
            line.shutdown(socket.SHUT_WR)
        except OSError:
            return b""
        answer = b""
        try:
            while part := line.recv(1 << 16):
                answer += part
        except ConnectionResetError:
            pass
        return answer


def frame(header: bytes, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(header)) + header + payload


MATCH = b'{"op": "match", "camera": "%s", "store": "%s", "seen_at": %s, "bytes": %d}'
GARBAGE = {
    "nothing": b"",
    "half a length": b"\x00\x00",
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a huge header": struct.pack(">I", 0xFFFFFFFF),
    "a header that ends": frame(b'{"op": "status", "bytes": 0}')[:-4],
    "no json": frame(b"\xff\xfe\x00nonsense"),
    "a list": frame(b"[]"),
    "a number": frame(b"7"),
    "no size": frame(b'{"op": "status"}'),
    "a negative size": frame(b'{"op": "status", "bytes": -1}'),
    "an endless size": frame(b'{"op": "status", "bytes": 1e308}'),
    "a size of infinity": frame(b'{"op": "status", "bytes": Infinity}'),
    "a payload that ends": frame(b'{"op": "match", "bytes": 37632}', b"\x00" * 100),
    "deep brackets": frame(b"[" * 60_000),
    "no such act": frame(b'{"op": "open", "bytes": 0}'),
    "an act that is a list": frame(b'{"op": ["match"], "bytes": 0}'),
    "half a crop": frame(b'{"op": "match", "bytes": 5}', b"12345"),
    "no store": frame(b'{"op": "match", "bytes": 37632}', bytes(37632)),
    "an unknown camera": frame(
        MATCH % (str(uuid.uuid4()).encode(), str(uuid.uuid4()).encode(), b"0", 37632), bytes(37632)
    ),
    "no time": frame(
        MATCH % (str(uuid.uuid4()).encode(), str(uuid.uuid4()).encode(), b"NaN", 37632),
        bytes(37632),
    ),
    "a seal of nobody": frame(b'{"op": "seal", "bytes": 37632}', bytes(37632)),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_answered_with_a_code_or_not_at_all(process: Process, name: str) -> None:
    answer = ask(GARBAGE[name])
    assert len(answer) < 200
    assert b"Traceback" not in answer
    assert Recognizer(settings.CONSENTRY.socket).status()["pack"] == "consentry-starter"
    assert not any("Traceback" in line for line in process.lines)


def test_a_client_that_says_nothing_does_not_block_the_next(process: Process) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.connect(str(settings.CONSENTRY.socket))
        assert Recognizer(settings.CONSENTRY.socket, timeout=2).status()["licence"]


def test_different_faces_are_not_sealed_into_one(keep: Keep) -> None:
    mixed = np.concatenate([keep.crops_of(2)[:2], keep.crops_of(3)[:1]])
    with pytest.raises(CropsRefused) as refusal:
        enrolled_for_good(keep.house, [keep.recognizer], mixed)
    assert refusal.value.code == "different_faces"
    assert not FaceTemplate.objects.exists()


def test_a_stranger_on_the_machine_cannot_open_the_door(process: Process) -> None:
    assert settings.CONSENTRY.socket.stat().st_mode & 0o007 == 0


# What it leaves behind.


def test_it_writes_no_core_dump(process: Process) -> None:
    assert resource.prlimit(process.pid, resource.RLIMIT_CORE) == (0, 0)


def test_its_log_holds_no_face_no_vector_no_key_and_no_name(keep: Keep) -> None:
    visitor = keep.enrol(2)
    assert keep.sees(2) == "visit"
    crops = keep.crops_of(2).tobytes()
    for header in (b'{"op": "match", "bytes": 37632}', b'{"op": "seal", "bytes": 37632}'):
        ask(frame(header, crops[:37632]))
    ask(frame(b'{"op": "match", "bytes": %d}' % (37632 * 2), crops[: 37632 * 2]))
    ask(crops[:60_000])
    until(lambda: any("a request failed" in line for line in keep.process.lines))
    key = bytes(visitor.data_key.wrapped)
    sealed = bytes(visitor.templates.get().sealed)
    said = "\n".join(keep.process.lines)
    for secret in (key, sealed, crops[5000:5016], crops[20_000:20_016]):
        for form in (secret[:8].hex(), repr(secret[:8])[2:-1]):
            assert form not in said
    assert "Ms Chen" not in said
    assert visitor.subject.hex not in said.replace("-", "")
    assert all(len(line) < 300 for line in keep.process.lines)


def test_a_killed_one_is_succeeded_and_a_stopped_one_cleans_up(transactional_db: None) -> None:
    path = settings.CONSENTRY.socket.with_name("other.sock")
    first = Process("recognizer", CONSENTRY_RECOGNIZER_SOCKET=str(path))
    first.kill()
    assert path.exists()
    second = Process("recognizer", CONSENTRY_RECOGNIZER_SOCKET=str(path))
    assert Recognizer(path).status()["trusted"]
    assert second.stop() == 0
    assert not path.exists()
    with pytest.raises(RecognizerDown):
        Recognizer(path).status()
    assert Row.objects.filter(stopped_at__isnull=False).count() == 1


def test_crops_of_another_shape_are_not_even_sent() -> None:
    for wrong in (np.zeros((1, 112, 112), np.uint8), np.zeros((1, 112, 112, 3), np.float32)):
        with pytest.raises(ValueError, match="crops are uint8"):
            protocol.pack_crops(wrong)  # type: ignore[arg-type]
