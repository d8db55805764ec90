"""A change of model: people are known by the former pack until their next visit, then by both."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import psycopg
import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone
from numpy.typing import NDArray
from pytest_django.plugin import DjangoDbBlocker

from apps.audit import services as audit
from apps.audit.models import Entry
from apps.consent.models import Purpose
from apps.recognition.alike import SURELY
from apps.recognition.benches import Bench, open_benches
from apps.recognition.client import (
    Decision,
    MatchRequest,
    PassRefused,
    Recognizer,
    RecognizerDown,
    SealRequest,
    VerifyRequest,
)
from apps.recognition.engine.packs import Pack, PackBroken, load_pack
from apps.recognition.engine.starter import VERSION, build_starter
from apps.recognition.matching import mean_of
from apps.recognition.models import Recognizer as Running
from apps.recognition.passes import Pass
from apps.recognition.recapture import recapture
from apps.recognition.rotations import Rotations
from apps.retention.models import Erasure
from apps.retention.services.erase import complete, erase
from apps.stores.models import Camera
from apps.visitors.models import FaceTemplate, FormerPack, Visitor
from apps.visitors.services import restrict
from apps.visitors.vault import FileKeyring
from apps.visits.mistakes import mark_wrong
from apps.visits.models import Visit
from tests.conftest import House, Process, build_house, test_database_url
from tests.database import refusing, run
from tests.packs import build_former, enrolled_before, known_anew
from tests.people import manage
from tests.waiting import until

Crops = Callable[[int], NDArray[np.uint8]]
PATIENCE = 30.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, keys_and_pack: None) -> Path:
    return build_former(tmp_path_factory.mktemp("former") / "pack")


@pytest.fixture(scope="module")
def before(folder: Path) -> Pack:
    return load_pack(folder)


@pytest.fixture(scope="module")
def present(keys_and_pack: None) -> Pack:
    return load_pack(settings.CONSENTRY.packs)


@pytest.fixture(scope="module")
def process(
    folder: Path, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[Process]:
    """A recognizer with both packs."""
    with django_db_blocker.unblock():
        process = Process("recognizer", CONSENTRY_FORMER_PACK_DIR=str(folder))
    yield process
    process.stop()
    # It writes down what it leaves whenever the tables were emptied, after the last test as well.
    with django_db_blocker.unblock():
        FormerPack.objects.all().delete()


@dataclass
class Change:
    """A house in the middle of a change of model."""

    before: Pack
    crops_of: Crops
    house: House = field(default_factory=build_house)
    recognizer: Recognizer = field(
        default_factory=lambda: Recognizer(settings.CONSENTRY.socket, timeout=PATIENCE)
    )

    def enrol_before(self, person: int, *purposes: Purpose, name: str = "Ms Chen") -> Visitor:
        """Somebody whom only the former pack knows."""
        held = self.holds()
        visitor, _shown = enrolled_before(
            self.house, self.before, self.crops_of(person), *purposes, name=name
        )
        until(lambda: self.holds() == held + 1, seconds=PATIENCE)
        return visitor

    def sees(self, crops: int | NDArray[np.uint8]) -> Decision:
        """Ask about a person by number, or about crops."""
        asked = MatchRequest(self.house.camera.pk, self.house.store.pk, time.time())
        shown = self.crops_of(crops) if isinstance(crops, int) else crops
        return self.recognizer.match(asked, shown)

    def holds(self) -> int:
        return int(self.recognizer.status()["templates"])

    def packs(self, visitor: Visitor) -> list[str]:
        """By whose templates somebody is known."""
        return sorted(visitor.templates.values_list("pack", flat=True))


@pytest.fixture
def change(
    process: Process, before: Pack, transactional_db: None, crops_of: Crops
) -> Iterator[Change]:
    change = Change(before, crops_of)
    until(lambda: change.recognizer.status()["trusted"], seconds=PATIENCE)
    until(lambda: change.holds() == 0, seconds=PATIENCE)
    until(Running.objects.exists, seconds=PATIENCE)
    yield change
    # Emptying tables tells nobody, deleting does.
    Visitor.objects.all().delete()
    until(lambda: change.holds() == 0, seconds=PATIENCE)


BOTH = ["consentry-former", "consentry-starter"]


def test_a_visit_brings_a_person_over_to_the_new_model(change: Change) -> None:
    visitor = change.enrol_before(2)
    old = visitor.templates.get()
    decision = change.sees(2)
    assert decision.outcome == "visit"
    assert change.packs(visitor) == BOTH
    new = visitor.templates.exclude(pk=old.pk).get()
    for same in ("consent_id", "store_id", "purpose", "not_after"):
        assert getattr(new, same) == getattr(old, same), same
    old.refresh_from_db()
    assert new.delete_after == old.delete_after
    assert new.visit == decision.visit
    entry = Entry.objects.get(action="template.recaptured")
    assert entry.detail == {
        "mode": "lane",
        "pack": new.pack,
        "pack_version": new.pack_version,
    }
    assert entry in audit.about(visitor.subject)
    # And the new model knows them by itself.
    until(lambda: change.holds() == 2, seconds=PATIENCE)
    FaceTemplate.objects.filter(pk=old.pk).delete()
    until(lambda: change.holds() == 1, seconds=PATIENCE)
    assert change.sees(2).outcome == "still_here"
    assert change.sees(3).outcome == "unknown"


def test_it_is_taken_once(change: Change) -> None:
    visitor = change.enrol_before(2)
    assert change.sees(2).outcome == "visit"
    Visit.objects.all().delete()
    assert change.sees(2).outcome == "visit"
    assert change.packs(visitor) == BOTH
    assert Entry.objects.filter(action="template.recaptured").count() == 1


def test_whoever_is_still_here_gives_nothing(change: Change) -> None:
    """Only a visit that was disclosed does; a camera that looks on takes nothing."""
    visitor = change.enrol_before(2)
    assert change.sees(change.crops_of(2)[:2]).outcome == "visit"
    assert change.packs(visitor) == BOTH[:1], "two pictures are too few"
    assert change.sees(2).outcome == "still_here"
    assert change.packs(visitor) == BOTH[:1]


def test_a_camera_that_may_not_ask_takes_nothing(change: Change) -> None:
    visitor = change.enrol_before(2)
    change.house.camera.assessments.update(expires_at=timezone.now())
    assert change.sees(2).outcome == "refused"
    assert change.packs(visitor) == BOTH[:1]


def test_poor_pictures_are_greeted_and_not_kept(change: Change) -> None:
    visitor = change.enrol_before(2)
    # Darker than a kiosk would take, and still surely the same person.
    dim = (change.crops_of(2) * 0.25).astype(np.uint8)
    assert change.sees(dim).outcome == "visit"
    assert change.packs(visitor) == BOTH[:1]


def test_a_match_that_is_not_sure_is_greeted_and_not_kept(change: Change, before: Pack) -> None:
    visitor = change.enrol_before(2)
    assert change.sees(hardly(before, change.crops_of)).outcome == "visit"
    assert change.packs(visitor) == BOTH[:1]


def hardly(pack: Pack, crops_of: Crops) -> NDArray[np.uint8]:
    """Crops between two people that are near enough to person 2, and not surely theirs."""
    mine, theirs = crops_of(2).astype(float), crops_of(3).astype(float)
    template = mean_of(pack.embedder.embed(crops_of(2)))
    for share in np.arange(0.3, 0.8, 0.02):
        crops = ((1 - share) * mine + share * theirs).astype(np.uint8)
        above = float(mean_of(pack.embedder.embed(crops)) @ template) - pack.threshold
        if 0.02 < above < SURELY - 0.02:
            return crops
    raise AssertionError("no such blend")


def test_a_withdrawal_erases_both(change: Change) -> None:
    visitor = change.enrol_before(2)
    change.sees(2)
    assert change.packs(visitor) == BOTH
    until(lambda: change.holds() == 2, seconds=PATIENCE)
    erasure = erase(visitor=visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")
    assert {"what": "sealed face template", "count": 2, "how": "erased"} in erasure.scope
    until(lambda: change.holds() == 0, seconds=PATIENCE)
    assert change.sees(2).outcome == "unknown"


def test_a_pause_takes_both_out(change: Change) -> None:
    visitor = change.enrol_before(2)
    change.sees(2)
    until(lambda: change.holds() == 2, seconds=PATIENCE)
    restrict(visitor=visitor, restricted=True, actor="test")
    until(lambda: change.holds() == 0, seconds=PATIENCE)
    assert change.sees(2).outcome == "unknown"


def test_what_was_taken_from_somebody_else_goes_when_staff_say_so(change: Change) -> None:
    visitor = change.enrol_before(2)
    decision = change.sees(2)
    assert change.packs(visitor) == BOTH
    visit = Visit.objects.get(visitor=visited(decision))
    mark_wrong(visit=visit, user=change.house.staff)
    assert Entry.objects.filter(action="template.undone").count() == 1
    assert change.packs(visitor) == BOTH[:1]
    until(lambda: change.holds() == 1, seconds=PATIENCE)


def test_whoever_the_new_model_mixes_up_stays_with_the_former(
    change: Change, present: Pack
) -> None:
    """To the new pack another visitor looks as she does; the former one tells them apart."""
    visitor, alike = change.enrol_before(2), change.enrol_before(3, name="Mr Li")
    known_anew(alike, present, change.crops_of(2))
    until(lambda: change.holds() == 3, seconds=PATIENCE)
    decision = change.sees(2)
    assert visited(decision) == visitor
    assert change.packs(visitor) == BOTH[:1]
    assert visitor.templates.get().mixed_up
    assert not alike.templates.filter(mixed_up=True).exists()


def test_of_two_packs_that_know_both_the_present_one_decides(change: Change, present: Pack) -> None:
    """The former pack mixes two people up; the new one, which has taken both anew, does not."""
    visitor, alike = change.enrol_before(3), change.enrol_before(2, name="Mr Li")
    known_anew(visitor, present, change.crops_of(2))
    known_anew(alike, present, change.crops_of(3))
    until(lambda: change.holds() == 4, seconds=PATIENCE)
    assert visited(change.sees(2)) == visitor


def test_where_no_pack_knows_both_nobody_is_greeted(change: Change, present: Pack) -> None:
    """One is known by the former pack alone, the other signed since: each pack has one of them."""
    change.enrol_before(2)
    enrolled_before(change.house, present, change.crops_of(2), name="Mr Li")
    until(lambda: change.holds() == 2, seconds=PATIENCE)
    assert change.sees(2) == Decision(None, "unsure")


def test_a_newcomer_is_compared_with_those_whom_only_the_former_pack_knows(change: Change) -> None:
    """Whoever enrols again under the new model replaces what the former one has of them."""
    visitor = change.enrol_before(2)
    consent = change.house.draft()
    sealed = change.recognizer.seal(
        SealRequest(
            organization=change.house.organization.pk,
            store=change.house.store.pk,
            visitor=uuid.uuid4(),
            consent=consent.pk,
            not_after=int(consent.expires_at.timestamp()),
            templates={"lane": uuid.uuid4()},
        ),
        change.crops_of(2),
    )
    assert sealed.same == visitor.pk
    assert sealed.pack == "consentry-starter"


def visited(decision: Decision) -> Visitor:
    """Who was disclosed."""
    assert decision.visit is not None, decision.outcome
    return Visit.objects.get(pk=decision.visit).visitor


def test_two_cameras_at_once_take_one_template(change: Change) -> None:
    visitor = change.enrol_before(2)
    with ThreadPoolExecutor(4) as pool:
        outcomes = [decision.outcome for decision in pool.map(change.sees, [2] * 4)]
    assert sorted(outcomes) == ["still_here"] * 3 + ["visit"]
    assert change.packs(visitor) == BOTH


def test_two_visits_at_once_take_one_template(
    change: Change, present: Pack, process: Process
) -> None:
    """Two stays of one person, as two stores' clocks could tell them: still one template."""
    visitor = change.enrol_before(2)
    old = visitor.templates.get()
    probes = present.embedder.embed(change.crops_of(2))
    keyring = FileKeyring.load(settings.CONSENTRY.keyring_path)

    def take(_: int) -> bool:
        try:
            return recapture(
                former=old.pk,
                visit=uuid.uuid4(),
                camera=change.house.camera.pk,
                crops=change.crops_of(2),
                probes=probes,
                present=Bench.of(present),
                keyring=keyring,
                rotations=Rotations(keyring),
            )
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(take, range(4))) == [False, False, False, True]
    assert change.packs(visitor) == BOTH


