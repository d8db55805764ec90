"""The sweep makes gone what is past its time: late, twice at once or killed, it is never half."""

import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone
from pydantic import SecretStr
from pytest_django.fixtures import Settings

from apps.audit import services as audit
from apps.audit import signing
from apps.audit.models import Entry, Salt
from apps.config.celery import app as celery
from apps.config.schedule import SCHEDULE
from apps.consent.models import Consent, Receipt
from apps.recognition.models import Recognizer
from apps.retention import tasks
from apps.retention.holdings import HOLDINGS
from apps.retention.models import Erasure
from apps.retention.services.erase import CERTIFICATE_TYPE, erase
from apps.retention.services.sweep import sweep
from apps.visitors.models import DataKey, Eviction, FaceTemplate, Visitor
from apps.visitors.services import restrict
from apps.visits.models import Visit
from apps.visits.services import disclose
from tests.conftest import House, build_house
from tests.database import let_templates_expire, refusing, run
from tests.people import manage
from tests.visits.test_disclose import match_of
from tests.waiting import until

VISITOR = (
    "name to be greeted by, how it is said, whom they ask for, contact, and sex and age as stated"
)
NOBODY = {
    "people": 0,
    "templates": 0,
    "cards": 0,
    "visits": 0,
    "notes": 0,
    "consents": 0,
    "packages": 0,
    "requests": 0,
    "sessions": 0,
    "certificates": 0,
    "supplements": 0,
    "failed": 0,
}


def swept(**changes: int) -> dict[str, int]:
    return {**NOBODY, **changes}


def consents_end(*visitors: Visitor) -> None:
    """Their agreement runs out, as the clock would have it."""
    subjects = [visitor.subject for visitor in visitors]
    for consent in Consent.objects.filter(subject__in=subjects):
        consent.expires_at = consent.signed_at + timedelta(microseconds=1)
        consent.save()


def overdue() -> dict[str, int]:
    """What the watchdog counts."""
    return {holding.what: count for holding in HOLDINGS if (count := holding.overdue().count())}


# What is due.


def test_who_is_not_due_stays(house: House) -> None:
    disclose(match_of(house.visitor(), house))
    assert overdue() == {}
    assert sweep().as_dict() == swept()
    assert (Visitor.objects.count(), FaceTemplate.objects.count()) == (1, 1)
    assert Visit.objects.count() == 1


def test_who_has_not_come_for_too_long_is_erased_with_a_certificate(house: House) -> None:
    visitor = house.visitor()
    disclose(match_of(visitor, house))
    let_templates_expire()
    assert overdue() == {"sealed face template": 1}
    assert sweep().as_dict() == swept(people=1, certificates=1)
    for model in (Visitor, FaceTemplate, DataKey, Visit, Salt):
        assert not model._default_manager.exists(), model
    erasure = Erasure.objects.get()
    facts = signing.verify(erasure.document, signing.public_jwk(), CERTIFICATE_TYPE)
    assert facts["cause"] == "expiry"
    assert {line["what"]: line["count"] for line in facts["scope"]} == {
        "sealed face template": 1,
        "wrapped data key": 1,
        "visit": 1,
        VISITOR: 1,
        "link between the person and the ledger": 1,
        "signed consent, as proof": 1,
        "receipt, as proof": 1,
    }
    assert Entry.objects.get(action="visitor.erased").actor == "system:sweep"
    assert Consent.objects.get().withdrawn_at is None, "whose time is over has withdrawn nothing"
    assert overdue() == {}
    assert audit.verify().ok


def test_whose_agreement_ran_out_is_erased_and_the_others_stay(house: House) -> None:
    due, kept = house.visitor(), house.visitor()
    consents_end(due)
    assert sweep().as_dict() == swept(people=1, certificates=1)
    assert list(Visitor.objects.all()) == [kept]


def test_a_person_without_a_template_does_not_linger(house: House) -> None:
    house.visitor().templates.get().delete()
    assert overdue() == {
        "wrapped data key": 1,
        VISITOR: 1,
    }
    assert sweep().people == 1
    assert not Visitor.objects.exists()


def test_a_visit_goes_before_its_visitor(house: House) -> None:
    visitor = house.visitor()
    disclose(match_of(visitor, house))
    Visit.objects.update(delete_after=timezone.now())
    assert overdue() == {"visit": 1}
    assert sweep().as_dict() == swept(visits=1)
    assert not Visit.objects.exists()
    assert Visitor.objects.get() == visitor
    assert Entry.objects.get(action="visits.swept").detail == {"count": 1}


