"""For how long a store keeps what: never longer than the law, never longer than was promised."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.audit.models import Entry
from apps.consent import services as consents
from apps.consent.models import Consent, Notice, NoticeText, Purpose
from apps.retention.services import policy as service
from apps.retention.services.policy import OverTheCap, change
from apps.retention.services.sweep import sweep
from apps.stores import policies
from apps.stores.policies import Kind, Policy
from apps.visitors.models import FaceTemplate, Visitor
from apps.visits.models import Visit
from apps.visits.services import disclose
from tests.conftest import SHORT, House
from tests.consent.notices import approved
from tests.database import without_triggers
from tests.visits.test_disclose import match_of

DAY = timedelta(days=1)
SOON = timedelta(minutes=1)


def shorten(house: House, **figures: int) -> None:
    change(
        store=house.store,
        figures={Kind(kind): days for kind, days in figures.items()},
        reason="We need it for less.",
        actor="test",
    )


def came(visitor: Visitor, days_ago: int) -> None:
    """This person signed, and was last here, so many days ago."""
    then = timezone.now() - days_ago * DAY
    with without_triggers("consent_consent"), without_triggers("visitors_facetemplate"):
        Consent.objects.filter(subject=visitor.subject).update(signed_at=then)
        ends = Consent.objects.get(subject=visitor.subject).expires_at
        due = min(ends, then + 365 * DAY)
        FaceTemplate.objects.filter(visitor=visitor).update(created_at=then, delete_after=due)


def due_of(visitor: Visitor) -> timedelta:
    return FaceTemplate.objects.get(visitor=visitor).delete_after - timezone.now()


def publish_anew(house: House) -> House:
    """The notice says what holds now; whoever signs from here on signs that."""
    notice = consents.publish(notice=approved(house.organization, SHORT), actor="test")
    text = NoticeText.objects.get(notice=notice, locale="en")
    return House(
        house.organization,
        house.store,
        text,
        house.kiosk,
        house.camera,
        house.staff,
        house.dpo,
    )


def test_a_shorter_policy_holds_for_everybody_at_once(house: House) -> None:
    gone, here, new = (house.visitor(name) for name in ("Gone", "Here", "New"))
    came(gone, 100)
    came(here, 20)
    shorten(house, lane=60)
    assert abs(due_of(here) - 40 * DAY) < SOON
    assert abs(due_of(new) - 60 * DAY) < SOON
    # Whoever was away for longer is known to nobody any more, and gone with the next sweep.
    assert due_of(gone) <= timedelta(seconds=1)
    assert disclose(match_of(here, house)).visit
    # A visit renews by what holds now.
    assert abs(due_of(here) - 60 * DAY) < SOON
    entry = Entry.objects.get(action="policy.changed")
    assert entry.detail["days"] == {"lane": [365, 60]}
    assert abs(due_of(house.visitor()) - 60 * DAY) < SOON


def test_a_longer_policy_extends_nothing_that_was_promised(house: House) -> None:
    shorten(house, lane=30, history=10, consent=90)
    told = publish_anew(house)
    visitor = told.visitor(term=3)
    assert abs(due_of(visitor) - 30 * DAY) < SOON
    shorten(house, lane=365, history=180, consent=365)
    assert disclose(match_of(visitor, told)).visit
    assert abs(due_of(visitor) - 30 * DAY) < SOON
    visit = Visit.objects.get()
    assert abs(visit.delete_after - visit.arrived_at - 10 * DAY) < SOON
    # The text in force still says the short figures; whoever signs it now is promised those.
    assert abs(due_of(told.visitor(term=3)) - 30 * DAY) < SOON
    with pytest.raises(consents.ConsentRefused):
        told.draft(term=12)
    told = publish_anew(house)
    assert abs(due_of(told.visitor(term=12)) - 365 * DAY) < SOON


def test_a_visit_is_kept_for_as_long_as_its_longer_purpose_allows(house: House) -> None:
    history = house.visitor()
    both = house.visitor(
        purposes=[Purpose.LANE, Purpose.HISTORY, Purpose.STATISTICS],
        asked=[Purpose.LANE, Purpose.HISTORY, Purpose.STATISTICS],
    )
    for visitor in (history, both):
        disclose(match_of(visitor, house))
    shorten(house, history=20, statistics=50)
    kept = {
        visit.visitor_id: visit.delete_after - visit.arrived_at for visit in Visit.objects.all()
    }
    assert kept == {history.pk: 20 * DAY, both.pk: 50 * DAY}


def test_nobody_keeps_for_longer_than_the_pack_allows(house: House) -> None:
    with pytest.raises(OverTheCap) as refused:
        shorten(house, history=181)
    assert refused.value.cap == 180
    # Not even where somebody wrote it into the database.
    Policy.objects.create(store=house.store, kind=Kind.LANE, days=9999)
    assert policies.days(house.store)[Kind.LANE] == house.store.pack.inactivity_days
    visitor = house.visitor()
    disclose(match_of(visitor, house))
    assert due_of(visitor) <= 365 * DAY


def test_a_change_that_was_killed_half_way_is_finished_by_the_sweep(house: House) -> None:
    visitor = house.visitor()
    service._set(house.store, {Kind.LANE: 60}, "Less", "test")
    assert due_of(visitor) > 300 * DAY
    sweep()
    assert abs(due_of(visitor) - 60 * DAY) < SOON
    # And once only.
    sweep()
    assert abs(due_of(visitor) - 60 * DAY) < SOON


def test_the_officer_sees_whom_a_change_affects_before_it_is_made(
    house: House, elsewhere: House, client: Client
) -> None:
    for days in (100, 20):
        came(house.visitor(), days)
    client.force_login(house.dpo)
    where = reverse("admin:policy_set", args=[house.store.pk])
    figures = {kind.value: days for kind, days in policies.days(house.store).items()}
    asked: dict[str, object] = {**figures, "lane": 60, "reason": "We need it for less."}
    refused = client.post(where, {**asked, "history": 181})
    assert refused.status_code == 400
    assert "European Union allows 180 days at most." in refused.content.decode()
    page = client.post(where, asked)
    (effect,) = page.context["effects"]
    assert (effect.people, effect.at_once) == (2, 1)
    assert "Ms Chen" not in page.content.decode()
    assert not Policy.objects.exists()
    client.post(where, {**asked, "confirm": "1"})
    assert policies.days(house.store)[Kind.LANE] == 60
    assert Entry.objects.get(action="policy.changed").actor == f"user:{house.dpo.pk}"
    public = client.get(f"/public/{house.store.slug}/").content.decode()
    assert "60 (lane) or 365 (pass) days after the last visit" in public
    # The notice in force says otherwise, and the first page says so.
    assert Notice.objects.published().count() == 1
    assert "60/365 d" in client.get("/admin/").content.decode()
    # Staff have no such page, and an officer of another house none of this store.
    client.force_login(house.staff)
    assert client.get(reverse("admin:stores_policy_changelist")).status_code == 302
    client.force_login(elsewhere.dpo)
    assert client.get(where).status_code == 404
    assert client.post(where, {**asked, "lane": 1, "confirm": "1"}).status_code == 404
    assert policies.days(house.store)[Kind.LANE] == 60
