"""What must always hold: the eight rules of the house, each with what would break it."""

import ast
import base64
import json
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from numpy.typing import NDArray

from apps.audit import services as audit
from apps.audit.models import Entry, Salt
from apps.consent import services as consents
from apps.consent.models import Consent, Purpose
from apps.recognition.client import MatchRequest, Recognizer
from apps.recognition.engine.align import align
from apps.recognition.engine.detection import load_detector
from apps.recognition.engine.imagefile import decode_jpeg
from apps.recognition.engine.packs import load_pack
from apps.recognition.models import Acknowledgement
from apps.recognition.models import Recognizer as Row
from apps.retention.holdings import HOLDINGS
from apps.retention.models import Erasure, Package
from apps.retention.services.erase import complete, waiting_for
from apps.retention.services.sweep import sweep
from apps.stores.devices import live_events, new_code
from apps.visitors.models import DataKey, FaceTemplate, Rotation, Visitor
from apps.visits import selectors
from apps.visits.models import Visit
from apps.visits.services import disclose, greet
from ops.tablet import Tablet
from tests.clients import KioskTablet, alive, browser, enrolled, opt_in_form, rows
from tests.conftest import ROOT, House, Process, build_house
from tests.database import let_templates_expire, refusing, run, without_triggers
from tests.groups import agreed_for, grouped
from tests.house.test_holdings import everything_kept_is_classified
from tests.house.traces import Traces
from tests.people import enrolled_for_good, photos
from tests.visits.test_disclose import match_of, old_town
from tests.waiting import until

Crops = Callable[[int], NDArray[np.uint8]]

PERSON, STRANGER = 2, 4


def seen(recognizer: Recognizer, house: House, crops: NDArray[np.uint8]) -> str:
    """What a recognizer says to these crops from the house's lane."""
    asked = MatchRequest(house.camera.pk, house.store.pk, time.time())
    return recognizer.match(asked, crops).outcome


# 1. No template without a live, signed consent that covers purpose, scope and term.


