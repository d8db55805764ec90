"""By receipt: one purpose less, another name, a pause, a new pass; and what each leaves behind."""

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.http import HttpResponse
from django.utils import timezone
from numpy.typing import NDArray

from apps.audit import services as audit
from apps.audit import signing
from apps.audit.models import Entry, Salt
from apps.consent import services as consents
from apps.consent.document import RECEIPT_TYPE
from apps.consent.models import Consent, Purpose, Withdrawal
from apps.privacy.receipts import LABOURS
from apps.privacy.services import rename
from apps.recognition.client import PassRefused, Recognizer
from apps.recognition.engine import starter
from apps.recognition.passes import Pass, read
from apps.retention.models import Erasure
from apps.retention.services.erase import CERTIFICATE_TYPE
from apps.stores.models import Camera
from apps.systems.models import Delivery, Event
from apps.visitors.models import Eviction, FaceTemplate, Visitor
from apps.visitors.services import SealedTemplate, enroll
from apps.visits.mistakes import mark_wrong
from apps.visits.models import Visit
from apps.visits.services import disclose
from tests import qr
from tests.clients import browser
from tests.conftest import House
from tests.database import refusing, without_triggers
from tests.privacy.conftest import Customer
from tests.recognition.test_present import BOTH, holder_of
from tests.systems.others import listening
from tests.visits.test_disclose import match_of


@pytest.fixture
def both(house: House) -> Customer:
    """Somebody with a lane and a pass, and sealed bytes that nobody opens in this test."""
    signed = consents.sign(house.draft(purposes=BOTH))
    templates = [
        SealedTemplate(uuid.uuid4(), b"wrapped", 1, sealed, starter.NAME, starter.VERSION, purpose)
        for purpose, sealed in ((Purpose.LANE, b"sealed"), (Purpose.PASS, b"CPT1 sealed twice"))
    ]
    visitor = enroll(
        visitor=uuid.uuid4(),
        consent=signed.consent,
        greeting_name="Ms Chen",
        contact="",
        templates=templates,
        actor=f"device:{house.kiosk.pk}",
    )
    return Customer(visitor, signed.secret, browser())


def fields_of(answer: HttpResponse, kind: str) -> dict[str, Any]:
    return signing.verify(answer.content.decode(), signing.public_jwk(), kind)


# One purpose less.


def certified(customer: Customer) -> tuple[str, list[tuple[str, int]]]:
    """What the one certificate so far says of a purpose that rested on no template."""
    facts = fields_of(customer.post("certificate/"), CERTIFICATE_TYPE)
    assert (facts["cause"], facts["key"]["row"], facts["partial"]) == ("purpose", "kept", False)
    assert (facts["recognizers"], facts["unmatchable_at"]) == ([], None)
    assert "not sealed" in facts["backup_horizon"]
    return facts["purpose"], [(line["what"], line["count"]) for line in facts["scope"]]


def test_without_the_history_the_visits_are_gone_and_recognition_goes_on(
    house: House, customer: Customer
) -> None:
    disclose(match_of(customer.visitor, house))
    text = customer.text("stop/", purpose="history")
    assert 'data-testid="receipt-done"' in text
    assert "visit: 1" in text
    assert certified(customer) == ("history", [("visit", 1)])
    assert not Visit.objects.exists()
    consent = Consent.objects.get()
    assert (consent.purposes, consent.withdrawn_at) == (["lane", "contact"], None)
    assert FaceTemplate.objects.live().count() == 1
    assert not Eviction.objects.exists(), "the gallery keeps whoever may still be recognised"
    assert disclose(match_of(customer.visitor, house)).outcome == "visit"
    assert Visit.objects.get().number is None


def test_a_visit_that_was_someone_elses_goes_with_its_shift(
    house: House, customer: Customer
) -> None:
    disclose(match_of(customer.visitor, house))
    mark_wrong(visit=Visit.objects.get(), user=house.staff)
    customer.post("stop/", purpose="history")
    assert Visit.objects.get().wrong_at is not None


def test_without_the_contact_there_is_no_contact(customer: Customer) -> None:
    assert "chen@example.org" not in customer.text("stop/", purpose="contact")
    assert certified(customer) == ("contact", [("contact", 1)])
    assert Visitor.objects.get().contact == ""
    assert Consent.objects.get().purposes == ["lane", "history"]


