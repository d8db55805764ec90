"""Requests keep their order: nobody is answered unverified, nothing is extended twice or late."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone

from apps.audit.models import Entry
from apps.privacy.requests import clock, decide, identity, intake, packages
from apps.privacy.requests.rows import RequestRefused
from apps.retention.models import Erasure, Package, Request
from apps.retention.services.erase import erase
from apps.retention.services.sweep import sweep
from apps.stores import deadlines, jurisdictions
from apps.visitors.models import FaceTemplate, Visitor
from tests.conftest import House
from tests.database import refusing, run, without_triggers
from tests.privacy.requests import (
    OFFICER,
    SECOND,
    Kind,
    State,
    Told,
    approved,
    asked,
    letter,
    tied,
    verified,
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# The clock.


@pytest.mark.parametrize(
    ("law", "received", "due"),
    [
        # GDPR 12(3), Regulation 1182/71 art. 3(2)(c): the last day where there is no such day.
        ("eu", "2026-01-31T12:00", "2026-02-28T12:00"),
        ("eu", "2028-01-31T12:00", "2028-02-29T12:00"),
        ("eu", "2026-08-31T12:00", "2026-09-30T12:00"),
        ("eu", "2026-12-31T12:00", "2027-01-31T12:00"),
        # Summer time begins on 29 March: the same hour by the wall, where there is any. It ends on
        # 25 October, and on Martinique nothing gets longer by it.
        ("eu", "2026-03-15T12:00", "2026-04-15T11:00"),
        ("eu", "2026-10-15T12:00", "2026-11-15T12:00"),
        # On 1 March in Athens and on the Azores, still February on Martinique.
        ("eu", "2026-03-01T02:00", "2026-03-29T02:00"),
        # On the Azores still the 30th, in Athens the 31st already, for which February is too short.
        ("eu", "2026-01-30T22:30", "2026-02-27T22:30"),
        # In Sydney the hour that summer time takes, which Perth does not know.
        ("au", "2026-09-20T12:00", "2026-10-20T11:00"),
        # PIPL 50, read as 15 days.
        ("cn", "2026-01-31T12:00", "2026-02-15T12:00"),
        ("strict", "2026-02-20T12:00", "2026-03-07T12:00"),
    ],
)
def test_a_period_ends_on_the_calendar_and_never_later(law: str, received: str, due: str) -> None:
    assert deadlines.due(at(received), jurisdictions.get(law).clock) == at(due)


def test_an_extension_is_two_further_months_where_the_law_has_one() -> None:
    """GDPR 12(3); PIPL 50 has none."""
    first = at("2026-02-28T12:00")
    assert deadlines.extended(first, jurisdictions.get("eu").clock) == at("2026-04-28T11:00")
    with pytest.raises(ValueError, match="no extension"):
        deadlines.extended(first, jurisdictions.get("cn").clock)


def test_a_request_is_extended_once_with_a_reason_inside_the_first_period(house: House) -> None:
    request = letter(house, Kind.ACCESS, days_ago=20)
    with pytest.raises(RequestRefused, match="reason"):
        clock.extend(request=request, reason=" ", told=Told.LETTER, actor=OFFICER)
    longer = clock.extend(request=request, reason="Three stores.", told=Told.LETTER, actor=OFFICER)
    assert longer.due_at - longer.first_due_at > timedelta(days=55)
    assert longer.notice_sent_at
    assert longer.notice_sent_at < longer.first_due_at
    with pytest.raises(RequestRefused, match="one extension"):
        clock.extend(request=request, reason="More.", told=Told.LETTER, actor=OFFICER)
    late = letter(house, Kind.ACCESS, days_ago=40)
    with pytest.raises(RequestRefused, match="first period is over"):
        clock.extend(request=late, reason="Late.", told=Told.LETTER, actor=OFFICER)
    assert Entry.objects.filter(action="request.extended").count() == 1


def test_where_the_law_knows_no_extension_there_is_none(house: House) -> None:
    house.store.jurisdiction = "cn"
    house.store.save()
    request = letter(house, Kind.ACCESS)
    with pytest.raises(RequestRefused, match="China knows no extension"):
        clock.extend(request=request, reason="Busy.", told=Told.LETTER, actor=OFFICER)


def test_the_clock_stands_still_while_identity_is_awaited(house: House) -> None:
    visitor = house.visitor()
    request = tied(letter(house, Kind.ACCESS, days_ago=10), visitor)
    due = request.due_at
    request = identity.await_proof(request=request, actor=OFFICER)
    with without_triggers("retention_request"):
        Request.objects.update(stopped_at=timezone.now() - timedelta(days=5))
    request.refresh_from_db()
    assert request.due() - due > timedelta(days=4)
    assert 0.15 < request.spent() < 0.19, "ten days less five, of a month"
    done = identity.verify(request=request, how=Request.Proof.CODE, by="contact", actor=OFFICER)
    assert timedelta(days=5) <= done.due_at - due < timedelta(days=5, minutes=5)
    assert (done.stopped_at, len(done.stops)) == (None, 1)


def test_the_clock_runs_on_where_the_law_does_not_stop_it(house: House) -> None:
    house.store.jurisdiction = "cn"
    house.store.save()
    request = identity.await_proof(request=letter(house, Kind.ACCESS), actor=OFFICER)
    assert request.state == State.IDENTITY
    assert request.stopped_at is None


def test_a_letter_does_not_come_from_the_future(house: House) -> None:
    with pytest.raises(RequestRefused, match="later than now"):
        letter(house, Kind.ACCESS, days_ago=-1)


# What PostgreSQL refuses, whichever way it is tried.


def refused_by_postgresql(pk: Any, match: str, **change: object) -> None:
    with pytest.raises((IntegrityError, DatabaseError), match=match), transaction.atomic():
        Request.objects.filter(pk=pk).update(**change)


def test_nobody_unverified_is_approved_executed_or_answered(house: House) -> None:
    """fides GHSA-qx5f-ghc2-7g5c: duplicates could be."""
    now = timezone.now()
    for request in (
        tied(letter(house, Kind.ACCESS), house.visitor()),
        letter(house, Kind.ERASURE),
    ):
        for state in (State.VERIFIED, State.APPROVED, State.PARTIAL, State.ANSWERED):
            closed = {"closed_at": now, "delete_after": now, "told": "letter"}
            more = closed if state == State.ANSWERED else {}
            yes = {"approved_at": now, "approved_by": SECOND}
            refused_by_postgresql(request.pk, "unverified", state=state, **yes, **more)
        refused_by_postgresql(
            request.pk, "verified_says", verified_at=now, verified_how="", verified_by=""
        )
        with pytest.raises(RequestRefused, match="before the identity"):
            decide.approve(request=request, actor=SECOND)


def test_nothing_that_nobody_approved_is_carried_out_or_tried_again(house: House) -> None:
    visitor = house.visitor()
    for request in (
        letter(house, Kind.ERASURE),
        decide.propose(request=verified(house, visitor, Kind.ERASURE), actor=OFFICER),
    ):
        with pytest.raises(RequestRefused):
            decide.carry_out(request.pk)
    for kind in (Kind.ACCESS, Kind.RECTIFICATION):
        request = verified(house, visitor, kind)
        for anew in (False, True):
            with pytest.raises(RequestRefused):
                packages.again(request=request, actor=OFFICER, anew=anew)
    assert Visitor.objects.exists()
    assert not Package.objects.exists()


def test_deadlines_and_identities_stay_as_they_were_settled(house: House) -> None:
    visitor, other = house.visitor(), house.visitor()
    request = verified(house, visitor, Kind.ACCESS)
    later = request.due_at + timedelta(days=1)
    now = timezone.now()
    refused_by_postgresql(request.pk, "told_in_time", due_at=later)
    refused_by_postgresql(request.pk, "stops of its clock", due_at=later, first_due_at=later)
    refused_by_postgresql(
        request.pk,
        "than it stood still",
        due_at=later,
        first_due_at=later,
        stopped_for=timedelta(days=1),
    )
    refused_by_postgresql(request.pk, "stops of its clock", received_at=now)
    refused_by_postgresql(request.pk, "was verified", subject=other.subject)
    refused_by_postgresql(
        request.pk,
        "told_in_time",
        extended_at=now,
        due_at=later,
        notice_sent_at=later,
        notice_sent="letter",
        extension_reason="x",
    )
    longer = clock.extend(request=request, reason="x", told=Told.LETTER, actor=OFFICER)
    refused_by_postgresql(request.pk, "extended once", due_at=longer.due_at + timedelta(days=9))
    late = letter(house, Kind.RESTRICTION, days_ago=40)
    refused_by_postgresql(
        late.pk,
        "inside its first period",
        extended_at=late.received_at,
        due_at=late.due_at + timedelta(days=60),
        notice_sent_at=late.received_at,
        notice_sent="letter",
        extension_reason="x",
    )


def test_an_erasure_is_approved_by_somebody_else(house: House) -> None:
    request = verified(house, house.visitor(), Kind.ERASURE)
    with pytest.raises(RequestRefused, match="propose it to a second person"):
        decide.approve(request=request, actor=SECOND)
    decide.propose(request=request, actor=OFFICER)
    with pytest.raises(RequestRefused, match="second person has to approve"):
        decide.approve(request=request, actor=OFFICER)
    for who in (OFFICER, ""):
        now = timezone.now()
        yes = {"approved_at": now, "approved_by": who, "state": State.APPROVED}
        refused_by_postgresql(request.pk, "four_eyes|not_approved", **yes)
    assert Visitor.objects.exists()


def test_a_closed_request_is_not_opened_again(house: House) -> None:
    request = decide.refuse(
        request=letter(house, Kind.ACCESS),
        reason=Request.Refusal.IDENTITY,
        told=Told.LETTER,
        text="We could not verify who asks.",
        actor=OFFICER,
    )
    refused_by_postgresql(
        request.pk,
        "not opened again",
        state=State.RECEIVED,
        refusal="",
        closed_at=None,
        delete_after=None,
    )


# Identity.


def test_a_second_request_of_the_same_kind_is_told_of_the_first(house: House) -> None:
    visitor = house.visitor()
    first, _passphrase = asked(visitor, Kind.ACCESS)
    with pytest.raises(RequestRefused, match=first.number):
        asked(visitor, Kind.ACCESS)
    second = letter(house, Kind.ACCESS)
    with pytest.raises(RequestRefused, match=first.number):
        tied(second, visitor)
    for words in ("It is Chen.", "And not Ms."):
        asked(visitor, Kind.RECTIFICATION, words)


def test_only_the_word_of_staff_of_that_store_counts_and_never_ones_own(house: House) -> None:
    request = tied(letter(house, Kind.ACCESS), house.visitor())
    with pytest.raises(RequestRefused, match="wrong, used, or too old"):
        identity.check_witness(request=request, code="000000", actor=OFFICER)
    from apps.stores.witnesses import new_code

    code = new_code(user=house.staff, store=house.store)
    with pytest.raises(RequestRefused, match="Somebody else"):
        identity.check_witness(request=request, code=code, actor=f"user:{house.staff.pk}")
    with pytest.raises(RequestRefused, match="wrong, used, or too old"):
        identity.check_witness(request=request, code=code, actor=OFFICER)


# What is done.


def test_an_objection_takes_the_person_out_at_once_and_lifting_brings_them_back(
    house: House,
) -> None:
    visitor = house.visitor()
    assert FaceTemplate.objects.live().exists()
    request, _nothing = asked(visitor, Kind.OBJECTION, "I do not want this any more.")
    assert not FaceTemplate.objects.live().exists(), "before anybody has decided"
    assert FaceTemplate.objects.exists(), "nothing is erased"
    request, _nothing = decide.approve(request=request, actor=OFFICER, answer="As you wish.")
    assert request.state == State.ANSWERED
    assert not FaceTemplate.objects.live().exists()
    decide.lift(request=request, actor=OFFICER)
    assert FaceTemplate.objects.live().exists()


def test_a_refused_restriction_is_no_restriction(house: House) -> None:
    request, _nothing = asked(house.visitor(), Kind.RESTRICTION)
    decide.refuse(
        request=request,
        reason=Request.Refusal.GROUNDS,
        told=Told.RECEIPT,
        text="You may complain to the authority.",
        actor=OFFICER,
    )
    assert FaceTemplate.objects.live().exists()


def test_a_pause_that_two_requests_ask_for_ends_with_the_second(house: House) -> None:
    visitor = house.visitor()
    first, _nothing = asked(visitor, Kind.OBJECTION, "I do not want this any more.")
    second, _nothing = asked(visitor, Kind.RESTRICTION)
    decide.refuse(
        request=first,
        reason=Request.Refusal.GROUNDS,
        told=Told.RECEIPT,
        text="You may complain to the authority.",
        actor=OFFICER,
    )
    assert not FaceTemplate.objects.live().exists()
    second, _nothing = decide.approve(request=second, actor=OFFICER)
    decide.lift(request=second, actor=OFFICER)
    assert FaceTemplate.objects.live().exists()


def test_an_erasure_is_carried_out_and_closed_when_the_person_was_told(house: House) -> None:
    visitor = house.visitor()
    asked(visitor, Kind.RECTIFICATION, "My name is Chen Li.")
    request = approved(house, visitor, Kind.ERASURE)
    assert not Visitor.objects.exists()
    assert request.erasure
    assert request.erasure.document
    assert request.erasure.cause == Erasure.Cause.REQUEST
    request = decide.answer(request=request, told=Told.LETTER, text="Dear Ms Chen", actor=OFFICER)
    assert request.state == State.ANSWERED
    assert (request.words, request.reach, request.answer) == ("", "", "")
    assert not Request.objects.closed().exclude(words="").exists()


def test_a_part_that_fails_is_partial_and_tried_again_and_not_answered_as_done(
    house: House,
) -> None:
    visitor = house.visitor()
    with refusing("DELETE", "visitors_datakey"):
        request = approved(house, visitor, Kind.ERASURE)
        assert (request.state, request.problem) == (State.PARTIAL, decide.NOT_ERASED)
        with pytest.raises(RequestRefused, match="not possible any more"):
            decide.answer(request=request, told=Told.LETTER, text="Done!", actor=OFFICER)
        assert decide.unfinished() == [request.pk]
    assert not FaceTemplate.objects.live().exists(), "nobody is recognised meanwhile"
    request = decide.carry_out(request.pk)
    assert (request.state, request.problem) == (State.APPROVED, "")
    assert decide.unfinished() == []
    assert Erasure.objects.filter(state=Erasure.State.COMPLETE).count() == 1


def test_an_erasure_waits_for_the_word_of_every_recognizer(house: House) -> None:
    from tests.privacy.test_portal import silent_recognizer

    silent = silent_recognizer()
    request = approved(house, house.visitor(), Kind.ERASURE)
    assert (request.state, request.problem) == (State.PARTIAL, decide.NOT_CERTIFIED)
    silent.delete()
    assert decide.carry_out(request.pk).state == State.APPROVED
    assert Entry.objects.filter(action="request.partial").count() == 1


# What is kept of it.


def test_with_the_person_the_package_goes_and_the_words(house: House) -> None:
    visitor = house.visitor()
    request, passphrase = asked(visitor, Kind.ACCESS, "Everything, please.")
    assert passphrase
    assert Package.objects.filter(request=request).exists()
    erase(visitor=visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")
    assert not Package.objects.exists()
    assert Request.objects.get().state == State.VERIFIED, "it still needs an answer"
    scope = {line["what"] for line in Erasure.objects.get().scope}
    assert "encrypted copy of everything, to be fetched" in scope


def test_a_request_goes_when_its_time_as_proof_is_over(house: House) -> None:
    letter(house, Kind.ACCESS)
    decide.refuse(
        request=letter(house, Kind.ERASURE),
        reason=Request.Refusal.NOTHING,
        told=Told.LETTER,
        text="We hold nothing about you.",
        actor=OFFICER,
    )
    run("UPDATE retention_request SET delete_after = now() WHERE delete_after IS NOT NULL")
    assert sweep().requests == 1
    assert Request.objects.count() == 1


def test_the_ledger_says_each_step_and_nothing_of_the_person(house: House) -> None:
    request = intake.take(
        store=house.store,
        kind=Kind.ACCESS,
        source=Request.Source.LETTER,
        actor=OFFICER,
        words="Zanzibar",
        reach="zanzibar@example.org",
    )
    tied(request, house.visitor("Zanzibar"))
    steps = Entry.objects.filter(action__startswith="request.").order_by("seq")
    assert [each.action for each in steps] == ["request.received", "request.tied"]
    assert "zanzibar" not in str([each.detail for each in steps]).lower()