class Agreement:
    """A visitor whose template may be put in and changed past every model."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.visitor = house.visitor()
        self.template = self.visitor.templates.get()
        self.consent = self.template.consent

    def insert(self, **changes: object) -> None:
        """Add a copy of the template in SQL, changed here and there."""
        now = timezone.now()
        values: dict[str, Any] = {
            "id": uuid.uuid4(),
            "visitor_id": self.visitor.pk,
            "consent_id": self.consent.pk,
            "store_id": self.house.store.pk,
            "purpose": "lane",
            "pack": "p",
            "pack_version": "1",
            "sealed": b"sealed",
            "not_after": self.consent.expires_at,
            "delete_after": now + timedelta(days=1),
            "created_at": now,
        } | changes
        names = ", ".join(values)
        marks = ", ".join(["%s"] * len(values))
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO visitors_facetemplate ({names}) VALUES ({marks})",  # noqa: S608
                list(values.values()),
            )

    def other_store(self) -> uuid.UUID:
        stores = self.house.organization.stores
        store = stores.create(name="Old Town", slug="old-town", jurisdiction="eu")
        return uuid.UUID(str(store.pk))


@pytest.fixture
def agreement(house: House) -> Agreement:
    return Agreement(house)


def test_rule_1_with_a_live_consent_a_template_is_taken(agreement: Agreement) -> None:
    agreement.insert()
    assert FaceTemplate.objects.count() == 2


UNCOVERED: dict[str, Callable[[Agreement], dict[str, object]]] = {
    "no consent": lambda a: {"consent_id": None},
    "a consent that is not there": lambda a: {"consent_id": uuid.uuid4()},
    "the consent of another person": lambda a: {"visitor_id": a.house.visitor().pk},
    "nobody's": lambda a: {"visitor_id": None},
    "a purpose that was declined": lambda a: {"purpose": "contact"},
    "a pass that was not agreed to": lambda _: {"purpose": "pass", "sealed": b"CPT1 sealed twice"},
    "a lane's template sealed for a pass": lambda _: {"sealed": b"CPT1 sealed twice"},
    "a purpose that was never asked for": lambda a: {"purpose": "ads"},
    "another store": lambda a: {"store_id": a.other_store()},
    "a term beyond the consent": lambda a: {
        "not_after": a.consent.expires_at + timedelta(seconds=1)
    },
    "a deadline beyond its term": lambda a: {
        "not_after": timezone.now() + timedelta(days=1),
        "delete_after": timezone.now() + timedelta(days=2),
    },
    "a deadline that is past": lambda a: {"delete_after": timezone.now() - timedelta(seconds=1)},
    "no deadline": lambda a: {"delete_after": None},
    "no term": lambda a: {"not_after": None},
}


@pytest.mark.parametrize("name", UNCOVERED)
def test_rule_1_postgresql_refuses_a_template_with(agreement: Agreement, name: str) -> None:
    changes = UNCOVERED[name](agreement)
    before = FaceTemplate.objects.count()
    with pytest.raises(DatabaseError), transaction.atomic():
        agreement.insert(**changes)
    assert FaceTemplate.objects.count() == before


def refused(statement: str) -> None:
    """PostgreSQL refuses it, at the latest when it is committed."""
    with pytest.raises(DatabaseError), transaction.atomic():
        run(f"{statement}; SET CONSTRAINTS ALL IMMEDIATE")


def withdrawn(agreement: Agreement) -> None:
    consents.withdraw(consent=agreement.consent, actor="test")


def run_out(agreement: Agreement) -> None:
    agreement.consent.expires_at = agreement.consent.signed_at + timedelta(microseconds=1)
    agreement.consent.save()


def narrowed(agreement: Agreement) -> None:
    agreement.consent.purposes = ["history"]
    agreement.consent.save()


@pytest.mark.parametrize("end", [withdrawn, run_out, narrowed])
def test_rule_1_postgresql_refuses_a_template_under_a_consent_that_ended(
    agreement: Agreement, end: Callable[[Agreement], None]
) -> None:
    end(agreement)
    with pytest.raises(DatabaseError, match="needs a live, signed consent"), transaction.atomic():
        agreement.insert(not_after=timezone.now() + timedelta(hours=2))


@pytest.mark.parametrize(
    "change",
    [
        "not_after = not_after + interval '1 year', delete_after = delete_after + interval '1 day'",
        "delete_after = not_after + interval '1 second'",
        "purpose = 'contact'",
        "consent_id = gen_random_uuid()",
        "visitor_id = gen_random_uuid()",
    ],
)
def test_rule_1_postgresql_refuses_to_stretch_a_template(agreement: Agreement, change: str) -> None:
    refused(f"UPDATE visitors_facetemplate SET {change}")  # noqa: S608


@pytest.mark.parametrize(
    "change",
    [
        "signature = '[]'",
        "signature_method = 'typed'",
        "digest = repeat('0', 64)",
        "locale = 'zh-hans'",
        "subject = gen_random_uuid()",
        "signed_at = signed_at - interval '1 day'",
        "expires_at = expires_at + interval '1 day', delete_after = delete_after",
        "purposes = purposes || '{contact}'",
        "purposes = purposes || '{statistics,notes}'",
        "declined = '{}'",
        "text_id = (SELECT id FROM consent_noticetext WHERE locale = 'zh-hans')",
        "device_id = gen_random_uuid()",
        "group_stores = ARRAY(SELECT id FROM stores_store)",
    ],
)
def test_rule_1_postgresql_refuses_to_rewrite_a_signed_consent(
    agreement: Agreement, change: str
) -> None:
    with (
        pytest.raises(DatabaseError, match="only ever withdrawn or shortened"),
        transaction.atomic(),
    ):
        run(f"UPDATE consent_consent SET {change}")  # noqa: S608


# What is searched and disclosed in other stores: tests/recognition/test_group.py and
# tests/visits/test_disclose_group.py.
MISNAMED: dict[str, Callable[[House, House, House], dict[str, object]]] = {
    "a store that is in no group": lambda _, there, far: {"group_stores": [far.store.pk]},
    "a store of another group": lambda here, there, far: {
        "group": grouped(far, old_town(here, "Far Side")),
        "group_stores": [there.store.pk],
    },
    "its own store": lambda here, there, far: {"group_stores": [here.store.pk]},
    "no store": lambda here, there, far: {"group_stores": []},
    "no group": lambda here, there, far: {"group": None},
    "a store without having agreed to it": lambda here, there, far: {"purposes": ["lane"]},
}


@pytest.mark.parametrize("name", MISNAMED)
def test_rule_1_postgresql_refuses_a_consent_to_a_group_that_names(house: House, name: str) -> None:
    there, far = old_town(house), old_town(house, "Far Away")
    grouped(house, there)
    consent = house.draft(**agreed_for(there))
    for field, value in MISNAMED[name](house, there, far).items():
        setattr(consent, field, value)
    with pytest.raises(DatabaseError, match="names the other stores"), transaction.atomic():
        consent.save(force_insert=True)


def test_rule_1_a_withdrawal_cannot_be_taken_back(agreement: Agreement) -> None:
    withdrawn(agreement)
    for value in ("NULL", "now()"):
        with (
            pytest.raises(DatabaseError, match="only ever withdrawn or shortened"),
            transaction.atomic(),
        ):
            run(f"UPDATE consent_consent SET withdrawn_at = {value}")  # noqa: S608


def test_rule_1_a_consent_cannot_go_before_its_template(agreement: Agreement) -> None:
    refused("DELETE FROM consent_receipt; DELETE FROM consent_consent")


def test_rule_1_every_guard_holds_for_replicas_too(db: None) -> None:
    """ALWAYS: a session that calls itself a replica would walk past any other trigger."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN
                ('visitors_facetemplate'::regclass, 'consent_consent'::regclass,
                 'stores_membership'::regclass, 'stores_store'::regclass)"""
        )
        found = dict(cursor.fetchall())
    assert {
        *("template_needs_consent", "consent_is_frozen", "consent_ended"),
        *("consent_group_is_named", "group_ended", "membership_is_lawful", "member_stays"),
    } <= found.keys()
    assert set(found.values()) == {"A"}


# 2. No face image is written anywhere.


@pytest.fixture
def web(town: House) -> Iterator[tuple[Process, str]]:
    """The web process at an address of its own."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        origin = f"http://127.0.0.1:{door.getsockname()[1]}"
        door.listen(8)
        process = Process.web(door, origin)
        yield process, origin
        process.stop()


