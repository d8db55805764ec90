"""No model without a word on whose it is, when it is due and how it goes."""

from datetime import timedelta

import pytest
from django.apps import apps
from django.db import models
from django.utils import timezone

from apps.consent.models import Purpose
from apps.retention import holdings
from apps.retention.holdings import HOLDINGS, IMPERSONAL, How
from apps.retention.holds import Hold
from apps.retention.models import Request
from apps.retention.services.hold import place
from apps.retention.services.withdraw import withdraw_purpose
from apps.visitors.models import Visitor
from apps.visits import notes
from apps.visits.services import disclose
from tests.conftest import House
from tests.privacy.requests import asked
from tests.visits.test_disclose import match_of, visit_of

# What Django brings along, and why it holds nobody who was enrolled.
DJANGOS = {
    "admin.LogEntry": "what an employee changed: names of things of the house, not of people",
    "auth.Group": "unused: roles say what an employee may do",
    "auth.Permission": "names of acts",
    "contenttypes.ContentType": "names of models",
    "sessions.Session": "a log-in of an employee; the sweep deletes what has run out",
}


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
    agreed = [Purpose.LANE, Purpose.HISTORY, Purpose.NOTES, Purpose.CONTACT]
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