def test_whatever_keeps_a_template_from_being_made_keeps_nobody_from_being_greeted(
    change: Change,
) -> None:
    visitor = change.enrol_before(2)
    with refusing("INSERT", "visitors_facetemplate"):
        assert change.sees(2).outcome == "visit"
    assert change.packs(visitor) == BOTH[:1]
    assert not Entry.objects.filter(action="template.recaptured").exists()


# Killed between the visit and the template.


@pytest.mark.parametrize("committed", [False, True])
def test_a_recognizer_that_is_killed_leaves_a_whole_template_or_none(
    change: Change, folder: Path, committed: bool
) -> None:
    door = settings.CONSENTRY.socket.with_name("killed.sock")
    packs = {
        "CONSENTRY_FORMER_PACK_DIR": str(folder),
        "CONSENTRY_RECOGNIZER_SOCKET": str(door),
    }
    victim = Process("recognizer", **packs)
    there = replace(change, recognizer=Recognizer(door, timeout=PATIENCE))
    visitor = there.enrol_before(2)
    with psycopg.connect(test_database_url(), autocommit=True) as gate:
        # The template's row waits at this lock, in the middle of its transaction.
        run(WAIT)
        gate.execute("SELECT pg_advisory_lock(77)")
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(there.sees, 2)
            until(lambda: waiting_at_the_gate(gate), seconds=PATIENCE)
            assert Visit.objects.count() == 1, "the visit was disclosed before"
            if committed:
                gate.execute("SELECT pg_advisory_unlock(77)")
                until(lambda: change.packs(visitor) == BOTH, seconds=PATIENCE)
            victim.kill()
            if not committed:
                gate.execute("SELECT pg_advisory_unlock(77)")
            assert committed or isinstance(answer.exception(), RecognizerDown)
    until(nobody_works, seconds=PATIENCE)
    run("DROP FUNCTION test_wait() CASCADE")
    whole = Entry.objects.filter(action="template.recaptured").count()
    assert (change.packs(visitor), whole) == ((BOTH, 1) if committed else (BOTH[:1], 0))
    # Nothing is in the way: the next visit, at another recognizer, makes up for it.
    Visit.objects.all().delete()
    assert change.sees(2).outcome == "visit"
    assert change.packs(visitor) == BOTH
    assert Entry.objects.filter(action="template.recaptured").count() == 1
    assert audit.verify().ok