def may_write_no_file(process: Process) -> None:
    """From now on the kernel refuses it every byte to any file; sockets and pipes stay open."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, 0))


def test_rule_2_no_face_is_written_anywhere(
    town: House,
    recognizers: list[Recognizer],
    processes: list[Process],
    web: tuple[Process, str],
    crops_of: Crops,
) -> None:
    """A person opts in, is recognised, a stranger passes, and two opt-ins fail."""
    server, origin = web
    for process in (server, *processes):
        may_write_no_file(process)
    tablet = Tablet(origin)
    assert tablet.enroll(new_code(device=town.kiosk, actor="test")).status == 200

    def send(pictures: list[bytes]) -> int:
        form = alive(tablet, opt_in_form(town, pictures))
        return tablet.signed("/kiosk/opt-in/", json.dumps(form).encode()).status

    mine, theirs = photos(PERSON), photos(STRANGER)
    known = recognizers[0].status()["templates"]
    assert tablet.signed("/kiosk/look/", mine[0], "image/jpeg").status == 200
    assert send([*mine[:2], theirs[0]]) == 422
    with refusing("INSERT", "visitors_facetemplate"):
        assert send(mine) == 503
    assert send(mine) == 201
    until(lambda: recognizers[0].status()["templates"] == known + 1)
    assert seen(recognizers[0], town, crops_of(PERSON)) == "visit"
    assert seen(recognizers[0], town, crops_of(STRANGER)) == "unknown"

    crops = np.concatenate([cut(mine), cut(theirs), crops_of(PERSON), crops_of(STRANGER)])
    embedder = load_pack(settings.CONSENTRY.packs).embedder
    vectors = embedder.embed(crops)
    traces = Traces([*mine, *theirs], crops, vectors)
    assert list(traces.in_database()) == []
    assert list(traces.in_redis()) == []
    everything_kept_is_classified()
    assert list(traces.in_files(settings.CONSENTRY.state_dir)) == []
    for process in (server, *processes):
        assert not traces.within("\n".join(process.lines).encode())
        assert resource.prlimit(process.pid, resource.RLIMIT_CORE) == (0, 0)

    that_search_finds_what_is_there(traces, mine[0], crops[0].tobytes(), vectors[0].tobytes())


def cut(pictures: list[bytes]) -> NDArray[np.uint8]:
    """The crops that the house makes of pictures (N, 112, 112, 3)."""
    detector = load_detector(settings.CONSENTRY.packs)
    images = [decode_jpeg(picture) for picture in pictures]
    return np.stack([align(image, detector.detect(image)[0].landmarks) for image in images])


def that_search_finds_what_is_there(traces: Traces, *secrets: bytes) -> None:
    """Or finding nothing would mean nothing."""
    folder = settings.CONSENTRY.state_dir / "planted"
    folder.mkdir()
    for secret in secrets:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE test_planted (data bytea)")
            cursor.execute("INSERT INTO test_planted VALUES (%s)", [secret])
            assert list(traces.in_database()) == ["test_planted"]
            cursor.execute("DROP TABLE test_planted")
        live_events().set("planted", secret)
        assert list(traces.in_redis()) == ["planted"]
        live_events().delete("planted")
        (folder / "file").write_bytes(b"before" + secret + b"after")
        assert list(traces.in_files(folder)) == ["file"]
        (folder / "file").unlink()
    folder.rmdir()


# 3. A face that matches nobody leaves a count and nothing else.

# Every column that could hold a picture, a crop or a vector, and why none of them does.
ROOMY = {
    "audit_checkpoint.signature": "a signed head",
    "audit_deletion.detail": "a kind and random ids",
    "audit_entry.detail": "ids, counts and codes",
    "audit_entry.leaf": "a hash",
    "audit_node.hash": "a hash of hashes",
    "audit_pruning.signature": "a signed root",
    "audit_salt.secret": "32 random bytes of an enrolled person",
    "consent_consent.declined": "words of a list",
    "consent_consent.group_stores": "ids of stores",
    "consent_consent.guardian": "the name of who co-signed, and the path that their finger drew",
    "consent_consent.purposes": "words of a list",
    "consent_consent.signature": "the path that a finger drew",
    "consent_notice.editors": "actors",
    "consent_notice.facts": "what the registers of the house said",
    "consent_notice.promised": "numbers of days",
    "consent_noticetext.full": "a text",
    "consent_noticetext.lines": "a text",
    "consent_noticetext.sections": "texts",
    "consent_noticetext.short": "a text",
    "consent_receipt.document": "a signed receipt",
    "django_admin_log.change_message": "names of fields",
    "django_admin_log.object_id": "an id",
    "django_session.session_data": "a log-in",
    "recognition_calibration.measured": "how many scores fell into which bin",
    "retention_erasure.document": "a certificate",
    "retention_erasure.evictions": "numbers",
    "retention_erasure.scope": "counts",
    "retention_erasure.supplement": "a signed statement",
    "retention_package.sealed": "an encrypted copy of what is held of a visitor who asked",
    "retention_package.wrapped": "the passphrase of that copy, sealed, until it is made",
    "retention_request.answer": "a text",
    "retention_request.extension_reason": "a text",
    "retention_request.stopped_for": "a text",
    "retention_request.stops": "times",
    "retention_request.words": "a text of who asked",
    "stores_assessment.alternatives": "a text",
    "stores_assessment.consulted": "a text",
    "stores_assessment.editors": "actors",
    "stores_assessment.facts": "what the registers of the house said",
    "stores_assessment.necessity": "a text",
    "stores_assessment.proportionality": "a text",
    "stores_assessment.risks": "texts and grades",
    "stores_breach.authority_why": "a text",
    "stores_breach.consequences": "a text",
    "stores_breach.kinds": "words of a list",
    "stores_breach.measures": "a text",
    "stores_breach.people_why": "a text",
    "stores_breach.stores": "ids of stores",
    "stores_breach.what": "a text",
    "stores_breach.words": "texts",
    "stores_camera.aborts": "counts",
    "stores_camera.line": "two points",
    "stores_camera.source": "an address",
    "stores_camera.zone": "a polygon",
    "stores_device.public_key": "a key",
    "stores_sign.words": "what a sign says",
    "stores_store.check_in_words": "a sentence in each language",
    "stores_store.languages": "codes of languages",
    "systems_client.scopes": "words of a list",
    "visitors_card.digest": "32 bytes: the digest of a random code",
    "visitors_datakey.wrapped": "a sealed key of a visitor",
    "visitors_facetemplate.sealed": "the sealed template of a visitor who signed",
    "visitors_rotation.wrapped": "random bytes of the organization, sealed",
    "visits_rollup.figures": "sums of a day or a month, the small ones withheld",
}
# A vector of 128 numbers needs 256 bytes at the least.
NARROW = """
SELECT table_name || '.' || column_name FROM information_schema.columns
 WHERE table_schema = 'public'
   AND data_type NOT IN ('uuid', 'boolean', 'smallint', 'integer', 'bigint', 'date',
                         'timestamp with time zone', 'double precision')
   AND NOT (data_type = 'character varying' AND character_maximum_length <= 255)
