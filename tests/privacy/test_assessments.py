"""An impact assessment is written by one officer, signed by another, and stays as it was signed."""

import re
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.utils import timezone

from apps.audit.models import Entry
from apps.stores.models import Assessment, Camera, User
from apps.visits.cameras import specs
from tests.clients import browser
from tests.conftest import House
from tests.privacy.assessing import RISKS, TEXTS, drafted, second_officer
from tests.privacy.test_paper import text_of

ASSESSMENTS = "/admin/stores/assessment"


@pytest.fixture
def officer(house: House) -> Client:
    return browser(house.dpo)


@pytest.fixture
def second(house: House) -> User:
    return second_officer(house)


def typed(page: str, **changes: object) -> dict[str, object]:
    """What the page sends when its texts are written and one risk is named."""
    found = re.search(r'name="read" value="(\w+)"', page)
    assert found
    (risk,) = RISKS
    until = (timezone.now() + timedelta(days=200)).date().isoformat()
    form = {**TEXTS, **risk, "max_faces": "1", "way_past": "", "until": until, "read": found[1]}
    return {**form, **changes}


def document(client: Client, assessment: Assessment) -> str:
    return str(client.get(f"{ASSESSMENTS}/{assessment.pk}/document/").content.decode())


def signed(client: Client, assessment: Assessment) -> str:
    """Press what the page offers, if it does."""
    found = re.search(r'name="read" value="(\w+)"', document(client, assessment))
    read = {"read": found[1]} if found else {"read": ""}
    answer = client.post(f"{ASSESSMENTS}/{assessment.pk}/sign/", read, follow=True)
    return str(answer.content.decode())


def test_gdpr_35_a_lane_runs_from_the_second_officers_signature_on(
    house: House, officer: Client, second: User
) -> None:
    Assessment.objects.all().delete()
    Camera.objects.update(zone=[[0, 0], [0.5, 0], [0.5, 1], [0, 1]])
    begun = officer.post(f"{ASSESSMENTS}/add/", {"camera": str(house.camera.pk)}, follow=True)
    draft = Assessment.objects.get()
    assert "Before it can be signed" in begun.content.decode()
    address = f"{ASSESSMENTS}/{draft.pk}/change/"
    saved = officer.post(address, {**typed(begun.content.decode()), "then": "read"}, follow=True)
    page = saved.content.decode()
    for words in (*TEXTS.values(), "A stranger is greeted.", "A high threshold.", "not signed"):
        assert words in page, words
    assert "Somebody else has to read and sign it" in page
    assert not specs(set())

    assert "Somebody else has to read and sign it" in signed(officer, draft)
    assert not specs(set())
    assert "Omar" in signed(browser(second), draft)
    assert house.camera.pk in specs(set())
    done = Entry.objects.filter(detail__object=str(draft.pk)).order_by("seq")
    assert list(done.values_list("action", "actor")) == [
        ("assessment.begun", f"user:{house.dpo.pk}"),
        ("assessment.written", f"user:{house.dpo.pk}"),
        ("assessment.signed", f"user:{second.pk}"),
    ]


def test_what_is_signed_is_never_changed_by_anyone(
    house: House, officer: Client, second: User
) -> None:
    draft = drafted(house.camera, house.dpo)
    signed(browser(second), draft)
    before = Assessment.objects.filter(pk=draft.pk).values().get()
    answer = officer.post(f"{ASSESSMENTS}/{draft.pk}/change/", {"necessity": "Else."})
    assert answer.status_code == 403
    rows = Assessment.objects.filter(pk=draft.pk)
    for change in ({"necessity": "Else."}, {"expires_at": timezone.now()}, {"version": 0}):
        with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
            rows.update(**change)
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        rows.delete()
    assert rows.values().get() == before
    text = text_of(officer.get(f"{ASSESSMENTS}/{draft.pk}/document/pdf/").content)
    assert "Impact assessment" in text
    assert TEXTS["proportionality"] in text
    assert str(before["digest"]) in text.replace(" ", "")