WAIT = """
CREATE FUNCTION test_wait() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock_shared(77); RETURN NEW; END $$;
CREATE TRIGGER test_wait AFTER INSERT ON visitors_facetemplate
    FOR EACH ROW EXECUTE FUNCTION test_wait();
"""


def waiting_at_the_gate(gate: psycopg.Connection[tuple[int]]) -> bool:
    found = gate.execute(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77 AND NOT granted"
    ).fetchone()
    return found is not None and found[0] > 0


def nobody_works() -> bool:
    """Whether the server has noticed that the killed process's connections are gone."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()
                  AND state IN ('active', 'idle in transaction')"""
        )
        return bool(cursor.fetchone()[0] == 0)


# How it is begun.


def test_both_packs_are_shown_and_the_one_that_is_left_is_written_down(
    change: Change, folder: Path
) -> None:
    shown = manage("pack", "show", CONSENTRY_FORMER_PACK_DIR=str(folder))
    told = json.loads(shown.communicate(timeout=60)[0])
    assert (told["name"], told["dim"]) == ("consentry-starter", 128)
    assert (told["former"]["name"], told["former"]["dim"]) == ("consentry-former", 256)
    left = FormerPack.objects.get()
    assert (left.name, left.version, left.dim) == ("consentry-former", "before", 256)
    assert left.licence == told["former"]["licence"]
    assert Entry.objects.get(action="model.left").detail["pack"] == "consentry-former before"


