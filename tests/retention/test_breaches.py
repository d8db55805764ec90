"""A breach: its clock, whom it touched, what is decided, and one message to each of them."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from apps.audit import services as audit
from apps.audit.models import Entry
from apps.config.celery import app as celery
from apps.consent.models import Consent, Purpose
from apps.retention.models import Erasure
from apps.retention.services import breaches
from apps.retention.services.erase import erase
from apps.stores.models import Breach, Role, Store, User
from apps.visitors.models import Visitor
from apps.visits.services import disclose
from tests.clients import browser
from tests.conftest import House, hashed
from tests.database import without_triggers
from tests.postbox import by_mail, postbox
from tests.privacy.test_paper import text_of
from tests.visits.test_disclose import match_of

REGISTER = "/admin/duties/breaches"


@pytest.fixture
def officer(house: House) -> Client:
    return browser(house.dpo)


@pytest.fixture
def worker() -> Iterator[None]:
    """A task is run where it is called, as its worker would run it."""
    celery.conf.task_always_eager = True
    yield
    celery.conf.task_always_eager = False


def breach_of(house: House, **changes: object) -> Breach:
    values: dict[str, object] = {
        "organization": house.organization,
        "what": "A backup lay in an open folder.",
        "discovered_at": timezone.now(),
        "kinds": ["template", "name"],
    }
    return breaches.write(breach=Breach(**{**values, **changes}), actor="test")


def reachable(house: House, name: str, contact: str, **changes: Any) -> Visitor:
    visitor = house.visitor(name, purposes=[Purpose.LANE, Purpose.CONTACT], **changes)
    Visitor.objects.filter(pk=visitor.pk).update(contact=contact)
    return visitor


def page(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, path
    return str(answer.content.decode())


def act(client: Client, breach: Breach, **form: str) -> str:
    answer = client.post(f"{REGISTER}/{breach.pk}/act/", form, follow=True)
    return str(answer.content.decode())


# The clock.


@pytest.mark.parametrize(
    ("law", "hours"), [("eu", 72), ("uk", 72), ("cn", 0), ("us-tx", 720), ("au", 720)]
)
def test_gdpr_33_pipl_57_the_clock_is_that_of_the_law(house: House, law: str, hours: int) -> None:
    Store.objects.update(jurisdiction=law)
    breach = breach_of(house)
    assert breach.due_at - breach.discovered_at == timedelta(hours=hours)


def test_of_several_laws_the_shortest_clock_runs(house: House) -> None:
    there = Store.objects.create(
        organization=house.organization, name="Canton", slug="canton", jurisdiction="cn"
    )
    breach = breach_of(house)
    assert breach.due_at == breach.discovered_at
    breach.stores = [house.store.pk]
    assert breach.due_at == breach.discovered_at + timedelta(hours=72)
    breach.stores = [there.pk]
    assert breach.due_at == breach.discovered_at


def test_the_first_page_counts_down_and_turns_red(house: House, officer: Client) -> None:
    assert 'data-testid="breaches"' not in page(officer, "/admin/")
    breach = breach_of(house, discovered_at=timezone.now() - timedelta(hours=71))
    assert "59\xa0minutes left" in page(officer, "/admin/")
    Breach.objects.update(discovered_at=timezone.now() - timedelta(hours=73))
    late = page(officer, "/admin/")
    assert "breach-late" in late
    assert "overdue by 1\xa0hour" in late
    act(officer, breach, act="authority", tell="no", why="Sealed, the keys are elsewhere.")
    assert "breach-late" not in page(officer, "/admin/")


# The register.


def test_an_officer_registers_a_breach_and_brings_it_to_its_end(
    house: House, officer: Client
) -> None:
    house.visitor()
    now = timezone.localtime()
    form = {
        "organization": str(house.organization.pk),
        "what": "A backup lay in an open folder.",
        "discovered_at": (now - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M"),
        "happened_at": "",
        "kinds": ["template"],
        "stores": [str(house.store.pk)],
        "span": "signed",
        "span_from": "",
        "span_until": "",
        "consequences": "Little: it is sealed.",
        "measures": "The folder is closed.",
        "words_0": "We left a copy where it should not be.",
    }
    answer = officer.post(f"{REGISTER}/new/", form)
    assert answer.status_code == 302, answer.content.decode()
    breach = Breach.objects.get()
    assert (breach.stores, breach.kinds) == ([house.store.pk], ["template"])
    notice = page(officer, f"{REGISTER}/{breach.pk}/authority/")
    for words in ("A backup lay in an open folder.", "sealed face templates: 1", "Little"):
        assert words in notice, words
    assert "privacy@harbour.example" in text_of(
        officer.get(f"{REGISTER}/{breach.pk}/authority/pdf/").content
    )
    assert "still to be decided" in act(officer, breach, act="close")
    assert "Say why" in act(officer, breach, act="authority", tell="yes", why=" ")
    act(officer, breach, act="authority", tell="yes", why="A risk cannot be ruled out.")
    too_early = (now - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    assert "Choose a time" in act(officer, breach, act="told", at=too_early)
    assert "Choose a time" in act(officer, breach, act="told", at="yesterday")
    to_come = (timezone.localtime() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    assert "Choose a time" in act(officer, breach, act="told", at=to_come)
    act(officer, breach, act="told", at=now.strftime("%Y-%m-%dT%H:%M"))
    act(officer, breach, act="people", tell="no", why="It is sealed.")
    act(officer, breach, act="close")
    breach.refresh_from_db()
    assert breach.closed_at is not None
    assert "This breach is closed" in act(officer, breach, act="people", tell="yes", why="x")
    done = Entry.objects.filter(detail__object=str(breach.pk)).order_by("seq")
    assert list(done.values_list("action", flat=True)) == [
        "breach.registered",
        "breach.decided",
        "breach.authority_told",
        "breach.decided",
        "breach.closed",
    ]
    assert "backup" not in str(list(done.values_list("detail", flat=True)))


def test_what_cannot_be_is_said_and_nothing_is_lost(house: House, officer: Client) -> None:
    tomorrow = timezone.localtime() + timedelta(days=1)
    form = {
        "organization": str(house.organization.pk),
        "what": "What was typed.",
        "discovered_at": tomorrow.strftime("%Y-%m-%dT%H:%M"),
        "span": "signed",
        "span_from": "2026-05-02",
        "span_until": "2026-05-01",
    }
    answer = officer.post(f"{REGISTER}/new/", form)
    assert answer.status_code == 400
    text = answer.content.decode()
    for words in ("What was typed.", "still to come", "before the first day", "is required"):
        assert words in text, words
    assert not Breach.objects.exists()


def test_postgresql_keeps_no_decision_without_a_reason(house: House) -> None:
    breach_of(house)
    for change in (
        {"tell_authority": True},
        {"tell_people": False},
        {"closed_at": timezone.now()},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            Breach.objects.update(**change)


def test_another_organizations_breach_is_not_there(house: House) -> None:
    breach = breach_of(house)
    other = User.objects.create(username="otto", password=hashed())
    elsewhere = Store.objects.create(
        organization=type(house.organization).objects.create(
            name="Else", contact_email="e@e.example"
        ),
        name="Else",
        slug="else",
    )
    Role.objects.create(user=other, store=elsewhere, kind=Role.Kind.DPO)
    client = browser(other)
    for path in ("", "edit/", "people/", "authority/", "letter/en/"):
        assert client.get(f"{REGISTER}/{breach.pk}/{path}").status_code == 404, path
    assert client.post(f"{REGISTER}/{breach.pk}/act/", {"act": "close"}).status_code == 404
    assert str(breach.pk) not in page(client, f"{REGISTER}/")


# Whom it touched.


def test_the_filter_finds_who_signed_or_came_within_the_days(house: House) -> None:
    early, late = house.visitor("Early"), house.visitor("Late")
    long_ago = timezone.now() - timedelta(days=40)
    with without_triggers("consent_consent"):
        Consent.objects.filter(subject=early.subject).update(signed_at=long_ago)
    today = timezone.now().date()
    recent = {"span_from": today - timedelta(days=7), "span_until": today}
    assert set(breaches.affected(breach_of(house))) == {early, late}
    assert set(breaches.affected(breach_of(house, **recent))) == {late}
    came = breach_of(house, span="visited", **recent)
    assert not breaches.affected(came)
    disclose(match_of(early, house))
    assert set(breaches.affected(came)) == {early}
    old_town = Store.objects.create(
        organization=house.organization, name="Old Town", slug="old-town", jurisdiction="eu"
    )
    assert not breaches.affected(breach_of(house, stores=[old_town.pk]))
    assert not breaches.affected(breach_of(house, kinds=["note"]))


def test_who_was_erased_since_is_counted_and_who_left_a_proof_too(house: House) -> None:
    gone = house.visitor()
    breach = breach_of(house, kinds=["template", "proof"])
    erase(visitor=gone, cause=Erasure.Cause.REQUEST, actor="test")
    house.visitor()
    count = breaches.counted(breach)
    assert (count.people, count.proof, count.erased) == (1, 1, 1)
    assert count.kinds[Breach.Kind.TEMPLATE] == 1


def test_the_list_opens_for_a_reason_and_each_look_is_in_the_ledger(
    house: House, officer: Client
) -> None:
    visitors = [house.visitor(f"Guest {number:02}") for number in range(26)]
    breach = breach_of(house)
    address = f"{REGISTER}/{breach.pk}/people/"
    assert "Guest" not in page(officer, f"{REGISTER}/{breach.pk}/")
    assert "Guest" not in page(officer, address)
    assert "Guest" not in officer.post(address, {"reason": "curious"}).content.decode()
    first = officer.post(address, {"reason": "breach"}, follow=True).content.decode()
    assert ("Guest 00" in first, "Guest 25" in first) == (True, False)
    looks = Entry.objects.filter(action="visitor.looked")
    assert looks.count() == 25
    assert "Guest 25" in page(officer, f"{address}?page=2")
    (look,) = [each for each in audit.about(visitors[25].subject) if "looked" in each.action]
    assert look.detail["reason"] == "breach"
    session = officer.session
    session[f"reason:{breach.pk}"] = ["breach", timezone.now().timestamp() - 16 * 60]
    session.save()
    assert "Guest" not in page(officer, address)


def test_an_officer_sees_the_people_of_the_own_stores_only(house: House, officer: Client) -> None:
    house.visitor("Guest here")
    breach = breach_of(house)
    officer.post(f"{REGISTER}/{breach.pk}/people/", {"reason": "breach"})
    old_town = Store.objects.create(
        organization=house.organization, name="Old Town", slug="old-town", jurisdiction="eu"
    )
    Role.objects.filter(user=house.dpo).update(store=old_town)
    shown = page(officer, f"{REGISTER}/{breach.pk}/people/")
    assert "Guest here" not in shown


# Telling people.


@pytest.mark.django_db(transaction=True)
def test_gdpr_34_each_person_is_written_to_once_in_their_language(
    house: House, settings: Settings, worker: None
) -> None:
    reachable(house, "Ms Chen", "chen@example.com")
    french = house.text.notice.texts.get(locale="fr")
    draft = {"locale": "fr", "notice": str(french.pk), "digest": french.digest}
    reachable(house, "Mme Petit", "petit@example.com", **draft)
    house.visitor("Without address")
    breach = breach_of(house, words={"fr": "Une copie a été laissée ouverte."})
    officer = browser(house.dpo)
    with postbox() as box:
        by_mail(settings, box.url)
        assert "Decide first" in act(officer, breach, act="send")
        act(officer, breach, act="people", tell="yes", why="Names were in it.")
        act(officer, breach, act="send")
        assert len(box.taken) == 2
        breaches.send(breach.pk)
        told = {str(each["To"]): each.get_content() for each in box.taken}
    assert len(box.taken) == 2, "once each"
    assert "A backup lay in an open folder." in told["chen@example.com"]
    assert "Une copie a été laissée ouverte." in told["petit@example.com"]
    assert "privacy@harbour.example" in told["petit@example.com"]
    assert "2 of 2" in page(officer, f"{REGISTER}/{breach.pk}/")
    person = Visitor.objects.get(greeting_name="Ms Chen")
    assert next(each.action for each in audit.about(person.subject)) == "breach.told"
    assert "example.com" not in str(list(Entry.objects.values_list("detail", flat=True)))


def test_a_refused_address_keeps_no_other_from_its_message(
    house: House, settings: Settings
) -> None:
    reachable(house, "Gone", "gone@example.com")
    reachable(house, "Ms Chen", "chen@example.com")
    breach = breach_of(house, tell_people=True, people_why="Names were in it.")
    with postbox() as box:
        box.unknown.add("gone@example.com")
        by_mail(settings, box.url)
        assert breaches.send(breach.pk) == 1
    assert [str(each["To"]) for each in box.taken] == ["chen@example.com"]
    assert Entry.objects.filter(action="breach.not_delivered").count() == 1


def test_nothing_is_claimed_while_the_mail_server_is_away(house: House, settings: Settings) -> None:
    reachable(house, "Ms Chen", "chen@example.com")
    breach = breach_of(house, tell_people=True, people_why="Names were in it.")
    with postbox() as box:
        url = box.url
    by_mail(settings, url)
    assert breaches.send(breach.pk) == 0
    assert breaches.counted(breach).told == 0
    with postbox() as box:
        by_mail(settings, box.url)
        assert breaches.send(breach.pk) == 1


@pytest.mark.parametrize("locale", ["en", "ar"])
def test_the_letter_is_printed_in_each_language(house: House, officer: Client, locale: str) -> None:
    breach = breach_of(house, words={"ar": "تُركت نسخة في مكان مفتوح."})
    shown = page(officer, f"{REGISTER}/{breach.pk}/letter/{locale}/")
    assert breach.words_in(locale) in shown
    paper = officer.get(f"{REGISTER}/{breach.pk}/letter/{locale}/pdf/")
    assert paper["Content-Type"] == "application/pdf"
    assert officer.get(f"{REGISTER}/{breach.pk}/letter/xx/").status_code == 404