def test_a_proof_goes_when_nobody_can_ask_for_it_any_more(house: House) -> None:
    erase(visitor=house.visitor(), cause=Erasure.Cause.WITHDRAWAL, actor="self")
    sweep()
    assert Consent.objects.count() == Receipt.objects.count() == 1
    consent = Consent.objects.get()
    consent.expires_at = consent.signed_at + timedelta(microseconds=1)
    consent.delete_after = timezone.now()
    consent.save()
    assert overdue() == {"signed consent, as proof": 1, "receipt, as proof": 1}
    assert sweep().as_dict() == swept(consents=1)
    assert not Receipt.objects.exists()
    # Not even the erasure's certificate needs it.
    assert Erasure.objects.get().document
    assert audit.verify().ok


def test_a_proof_does_not_go_before_its_template(house: House) -> None:
    """Overdue both: the person first, then the proof, in one run."""
    visitor = house.visitor()
    consents_end(visitor)
    Consent.objects.update(delete_after=timezone.now())
    assert sweep().as_dict() == swept(people=1, consents=1, certificates=1)


def test_old_log_ins_go(house: House) -> None:
    now = timezone.now()
    for name, end in (("old", now), ("new", now + timedelta(hours=1))):
        Session.objects.create(session_key=name, session_data="", expire_date=end)
    assert sweep().sessions == 1
    assert Session.objects.get().session_key == "new"