"""


def test_rule_3_nothing_that_could_hold_an_unknown_face_is_added_unseen(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(NARROW)
        found = {column for (column,) in cursor.fetchall()}
        cursor.execute("SELECT count(*) FROM pg_largeobject_metadata")
        assert cursor.fetchone() == (0,)
    assert found == set(ROOMY), "say in ROOMY why the new column holds no face"


def test_rule_3_what_comes_from_a_face_belongs_to_somebody_who_signed() -> None:
    """Bytes in a table of people hang on a visitor, and a template on a consent too."""
    for model in apps.get_models():
        has_bytes = any(
            field.get_internal_type() == "BinaryField" for field in model._meta.concrete_fields
        )
        # A rotation's are random, made before any face was seen; a package's are of a request, of
        # somebody who was identified, and a copy of what is held of them: no template is in it.
        if not has_bytes or model._meta.app_label == "audit" or model in (Rotation, Package):
            continue
        owners = [
            field.related_model
            for field in model._meta.concrete_fields
            if field.is_relation and not field.null
        ]
        assert Visitor in owners, model
    assert not FaceTemplate._meta.get_field("consent").null
    assert not Visitor._meta.get_field("subject").null


def test_rule_3_no_model_takes_files() -> None:
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            assert field.get_internal_type() not in {"FileField", "ImageField", "FilePathField"}


def test_rule_3_a_stranger_leaves_nothing(
    town: House, recognizers: list[Recognizer], crops_of: Crops
) -> None:
    enrolled_for_good(town, recognizers, crops_of(PERSON))
    before = rows()
    held = [recognizer.status()["templates"] for recognizer in recognizers]
    for recognizer in recognizers:
        assert seen(recognizer, town, crops_of(STRANGER)) == "unknown"
    assert rows() == before
    assert [recognizer.status()["templates"] for recognizer in recognizers] == held


# 4. A match is disclosed only by the INSERT that asks again (tests/visits/test_disclose.py).


def test_rule_4_a_visit_is_made_at_one_place_only() -> None:
    makers = []
    for path in sorted((ROOT / "apps").rglob("*.py")):
        if "migrations" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and makes_a_visit(ast.unparse(node.func)):
                makers.append(f"{path.name}:{node.lineno}")
            if isinstance(node, ast.Constant) and "INSERT INTO visits_visit" in str(node.value):
                makers.append(path.relative_to(ROOT / "apps").as_posix())
    assert makers == ["visits/services.py"]


def makes_a_visit(call: str) -> bool:
    made = ("create", "bulk_create", "get_or_create", "update_or_create")
    return call == "Visit" or call.endswith(
        tuple(f"{where}.{verb}" for where in ("Visit.objects", ".visits") for verb in made)
    )


def test_rule_4_a_stale_gallery_creates_no_visit(
    town: House, recognizers: list[Recognizer], crops_of: Crops
) -> None:
    """The trigger that would have told the recognizers does not speak."""
    enrolled_for_good(town, recognizers, crops_of(PERSON))
    with without_triggers("consent_consent"):
        Consent.objects.update(withdrawn_at=timezone.now())
    for recognizer in recognizers:
        assert seen(recognizer, town, crops_of(PERSON)) == "refused"
    assert not Visit.objects.exists()
    assert not Entry.objects.filter(action__startswith="visit.").exists()


# 5. Withdrawal: unmatchable within a second, acknowledged by each, erased, certified.


class Guest:
    """Somebody who opted in at the kiosk and holds the receipt's code."""

    def __init__(self, house: House, recognizers: list[Recognizer]) -> None:
        known = [recognizer.status()["templates"] for recognizer in recognizers]
        answer = enrolled(house.kiosk).opt_in(opt_in_form(house, photos(PERSON)))
        assert answer.status == 201, answer.body
        self.secret = answer.json()["receipt"]["code"]
        self.client: Client = browser()
        for recognizer, before in zip(recognizers, known, strict=True):
            until(lambda: recognizer.status()["templates"] == before + 1)  # noqa: B023

    def post(self, path: str = "") -> HttpResponse:
        answer = self.client.post(f"/receipt/{path}", {"secret": self.secret, "confirm": "1"})
        assert isinstance(answer, HttpResponse)
        return answer

    @property
    def visitor(self) -> Visitor:
        return Visitor.objects.get(greeting_name="Ms Chen")


