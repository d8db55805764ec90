"""What cameras counted is told to everyone, by reason and in words, and stands in the ledger."""

import threading
from datetime import datetime, timedelta
from typing import get_args

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django.fixtures import Settings

from apps.audit import heads
from apps.audit import services as audit
from apps.audit.models import Checkpoint, Entry, LedgerCheck
from apps.config.schedule import SCHEDULE
from apps.recognition.engine.types import Reason
from apps.stores.models import Camera
from apps.visits import counters
from apps.visits.health import abort_words
from apps.visits.tasks import checkpoint
from tests.clients import browser
from tests.conftest import House, build_house
from tests.database import run, without_triggers
from tests.postbox import by_mail, postbox


def counted() -> list[Entry]:
    return list(Entry.objects.filter(action="camera.counted").order_by("seq"))


def test_every_hour_each_cameras_totals_are_in_the_ledger_under_a_signed_head(
    house: House,
) -> None:
    Camera.objects.create(store=house.store, name="Entrance", source="x")
    Camera.objects.filter(pk=house.camera.pk).update(
        triggers=12, aborts={"covered": 2, "left_early": 1}, outside_zone=3
    )
    checkpoint()
    assert len(counted()) == 2
    (entry,) = [entry for entry in counted() if entry.detail["object"] == str(house.camera.pk)]
    assert entry.subject == ""
    assert entry.detail == {
        "object": str(house.camera.pk),
        "hour": entry.detail["hour"],
        "triggers": 12,
        "aborts": {"covered": 2, "left_early": 1},
        "outside_zone": 3,
        "embeddings_outside_trigger": 0,
    }
    hour = datetime.fromisoformat(entry.detail["hour"])
    assert timedelta(0) <= entry.at - hour < timedelta(hours=1)
    assert Checkpoint.objects.latest("size").size >= entry.seq
    assert audit.verify().ok


def test_every_hour_the_head_leaves_the_database_and_the_ledger_is_verified(house: House) -> None:
    checkpoint()
    check = LedgerCheck.objects.get()
    assert (check.ok, check.first, check.exported) == (True, 0, 1)
    assert check.exported_at is not None
    (line,) = heads.exported()
    assert line == Checkpoint.objects.latest("size").signature
    page = browser(house.dpo).get("/admin/").content.decode()
    assert ">whole<" in page
    assert "ledger-alarm" not in page


def test_a_broken_ledger_is_told_to_the_officers_once_and_stands_on_the_first_page(
    house: House, settings: Settings
) -> None:
    checkpoint()
    for user, address in ((house.dpo, "diana@harbour.example"), (house.staff, "linda@x.example")):
        user.email = address
        user.save()
    with without_triggers("audit_entry"):
        run("UPDATE audit_entry SET actor = 'x' WHERE seq = 1")
    by_mail(settings, "")
    with pytest.raises(CommandError, match="entry 1 was changed"):
        call_command("counters", "--full")
    assert LedgerCheck.objects.filter(ok=False, told_at=None).count() == 1
    with postbox() as box:
        by_mail(settings, box.url)
        checkpoint()
        checkpoint()
    (message,) = box.taken
    assert message["To"] == "diana@harbour.example"
    assert "entry 1 was changed" in message.get_content()
    page = browser(house.dpo).get("/admin/").content.decode()
    assert 'data-testid="ledger-alarm"' in page
    assert "entry 1 was changed" in page
    assert ">whole<" not in page


def test_a_head_that_cannot_be_exported_stops_nothing_and_shows(
    house: House, settings: Settings
) -> None:
    place = settings.CONSENTRY.state_dir / "taken"
    place.write_text("")
    settings.CONSENTRY = settings.CONSENTRY.model_copy(update={"checkpoint_dir": place})
    checkpoint()
    assert LedgerCheck.objects.get().ok
    assert "no head outside the database" in browser(house.dpo).get("/admin/").content.decode()
    place.unlink()


def test_an_hour_is_written_once_and_the_next_one_again(house: House) -> None:
    checkpoint()
    checkpoint()
    call_command("counters")
    assert len(counted()) == 1
    Camera.objects.update(counted_at=counted()[0].at - timedelta(hours=1), triggers=5)
    call_command("counters")
    assert [entry.detail["triggers"] for entry in counted()] == [0, 5]


def test_of_many_workers_at_once_one_writes_the_hour(transactional_db: None) -> None:
    build_house()
    written: list[int] = []

    def work() -> None:
        try:
            written.append(counters.publish())
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(written) == [0, 0, 0, 0, 0, 1]
    assert len(counted()) == 1


def test_the_timetable_writes_them_before_it_signs() -> None:
    assert SCHEDULE["checkpoint"]["task"] == checkpoint.name
    assert SCHEDULE["checkpoint"]["schedule"] <= 3600


def test_the_public_page_says_in_words_why_nobody_was_greeted(house: House) -> None:
    Camera.objects.update(triggers=9, aborts={"left_early": 1, "covered": 4, "too_many_faces": 2})
    page = browser().get(f"/public/{house.store.slug}/").content.decode()
    parts = page.split('data-testid="public-abort"')[1:]
    assert [part.split("<dt>")[1].split("</dt>")[0] for part in parts] == [
        "face covered",
        "more faces than allowed",
        "left early",
    ]
    assert [part.split("<dd>")[1].split("</dd>")[0] for part in parts] == ["4", "2", "1"]


@pytest.mark.parametrize(
    "reason",
    [
        *get_args(Reason),
        *("too_many_faces", "left_early", "recognizer_down", "crops_refused"),
        *("no_face", "two_passes", "another_face", "unsure", "refused"),
        *("pass_unknown", "pass_elsewhere", "pass_ended", "pass_broken", "pass_replayed"),
    ],
)
def test_every_reason_has_its_words(reason: str) -> None:
    assert abort_words(reason) != reason.replace("_", " ") or reason in {
        *("too_dark", "too_bright", "blurred", "left_early"),
    }