def test_a_salt_that_a_look_made_anew_goes(house: House) -> None:
    """Somebody's board was being drawn while its person was erased."""
    visitor = house.visitor()
    erase(visitor=visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")
    audit.record(actor="test", action="visit.shown", subject=visitor.subject, whereabouts=True)
    assert overdue() == {"link between the person and the ledger": 1}
    sweep()
    assert not Salt.objects.exists()


def test_evictions_go_when_nobody_waits_for_them(house: House) -> None:
    now = timezone.now()
    erase(visitor=house.visitor(), cause=Erasure.Cause.REQUEST, actor="test")
    sweep()
    Recognizer.objects.create(
        pack="p", pack_version="1", licence="-", commercial=True, generation=1,
        started_at=now, seen_at=now + timedelta(hours=1),
    )  # fmt: skip
    waiting = erase(visitor=house.visitor(), cause=Erasure.Cause.REQUEST, actor="test")
    assert Eviction.objects.count() == 4, "one of the withdrawal, one of the deletion, each"
    Eviction.objects.update(at=now - timedelta(days=2))
    sweep()
    assert list(Eviction.objects.values_list("pk", flat=True)) == waiting.evictions


# Who waits for whom.


def test_a_certificate_that_waited_is_issued_by_the_sweep(house: House) -> None:
    now = timezone.now()
    recognizer = Recognizer.objects.create(
        pack="p", pack_version="1", licence="-", commercial=True, generation=1,
        started_at=now, seen_at=now + timedelta(hours=1),
    )  # fmt: skip
    consents_end(house.visitor())
    assert sweep().as_dict() == swept(people=1)
    assert Erasure.objects.get().state == Erasure.State.PENDING
    recognizer.stopped_at = timezone.now()
    recognizer.save()
    assert sweep().as_dict() == swept(certificates=1)


def test_a_pause_long_ago_does_not_hold_up_a_certificate(house: House) -> None:
    """The recognizer that runs now was started after it was lifted and never heard of it."""
    visitor = house.visitor()
    restrict(visitor=visitor, restricted=True, actor="test")
    restrict(visitor=visitor, restricted=False, actor="test")
    now = timezone.now()
    recognizer = Recognizer.objects.create(
        pack="p", pack_version="1", licence="-", commercial=True, generation=1,
        started_at=now, seen_at=now + timedelta(hours=1),
    )  # fmt: skip
    long_ago = set(Eviction.objects.values_list("pk", flat=True))
    erase(visitor=visitor, cause=Erasure.Cause.REQUEST, actor="test")
    for eviction in Eviction.objects.exclude(pk__in=long_ago):
        recognizer.acknowledgements.create(eviction=eviction, at=timezone.now())
    assert sweep().certificates == 1


# Faults.


def test_one_broken_person_is_loud_and_stops_nobody(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    broken, whole = house.visitor("Mr Broken"), house.visitor("Ms Whole")
    consents_end(broken, whole)
    run(
        f"""CREATE FUNCTION test_broken() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'Mr Broken'; END $$;
            CREATE TRIGGER test_broken BEFORE DELETE ON visitors_datakey FOR EACH ROW
            WHEN (OLD.visitor_id = '{broken.pk}') EXECUTE FUNCTION test_broken()"""
    )
    said = io.StringIO()
    with pytest.raises(CommandError, match="could not be erased"):
        call_command("sweep", stdout=said)
    assert json.loads(said.getvalue()) == swept(people=1, certificates=1, failed=1)
    assert str(broken.pk) in caplog.text
    assert "Mr Broken" not in caplog.text
    # Nothing of him is half gone, and the watchdog shows that he is late.
    assert list(Visitor.objects.all()) == [broken]
    assert DataKey.objects.count() == FaceTemplate.objects.count() == Salt.objects.count() == 1
    assert overdue() == {"sealed face template": 1}
    run("DROP FUNCTION test_broken() CASCADE")
    assert sweep().as_dict() == swept(people=1, certificates=1)
    assert audit.verify().ok


def test_visits_that_cannot_go_keep_nothing_else_back(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    visitor = house.visitor()
    disclose(match_of(visitor, house))
    Visit.objects.update(delete_after=timezone.now())
    erase(visitor=house.visitor(), cause=Erasure.Cause.REQUEST, actor="test")
    Session.objects.create(session_key="old", session_data="", expire_date=timezone.now())
    with refusing("DELETE", "visits_visit"):
        assert sweep().as_dict() == swept(sessions=1, certificates=1, failed=1)
    assert "visits failed" in caplog.text
    assert sweep().as_dict() == swept(visits=1)


def test_one_certificate_that_fails_holds_up_no_other(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (
        erase(visitor=house.visitor(), cause=Erasure.Cause.REQUEST, actor="test") for _ in range(2)
    )
    run(
        f"""CREATE FUNCTION test_broken() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'broken'; END $$;
            CREATE TRIGGER test_broken BEFORE UPDATE ON retention_erasure FOR EACH ROW
            WHEN (OLD.id = '{first.pk}') EXECUTE FUNCTION test_broken()"""
    )
    assert sweep().as_dict() == swept(certificates=1, failed=1)
    assert f"erasure {first.pk} has no certificate" in caplog.text
    run("DROP FUNCTION test_broken() CASCADE")
    assert sweep().as_dict() == swept(certificates=1)
    assert audit.verify().ok
    assert second.pk != first.pk


# Celery, and beside itself.


def test_the_task_sweeps_and_the_timetable_knows_it(house: House) -> None:
    consents_end(house.visitor())
    tasks.sweep()
    assert not Visitor.objects.exists()
    assert Erasure.objects.get().state == Erasure.State.COMPLETE
    celery.loader.import_default_modules()
    for planned in SCHEDULE.values():
        assert planned["task"] in celery.tasks


def many(house: House, number: int) -> None:
    """People whose end was asked for and whose erasure did not go through."""
    with transaction.atomic():
        for _ in range(number):
            house.visitor()
        Consent.objects.update(withdrawn_at=timezone.now())


@pytest.fixture
def town(transactional_db: None) -> House:
    return build_house()


def test_two_sweeps_at_once_do_nothing_twice(town: House) -> None:
    many(town, 40)
    both = [manage("sweep") for _ in range(2)]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    done = [json.loads(out) for out, _ in said]
    for count, total in (("people", 40), ("failed", 0)):
        assert sum(each[count] for each in done) == total
    # The last to finish may leave certificates to the next run, never one to two.
    sweep()
    all_is_gone(40)


def test_a_killed_sweep_leaves_nothing_half_and_the_next_one_finishes(town: House) -> None:
    many(town, 60)
    before = at_work()
    process = manage("sweep")
    until(lambda: Erasure.objects.count() >= 10, seconds=30)
    process.kill()
    process.communicate()
    # What it had begun is undone when PostgreSQL sees that it is gone.
    until(lambda: at_work() <= before)
    left = Visitor.objects.count()
    assert 0 < left < 60
    assert Erasure.objects.count() == 60 - left
    assert Entry.objects.filter(action="visitor.erased").count() == 60 - left
    for model in (FaceTemplate, DataKey, Salt):
        assert model._default_manager.count() == left, model
    assert audit.verify().ok
    assert sweep().people == left
    all_is_gone(60)


def at_work() -> set[int]:
    """Whom PostgreSQL serves in this database."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT pid FROM pg_stat_activity
                WHERE datname = current_database() AND backend_type = 'client backend'"""
        )
        return {pid for (pid,) in cursor.fetchall()}


def all_is_gone(number: int) -> None:
    for model in (Visitor, FaceTemplate, DataKey, Salt):
        assert not model._default_manager.exists(), model
    assert Erasure.objects.filter(state=Erasure.State.COMPLETE).count() == number
    for action in ("visitor.erased", "erasure.certified"):
        assert Entry.objects.filter(action=action).count() == number
    key = signing.public_jwk()
    for erasure in Erasure.objects.all():
        facts = signing.verify(erasure.document, key, CERTIFICATE_TYPE)
        assert (facts["id"], facts["cause"]) == (str(erasure.pk), "withdrawal")
    assert audit.verify().ok


def test_the_sweep_needs_no_broker(town: House, settings: Settings, tmp_path: Path) -> None:
    """Boards are told through Redis afterwards; when it is not there, nothing is held up."""
    consents_end(town.visitor())
    nobody = SecretStr(f"unix://{tmp_path / 'nobody.sock'}")
    settings.CONSENTRY = settings.CONSENTRY.model_copy(update={"redis_url": nobody})
    assert sweep().as_dict() == swept(people=1, certificates=1)