def test_one_of_two_kinds_of_recognition_goes_with_its_template_and_a_certificate(
    both: Customer,
) -> None:
    both.post("stop/", purpose="lane")
    assert FaceTemplate.objects.get().purpose == "pass"
    assert Consent.objects.get().purposes == ["pass", "history"]
    erasure = Erasure.objects.get()
    assert (erasure.cause, erasure.state) == ("purpose", "complete")
    number = {"number": str(erasure.pk)}
    facts = fields_of(both.post("certificate/", **number), CERTIFICATE_TYPE)
    assert facts["cause"] == "purpose"
    assert facts["key"]["row"] == "kept"
    assert [line["what"] for line in facts["scope"]] == ["sealed face template"]
    assert "pack" not in facts
    assert 'data-testid="taken-certificate"' in both.text()


def test_the_recognizers_evict_the_one_and_not_the_other(both: Customer) -> None:
    lane = both.visitor.templates.get(purpose="lane").pk
    both.post("stop/", purpose="lane")
    assert set(Eviction.objects.values_list("template", flat=True)) == {lane}


def test_the_last_kind_of_recognition_ends_everything_with_a_certificate(
    house: House, both: Customer
) -> None:
    both.post("stop/", purpose="pass")
    disclose(match_of(both.visitor, house))
    assert "ends everything" in both.text()
    assert "It is ended" in both.text("stop/", purpose="lane")
    assert not Visitor.objects.exists()
    assert not Visit.objects.exists()
    assert Consent.objects.get().withdrawn_at is not None
    assert fields_of(both.post("certificate/"), CERTIFICATE_TYPE)["cause"] == "withdrawal"


def test_stopping_twice_is_stopping_once(customer: Customer) -> None:
    customer.post("stop/", purpose="contact")
    assert customer.post("stop/", purpose="contact").status_code == 200
    assert Withdrawal.objects.count() == 1
    assert Entry.objects.filter(action="purpose.withdrawn").count() == 1


@pytest.mark.parametrize("purpose", ["", "ads", "pass", "LANE"])
def test_what_was_not_agreed_to_cannot_be_stopped(customer: Customer, purpose: str) -> None:
    before = Consent.objects.get().purposes
    assert customer.post("stop/", purpose=purpose).status_code in (200, 400)
    assert Consent.objects.get().purposes == before
    assert not Withdrawal.objects.exists()


def test_the_letter_and_the_signed_receipt_tell_both_events(customer: Customer) -> None:
    before = fields_of(customer.post("download/"), RECEIPT_TYPE)
    customer.post("stop/", purpose="history")
    text = customer.text()
    assert "Yes until" in text
    assert 'data-testid="stop-history"' not in text
    after = fields_of(customer.post("download/"), RECEIPT_TYPE)
    assert after["pii_processing"] == before["pii_processing"], "what was signed stays"
    given, withdrawn = after["events"]
    assert (given["event_state"], given["purposes"]) == ("given", ["lane", "history", "contact"])
    assert (withdrawn["event_state"], withdrawn["purposes"]) == ("withdrawn", ["history"])
    customer.post("withdraw/")
    *_others, last = fields_of(customer.post("download/"), RECEIPT_TYPE)["events"]
    assert (last["event_state"], last["purposes"]) == ("withdrawn", ["lane", "contact"])


# The name, and a pause.


def test_the_name_is_changed_and_trimmed(customer: Customer) -> None:
    assert "Mei" in customer.text("name/", name="  Mei 美 ")
    assert Visitor.objects.get().greeting_name == "Mei 美"
    entry = Entry.objects.get(action="visitor.renamed")
    assert "Mei" not in str(audit.leaf_data(entry))


