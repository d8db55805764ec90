"""Other systems at the door: one token, the stores of its client, every call in the ledger."""

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.audit.models import Entry
from apps.consent import services as consents
from apps.consent.models import Purpose
from apps.privacy.services import pause, rename
from apps.recognition.engine import starter
from apps.recognition.passes import Pass
from apps.retention.models import Erasure, Request
from apps.retention.services.erase import erase
from apps.stores.models import Organization, Role, User
from apps.systems import services
from apps.systems.models import Delivery, Event, Scope, Token, Told
from apps.visitors import cards
from apps.visitors.services import SealedTemplate, enroll, restrict
from apps.visits.mistakes import mark_wrong, take_back
from apps.visits.services import disclose, greet
from tests.conftest import House
from tests.database import refusing
from tests.privacy.requests import letter
from tests.systems.others import Caller, let_in
from tests.visits.test_disclose import match_of, old_town, visit_of

PROBLEM = "application/problem+json"


@pytest.fixture
def caller(house: House) -> Caller:
    return Caller(let_in(house))


def visits(caller: Caller, house: House, **query: int) -> dict[str, Any]:
    answer = caller.get(f"stores/{house.store.pk}/visits", **query)
    assert answer.status_code == 200, answer.content
    read: dict[str, Any] = answer.json()
    return read


def is_problem(answer: Any, status: int) -> bool:
    return (answer.status_code, answer["Content-Type"], answer.json()["status"]) == (
        status,
        PROBLEM,
        status,
    )


def test_a_client_sees_its_stores_and_the_ledger_sees_the_call(
    house: House, caller: Caller
) -> None:
    old_town(house)
    answer = caller.get("stores")
    assert answer.status_code == 200
    assert [each["id"] for each in answer.json()["stores"]] == [str(house.store.pk)]
    entry = Entry.objects.latest("seq")
    assert (entry.actor, entry.action) == (f"client:{caller.client.pk}", "api.stores")
    token = Token.objects.get()
    assert token.last_used_on == timezone.now().date()
    assert caller.token not in str(Token.objects.values())


def test_a_call_that_cannot_be_written_down_is_not_answered(house: House, caller: Caller) -> None:
    disclose(match_of(house.visitor(), house))
    with refusing("INSERT", "audit_entry"):
        answer = caller.get(f"stores/{house.store.pk}/visits")
    assert is_problem(answer, 500)
    assert not Told.objects.exists()


@pytest.mark.parametrize("end", ["revoked", "expired", "client ended", "unknown"])
def test_a_token_that_ended_opens_nothing(caller: Caller, end: str) -> None:
    token = Token.objects.get()
    if end == "revoked":
        services.revoke(token=token, actor="test")
    elif end == "expired":
        Token.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    elif end == "client ended":
        services.end(client=caller.client, actor="test")
    else:
        caller.token += "x"
    assert is_problem(caller.get("stores"), 401)


def test_each_call_needs_its_scope_and_a_refusal_is_written_down(house: House) -> None:
    caller = Caller(let_in(house, []))
    store = house.store.pk
    for path in ("stores", "devices", f"stores/{store}/visits", "requests"):
        assert is_problem(caller.get(path), 403), path
    assert is_problem(caller.post("consents", {"pass": "x"}), 403)
    filed = {"store": str(store), "kind": "access"}
    assert is_problem(caller.post("requests", filed), 403)
    assert Entry.objects.filter(action="api.refused").count() == 6
    # What is over may always be asked.
    assert caller.get("endings").status_code == 200