def test_postgresql_knows_that_a_lane_takes_two(house: House, second: User) -> None:
    draft = drafted(house.camera, house.dpo)
    sign = {"signed_at": timezone.now(), "digest": "x"}
    rows = Assessment.objects.filter(pk=draft.pk)
    with pytest.raises(DatabaseError, match="somebody signs"), transaction.atomic():
        rows.update(signed_by=house.dpo, **sign)
    with pytest.raises(DatabaseError, match="keeps its version"), transaction.atomic():
        rows.update(version=0)
    with pytest.raises(DatabaseError, match="with its writers"), transaction.atomic():
        rows.update(signed_by=second, editors=[], **sign)
    rows.update(signed_by=second, **sign)
    # Nor does one slip in as if it were from before there were documents, which names no writer.
    with pytest.raises(DatabaseError, match="is a document by now"), transaction.atomic():
        Assessment.objects.create(
            camera=house.camera,
            necessity="x",
            signed_by=house.dpo,
            signed_at=timezone.now(),
            expires_at=timezone.now() + timedelta(days=1),
        )


def test_a_camera_that_only_counts_takes_one(house: House, officer: Client) -> None:
    house.camera.mode = Camera.Mode.COUNT
    house.camera.save()
    assert "Diana" in signed(officer, drafted(house.camera, house.dpo))
    assert house.camera.assessment() is not None
    Camera.objects.update(mode=Camera.Mode.LANE)
    house.camera.refresh_from_db()
    assert Assessment.objects.filter(mode="count").exists()
    held = house.camera.assessment()
    assert held is not None
    assert held.version == 0, "one for counting is none for a lane"


@pytest.mark.parametrize("lack", [*TEXTS, "risks", "expires_at"])
def test_what_lacks_anything_is_not_signed(house: House, second: User, lack: str) -> None:
    late = timezone.now() + timedelta(days=366)
    empty = {"risks": [], "expires_at": late}.get(lack, " ")
    draft = drafted(house.camera, house.dpo, **{lack: empty})
    page = signed(browser(second), draft)
    assert "not signed" in page
    draft.refresh_from_db()
    assert draft.signed_at is None


def test_who_saves_over_somebody_else_is_told_and_loses_nothing(
    house: House, officer: Client, second: User
) -> None:
    draft = drafted(house.camera, house.dpo)
    address = f"{ASSESSMENTS}/{draft.pk}/change/"
    opened = officer.get(address).content.decode()
    other = browser(second)
    other.post(address, typed(other.get(address).content.decode(), necessity="Omar's."))
    answer = officer.post(address, typed(opened, necessity="Diana's."))
    assert answer.status_code == 409
    page = answer.content.decode()
    assert "Somebody else saved this version meanwhile" in page
    assert "Diana&#x27;s." in page
    draft.refresh_from_db()
    assert draft.necessity == "Omar's."
    officer.post(address, typed(page, necessity="Diana's."))
    draft.refresh_from_db()
    assert draft.necessity == "Diana's."
    assert "read and sign it" in signed(other, draft), "both wrote in it"


def test_a_new_version_begins_with_the_words_of_the_last(
    house: House, officer: Client, second: User
) -> None:
    signed(browser(second), drafted(house.camera, house.dpo))
    officer.post(f"{ASSESSMENTS}/add/", {"camera": str(house.camera.pk)})
    first, anew = Assessment.objects.filter(version__gt=0).order_by("version")
    assert (first.version, anew.version) == (1, 2)
    assert (anew.necessity, anew.risks) == (first.necessity, first.risks)
    assert house.camera.assessment() == first, "the old one holds until the new one is signed"


def test_an_assessment_of_another_store_is_not_there(house: House, second: User) -> None:
    draft = drafted(house.camera, house.dpo)
    second.roles.all().delete()
    stores = house.organization.stores.create(name="Old Town", slug="old-town")
    second.roles.create(store=stores, kind="dpo")
    other = browser(second)
    for path in ("change/", "document/", "document/pdf/"):
        assert other.get(f"{ASSESSMENTS}/{draft.pk}/{path}").status_code == 404
    assert other.post(f"{ASSESSMENTS}/{draft.pk}/sign/").status_code == 404
    assert other.post(f"{ASSESSMENTS}/add/", {"camera": str(house.camera.pk)}).status_code == 404
    assert connection.in_atomic_block
