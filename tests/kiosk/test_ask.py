"""Somebody asks about their data at the tablet: taken down once, unverified, for the officer."""

import json
import uuid
from typing import Any

import pytest

from apps.audit.models import Entry
from apps.retention.models import Request
from apps.stores.deadlines import due
from ops.tablet import Answer
from tests.clients import KioskTablet, enrolled
from tests.conftest import House


@pytest.fixture
def tablet(house: House) -> KioskTablet:
    return enrolled(house.kiosk)


def ask(tablet: KioskTablet, **given: Any) -> Answer:
    form = {"attempt": str(uuid.uuid4()), "kind": "erasure", "reach": "1 Quay Lane", "words": ""}
    return tablet.signed("/kiosk/ask/", json.dumps({**form, **given}).encode())


def test_what_is_asked_at_the_tablet_waits_for_its_proof(house: House, tablet: KioskTablet) -> None:
    visitor = house.visitor()
    attempt = str(uuid.uuid4())
    answer = ask(tablet, attempt=attempt, reach=" 1 Quay Lane ", words="All of it.")
    assert answer.status == 201
    request = Request.objects.get()
    assert answer.json()["number"] == request.number
    assert (request.source, request.state, request.kind) == ("kiosk", "received", "erasure")
    assert (request.reach, request.words) == ("1 Quay Lane", "All of it.")
    assert (request.subject, request.verified) == (None, False)
    assert request.store == house.store
    assert request.due_at == due(request.received_at, house.store.pack.clock)
    visitor.refresh_from_db()
    assert visitor.restricted_at is None, "nobody is touched for what anybody may type"
    assert "Quay" not in json.dumps(list(Entry.objects.values_list("detail", flat=True)))

    # The answer got lost on its way: the tablet sends the same again.
    assert ask(tablet, attempt=attempt, words="All of it.").json() == answer.json()
    assert Request.objects.count() == 1
    assert Entry.objects.filter(action="request.received").count() == 1


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "face"},
        {"reach": "  "},
        {"reach": "x" * 241},
        {"reach": "a\x00b"},
        {"words": "a\x00b"},
        {"words": "x" * 4001},
        {"kind": "objection"},
        {"photo": "x"},
    ],
)
def test_what_cannot_be_answered_is_refused_and_nothing_is_kept(
    tablet: KioskTablet, given: dict[str, str]
) -> None:
    answer = ask(tablet, **given)
    assert (answer.status, answer.json()["error"]["code"]) == (400, "form")
    assert not Request.objects.exists()


def test_only_a_live_tablet_asks_and_not_without_end(house: House, tablet: KioskTablet) -> None:
    form = json.dumps({"attempt": str(uuid.uuid4()), "kind": "access", "reach": "1 Quay Lane"})
    plain = tablet.request("/kiosk/ask/", form.encode(), {"Content-Type": "application/json"})
    assert plain.status == 403
    assert not Request.objects.exists()
    answers = [ask(tablet).status for _time in range(11)]
    assert answers == [201] * 10 + [429]
