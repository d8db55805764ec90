"""One small house for every test: real PostgreSQL, real Redis, real models, real processes.

The environment comes from `ops/test`, which starts the servers.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import OperationalError, connection
from django.test import TransactionTestCase
from django.utils import timezone, translation
from numpy.typing import NDArray
from pytest_django.plugin import DjangoDbBlocker

from apps.audit import heads, signing
from apps.consent import services as consents
from apps.consent.models import Consent, NoticeText, Purpose
from apps.recognition.client import Recognizer
from apps.recognition.engine import starter
from apps.recognition.engine.align import align
from apps.recognition.engine.detection import load_detector
from apps.recognition.engine.starter import build_starter
from apps.recognition.services import record_shipped
from apps.stores.devices import live_events
from apps.stores.models import Assessment, Camera, Device, Organization, Role, Store, User
from apps.visitors import cards
from apps.visitors.cards import CardCode
from apps.visitors.models import Visitor
from apps.visitors.services import SealedTemplate, enroll
from apps.visitors.vault import FileKeyring
from tests import faces
from tests.consent.notices import approved

SHORT = {
    "en": "We greet you by name.",
    "zh-hans": "我们称呼您的名字。",
    "fr": "Nous vous saluons par votre nom.",
    "ar": "نرحّب بك باسمك.",
}
SIGNATURE = [[[i / 40, 0.5 + (i % 3) / 20] for i in range(40)]]
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def keys_and_pack() -> None:
    """The keyring, the signing key and the starter pack, made once where the settings say."""
    env = settings.CONSENTRY
    for path, create in (
        (env.keyring_path, FileKeyring.create),
        (env.signing_key_path, signing.create_key),
    ):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            create(path)
    build_starter(env.packs)


@pytest.fixture(autouse=True)
def nothing_tried_yet() -> None:
    """Every test begins with its attempts uncounted: all of them come from one address."""
    redis = live_events()
    for key in redis.scan_iter("limit:*"):
        redis.delete(key)


@pytest.fixture(autouse=True)
def nothing_exported_yet() -> None:
    """Every test begins a ledger of its own: the heads of another one would not fit."""
    heads.path().unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def nothing_deleted_yet() -> Iterator[None]:
    """Every test begins with an empty database; the list of deletions lies beside it. What a module
    starts for all its tests, it starts before the first of them."""
    listed = settings.CONSENTRY.deletions_path
    listed.unlink(missing_ok=True)
    yield
    listed.unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def in_english() -> None:
    """A request leaves its language active in the thread that it ran in: here, in the next test."""
    translation.activate(settings.LANGUAGE_CODE)


@pytest.fixture(scope="session", autouse=True)
def tables_are_emptied_in_the_end() -> Iterator[None]:
    """After a test that commits, the tables that hold something are emptied. Django's own way
    empties all of them, and writes every content type and permission anew each time.

    TRUNCATE locks tables, a recognizer that still acknowledges locks two: when they meet,
    PostgreSQL stops one of them, and emptying is what may be tried again."""

    def until_done(case: TransactionTestCase) -> None:
        for _ in range(5):
            try:
                return empty_tables()
            except OperationalError:
                # It may have lost its server too.
                connection.close()
        return empty_tables()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", until_done)
        yield


def empty_tables() -> None:
    """Leave in the database what migrating it leaves there."""
    tables = sorted(
        connection.ops.quote_name(model._meta.db_table)
        for model in apps.get_models(include_auto_created=True)
        if model not in (ContentType, Permission)
    )
    held = " UNION ALL ".join(f"SELECT '{each}' WHERE EXISTS (TABLE {each})" for each in tables)
    with connection.cursor() as cursor:
        cursor.execute(held)
        if filled := ", ".join(name for (name,) in cursor.fetchall()):
            cursor.execute(f"TRUNCATE {filled} CASCADE")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Let the test runner empty tables between tests; the ledger's own test turns this back on."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        for table in (
            *("audit_entry", "audit_checkpoint", "audit_node", "audit_pruning"),
            "recognition_calibration",
        ):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {table}_no_truncate")


@dataclass(frozen=True, slots=True)
class House:
    """A store with everything that a lawful lane needs."""

    organization: Organization
    store: Store
    text: NoticeText
    kiosk: Device
    camera: Camera
    staff: User
    dpo: User

    def draft(self, **changes: object) -> Consent:
        """A consent to recognition and history, not signed yet."""
        values: dict[str, object] = {
            "attempt": uuid.uuid4(),
            "device": self.kiosk,
            "locale": "en",
            "notice": str(self.text.pk),
            "digest": self.text.digest,
            "purposes": [Purpose.LANE, Purpose.HISTORY],
            "asked": [Purpose.LANE, Purpose.HISTORY, Purpose.CONTACT],
            "term": 12,
            "age_confirmed": True,
            "signature": SIGNATURE,
        }
        return consents.draft(**{**values, **changes})  # type: ignore[arg-type]

    def visitor(
        self, name: str = "Ms Chen", card: CardCode | None = None, **changes: object
    ) -> Visitor:
        """An enrolled visitor whose template is sealed bytes that nobody opens in this test; with a
        card where that was agreed to, and then with a template only where a lane was too."""
        signed = consents.sign(self.draft(**changes))
        carded = Purpose.CARD in signed.consent.purposes
        faced = not carded or Purpose.LANE in signed.consent.purposes
        sealed = SealedTemplate(
            uuid.uuid4(), b"wrapped", 1, b"sealed", starter.NAME, starter.VERSION
        )
        return enroll(
            visitor=uuid.uuid4(),
            consent=signed.consent,
            greeting_name=name,
            contact="",
            templates=[sealed] if faced else [],
            card=cards.digest(card or cards.draw()) if carded else None,
            actor="test",
        )


@cache
def hashed() -> str:
    """The password of everybody here; hashed once, because that is slow on purpose."""
    return make_password("a long password")


@pytest.fixture
def house(db: None) -> House:
    return build_house()


@pytest.fixture
def elsewhere(house: House) -> House:
    """Another store of the chain with its own officer, camera, tablet and visitor."""
    store = Store.objects.create(
        organization=house.organization,
        name="Old Town",
        slug="old-town",
        jurisdiction="eu",
        non_face_check_in="Show your card.",
    )
    dpo = User.objects.create(username="otto", password=hashed())
    Role.objects.create(user=dpo, store=store, kind=Role.Kind.DPO)
    return House(
        organization=house.organization,
        store=store,
        text=house.text,
        kiosk=Device.objects.create(store=store, name="Old tablet"),
        camera=Camera.objects.create(store=store, name="Old camera", source="x"),
        staff=house.staff,
        dpo=dpo,
    )


def build_house() -> House:
    """Make the house in the current database."""
    organization = Organization.objects.create(
        name="Harbour Motors",
        address="1 Harbour Street",
        contact_name="Data protection office",
        contact_email="privacy@harbour.example",
    )
    store = Store.objects.create(
        organization=organization,
        name="Harbour Street",
        slug="harbour-street",
        jurisdiction="eu",
        non_face_check_in="Show your card.",
    )
    record_shipped(pack=starter.NAME, version=starter.VERSION, actor="test")
    staff = User.objects.create(username="linda", password=hashed(), first_name="Linda")
    dpo = User.objects.create(username="diana", password=hashed(), first_name="Diana")
    Role.objects.create(user=staff, store=store, kind=Role.Kind.STAFF)
    Role.objects.create(user=dpo, store=store, kind=Role.Kind.DPO)
    camera = Camera.objects.create(
        store=store,
        name="Lane",
        mode=Camera.Mode.LANE,
        source="lane.mp4",
        zone=[[0, 0], [1, 0], [1, 1], [0, 1]],
        signage_confirmed_at=timezone.now(),
    )
    # After the camera, which it names.
    notice = consents.publish(notice=approved(organization, SHORT), actor="test")
    now = timezone.now()
    Assessment.objects.create(
        camera=camera,
        necessity="Greeting those who asked for it.",
        max_faces=1,
        way_past="The side door.",
        signed_by=dpo,
        signed_at=now,
        expires_at=now + timedelta(days=365),
    )
    return House(
        organization=organization,
        store=store,
        text=NoticeText.objects.get(notice=notice, locale="en"),
        kiosk=Device.objects.create(store=store, name="Tablet"),
        camera=camera,
        staff=staff,
        dpo=dpo,
    )


@pytest.fixture(scope="session")
def crops_of(keys_and_pack: None) -> Callable[[int], NDArray[np.uint8]]:
    """Three aligned crops (3, 112, 112, 3) of one of the six people of the packaged picture."""
    detector = load_detector(settings.CONSENTRY.packs)
    made: dict[int, NDArray[np.uint8]] = {}

    def crops(index: int) -> NDArray[np.uint8]:
        if index not in made:
            found = []
            for frame in faces.frames(index, seconds=0.3, fps=10):
                (face,) = detector.detect(frame)
                found.append(align(frame, face.landmarks))
            made[index] = np.stack(found)
        return made[index]

    return crops


class Process:
    """One of the house's long-running commands as a real process on the test database."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self._begin([sys.executable, "manage.py", *arguments], "ready", environment)

    @classmethod
    def web(cls, door: socket.socket, origin: str, **environment: str) -> "Process":
        """The web process, serving an address that is bound already."""
        process = cls.__new__(cls)
        process._begin(
            [
                *(sys.executable, "-m", "uvicorn", "apps.config.asgi:application"),
                *("--fd", str(door.fileno()), "--timeout-graceful-shutdown", "1"),
            ],
            "INFO:     Uvicorn running",
            {"CONSENTRY_PUBLIC_URL": origin, **environment},
            door.fileno(),
        )
        return process

    def _begin(
        self, command: list[str], ready: str, environment: dict[str, str], *files: int
    ) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": test_database_url(), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=files,
        )
        self.lines: list[str] = []
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip())
            if line.startswith(ready):
                # Read on, or a talkative process would stop at a full pipe.
                self._listener = threading.Thread(target=self._listen, daemon=True)
                self._listener.start()
                return
        raise AssertionError("\n".join(self.lines))

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as said:
            for line in said:
                self.lines.append(line.rstrip())

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self) -> int:
        """End it as a supervisor would and return its exit code."""
        self._process.terminate()
        code = self._process.wait(timeout=60)
        self._listener.join()
        return code


def test_database_url() -> str:
    """DATABASE_URL with the name of the test runner's own database."""
    from urllib.parse import urlsplit

    parts = urlsplit(os.environ["DATABASE_URL"])
    return parts._replace(path="/" + str(connection.settings_dict["NAME"])).geturl()


test_database_url.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture
def recognizer(transactional_db: None) -> Iterator[Recognizer]:
    """A real recognizer process on the test database."""
    process = Process("recognizer")
    yield Recognizer(settings.CONSENTRY.socket)
    process.stop()
