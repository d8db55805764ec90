"""One message before a consent ends, to whoever asked for it; and no question where none can go."""

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone
from pytest_django.fixtures import Settings

from apps.audit.models import Entry
from apps.config.schedule import SCHEDULE
from apps.consent import services as consents
from apps.consent.document import receipt_fields
from apps.consent.models import Consent, Purpose
from apps.recognition.engine import starter
from apps.retention import tasks
from apps.retention.services.remind import remind
from apps.retention.services.withdraw import withdraw_purpose
from apps.visitors.models import Visitor
from apps.visitors.services import SealedTemplate, enroll
from tests.clients import browser, enrolled, opt_in_form
from tests.conftest import House
from tests.consent.notices import third_party
from tests.database import run
from tests.people import manage
from tests.postbox import Postbox, by_mail, postbox

ADDRESS = "chen@example.org"
ASKED = [Purpose.LANE, Purpose.CONTACT]
FIRST = "Ms Chen"


@pytest.fixture
def box(settings: Settings) -> Iterator[Postbox]:
    with postbox() as box:
        by_mail(settings, box.url)
        yield box


def guest(house: House, contact: str = ADDRESS, *, days: int = 10, **changes: Any) -> Visitor:
    """Somebody whose consent ends in so many days, and who may be written to."""
    signed = consents.sign(house.draft(**{"purposes": ASKED, **changes}))
    template = SealedTemplate(uuid.uuid4(), b"wrapped", 1, b"sealed", starter.NAME, starter.VERSION)
    visitor = enroll(
        visitor=uuid.uuid4(),
        consent=signed.consent,
        greeting_name=FIRST,
        contact=contact,
        templates=[template],
        actor="test",
    )
    signed.consent.expires_at = timezone.now() + timedelta(days=days)
    signed.consent.save()
    return visitor


def test_who_asked_is_written_to_once_in_their_language_and_nothing_private_is_said(
    house: House, box: Postbox
) -> None:
    chinese = house.text.notice.texts.get(locale="zh-hans")
    guest(house)
    changes: dict[str, Any] = {
        "locale": "zh-hans",
        "notice": str(chinese.pk),
        "digest": chinese.digest,
    }
    guest(house, "wang@example.org", **changes)
    for _again in range(3):
        tasks.remind()
    english, other = sorted(box.taken, key=lambda each: str(each["To"]))
    assert (english["To"], english["From"]) == (ADDRESS, "store@harbour.example")
    assert english["Auto-Submitted"] == "auto-generated"
    text = english.get_content()
    assert "You need do nothing" in text
    assert "sign again" in text
    assert "privacy@harbour.example" in text
    assert text.isascii(), "nothing of a template's markup"
    assert FIRST not in english.as_string()
    consent = Consent.objects.get(subject=Visitor.objects.get(contact=ADDRESS).subject)
    for private in (str(consent.pk), str(consent.subject), str(consent.receipt.pk)):
        assert private not in english.as_string()
    assert f"{consent.expires_at.day}" in str(english["Subject"])
    assert "年" in str(other["Subject"])
    entries = Entry.objects.filter(action="consent.reminded")
    assert entries.count() == 2
    assert not any("@" in str(entry.detail) for entry in entries)
    assert SCHEDULE["remind"]["task"] == tasks.remind.name


NOBODY: dict[str, Callable[[House], object]] = {
    "who did not agree to it": lambda house: guest(house, purposes=[Purpose.LANE]),
    "who gave no address": lambda house: guest(house, ""),
    "who gave a phone number when that could be given": lambda house: guest(house, "+41 44 123"),
    "whose consent lasts longer": lambda house: guest(house, days=15),
    "who took it back": lambda house: withdraw_purpose(
        visitor=guest(house), purpose=Purpose.CONTACT, actor="self"
    ),
    "who ended everything": lambda house: consents.withdraw(
        consent=Consent.objects.get(subject=guest(house).subject), actor="self"
    ),
}


@pytest.mark.parametrize("name", NOBODY)
def test_nobody_else_is_written_to(house: House, box: Postbox, name: str) -> None:
    NOBODY[name](house)
    assert remind() == 0
    assert not box.taken
    assert not Consent.objects.filter(reminded_at__isnull=False).exists()