def test_whoever_calls_too_often_waits(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.api.calls.CALLS", 2)
    answers = [caller.get("stores") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert is_problem(answers[2], 429)
    assert answers[2]["Retry-After"] == "60"


def test_a_system_that_was_away_misses_nothing_and_sees_nothing_twice(
    house: House, caller: Caller
) -> None:
    people = [house.visitor(f"Guest {number}") for number in range(3)]
    first = [visit_of(disclose(match_of(person, house))) for person in people]
    page = visits(caller, house, limit=2)
    assert [each["id"] for each in page["visits"]] == [str(each.pk) for each in first[:2]]
    assert page["more"]
    page = visits(caller, house, after=page["next"])
    assert [each["name"] for each in page["visits"]] == ["Guest 2"]
    # Away: somebody is greeted, somebody new comes, somebody is erased.
    greet(visit=first[0], user=house.staff)
    newest = visit_of(disclose(match_of(house.visitor("Guest 3"), house)))
    erase(visitor=people[2], cause=Erasure.Cause.WITHDRAWAL, actor="self")
    page = visits(caller, house, after=page["next"])
    assert [each["id"] for each in page["visits"]] == [str(first[0].pk), str(newest.pk)]
    assert page["visits"][0]["greeted_at"]
    assert visits(caller, house, after=page["next"])["visits"] == []


def test_without_the_scope_there_is_no_name_and_nobody_paused_is_told_of(house: House) -> None:
    caller = Caller(let_in(house, [Scope.VISITS]))
    shown, paused = house.visitor(), house.visitor()
    for person in (shown, paused):
        disclose(match_of(person, house))
    paused.restricted_at = timezone.now()
    paused.save()
    (only,) = visits(caller, house)["visits"]
    assert only["name"] is None
    assert Told.objects.get().subject == shown.subject
    assert str(shown.subject) not in str(only)


def test_whoever_read_of_somebody_reads_that_it_is_over_and_says_so(
    house: House, caller: Caller
) -> None:
    visitor = house.visitor()
    disclose(match_of(visitor, house))
    (read,) = visits(caller, house)["visits"]
    erase(visitor=visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")
    stranger = Caller(let_in(house))
    found = caller.get("endings").json()["endings"]
    assert [each["type"] for each in found] == ["consent.withdrawn", "person.erased"]
    assert {each["person"] for each in found} == {read["person"]}
    for each in found:
        # Another client neither sees nor acknowledges it.
        path = f"endings/{each['id']}/acknowledge"
        assert stranger.get("endings").json()["endings"] == []
        assert stranger.post(path).json() == {"acknowledged": False}
        assert caller.post(path).json() == {"acknowledged": True}
        assert caller.post(path).json() == {"acknowledged": False}
    assert not Told.objects.exists()
    assert not Delivery.objects.exists()


def test_an_arrival_that_was_someone_elses_is_taken_back(house: House, caller: Caller) -> None:
    visit = visit_of(disclose(match_of(house.visitor(), house)))
    since = visits(caller, house)["next"]
    mark_wrong(visit=visit, user=house.staff)
    (ending,) = caller.get("endings").json()["endings"]
    assert (ending["type"], ending["visit"]) == (Event.RETRACTED, str(visit.pk))
    assert visits(caller, house)["visits"] == []
    assert take_back(visit=visit, user=house.staff)
    assert [each["id"] for each in visits(caller, house, after=since)["visits"]] == [str(visit.pk)]


def test_whoever_was_told_of_somebody_reads_their_new_name_and_no_more_than_before(
    house: House, caller: Caller
) -> None:
    visitor = house.visitor()
    visit = visit_of(disclose(match_of(visitor, house)))
    (read,) = visits(caller, house)["visits"]
    path = f"people/{read['person']}"
    rename(visitor=visitor, greeting_name="Ms Chan", say_as="chahn", actor="self")
    (told,) = caller.get("endings").json()["endings"]
    assert (told["type"], told["person"]) == (Event.RECTIFIED, read["person"])
    assert "Chan" not in str(told)
    assert caller.get(path).json() == {"person": read["person"], "name": "Ms Chan"}
    assert caller.post(f"endings/{told['id']}/acknowledge").json() == {"acknowledged": True}
    assert Entry.objects.filter(action="name.told", actor=f"client:{caller.client.pk}").exists()
    # Nobody else knows them by this id; names need their scope, and that of visits.
    assert is_problem(Caller(let_in(house)).get(path), 404)
    for scope in (Scope.VISITS, Scope.NAMES):
        assert is_problem(Caller(let_in(house, [scope])).get(path), 403)
    # As from their visits: nothing when paused, nor once the last one is gone.
    nameless = {"person": read["person"], "name": None}
    pause(visitor=visitor, paused=True, actor="self")
    assert caller.get(path).json() == nameless
    pause(visitor=visitor, paused=False, actor="self")
    assert caller.get(path).json()["name"] == "Ms Chan"
    mark_wrong(visit=visit, user=house.staff)
    assert caller.get(path).json() == nameless
    erase(visitor=visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")
    assert is_problem(caller.get(path), 404)


def holder(house: House) -> tuple[str, Any]:
    """Somebody with a pass: what its code says, and who they are."""
    consent = consents.sign(
        house.draft(purposes=[Purpose.PASS], asked=[Purpose.PASS, Purpose.CONTACT])
    ).consent
    template = uuid.uuid4()
    visitor = enroll(
        visitor=uuid.uuid4(),
        consent=consent,
        greeting_name="Ms Chen",
        contact="",
        templates=[
            SealedTemplate(
                template,
                b"wrapped",
                1,
                b"CPT1 sealed twice",
                starter.NAME,
                starter.VERSION,
                purpose=Purpose.PASS,
            )
        ],
        actor="test",
    )
    return Pass(template, bytes(32)).text(), visitor


def test_a_pass_says_what_its_holder_agrees_to_until_that_is_over(
    house: House, caller: Caller
) -> None:
    code, visitor = holder(house)
    read = caller.post("consents", {"pass": code}).json()
    assert read["agreed"]
    assert read["purposes"] == ["pass"]
    assert read["person"] == str(Told.objects.get().person)
    elsewhere = Caller(let_in(house, stores=[old_town(house).store]))
    unknown = Pass(uuid.uuid4(), bytes(32)).text()
    erase(visitor=visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")
    nobody: dict[str, Any] = {"agreed": False, "person": None, "purposes": [], "until": None}
    for who, shown in ((elsewhere, code), (caller, unknown), (caller, code), (caller, "x")):
        assert who.post("consents", {"pass": shown}).json() == nobody


def test_a_card_says_the_same_of_its_holder(house: House, caller: Caller) -> None:
    code = cards.draw()
    visitor = house.visitor(card=code, purposes=[Purpose.CARD])
    assert caller.post("consents", {"pass": code.text()}).json()["purposes"] == ["card"]
    restrict(visitor=visitor, restricted=True, actor="self")
    assert not caller.post("consents", {"pass": code.text()}).json()["agreed"]


def test_a_request_is_filed_for_who_is_known_and_names_nobody(house: House, caller: Caller) -> None:
    visitor = house.visitor()
    disclose(match_of(visitor, house))
    (read,) = visits(caller, house)["visits"]
    asked = {
        "store": str(house.store.pk),
        "kind": "rectification",
        "person": read["person"],
        "words": "My name is Chan.",
    }
    answer = caller.post("requests", asked)
    assert answer.status_code == 201
    request = Request.objects.get()
    assert (request.subject, request.source, request.state) == (
        visitor.subject,
        "system",
        "received",
    )
    letter(house, Request.Kind.ACCESS)
    listed = caller.get("requests")
    assert {each["kind"] for each in listed.json()["requests"]} == {"access", "rectification"}
    assert "Chan" not in listed.content.decode()
    assert is_problem(caller.post("requests", asked | {"person": str(uuid.uuid4())}), 404)
    once = asked | {"kind": "access"}
    assert caller.post("requests", once).status_code == 201
    assert is_problem(caller.post("requests", once), 409)


def other_house(house: House) -> House:
    """The same in another organization."""
    theirs = old_town(house, "Far Away")
    organization = Organization.objects.create(name="Rival", address="x", contact_name="x")
    theirs.store.organization = organization
    theirs.store.save()
    officer = User.objects.create(username="rita")
    Role.objects.create(user=officer, store=theirs.store, kind=Role.Kind.DPO)
    return replace(theirs, organization=organization, dpo=officer)


def test_no_answer_to_one_organization_holds_anything_of_another(
    house: House, caller: Caller
) -> None:
    theirs = other_house(house)
    disclose(match_of(house.visitor("Ours"), house))
    rival = Caller(let_in(theirs))
    filed = letter(theirs, Request.Kind.ACCESS)
    secrets = {
        *(str(theirs.store.pk), str(theirs.camera.pk), str(theirs.kiosk.pk), str(filed.pk)),
        *(str(rival.client.pk), "Far Away", "Rival"),
    }
    answers = [
        caller.get("stores"),
        caller.get("devices"),
        caller.get("requests"),
        caller.get("endings"),
        caller.get(f"stores/{house.store.pk}/visits"),
        caller.get(f"stores/{theirs.store.pk}/visits"),
        caller.post("requests", {"store": str(theirs.store.pk), "kind": "access"}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 5 + [404] * 2
    for answer in answers:
        assert not [each for each in secrets if each in answer.content.decode()]
    assert [each["id"] for each in rival.get("stores").json()["stores"]] == [str(theirs.store.pk)]
    assert Request.objects.count() == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("get", "nothing/here", b"", 404),
        ("get", "stores/1/visits", b"", 404),
        ("get", "", b"", 404),
        ("put", "stores", b"", 405),
        ("post", "consents", b"{", 400),
        ("post", "consents", b"\xff\xfe", 400),
        ("post", "consents", b'{"pass": 7}', 422),
        ("post", "consents", b'{"pass": "x", "name": "Ms Chen"}', 422),
        ("post", "requests", b'{"store": "x", "kind": "spy"}', 422),
        ("get", "requests?offset=-1", b"", 422),
        ("get", "requests?ofset=1", b"", 422),
        ("get", f"requests?offset={10**30}", b"", 422),
    ],
)
def test_bad_input_is_a_clear_error_in_one_shape(
    caller: Caller, method: str, path: str, body: bytes, status: int
) -> None:
    answer = caller.browser.generic(
        method.upper(),
        f"/api/v1/{path}",
        body,
        content_type="application/json",
        headers=caller.headers,
    )
    assert is_problem(answer, status), (answer.status_code, answer.content)
    assert "Chen" not in answer.content.decode()