def test_how_it_is_said_and_whom_they_ask_for_is_theirs_to_say(
    customer: Customer, house: House
) -> None:
    listening(house)
    disclose(match_of(customer.visitor, house))
    said = {"say_as": " say-oh-LEE ", "asks_for": "Mr <Li>"}
    letter = customer.text("name/", name="Saoirse", **said)
    assert letter.count("say-oh-LEE") == 2, "to be changed, and what is held"
    # GDPR 19: whoever was told of them hears that it changed.
    assert Delivery.objects.endings().get().event == Event.RECTIFIED
    floor = browser(house.staff).get(f"/floor/{house.store.slug}/").content.decode()
    for told in ("Saoirse", "say-oh-LEE", "Mr &lt;Li&gt;"):
        assert told in floor
    person = json.loads(customer.post("everything/").content)["person"]
    assert (person["say_as"], person["asks_for"]) == ("say-oh-LEE", "Mr <Li>")
    # The portal corrects a name alone; then the rest stays.
    rename(visitor=customer.visitor, greeting_name="Saoirse B", actor="user:1")
    kept = Visitor.objects.get()
    assert (kept.greeting_name, kept.say_as) == ("Saoirse B", "say-oh-LEE")
    assert customer.post("name/", name="Saoirse", asks_for="x" * 61).status_code == 422
    customer.text("name/", name="Saoirse", say_as="", asks_for=" ")
    kept = Visitor.objects.get()
    assert (kept.say_as, kept.asks_for) == ("", "")
    assert "LEE" not in str(list(Entry.objects.values_list("detail", flat=True)))


@pytest.mark.parametrize("name", ["", "   ", "\u200b", "a\nb", "a\x00b", "x" * 61])
def test_a_bad_name_changes_nothing_and_says_so(customer: Customer, name: str) -> None:
    answer = customer.post("name/", name=name)
    assert answer.status_code == 422
    assert "1 to 60 signs" in answer.content.decode()
    assert Visitor.objects.get().greeting_name == "Ms Chen"


def test_a_name_cannot_write_into_the_page(customer: Customer) -> None:
    assert "<b>Mei" not in customer.text("name/", name='<b>Mei"')


def test_paused_nobody_is_recognised_and_resumed_they_are(house: House, customer: Customer) -> None:
    assert 'data-testid="receipt-resume"' in customer.text("pause/", paused="yes")
    assert disclose(match_of(customer.visitor, house)).outcome == "refused"
    assert FaceTemplate.objects.count() == 1
    customer.post("pause/", paused="yes")
    assert 'data-testid="receipt-pause"' in customer.text("pause/", paused="no")
    assert disclose(match_of(customer.visitor, house)).outcome == "visit"
    acts = Entry.objects.filter(action__startswith="visitor.restrict").order_by("seq")
    assert [(entry.actor, entry.action) for entry in acts] == [
        ("self", "visitor.restricted"),
        ("self", "visitor.restriction_lifted"),
    ]


# The ledger, and the end.


ACTS: dict[str, dict[str, str]] = {
    "stop/": {"purpose": "history"},
    "name/": {"name": "Mei"},
    "pause/": {"paused": "yes"},
    "everything/": {},
}


@pytest.mark.parametrize("path", ACTS)
def test_each_act_is_an_entry_of_the_ledger_by_the_person(customer: Customer, path: str) -> None:
    before = Entry.objects.count()
    assert customer.post(path, **ACTS[path]).status_code == 200
    told = Entry.objects.filter(seq__gt=before)
    assert {entry.actor for entry in told} == {"self"}
    assert audit.reference(customer.visitor.subject) in {entry.subject for entry in told}
    assert audit.verify().ok


@pytest.mark.parametrize("path", ACTS)
def test_a_failed_ledger_entry_undoes_the_act(customer: Customer, path: str) -> None:
    """The row and its entry are one transaction."""
    person, purposes = Visitor.objects.get(), Consent.objects.get().purposes
    with refusing("INSERT", "audit_entry"):
        assert customer.post(path, **ACTS[path]).status_code == 500
    now = Visitor.objects.get()
    assert (now.greeting_name, now.restricted_at) == (person.greeting_name, None)
    assert Consent.objects.get().purposes == purposes


@pytest.mark.parametrize("path", [*ACTS, "pass/"])
def test_after_the_end_the_code_changes_nothing(customer: Customer, path: str) -> None:
    customer.post("withdraw/")
    entries = Entry.objects.count()
    answer = customer.post(path, **ACTS.get(path, {}))
    assert answer.status_code == 410
    assert "Ms Chen" not in answer.content.decode()
    assert Entry.objects.count() == entries
    for kept in ("certificate/", "download/", "paper/"):
        assert customer.post(kept).status_code == 200
    assert not Salt.objects.exists(), "of nobody who is erased the ledger speaks again"


