"""The officer's page on models: how far a change is, and the day on which the former one ends."""

import re
from datetime import date, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from apps.audit.models import Entry
from apps.recognition.engine.starter import VERSION
from apps.recognition.models import Recognizer
from apps.retention.services.sweep import sweep
from apps.stores.models import Device, Role, Store, User
from apps.visitors.models import FaceTemplate, FormerPack, Visitor
from tests.clients import browser
from tests.conftest import House, hashed
from tests.retention.test_retire import OLD, of_the_former, taken_anew

PAGE = "/admin/visitors/formerpack/"


@pytest.fixture(autouse=True)
def nothing_is_left_yet(db: None) -> None:
    """A recognizer of some test before may have written down a pack after it."""
    FormerPack.objects.all().delete()


@pytest.fixture
def officer(house: House) -> Client:
    return browser(house.dpo)


@pytest.fixture
def pack(house: House) -> FormerPack:
    """The former pack, left ten days ago, without a day."""
    return FormerPack.objects.create(
        name=OLD[0],
        version=OLD[1],
        licence="MIT",
        dim=256,
        left_at=timezone.now() - timedelta(days=10),
    )


@pytest.fixture
def recognizer(house: House) -> Recognizer:
    return Recognizer.objects.create(
        pack="consentry-starter",
        pack_version=VERSION,
        licence="Apache-2.0 and MIT",
        commercial=True,
        dim=128,
        former=" ".join(OLD),
        generation=1,
        started_at=timezone.now(),
        seen_at=timezone.now() + timedelta(minutes=5),
    )


def text(client: Client, **form: str) -> str:
    """What stands on the page, or on the one after a form, without tags and doubled blanks."""
    answer = client.get(PAGE)
    assert answer.status_code == 200
    return words(answer.content.decode())


def words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def part(client: Client, name: str) -> str:
    """One marked place of the page."""
    page = client.get(PAGE).content.decode()
    found = re.search(rf'<(\w+)[^>]*data-testid="{name}"[^>]*>(.*?)</\1>', page, re.S)
    assert found, name
    return words(found.group(2)).strip()


def in_days(days: int) -> date:
    return timezone.now().date() + timedelta(days=days)


def end(client: Client, pack: FormerPack, day: str, reason: str = "A better one", **more: str):  # type: ignore[no-untyped-def]
    return client.post(f"{PAGE}{pack.pk}/end/", {"day": day, "reason": reason, **more}, follow=True)


def test_without_a_change_the_page_says_what_one_is(officer: Client) -> None:
    page = text(officer)
    assert "No recognizer answers. Nobody is recognised." in page
    assert "Changing to another model" in page
    assert "CONSENTRY_FORMER_PACK_DIR" in page


def test_the_first_page_leads_there(officer: Client) -> None:
    assert f'href="{PAGE}"' in officer.get("/admin/").content.decode()


def test_both_models_are_named(officer: Client, pack: FormerPack, recognizer: Recognizer) -> None:
    page = text(officer)
    for word in ("consentry-starter", "Apache-2.0 and MIT", "128", *OLD, "256"):
        assert word in page
    assert "No recognizer reads this model" not in page


def test_progress_is_counted_by_store(
    house: House, officer: Client, pack: FormerPack, recognizer: Recognizer
) -> None:
    for _ in range(3):
        of_the_former(house)
    visitor, new = taken_anew(house)
    FaceTemplate.objects.filter(pk=new.pk).update(visit=visitor.pk)
    of_the_former(house).templates.update(mixed_up=True)
    house.visitor("enrolled since")
    assert part(officer, "model-whole") == "1 of 5 (20 %)"
    row = part(officer, "model-store")
    assert "Taken anew 1" in row
    assert "By the former only 4" in row
    # One in the ten days since it was left: the other four take forty.
    assert "A day, lately 0.1" in row
    assert f"{in_days(40):%Y}" in row
    assert "1 of them stays with the former model" in row


def test_nobody_can_tell_the_end_without_a_pace(
    house: House, officer: Client, pack: FormerPack
) -> None:
    of_the_former(house)
    assert "cannot be told" in part(officer, "model-store")


def test_what_no_recognizer_reads_is_said(house: House, officer: Client, pack: FormerPack) -> None:
    of_the_former(house)
    assert "so 1 template recognises nobody" in part(officer, "model-unread")