@pytest.fixture
def guest(town: House, recognizers: list[Recognizer]) -> Guest:
    return Guest(town, recognizers)


def test_rule_5_who_withdraws_is_a_stranger_at_once_and_can_prove_it(
    town: House, recognizers: list[Recognizer], guest: Guest, crops_of: Crops, tmp_path: Path
) -> None:
    assert seen(recognizers[0], town, crops_of(PERSON)) == "visit"
    assert seen(recognizers[1], town, crops_of(PERSON)) == "still_here"
    begun = timezone.now()
    assert guest.post("withdraw/").status_code == 200
    for recognizer in recognizers:
        assert seen(recognizer, town, crops_of(PERSON)) == "unknown"
    assert Acknowledgement.objects.values("recognizer").distinct().count() == 2
    assert max(each.at for each in Acknowledgement.objects.all()) - begun < timedelta(seconds=1)
    for model in (Visitor, FaceTemplate, DataKey, Visit, Salt):
        assert not model._default_manager.exists(), model

    verdict = inspected(guest, tmp_path)
    assert verdict["valid"] is True
    assert verdict["partial"] is False
    facts = json.loads(payload_of(guest.post("certificate/").content))
    assert {row["id"] for row in facts["recognizers"]} == {
        str(row.pk) for row in Row.objects.filter(stopped_at=None)
    }