def test_a_pack_that_is_the_present_one_again_is_left_no_more(
    transactional_db: None, folder: Path
) -> None:
    """An operator goes back: nobody is lost to a day that was set before."""
    FormerPack.objects.create(
        name="consentry-starter", version=VERSION, left_at=timezone.now(), ends_at=timezone.now()
    )
    door = settings.CONSENTRY.socket.with_name("back.sock")
    process = Process("recognizer", CONSENTRY_RECOGNIZER_SOCKET=str(door))
    assert not FormerPack.objects.filter(name="consentry-starter").exists()
    assert (
        Entry.objects.get(action="model.taken_back").detail["pack"]
        == f"consentry-starter {VERSION}"
    )
    assert process.stop() == 0


@pytest.mark.parametrize(
    ("former", "sentence"),
    [
        ("same", "CONSENTRY_FORMER_PACK_DIR is the folder of the present pack"),
        ("nowhere", "which is no folder"),
    ],
)
def test_a_former_pack_that_is_none_is_refused_in_a_sentence(
    tmp_path: Path, former: str, sentence: str
) -> None:
    place = {"same": settings.CONSENTRY.packs, "nowhere": tmp_path / "no"}
    refused = manage("pack", "show", CONSENTRY_FORMER_PACK_DIR=str(place[former]))
    _, complaint = refused.communicate(timeout=60)
    assert refused.returncode == 1
    assert sentence in complaint.strip().splitlines()[-1]


