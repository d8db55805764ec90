"""A legal hold: what is needed as evidence stays, and nobody stays recognisable by it."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.models import Entry
from apps.consent.models import Consent, Purpose, Receipt
from apps.privacy.requests import decide
from apps.privacy.requests.rows import RequestRefused
from apps.privacy.services import pause
from apps.retention.holdings import HOLDINGS
from apps.retention.holds import Held, Hold
from apps.retention.models import Erasure, Request
from apps.retention.services.erase import erase
from apps.retention.services.hold import HoldRefused, lift, place
from apps.retention.services.sweep import sweep
from apps.retention.services.withdraw import withdraw_purpose
from apps.visitors.models import FaceTemplate, Visitor
from apps.visitors.services import restrict
from apps.visits.models import Visit
from apps.visits.services import disclose
from tests.conftest import House
from tests.database import let_templates_expire, without_triggers
from tests.privacy.requests import approved, verified
from tests.visits.test_disclose import match_of

DAY = timedelta(days=1)
OBJECTION, RESTRICTION = Request.Kind.OBJECTION, Request.Kind.RESTRICTION


def hold(visitor: Visitor, ground: Hold.Ground = Hold.Ground.CLAIM, days: int = 30) -> Hold:
    return place(
        subject=visitor.subject,
        ground=ground,
        reason="Case 12",
        ends_at=timezone.now() + days * DAY,
        actor="user:1",
    )


def its_end_comes(one: Hold) -> None:
    """As the clock would have it."""
    then = timezone.now()
    Hold.objects.filter(pk=one.pk).update(begun_at=then - DAY, ends_at=then)


def kinds(which: str) -> set[str]:
    return {each.what for each in HOLDINGS if getattr(each, which)().exists()}


def test_what_a_claim_needs_outlives_its_deadline_and_recognises_nobody(house: House) -> None:
    visitor = house.visitor()
    match = match_of(visitor, house)
    assert disclose(match).visit
    one = hold(visitor)
    # Held is not matched, from the first moment, and not after the deadline either.
    Visit.objects.update(last_seen_at=timezone.now() - DAY, arrived_at=timezone.now() - DAY)
    assert disclose(match).outcome == "refused"
    restrict(visitor=visitor, restricted=False, actor="test")
    let_templates_expire()
    assert disclose(match).outcome == "refused"
    assert sweep().people == 0
    assert FaceTemplate.objects.exists()
    assert Visit.objects.exists()
    # The watchdog counts it as held, not as overdue.
    assert kinds("overdue") == set()
    assert kinds("held") == {"sealed face template"}
    its_end_comes(one)
    assert kinds("overdue") == {"sealed face template", "legal hold"}
    assert sweep().people == 1
    assert not Visitor.objects.exists()
    assert not Hold.objects.exists()
    assert set(
        Entry.objects.filter(action__startswith="hold.").values_list("action", flat=True)
    ) == {
        "hold.placed",
        "hold.ended",
    }
    assert audit.verify().ok


def test_a_hold_stops_no_withdrawal(house: House) -> None:
    visitor = house.visitor()
    match = match_of(visitor, house)
    one = hold(visitor)
    restrict(visitor=visitor, restricted=False, actor="test")
    with pytest.raises(Held):
        erase(visitor=visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")
    consent = Consent.objects.get()
    assert consent.withdrawn_at is not None
    assert disclose(match).outcome == "refused"
    assert FaceTemplate.objects.exists()
    assert not Erasure.objects.exists(), "nothing is reported as erased that is not"
    assert sweep().failed == 0
    lift(hold=one, actor="user:1")
    assert sweep().people == 1
    assert Erasure.objects.get().cause == Erasure.Cause.WITHDRAWAL


def test_a_purpose_that_is_withdrawn_under_a_hold_ends_and_goes_with_it(house: House) -> None:
    visitor = house.visitor()
    disclose(match_of(visitor, house))
    one = hold(visitor)
    assert withdraw_purpose(visitor=visitor, purpose=Purpose.HISTORY, actor="self") == []
    sweep()
    assert Visit.objects.exists()
    lift(hold=one, actor="user:1")
    assert sweep().visits == 1
    assert Visitor.objects.exists()


def test_contact_and_number_that_were_withdrawn_under_a_hold_go_with_it(house: House) -> None:
    purposes = [Purpose.LANE, Purpose.HISTORY, Purpose.STATISTICS, Purpose.CONTACT]
    visitor = house.visitor(purposes=purposes, asked=purposes)
    Visitor.objects.update(contact="chen@harbour.example")
    disclose(match_of(visitor, house))
    disclosed = Visit.objects.filter(number=1)
    one = hold(visitor)
    for purpose in (Purpose.HISTORY, Purpose.CONTACT):
        withdraw_purpose(visitor=visitor, purpose=purpose, actor="self")
    sweep()
    assert disclosed.exists()
    its_end_comes(one)
    sweep()
    visitor.refresh_from_db()
    assert visitor.contact == ""
    assert not disclosed.exists()
    assert Visit.objects.exists()


def test_only_the_person_ends_a_pause_that_a_claim_needs(house: House) -> None:
    """GDPR 18(2): with their consent what is restricted may be used."""
    visitor = house.visitor()
    match = match_of(visitor, house)
    refused, answered = (verified(house, visitor, kind) for kind in (OBJECTION, RESTRICTION))
    one = hold(visitor)
    answered = decide.approve(request=answered, actor="user:2")[0]
    assert (refused.restricts, answered.restricts) == (True, False)
    decide.refuse(
        request=refused,
        reason=Request.Refusal.GROUNDS,
        told=Request.Told.LETTER,
        text="We may.",
        actor="user:1",
    )
    # The pause is the other request's now; and with that one lifted, it would be nobody's.
    with pytest.raises(RequestRefused, match="legal claim keeps this person paused"):
        decide.lift(request=answered, actor="user:1")
    with pytest.raises(Held):
        pause(visitor=visitor, paused=False, actor="user:1")
    assert disclose(match).outcome == "refused"
    pause(visitor=visitor, paused=False, actor="self")
    assert disclose(match).visit
    with pytest.raises(Held):
        erase(visitor=visitor, cause=Erasure.Cause.EXPIRY, actor="sweep")
    # And whoever pauses again after the claim is over is resumed by an officer as ever.
    pause(visitor=visitor, paused=True, actor="self")
    lift(hold=one, actor="user:1")
    pause(visitor=visitor, paused=False, actor="user:1")


def test_a_refused_request_leaves_the_pause_to_the_claim(house: House) -> None:
    visitor = house.visitor()
    request = verified(house, visitor, OBJECTION)
    hold(visitor)
    decide.refuse(
        request=request,
        reason=Request.Refusal.GROUNDS,
        told=Request.Told.LETTER,
        text="We may.",
        actor="user:1",
    )
    assert Visitor.objects.get().restricted_at


def test_the_proof_is_held_while_the_person_goes_on_time(house: House) -> None:
    visitor = house.visitor()
    one = hold(visitor, Hold.Ground.PROOF)
    # It holds no face, so nobody is paused by it, and the rest goes as ever.
    assert disclose(match_of(visitor, house)).visit
    erase(visitor=visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")
    with without_triggers("consent_consent"):
        Consent.objects.update(
            signed_at=timezone.now() - 2 * DAY,
            expires_at=timezone.now() - DAY,
            delete_after=timezone.now(),
        )
    assert sweep().consents == 0
    assert Receipt.objects.exists()
    assert kinds("held") == {"signed consent, as proof", "receipt, as proof"}
    assert kinds("overdue") == set()
    # Nor does anybody else delete it.
    with pytest.raises(IntegrityError), transaction.atomic():
        Consent.objects.all().delete()
    its_end_comes(one)
    assert sweep().consents == 1
    assert not Receipt.objects.exists()


def test_a_hold_ends_within_a_year(house: House) -> None:
    visitor = house.visitor()
    for days in (366, 0):
        with pytest.raises(HoldRefused):
            hold(visitor, days=days)
    with pytest.raises(IntegrityError), transaction.atomic():
        Hold.objects.create(
            subject=visitor.subject, store=house.store, ground="claim", reason="x", author="x",
            begun_at=timezone.now(), ends_at=timezone.now() + 366 * DAY,
        )  # fmt: skip


def test_an_officer_holds_and_lifts_and_the_person_is_told(
    house: House, elsewhere: House, client: Client
) -> None:
    visitor = house.visitor()
    consent = Consent.objects.get()
    client.force_login(house.dpo)
    record = reverse("admin:visitors_visitor_change", args=[visitor.pk])
    client.post(record, {"reason": "complaint"})
    assert reverse("admin:hold_place", args=[consent.pk]) in client.get(record).content.decode()
    where = reverse("admin:hold_place", args=[consent.pk])
    asked = {"ground": "claim", "reason": "Case 12"}
    late = client.post(where, {**asked, "last_day": (timezone.now() + 400 * DAY).date()})
    assert late.status_code == 400
    assert "365 days at most" in late.content.decode()
    client.post(where, {**asked, "last_day": (timezone.now() + 30 * DAY).date()})
    one = Hold.objects.get()
    assert one.author == f"user:{house.dpo.pk}"
    visitor.refresh_from_db()
    assert visitor.restricted_at is not None
    resume = reverse("admin:visitor_restrict", args=[visitor.pk])
    said = client.post(resume, follow=True).content.decode()
    assert "A legal claim keeps this person paused" in said
    assert Visitor.objects.get().restricted_at is not None
    request = approved(house, visitor, Request.Kind.ERASURE)
    page = reverse("admin:retention_request_change", args=[request.pk])
    assert request.state == Request.State.PARTIAL
    assert "A legal hold keeps the rest until it ends" in client.get(page).content.decode()
    lift = reverse("admin:hold_lift", args=[one.pk])
    client.force_login(elsewhere.dpo)
    assert client.get(where).status_code == client.post(lift).status_code == 404
    client.force_login(house.dpo)
    client.post(lift)
    assert not Hold.objects.exists()
    assert sweep().people == 1