def payload_of(document: bytes) -> bytes:
    payload = document.split(b".")[1]
    return base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4))


def inspected(guest: Guest, folder: Path) -> dict[str, Any]:
    """What the offline verifier says of the certificate that the person downloads."""
    (folder / "certificate.jws").write_bytes(guest.post("certificate/").content)
    (folder / "keys.json").write_bytes(guest.client.get("/keys.json").content)
    done = subprocess.run(
        [
            *(sys.executable, "-I", str(ROOT / "ops" / "verify-certificate")),
            *("certificate.jws", "--key", "keys.json"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    verdict: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return verdict


@contextmanager
def held_up(process: Process) -> Iterator[None]:
    """Stop a process where it stands."""
    process.send(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send(signal.SIGCONT)


def test_rule_5_the_certificate_waits_for_every_recognizer(
    recognizers: list[Recognizer], processes: list[Process], guest: Guest
) -> None:
    with held_up(processes[1]):
        page = guest.post("withdraw/").content.decode()
        assert 'data-testid="certificate-download"' not in page
        assert guest.post("certificate/").status_code == 404
        erasure = Erasure.objects.get()
        assert len(waiting_for(erasure)) == 1
        assert not Visitor.objects.exists(), "what can be done is done already"
    until(lambda: complete(erasure).state == Erasure.State.COMPLETE)
    assert guest.post("certificate/").status_code == 200


def test_rule_5_a_recognizer_that_answers_nobody_any_more_needs_no_word(
    town: House, recognizers: list[Recognizer], guest: Guest
) -> None:
    """Killed, it counts for five more seconds, in which it might have gone on by itself."""
    path = settings.CONSENTRY.socket.with_name("third.sock")
    third = Process("recognizer", CONSENTRY_RECOGNIZER_SOCKET=str(path))
    row = Row.objects.filter(stopped_at=None).latest("started_at")
    third.kill()
    guest.post("withdraw/")
    erasure = Erasure.objects.get()
    assert waiting_for(erasure) == [str(row.pk)]
    assert sweep().certificates == 0
    # Five seconds of silence later.
    Row.objects.filter(pk=row.pk).update(seen_at=timezone.now() - timedelta(seconds=5))
    assert sweep().certificates == 1
    assert guest.post("certificate/").status_code == 200


# 6. Time is enforced by reading.


def test_rule_6_past_its_time_a_template_is_refused_though_nothing_sweeps(
    town: House, recognizers: list[Recognizer], crops_of: Crops
) -> None:
    visitor = enrolled_for_good(town, recognizers, crops_of(PERSON))
    let_templates_expire()
    assert not FaceTemplate.objects.live().exists()
    for recognizer in recognizers:
        assert seen(recognizer, town, crops_of(PERSON)) in {"refused", "unknown"}
    assert FaceTemplate.objects.get().visitor == visitor, "nobody swept"
    assert not Visit.objects.exists()
    assert overdue() == {"sealed face template": 1}
    assert sweep().people == 1
    for model in (Visitor, FaceTemplate, DataKey, Salt):
        assert not model._default_manager.exists(), model
    assert overdue() == {}


def test_rule_6_past_its_time_a_visit_is_not_shown(house: House) -> None:
    disclose(match_of(house.visitor(), house))
    assert selectors.current(house.store).count() == 1
    Visit.objects.update(delete_after=timezone.now())
    assert not selectors.current(house.store).exists()
    assert b"Ms Chen" not in browser(house.staff).get("/floor/harbour-street/").content


def test_rule_6_when_an_agreement_runs_out_its_visits_are_not_shown(house: House) -> None:
    disclose(match_of(house.visitor(), house))
    consent = Consent.objects.get()
    consent.expires_at = consent.signed_at + timedelta(microseconds=1)
    consent.save()
    assert not selectors.current(house.store).exists()


def overdue() -> dict[str, int]:
    """What the watchdog shows."""
    return {holding.what: count for holding in HOLDINGS if (count := holding.overdue().count())}


# 7. Every look is a ledger entry in the same transaction; the chain outlives the person.


def letter(house: House) -> HttpResponse:
    consent = Consent.objects.get()
    secret = consents.reissue(consent).secret
    return browser().post("/receipt/", {"secret": secret})  # type: ignore[return-value]


def receipt_file(house: House) -> HttpResponse:
    secret = consents.reissue(Consent.objects.get()).secret
    return browser().post("/receipt/download/", {"secret": secret})  # type: ignore[return-value]


def portal_record(house: House) -> HttpResponse:
    address = f"/admin/visitors/visitor/{Visitor.objects.get().pk}/change/"
    client = browser(house.dpo)
    client.post(address, {"reason": "request"})
    return client.get(address)  # type: ignore[return-value]


def board(house: House) -> HttpResponse:
    return browser(house.staff).get("/floor/harbour-street/")  # type: ignore[return-value]


LOOKS = {
    "receipt.opened": letter,
    "receipt.downloaded": receipt_file,
    "visitor.looked": portal_record,
    "visit.shown": board,
}


@pytest.mark.parametrize("action", LOOKS)
def test_rule_7_a_look_is_in_the_ledger(house: House, action: str) -> None:
    visitor = house.visitor()
    disclose(match_of(visitor, house))
    assert LOOKS[action](house).status_code == 200
    (entry,) = [entry for entry in audit.about(visitor.subject) if entry.action == action]
    assert entry.actor in {"self", f"user:{house.staff.pk}", f"user:{house.dpo.pk}"}
    assert audit.verify().ok


@pytest.mark.parametrize("action", LOOKS)
def test_rule_7_without_its_entry_nobody_sees_anything(house: House, action: str) -> None:
    """The look and its entry stand or fall together."""
    disclose(match_of(house.visitor(), house))
    run(
        f"""CREATE FUNCTION test_refusing() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'refused by the test'; END $$;
            CREATE TRIGGER test_refusing BEFORE INSERT ON audit_entry FOR EACH ROW
            WHEN (NEW.action = '{action}') EXECUTE FUNCTION test_refusing()"""
    )
    answer = LOOKS[action](house)
    assert answer.status_code == 500
    assert b"Ms Chen" not in answer.content


ACTS: dict[str, Callable[[House], object]] = {
    "visit.disclosed": lambda house: disclose(match_of(Visitor.objects.get(), house)),
    "consent.withdrawn": lambda house: consents.withdraw(
        consent=Consent.objects.get(), actor="self"
    ),
    "visitor.enrolled": lambda house: house.visitor("Mr Second"),
    "consent.signed": lambda house: consents.sign(house.draft()),
}


@pytest.mark.parametrize("action", ACTS)
def test_rule_7_without_its_entry_nothing_is_done(transactional_house: House, action: str) -> None:
    house = transactional_house
    house.visitor()
    with refusing("INSERT", "audit_entry"):
        before = rows()
        with pytest.raises(DatabaseError, match="refused by the test"), transaction.atomic():
            ACTS[action](house)
        assert rows() == before
        assert Consent.objects.live().count() == 1


@pytest.fixture
def transactional_house(transactional_db: None) -> House:
    return build_house()


SHARED = {"stores", "auth", "contenttypes", "sessions", "admin"}


def ids_by_row() -> Iterator[tuple[str, set[str]]]:
    """Every row of everything with the ids and hashes that it names; places and staff aside."""
    common: set[str] = set()
    found: list[tuple[str, set[str]]] = []
    with connection.cursor() as cursor:
        for model in apps.get_models():
            cursor.execute(f'SELECT t::text FROM "{model._meta.db_table}" t')  # noqa: S608
            texts = [text for (text,) in cursor.fetchall()]
            for text in texts:
                named = set(re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", text))
                named |= set(re.findall(r"\b[0-9a-f]{64}\b", text))
                if model._meta.app_label in SHARED or "notice" in model._meta.label_lower:
                    common |= named
                elif model is Entry:
                    found.append((text.strip("()").split(",")[0], named))
                else:
                    found.append((model._meta.label, named))
    common |= {digest for row in Consent.objects.all() for digest in (row.digest, str(row.text_id))}
    for label, named in found:
        yield label, named - common


def actions_tied_to(consent: Consent) -> set[str]:
    """Actions of all entries that can be reached from the kept proof, from id to id."""
    links = list(ids_by_row())
    known, before = {str(consent.pk), str(consent.subject)}, set[str]()
    while known != before:
        before = set(known)
        for _label, named in links:
            if named & known:
                known |= named
    tied = {label for label, named in links if named & known and label.isdigit()}
    return {entry.action for entry in Entry.objects.filter(seq__in=tied)}


WHEREABOUTS = {"visit.disclosed", "visit.shown", "visit.greeted"}


def test_rule_7_after_the_end_the_proof_leads_nobody_to_where_they_were(house: House) -> None:
    visitor = house.visitor()
    consent = Consent.objects.get()
    disclose(match_of(visitor, house))
    board(house)
    greet(visit=Visit.objects.get(), user=house.staff)
    portal_record(house)
    secret = consents.reissue(consent).secret
    entries = Entry.objects.count()
    assert actions_tied_to(consent) >= WHEREABOUTS, "while they are here, they are told"
    assert {entry.action for entry in audit.about(visitor.subject)} >= WHEREABOUTS

    assert browser().post("/receipt/withdraw/", {"secret": secret}).status_code == 200
    assert Entry.objects.count() > entries, "nothing was taken out"
    assert audit.about(visitor.subject) == []
    left = actions_tied_to(consent)
    assert {"consent.signed", "consent.withdrawn"} <= left, "the proof still proves"
    assert not left & WHEREABOUTS
    found = audit.verify()
    assert (found.ok, found.problem) == (True, "")


# 8. Bad input is a clear error and nothing lost.


def test_rule_8_a_failed_erasure_is_seen_and_tried_again(
    town: House,
    recognizers: list[Recognizer],
    guest: Guest,
    crops_of: Crops,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = Client(raise_request_exception=False)
    with refusing("DELETE", "visitors_visitor"):
        answer = client.post("/receipt/withdraw/", {"secret": guest.secret, "confirm": "1"})
        assert answer.status_code >= 500
        # Not half reported, and what matters most has happened all the same.
        assert not Erasure.objects.exists()
        assert guest.post("certificate/").status_code == 404
        for recognizer in recognizers:
            assert seen(recognizer, town, crops_of(PERSON)) == "unknown"
        # Seen: by the watchdog, by whoever runs the sweep, in the log.
        assert overdue() == {"sealed face template": 1}
        page = browser(town.dpo).get("/admin/").content.decode()
        assert "sealed face template" in page
        with pytest.raises(CommandError, match="could not be erased"):
            call_command("sweep")
        assert str(guest.visitor.pk) in caplog.text
        assert not Erasure.objects.exists()
        assert (FaceTemplate.objects.count(), DataKey.objects.count()) == (1, 1)
    # Tried again.
    call_command("sweep")
    assert not Visitor.objects.exists()
    until(lambda: sweep() and Erasure.objects.get().state == Erasure.State.COMPLETE)
    assert guest.post("certificate/").status_code == 200


@pytest.mark.parametrize("kinds", [{"lane": True}, {"pass": True}, {"lane": True, "pass": True}])
def test_rule_8_a_half_finished_opt_in_leaves_nothing(
    town: House, recognizers: list[Recognizer], kinds: dict[str, bool]
) -> None:
    purposes = {**kinds, "history": True, "contact": False}
    tablet: KioskTablet = enrolled(town.kiosk)
    before = rows()
    held = recognizers[0].status()["templates"]
    for table in ("consent_receipt", "visitors_datakey", "visitors_facetemplate", "audit_entry"):
        with refusing("INSERT", table):
            answer = tablet.opt_in(opt_in_form(town, photos(PERSON), purposes=purposes))
        assert answer.status == 503
        assert "Nothing was kept" in answer.json()["error"]["text"]
        assert rows() == before, table
    assert recognizers[0].status()["templates"] == held


def test_rule_8_what_can_be_agreed_to_is_this() -> None:
    """A new purpose belongs into the tests above; a pass has more in recognition/test_present.py
    and visits/test_disclose_pass.py, a card in visits/test_check_in.py, statistics in
    visits/test_statistics.py, a group in visits/test_disclose_group.py, notes in
    visits/test_note.py, contact in retention/test_remind.py."""
    rest = ["history", "statistics", "group", "notes", "contact"]
    assert [purpose.value for purpose in Purpose] == ["lane", "pass", "card", *rest]