def test_the_same_pack_in_two_folders_is_refused(tmp_path: Path, keys_and_pack: None) -> None:
    packs, copy = settings.CONSENTRY.packs, build_starter(tmp_path / "another")
    with pytest.raises(PackBroken, match=f"hold the same pack, consentry-starter {VERSION}"):
        open_benches(packs, copy, allow_noncommercial=False)


# By a pass.


@dataclass
class Door:
    """Somebody with a pass of the former model, and the camera that reads it."""

    change: Change
    camera: Camera
    visitor: Visitor
    shown: Pass

    def shows(self, person: int, shown: Pass | None = None) -> Decision:
        """Present the pass and compare a face with it."""
        nonce = self.change.recognizer.present(camera=self.camera.pk, shown=shown or self.shown)
        request = VerifyRequest(self.camera.pk, nonce, time.time())
        return self.change.recognizer.verify(request, self.change.crops_of(person))

    def goes_and_comes(self) -> None:
        """End the stay, so that the next arrival is a visit."""
        Visit.objects.all().delete()


@pytest.fixture
def door(change: Change) -> Door:
    visitor, shown = enrolled_before(change.house, change.before, change.crops_of(2), Purpose.PASS)
    assert shown is not None
    camera = Camera.objects.create(
        store=change.house.store,
        name="Pass reader",
        mode=Camera.Mode.PASS,
        source="door.mp4",
        signage_confirmed_at=timezone.now(),
    )
    return Door(change, camera, visitor, shown)


def test_a_printed_pass_goes_on_by_the_new_model(door: Door) -> None:
    old = door.visitor.templates.get()
    assert door.shows(2).outcome == "visit"
    assert door.change.packs(door.visitor) == BOTH
    new = door.visitor.templates.exclude(pk=old.pk).get()
    assert (new.purpose, new.shown_as, new.consent_id) == ("pass", old.pk, old.consent_id)
    assert Entry.objects.get(action="template.recaptured").detail["mode"] == "pass"
    # The same code, now without the former template.
    door.goes_and_comes()
    old.delete()
    assert door.shows(3).outcome == "unknown"
    assert door.shows(2).outcome == "visit"
    assert Visit.objects.get().template == new
    assert door.change.packs(door.visitor) == BOTH[1:]


def test_while_both_are_there_the_new_one_is_opened(door: Door) -> None:
    door.shows(2)
    new = door.visitor.templates.get(pack=BOTH[1])
    door.goes_and_comes()
    assert door.shows(2).outcome == "visit"
    assert Visit.objects.get().template == new
    assert Entry.objects.filter(action="template.recaptured").count() == 1


def test_a_pass_with_another_face_takes_nothing(door: Door) -> None:
    assert door.shows(3).outcome == "unknown"
    assert door.change.packs(door.visitor) == BOTH[:1]


def test_another_share_does_not_open_what_was_taken_anew(door: Door) -> None:
    door.shows(2)
    door.goes_and_comes()
    forged = Pass(door.shown.template, bytes(32))
    with pytest.raises(PassRefused) as refusal:
        door.shows(2, forged)
    assert refusal.value.code == "pass_broken"


def test_a_withdrawal_ends_the_pass_in_both(door: Door) -> None:
    door.shows(2)
    erase(visitor=door.visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")
    with pytest.raises(PassRefused) as refusal:
        door.shows(2)
    assert refusal.value.code == "pass_unknown"


def test_a_window_closes_when_what_it_would_open_ends(door: Door) -> None:
    """Presented under the new template, which ends before the face is there."""
    door.shows(2)
    door.goes_and_comes()
    nonce = door.change.recognizer.present(camera=door.camera.pk, shown=door.shown)
    until_acknowledged(erase(visitor=door.visitor, cause=Erasure.Cause.REQUEST, actor="test"))
    request = VerifyRequest(door.camera.pk, nonce, time.time())
    with pytest.raises(PassRefused) as refusal:
        door.change.recognizer.verify(request, door.change.crops_of(2))
    assert refusal.value.code == "pass_replayed"


def until_acknowledged(erasure: Erasure) -> None:
    until(lambda: complete(erasure).state == Erasure.State.COMPLETE, seconds=PATIENCE)


def test_from_the_last_day_a_pass_of_the_former_model_opens_nothing(door: Door) -> None:
    FormerPack.objects.update(ends_at=timezone.now())
    with pytest.raises(PassRefused) as refusal:
        door.shows(2)
    assert refusal.value.code == "pass_ended"
    assert door.change.packs(door.visitor) == BOTH[:1]