def test_a_day_is_set_after_a_look_at_what_it_erases(
    house: House, officer: Client, pack: FormerPack
) -> None:
    of_the_former(house)
    taken_anew(house)
    day = in_days(30).isoformat()
    shown = words(end(officer, pack, day).content.decode())
    assert "2 sealed face templates of this model are erased" in shown
    assert "1 person is known by nothing else" in shown
    pack.refresh_from_db()
    assert pack.ends_at is None, "nothing has happened yet"
    end(officer, pack, day, confirm="1")
    pack.refresh_from_db()
    assert pack.ends_at is not None
    assert pack.ends_at.date() == in_days(30)
    assert (pack.ends_at.hour, pack.reason) == (0, "A better one")
    entry = Entry.objects.get(action="model.end_set")
    assert (entry.actor, entry.detail["day"]) == (f"user:{house.dpo.pk}", day)
    told = part(officer, "model-loss")
    assert "templates erased: 2. People known by nothing else, who go with theirs: 1." in told


def test_it_ends_on_that_day_and_the_page_says_what_went(
    house: House, officer: Client, pack: FormerPack
) -> None:
    of_the_former(house)
    taken_anew(house)
    end(officer, pack, in_days(0).isoformat(), confirm="1")
    assert sweep().as_dict()["failed"] == 0
    gone = part(officer, "models-ended")
    assert "1 template of somebody known anew" in gone
    assert "1 person who did not come by" in gone
    assert "all certified" in gone
    assert "Being left" not in text(officer)
    assert Visitor.objects.count() == 1


@pytest.mark.parametrize(
    ("day", "reason"),
    [("yesterday", "why"), ("", "why"), ("2031-02-30", "why"), ("tomorrow", ""), ("x" * 999, "y")],
)
@pytest.mark.parametrize("confirm", [{}, {"confirm": "1"}])
def test_bad_days_are_refused_in_a_sentence(
    officer: Client, pack: FormerPack, day: str, reason: str, confirm: dict[str, str]
) -> None:
    named = {"yesterday": in_days(-1).isoformat(), "tomorrow": in_days(1).isoformat()}
    answer = end(officer, pack, named.get(day, day), reason, **confirm)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.content.decode()
    pack.refresh_from_db()
    assert pack.ends_at is None


def test_a_day_is_taken_back_until_it_has_come(officer: Client, pack: FormerPack) -> None:
    end(officer, pack, in_days(3).isoformat(), confirm="1")
    officer.post(f"{PAGE}{pack.pk}/keep/")
    pack.refresh_from_db()
    assert (pack.ends_at, pack.reason) == (None, "")
    assert Entry.objects.filter(action="model.end_taken_back").count() == 1
    end(officer, pack, in_days(0).isoformat(), confirm="1")
    answer = officer.post(f"{PAGE}{pack.pk}/keep/", follow=True)
    assert "has ended already" in answer.content.decode()
    assert end(officer, pack, in_days(9).isoformat(), confirm="1").status_code == 400
    pack.refresh_from_db()
    assert pack.ended


def test_an_officer_sees_their_stores_and_ends_nothing_of_others(
    house: House, officer: Client, pack: FormerPack
) -> None:
    other = Store.objects.create(
        organization=house.organization, name="Old Town", slug="old-town", jurisdiction="eu"
    )
    Device.objects.create(store=other, name="Old tablet")
    otto = User.objects.create(username="otto", password=hashed())
    Role.objects.create(user=otto, store=other, kind=Role.Kind.DPO)
    of_the_former(house)
    page = text(browser(otto))
    assert "Harbour Street" not in page
    assert "An officer of all of them sets the day" in page
    end(browser(otto), pack, in_days(1).isoformat(), confirm="1")
    pack.refresh_from_db()
    assert pack.ends_at is None
    end(officer, pack, in_days(1).isoformat(), confirm="1")
    pack.refresh_from_db()
    assert pack.ends_at is not None
    browser(otto).post(f"{PAGE}{pack.pk}/keep/")
    pack.refresh_from_db()
    assert pack.ends_at is not None


def test_nobody_else_gets_in(house: House, pack: FormerPack) -> None:
    for client in (browser(), browser(house.staff)):
        assert client.get(PAGE).status_code == 302
        end(client, pack, in_days(1).isoformat(), confirm="1")
    pack.refresh_from_db()
    assert pack.ends_at is None


def test_the_page_asks_a_fixed_number_of_questions(
    house: House, officer: Client, pack: FormerPack, django_assert_max_num_queries: object
) -> None:
    for _ in range(4):
        of_the_former(house)
        taken_anew(house)
    with django_assert_max_num_queries(20):  # type: ignore[operator]
        text(officer)
