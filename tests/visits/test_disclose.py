"""A match becomes a visit only by the statement that asks everything again."""

import time
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from apps.audit.models import Entry
from apps.consent import services as consents
from apps.consent.models import Consent, Purpose
from apps.recognition.client import Decision, Match
from apps.stores.models import Assessment, Camera, Device, Role, Store
from apps.visitors.models import FaceTemplate, Visitor
from apps.visitors.services import restrict
from apps.visits.models import Visit
from apps.visits.services import disclose
from tests.conftest import House


def match_of(visitor: Visitor, house: House, **changes: object) -> Match:
    template = visitor.templates.get()
    values: dict[str, object] = {
        "template": template.pk,
        "camera": house.camera.pk,
        "store": house.store.pk,
        "score": 0.8,
        "threshold": 0.4,
        "seen_at": time.time(),
    }
    return Match(**{**values, **changes})  # type: ignore[arg-type]


def visit_of(decision: Decision) -> Visit:
    assert decision.visit is not None
    return Visit.objects.get(pk=decision.visit)


def test_a_visitor_who_signed_gets_a_visit_and_a_ledger_entry(house: House) -> None:
    decision = disclose(match_of(house.visitor(), house))
    visit = visit_of(decision)
    assert (decision.outcome, visit.number) == ("visit", 1)
    assert Entry.objects.filter(action="visit.disclosed").count() == 1


def test_one_stay_is_one_visit_whatever_the_cameras_say(house: House) -> None:
    match = match_of(house.visitor(), house)
    assert disclose(match).outcome == "visit"
    assert disclose(match) == Decision(None, "still_here")
    assert Visit.objects.count() == 1


def test_within_the_cool_down_nobody_is_announced_twice(house: House) -> None:
    Store.objects.update(absence_minutes=5, cool_down_minutes=60)
    match = match_of(house.visitor(), house)
    disclose(match)
    now = timezone.now()
    for minutes in (10, 50):
        Visit.objects.update(
            arrived_at=now - timedelta(minutes=minutes), last_seen_at=now - timedelta(minutes=9)
        )
        assert disclose(match).outcome == "still_here"
    Visit.objects.update(
        arrived_at=now - timedelta(minutes=61), last_seen_at=now - timedelta(minutes=9)
    )
    assert visit_of(disclose(match)).number == 2


def test_a_return_after_the_absence_is_the_second_visit(house: House) -> None:
    match = match_of(house.visitor(), house)
    disclose(match)
    away = timedelta(minutes=house.store.absence_minutes + 1)
    Visit.objects.update(last_seen_at=timezone.now() - away)
    assert visit_of(disclose(match)).number == 2


def old_town(house: House, name: str = "Old Town") -> House:
    """Another store of the same house, which is slower to greet again."""
    store = Store.objects.create(
        organization=house.organization,
        name=name,
        slug=name.lower().replace(" ", "-"),
        jurisdiction="eu",
        non_face_check_in="Show your card.",
        absence_minutes=60,
    )
    now = timezone.now()
    camera = Camera.objects.create(
        store=store, name="Lane", mode="lane", source="lane.mp4", signage_confirmed_at=now
    )
    Role.objects.create(user=house.dpo, store=store, kind=Role.Kind.DPO)
    Assessment.objects.create(
        camera=camera,
        necessity="x",
        signed_by=house.dpo,
        signed_at=now,
        expires_at=now + timedelta(days=1),
    )
    kiosk = Device.objects.create(store=store, name="Tablet")
    return replace(house, store=store, camera=camera, kiosk=kiosk)


def test_each_store_has_its_own_absence_and_cool_down(house: House) -> None:
    Store.objects.update(absence_minutes=5)
    there = old_town(house)
    for store, again in ((house, "visit"), (there, "still_here")):
        match = match_of(store.visitor(), store)
        assert disclose(match).outcome == "visit"
        ago = timezone.now() - timedelta(minutes=10)
        Visit.objects.filter(store=store.store).update(arrived_at=ago, last_seen_at=ago)
        assert disclose(match).outcome == again
    Store.objects.filter(pk=there.store.pk).update(absence_minutes=5)
    Visit.objects.filter(store=there.store).update(last_seen_at=ago)
    assert disclose(match).outcome == "visit", "it is the store's own setting that counts"


def test_without_an_agreed_history_there_is_no_number(house: House) -> None:
    visitor = house.visitor(purposes=[Purpose.LANE])
    visit = visit_of(disclose(match_of(visitor, house)))
    assert visit.number is None
    assert visit.delete_after < timezone.now() + timedelta(hours=13)


def withdraw(visitor: Visitor, house: House) -> None:
    consents.withdraw(consent=Consent.objects.get(subject=visitor.subject), actor="test")


def restricted(visitor: Visitor, house: House) -> None:
    restrict(visitor=visitor, restricted=True, actor="test")


def past_its_time(visitor: Visitor, house: House) -> None:
    """Moves the deadline as a clock would, past the trigger that keeps it in the future."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE visitors_facetemplate DISABLE TRIGGER template_needs_consent")
        FaceTemplate.objects.update(delete_after=timezone.now() - timedelta(seconds=1))
        cursor.execute(
            "ALTER TABLE visitors_facetemplate ENABLE ALWAYS TRIGGER template_needs_consent"
        )


def assessment_over(visitor: Visitor, house: House) -> None:
    Assessment.objects.update(
        signed_at=timezone.now() - timedelta(days=2), expires_at=timezone.now() - timedelta(days=1)
    )


def camera_counts_only(visitor: Visitor, house: House) -> None:
    Camera.objects.update(mode=Camera.Mode.COUNT)


def camera_off(visitor: Visitor, house: House) -> None:
    Camera.objects.update(active=False)


def purpose_withdrawn(visitor: Visitor, house: House) -> None:
    Consent.objects.update(purposes=["history"])


@pytest.mark.parametrize(
    "end",
    [
        withdraw,
        restricted,
        past_its_time,
        assessment_over,
        camera_counts_only,
        camera_off,
        purpose_withdrawn,
    ],
)
def test_a_stale_gallery_creates_no_visit(house: House, end: object) -> None:
    visitor = house.visitor()
    match = match_of(visitor, house)
    end(visitor, house)  # type: ignore[operator]
    assert disclose(match).outcome == "refused"
    assert not Visit.objects.exists()


def test_another_stores_camera_discloses_nothing(house: House) -> None:
    visitor = house.visitor()
    other = Camera.objects.get()
    other.pk = uuid.uuid4()
    other.store = house.organization.stores.create(
        name="Old Town", slug="old-town", jurisdiction="eu"
    )
    other.save(force_insert=True)
    assert disclose(match_of(visitor, house, camera=other.pk)).outcome == "refused"
    assert disclose(match_of(visitor, house, store=other.store_id)).outcome == "refused"