def test_a_mail_server_that_is_away_costs_nobody_their_message(
    house: House, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    guest(house)
    with postbox() as gone:
        pass
    by_mail(settings, gone.url)
    assert remind() == 0
    assert "the mail server did not take everything" in caplog.text
    with postbox() as box:
        by_mail(settings, box.url)
        assert remind() == 1


def test_a_worker_that_is_killed_while_it_sends_has_not_written_twice(
    house: House, settings: Settings, transactional_db: None
) -> None:
    guest(house)
    with postbox(silent=True) as silent:
        worker = manage(
            *("shell", "-v", "0", "-c", "from apps.retention.tasks import remind; remind()"),
            CONSENTRY_MAIL_URL=silent.url,
            CONSENTRY_MAIL_FROM="store@harbour.example",
        )
        assert silent.asked.wait(120)
        worker.kill()
        worker.communicate()
    with postbox() as box:
        by_mail(settings, box.url)
        assert remind() == 0
        assert not box.taken


def test_an_address_that_is_not_known_is_tried_once_and_holds_nobody_up(
    house: House, box: Postbox, caplog: pytest.LogCaptureFixture
) -> None:
    guest(house, days=3)
    guest(house, "wang@example.org", days=9)
    box.unknown.add(ADDRESS)
    assert [remind(), remind()] == [1, 0]
    assert [each["To"] for each in box.taken] == ["wang@example.org"]
    assert Entry.objects.filter(action="consent.reminder_failed").count() == 1
    assert ADDRESS not in caplog.text


@pytest.mark.parametrize("contact", ["chen@example.org, wang@example.org", "chen@home@example"])
def test_what_is_no_address_is_in_no_log_and_holds_nobody_up(
    house: House, box: Postbox, caplog: pytest.LogCaptureFixture, contact: str
) -> None:
    """As it could be given when any contact was taken."""
    guest(house, contact, days=3)
    guest(house, "wang@example.net", days=9)
    assert [remind(), remind()] == [1, 0]
    assert [each["To"] for each in box.taken] == ["wang@example.net"]
    assert Entry.objects.filter(action="consent.reminder_failed").count() == 1
    assert "@" not in caplog.text


@pytest.mark.parametrize(
    "change",
    ["reminded_at = NULL", "reminded_at = now() + interval '1 hour'"],
)
def test_postgresql_lets_nobody_be_reminded_twice(house: House, box: Postbox, change: str) -> None:
    guest(house)
    remind()
    with pytest.raises(DatabaseError, match="reminded of once"), transaction.atomic():
        run(f"UPDATE consent_consent SET {change}")  # noqa: S608


def test_postgresql_lets_nobody_be_reminded_who_did_not_agree(house: House) -> None:
    guest(house, purposes=[Purpose.LANE])
    with pytest.raises(DatabaseError, match="only if agreed to"), transaction.atomic():
        run("UPDATE consent_consent SET reminded_at = now()")


# Where no e-mail can go, nobody is asked.


ELSEWHERE = "smtp://harbour:swordfish@mail.example:587"


@pytest.mark.parametrize(
    ("url", "carrier", "offered"),
    [
        ("", False, False),
        (ELSEWHERE, False, False),
        (ELSEWHERE, True, True),
        ("smtp://127.0.0.1:25", False, True),
        ("console:", False, True),
    ],
)
def test_contact_is_offered_only_where_a_message_can_go_and_its_carrier_is_named(
    house: House, settings: Settings, url: str, carrier: bool, offered: bool
) -> None:
    by_mail(settings, url)
    third_party(house.organization)
    if carrier:
        post = third_party(house.organization, name="Letterbox Ltd")
        post.delivers_mail = True
        post.save()
    page = enrolled(house.kiosk).request("/kiosk/en/").body.decode()
    assert ('data-purpose="contact"' in page) == offered
    assert ("It is delivered by Letterbox Ltd." in page) == carrier
    portal = browser(house.dpo).get("/admin/").content.decode()
    assert ('data-testid="mail-offered"' in portal) == offered
    assert ("contact is not offered at the kiosk" in portal) != offered
    assert remind() == 0


def test_where_no_message_can_go_a_contact_is_not_taken(house: House, settings: Settings) -> None:
    by_mail(settings, "")
    purposes = {"lane": True, "history": False, "contact": True}
    form = opt_in_form(house, [b"not looked at"], purposes=purposes, contact=ADDRESS)
    answer = enrolled(house.kiosk).opt_in(form)
    assert (answer.status, answer.json()["error"]["code"]) == (422, "notice_changed")
    assert not Consent.objects.exists()


def test_only_the_contact_goes_to_who_delivers_the_mail(house: House, box: Postbox) -> None:
    post = third_party(house.organization, name="Letterbox Ltd")
    post.delivers_mail = True
    post.save()
    receipt = Consent.objects.get(subject=guest(house).subject).receipt
    told = {
        each["purpose"]: [one["name"] for one in each["recipient_third_parties"]]
        for each in receipt_fields(receipt)["pii_processing"]
    }
    assert told == {"lane": [], "contact": ["Letterbox Ltd"]}
