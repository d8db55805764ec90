"""No model without a word on whose it is, when it is due and how it goes."""

import re
from datetime import timedelta
from fnmatch import fnmatch
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.db import models
from django.utils import timezone

from apps.consent.models import Purpose
from apps.retention import holdings
from apps.retention.holdings import FILES, HOLDINGS, IMPERSONAL, KEYS, How
from apps.retention.holds import Hold
from apps.retention.models import Request
from apps.retention.services.hold import place
from apps.retention.services.withdraw import withdraw_purpose
from apps.stores.devices import live_events
from apps.stores.limits import allowed
from apps.visitors.models import Visitor
from apps.visits import notes
from apps.visits.services import disclose
from tests.conftest import ROOT, House
from tests.privacy.requests import asked
from tests.systems.others import listening
from tests.visits.test_disclose import match_of, visit_of

# What Django brings along, and why it holds nobody who was enrolled.
DJANGOS = {
    "admin.LogEntry": "what an employee changed: names of things of the house, not of people",
    "auth.Group": "unused: roles say what an employee may do",
    "auth.Permission": "names of acts",
    "contenttypes.ContentType": "names of models",
    "sessions.Session": "a log-in of an employee; the sweep deletes what has run out",
}


# Redis keeps these for as long as somebody has not taken them; they hold names of tasks and ids.
LASTING = ("celery", "unacked", "_kombu")
# Every way in which the code makes a key: what stands before the first thing that varies.
MAKES_A_KEY = re.compile(
    r'(?:\.set|\.incr|\.expire|_place|_key)\(\s*f"([a-z]+:)'
    r'|return f"([a-z]+:)\{(?:hmac|device\.pk\}:)'
)


def ours(model: type[models.Model]) -> bool:
    return model.__module__.startswith("apps.")


def test_every_model_is_classified_once() -> None:
    ours_all = {model for model in apps.get_models(include_auto_created=True) if ours(model)}
    personal = {holding.model for holding in HOLDINGS}
    assert len(HOLDINGS) == len(personal)
    assert not personal & IMPERSONAL.keys()
    unclassified = {model._meta.label for model in ours_all - personal - IMPERSONAL.keys()}
    # What joins two models of ours is as personal as they are.
    joins = {
        f"stores.User_{many.name}" for many in apps.get_model("stores.User")._meta.many_to_many
    }
    assert unclassified <= joins, "say in apps/retention/holdings.py whose data this is"
    assert personal | IMPERSONAL.keys() <= ours_all


def test_what_django_brings_is_known() -> None:
    theirs = {model._meta.label for model in apps.get_models() if not ours(model)}
    assert theirs == DJANGOS.keys()


def test_every_class_has_its_reason() -> None:
    for holding in HOLDINGS:
        assert holding.what, holding.model
        assert holding.clock, holding.model
    assert all(IMPERSONAL.values())
    assert all(DJANGOS.values())


def test_what_hangs_on_a_visitor_is_a_holding_and_is_erased() -> None:
    hanging = {relation.related_model for relation in Visitor._meta.related_objects}
    erased = {holding.model for holding in HOLDINGS if holding.how is How.ERASED}
    assert hanging <= erased
    assert Visitor in erased


def test_an_impersonal_model_names_no_visitor() -> None:
    personal = {holding.model for holding in HOLDINGS}
    for model in IMPERSONAL:
        for field in model._meta.concrete_fields:
            assert field.related_model not in personal, field


def test_what_has_a_deadline_is_found_by_it() -> None:
    """A holding whose rows have a deadline of their own is watched by that."""
    for holding in HOLDINGS:
        names = {field.name for field in holding.model._meta.concrete_fields}
        assert bool(holding.due) or "delete_after" not in names, holding.what


@pytest.mark.parametrize("holding", HOLDINGS, ids=lambda holding: holding.model.__name__)
def test_what_is_held_of_somebody_is_found_and_nobody_elses(
    house: House, holding: holdings.Holding
) -> None:
    agreed = [Purpose.LANE, Purpose.CARD, Purpose.HISTORY, Purpose.NOTES, Purpose.CONTACT]
    listening(house)
    first, second = house.visitor(purposes=agreed), house.visitor(purposes=agreed)
    for visitor in (first, second):
        decision = disclose(match_of(visitor, house))
        notes.write(visit=visit_of(decision), text="Likes the window seat", actor="test")
        withdraw_purpose(visitor=visitor, purpose=Purpose.CONTACT, actor="test")
        asked(visitor, Request.Kind.ACCESS)
        place(
            subject=visitor.subject,
            ground=Hold.Ground.PROOF,
            reason="Case 12",
            ends_at=timezone.now() + timedelta(days=30),
            actor="test",
        )
    mine, theirs = (
        set(holding.of(visitor).values_list("pk", flat=True)) for visitor in (first, second)
    )
    assert len(mine) == len(theirs) == 1
    assert not mine & theirs
    assert not holding.overdue().exists()


def everything_kept_is_classified() -> None:
    """Every key in Redis and every file of this moment; each key of ours ends by itself."""
    redis = live_events()
    keys = [key.decode() for key in redis.scan_iter()]
    assert [key for key in keys if not key.startswith(tuple(KEYS))] == []
    assert [key for key in keys if not key.startswith(LASTING) and redis.ttl(key) == -1] == []
    root = settings.CONSENTRY.state_dir
    files = [str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()]
    assert files
    assert [file for file in files if not any(fnmatch(file, each) for each in FILES)] == []


def test_whatever_is_kept_elsewhere_is_classified() -> None:
    made = {
        "".join(found.groups(default=""))
        for path in (ROOT / "apps").rglob("*.py")
        for found in MAKES_A_KEY.finditer(path.read_text(encoding="utf-8"))
    }
    assert made
    assert made <= KEYS.keys(), "say in apps/retention/holdings.py how long this key lasts"
    assert allowed("somebody", limit=1, seconds=60)
    everything_kept_is_classified()


def test_nothing_is_uploaded_or_logged_into_a_file() -> None:
    uploads = [
        field
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if isinstance(field, models.FileField)
    ]
    assert uploads == []
    handlers: Any = settings.LOGGING["handlers"]
    assert {handler["class"] for handler in handlers.values()} == {"logging.StreamHandler"}
    assert settings.MEDIA_ROOT == ""
    # Sessions are rows, which the sweep deletes when they have run out.
    assert settings.SESSION_ENGINE == "django.contrib.sessions.backends.db"