@pytest.mark.parametrize("path", ACTS)
def test_past_its_end_and_before_the_sweep_the_code_changes_nothing(
    customer: Customer, path: str
) -> None:
    with without_triggers("consent_consent"):
        past = timezone.now() - timedelta(seconds=1)
        Consent.objects.update(signed_at=past - timedelta(days=1), expires_at=past)
    answer = customer.post(path, **ACTS[path])
    assert answer.status_code == 410
    assert "Nothing was changed." in answer.content.decode()
    person = Visitor.objects.get()
    assert (person.greeting_name, person.restricted_at) == ("Ms Chen", None)
    assert customer.post("withdraw/").status_code == 200, "to end it is never too late"


# A new pass.


def pass_of(text: str) -> Pass:
    shown = read(qr.text_in(qr.drawn(text[text.index('data-testid="pass-qr"') :])))
    assert shown is not None
    return shown


def presented(recognizer: Recognizer, camera: Camera, shown: Pass) -> str:
    return recognizer.present(camera=camera.pk, shown=shown)


def test_a_new_pass_opens_and_the_old_one_is_dead(
    recognizer: Recognizer, house: House, crops_of: Callable[[int], NDArray[np.uint8]]
) -> None:
    holder = holder_of(house, recognizer, crops_of(2), BOTH)
    customer = Customer(holder.visitor, consents.reissue(holder.consent).secret, browser())
    assert presented(recognizer, holder.camera, holder.shown)
    assert 'data-testid="receipt-pass-new"' in customer.text()
    fresh = pass_of(customer.text("pass/"))
    assert fresh != holder.shown
    with pytest.raises(PassRefused):
        presented(recognizer, holder.camera, holder.shown)
    assert presented(recognizer, holder.camera, fresh)
    assert FaceTemplate.objects.filter(purpose="pass").count() == 1
    assert not pass_in_letter(customer), "shown once"
    entry = Entry.objects.get(action="pass.replaced")
    assert entry.actor == "self"
    assert fresh.share.hex() not in str(audit.leaf_data(entry))


def pass_in_letter(customer: Customer) -> bool:
    return 'data-testid="pass-qr"' in customer.text()


def test_who_has_a_pass_alone_is_sent_to_the_kiosk(
    recognizer: Recognizer, house: House, crops_of: Callable[[int], NDArray[np.uint8]]
) -> None:
    holder = holder_of(house, recognizer, crops_of(2), [Purpose.PASS, Purpose.HISTORY])
    customer = Customer(holder.visitor, consents.reissue(holder.consent).secret, browser())
    assert 'data-testid="receipt-pass-new"' not in customer.text()
    answer = customer.post("pass/")
    assert answer.status_code == 409
    assert "new pictures" in answer.content.decode()
    assert presented(recognizer, holder.camera, holder.shown), "the old one goes on"


def test_no_new_pass_while_paused(
    recognizer: Recognizer, house: House, crops_of: Callable[[int], NDArray[np.uint8]]
) -> None:
    holder = holder_of(house, recognizer, crops_of(2), BOTH)
    customer = Customer(holder.visitor, consents.reissue(holder.consent).secret, browser())
    customer.post("pause/", paused="yes")
    assert customer.post("pass/").status_code == 409
    customer.post("pause/", paused="no")
    assert presented(recognizer, holder.camera, holder.shown)


def test_without_a_recognizer_the_pass_stays_as_it_was(both: Customer) -> None:
    template = both.visitor.templates.get(purpose="pass").pk
    answer = both.post("pass/")
    assert answer.status_code == 503
    assert "as it was" in answer.content.decode()
    assert both.visitor.templates.get(purpose="pass").pk == template


def test_what_costs_work_is_asked_for_at_a_limited_rate(both: Customer) -> None:
    for _attempt in range(LABOURS):
        assert both.post("pass/").status_code == 503
    refused = both.post("pass/")
    assert refused.status_code == 429
    assert both.post("withdraw/").status_code == 200, "ending never waits"
