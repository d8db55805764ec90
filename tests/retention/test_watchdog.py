"""The watchdog is loud when something is late, once, and says when it is over."""

import io
import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from pydantic import SecretStr
from pytest_django.fixtures import Settings

from apps.config.schedule import SCHEDULE
from apps.retention import tasks
from apps.retention.alarms import Alarm
from apps.retention.services.sweep import sweep
from apps.retention.services.watchdog import watch
from apps.stores.models import User
from apps.visitors.models import FaceTemplate, Visitor
from tests.conftest import House
from tests.database import without_triggers
from tests.postbox import by_mail, postbox

MINUTE = timedelta(minutes=1)


def expired_for(visitor: Visitor, since: timedelta) -> None:
    """Nobody swept since then."""
    with without_triggers("visitors_facetemplate"):
        FaceTemplate.objects.filter(visitor=visitor).update(delete_after=timezone.now() - since)


def lines() -> tuple[dict[str, dict[str, object]], int]:
    """What the command prints, by kind, and how it ends."""
    said, code = io.StringIO(), 0
    try:
        call_command("watchdog", stdout=said)
    except SystemExit as end:
        code = int(end.code or 0)
    return {line["kind"]: line for line in map(json.loads, said.getvalue().splitlines())}, code


def test_who_is_late_is_told_once_and_again_when_it_is_over(
    house: House, settings: Settings
) -> None:
    User.objects.filter(pk=house.dpo.pk).update(email="diana@harbour.example")
    settings.CONSENTRY = settings.CONSENTRY.model_copy(update={"alarm_to": "ops@harbour.example"})
    visitor = house.visitor("Ms Chen")
    with postbox() as box:
        by_mail(settings, box.url)
        # As late as a sweep each minute lets anything be: that is nothing to be told.
        expired_for(visitor, MINUTE)
        tasks.watchdog()
        assert box.taken == []
        assert lines()[1] == 0
        expired_for(visitor, 10 * MINUTE)
        for _ in range(3):
            tasks.watchdog()
        (alarm,) = box.taken
        assert "sealed face template" in str(alarm["subject"])
        assert "Ms Chen" not in alarm.as_string()
        assert str(visitor.pk) not in alarm.as_string()
        said, code = lines()
        assert (said["facetemplate"]["overdue"], said["facetemplate"]["late"], code) == (1, True, 1)
        sweep()
        for _ in range(2):
            tasks.watchdog()
        assert [str(each["subject"])[:5] for each in box.taken] == ["Alarm", "Over:"]
    assert not Alarm.objects.exists()
    assert lines()[1] == 0
    assert SCHEDULE["watchdog"]["schedule"] == 60.0


def test_what_has_no_deadline_of_its_own_is_late_from_when_it_was_seen(house: House) -> None:
    house.visitor().templates.get().delete()
    watch()
    assert lines()[1] == 0
    Alarm.objects.update(since=timezone.now() - 10 * MINUTE)
    said, code = lines()
    assert said["datakey"]["late"]
    assert code == 1


def test_an_alarm_that_no_mail_server_took_is_told_in_the_next_minute(
    house: House, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CONSENTRY = settings.CONSENTRY.model_copy(update={"alarm_to": "ops@harbour.example"})
    expired_for(house.visitor(), 10 * MINUTE)
    with postbox() as gone:
        by_mail(settings, gone.url)
    watch()
    assert "was not mailed" in caplog.text
    with postbox() as box:
        by_mail(settings, box.url)
        watch()
        assert len(box.taken) == 1


def test_metrics_are_for_this_machine_or_for_a_token(
    house: House, client: Client, settings: Settings
) -> None:
    expired_for(house.visitor(), 10 * MINUTE)
    page = client.get("/metrics").content.decode()
    assert 'consentry_overdue_rows{kind="facetemplate"} 1\n' in page
    assert 'consentry_overdue_rows{kind="visit"} 0\n' in page
    late = page.split('consentry_overdue_seconds{kind="facetemplate"} ')[1].split("\n")[0]
    assert 600 <= int(late) < 1200
    assert client.get("/metrics", REMOTE_ADDR="203.0.113.9").status_code == 403
    assert client.get("/metrics", headers={"x-forwarded-for": "203.0.113.9"}).status_code == 403
    settings.CONSENTRY = settings.CONSENTRY.model_copy(
        update={"metrics_token": SecretStr("sixteen signs or more")}
    )
    assert client.get("/metrics").status_code == 403
    shown = {"authorization": "Bearer sixteen signs or more"}
    assert client.get("/metrics", REMOTE_ADDR="203.0.113.9", headers=shown).status_code == 200
