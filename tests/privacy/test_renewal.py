"""Going on by receipt: a new consent by one tap, nothing lost on the way, and nothing by half."""

import json
import re
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from numpy.typing import NDArray

from apps.audit import services as audit
from apps.audit.models import Entry
from apps.consent import notices
from apps.consent import services as consents
from apps.consent.document import RECEIPT_TYPE
from apps.consent.models import PROOF, Consent
from apps.privacy.receipts import LABOURS
from apps.recognition.client import PassRefused, Recognizer
from apps.recognition.engine.packs import load_pack
from apps.recognition.sealed import COLUMNS, TEMPLATES, open_row, rows_of
from apps.retention.services.sweep import sweep
from apps.visitors.models import FaceTemplate, Visitor
from apps.visitors.services import SealedTemplate, TemplatesChanged, carry_over
from apps.visitors.vault import FileKeyring
from apps.visits import selectors as visits
from tests.clients import browser
from tests.conftest import SIGNATURE, House, build_house
from tests.consent.notices import SECOND, new_version
from tests.database import refusing, without_triggers
from tests.house.test_rules import PERSON, seen
from tests.people import enrolled_for_good
from tests.privacy.conftest import Customer
from tests.privacy.test_self_service import fields_of, pass_of, presented
from tests.recognition.test_present import BOTH, holder_of

Crops = Callable[[int], NDArray[np.uint8]]
SHOWN = re.compile(r'name="(notice|digest)" value="([^"]+)"')


def near_the_end(days: int = 30) -> None:
    """Eleven months later, or after a material change: the consents end so soon."""
    end = timezone.now() + timedelta(days=days)
    Consent.objects.filter(expires_at__gt=end).update(expires_at=end)


def offered(customer: Customer, path: str = "") -> dict[str, str]:
    """What the button that renews would send: the text that is on the screen."""
    return dict(SHOWN.findall(customer.text(path)))


def former_and_renewal() -> tuple[Consent, Consent]:
    renewal = Consent.objects.get(signature_method="code")
    assert renewal.renews is not None
    return renewal.renews, renewal


def plain(template: FaceTemplate) -> NDArray[np.float32]:
    """The vector of a template for a lane, opened as a recognizer opens it."""
    pack = load_pack(settings.CONSENTRY.packs)
    rows = rows_of(f"SELECT {COLUMNS} {TEMPLATES} WHERE t.id = %(id)s", {"id": template.pk})
    return open_row(rows[0], pack=pack, keyring=FileKeyring.load(settings.CONSENTRY.keyring_path))


def test_one_tap_makes_a_new_consent_and_recognition_goes_on(
    recognizer: Recognizer, crops_of: Crops
) -> None:
    house, crops = build_house(), crops_of(PERSON)
    visitor = enrolled_for_good(house, [recognizer], crops)
    secret = consents.reissue(Consent.objects.get()).secret
    customer = Customer(visitor, secret, browser())
    before = visitor.templates.get()
    vector = plain(before)
    assert 'data-testid="receipt-going-on"' not in customer.text(), "eleven months too soon"
    near_the_end()
    assert seen(recognizer, house, crops) == "visit"

    assert "Renew for 12 months" in customer.text()
    letter = customer.text("renew/", **offered(customer))
    assert 'data-testid="receipt-done"' in letter
    assert 'data-testid="receipt-going-on"' not in letter

    former, renewal = former_and_renewal()
    assert (former.live, former.withdrawn_at) == (False, None)
    assert former.delete_after <= timezone.now() + PROOF
    assert renewal.live
    assert renewal.expires_at > timezone.now() + timedelta(days=360)
    assert (renewal.subject, renewal.purposes) == (former.subject, former.purposes)
    assert (renewal.device, renewal.signature) == (None, {"receipt": str(former.receipt.pk)})
    after = visitor.templates.get()
    assert (after.pk, after.consent, after.not_after) == (before.pk, renewal, renewal.expires_at)
    assert np.array_equal(plain(after), vector), "the same template, sealed for the new consent"
    assert seen(recognizer, house, crops) == "still_here"
    assert visits.current(house.store).count() == 1, "whoever is here now stays on the board"

    # The code is the same, and opens the new receipt; the former one is there as proof.
    given, *_others = fields_of(customer.post("download/"), RECEIPT_TYPE)["events"]
    assert (given["event_state"], given["renewed_record_id"]) == ("renewed", str(former.pk))
    assert "device_id" not in given
    first = fields_of(customer.post("download/", record=str(former.pk)), RECEIPT_TYPE)
    assert [event["event_state"] for event in first["events"]] == ["given", "terminated"]
    assert first["events"][1]["renewed_by_record_id"] == str(renewal.pk)
    everything = json.loads(customer.text("everything/"))
    assert [one["renews"] for one in everything["consents"]] == [None, str(former.pk)]
    assert customer.post("paper/").status_code == 200
    entry = Entry.objects.get(action="consent.renewed")
    assert (entry.actor, entry.subject) == ("self", audit.reference(visitor.subject))
    assert audit.verify().ok

    # Nothing is swept, twice is once, and the end is the end of both.
    assert sweep().people == 0
    assert customer.post("renew/", notice="x", digest="y").status_code == 409
    assert Consent.objects.count() == 2
    assert "It is ended" in customer.text("withdraw/")
    assert not FaceTemplate.objects.exists()
    assert Consent.objects.get(pk=renewal.pk).withdrawn_at is not None
    assert Consent.objects.get(pk=former.pk).withdrawn_at is None, "that one was renewed"
    assert seen(recognizer, house, crops) == "unknown"


def test_with_a_lane_the_pass_is_made_anew(recognizer: Recognizer, crops_of: Crops) -> None:
    house = build_house()
    holder = holder_of(house, recognizer, crops_of(PERSON), BOTH)
    customer = Customer(holder.visitor, consents.reissue(holder.consent).secret, browser())
    near_the_end()
    fresh = pass_of(customer.text("renew/", **offered(customer)))
    assert presented(recognizer, holder.camera, fresh)
    with pytest.raises(PassRefused):
        presented(recognizer, holder.camera, holder.shown)
    _former, renewal = former_and_renewal()
    assert {one.consent_id for one in holder.visitor.templates.all()} == {renewal.pk}
    assert 'data-testid="pass-qr"' not in customer.text(), "shown once"

    # A database that refuses half-way: the former consent is as it was, sealed bytes and all.
    near_the_end()
    shown, held = offered(customer), sealed(holder.visitor)
    with refusing("UPDATE", "consent_receipt"):
        assert customer.post("renew/", **shown).status_code == 500
    assert sealed(holder.visitor) == held
    assert Consent.objects.filter(renews=renewal).count() == 0
    assert renewal.live


def sealed(visitor: Visitor) -> set[bytes]:
    return {bytes(each) for each in visitor.templates.values_list("sealed", flat=True)}


def test_without_a_recognizer_everything_is_as_it_was(customer: Customer) -> None:
    near_the_end()
    before = (Consent.objects.get(), sealed(customer.visitor))
    answer = customer.post("renew/", **offered(customer))
    assert answer.status_code == 503
    assert "as it was" in answer.content.decode()
    assert (Consent.objects.get(), sealed(customer.visitor)) == before
    assert not Entry.objects.filter(action="consent.renewed").exists()


def test_templates_that_changed_meanwhile_are_not_put_under_the_new_consent(
    house: House, customer: Customer
) -> None:
    former, template = Consent.objects.get(), customer.visitor.templates.get()
    turned = SealedTemplate(template.pk, b"", 0, b"anew", "p", "1", rotation=template.rotation + 1)
    for sealed_anew in ([], [turned]):
        with pytest.raises(TemplatesChanged):
            carry_over(
                visitor=customer.visitor,
                former=former,
                consent=former,
                templates=sealed_anew,
                new_pass=False,
            )
    assert bytes(FaceTemplate.objects.get().sealed) == b"sealed"


def test_who_signed_with_a_guardian_signs_again_with_one(house: House, customer: Customer) -> None:
    guardian = {"name": "Ana Rivera", "signature": SIGNATURE}
    with without_triggers("consent_consent"):
        Consent.objects.update(guardian=guardian, witness=house.staff)
    near_the_end()
    assert 'data-testid="receipt-at-kiosk"' in customer.text()
    assert customer.post("renew/", notice="x", digest="y").status_code == 409
    assert Consent.objects.count() == 1


def test_a_changed_text_is_read_before_it_is_agreed_to(house: House, customer: Customer) -> None:
    stale = {"notice": str(house.text.pk), "digest": house.text.digest}
    end = (timezone.now() + timedelta(days=70)).replace(microsecond=0)
    notices.publish(notice=new_version(house), actor=SECOND, former_end=end)
    letter = customer.text()
    assert 'data-testid="receipt-renew-read"' in letter
    assert not SHOWN.findall(letter), "no tap agrees to what was not on the screen"
    page = customer.text("renew/")
    assert "You signed notice version 1; now version 2 is in force." in page
    assert "<ins>" in page
    assert "Yes, renew for 12 months" in page, "the term that was signed, not what was left of it"
    answer = customer.post("renew/", **stale)
    assert answer.status_code == 409
    assert "changed while you were reading" in answer.content.decode()
    assert Consent.objects.count() == 1
    # From here on it takes a recognizer, which this test has none of.
    assert customer.post("renew/", **offered(customer, "renew/")).status_code == 503


def test_renewing_is_tried_at_a_limited_rate(customer: Customer) -> None:
    near_the_end()
    shown = offered(customer)
    for _attempt in range(LABOURS):
        assert customer.post("renew/", **shown).status_code == 503
    assert customer.post("renew/", **shown).status_code == 429


def test_a_renewal_stands_when_the_proof_of_the_former_goes(house: House) -> None:
    former = consents.sign(house.draft()).consent
    renewal = consents.sign(house.draft()).consent
    with without_triggers("consent_consent"):
        past = timezone.now() - timedelta(days=1)
        Consent.objects.filter(pk=renewal.pk).update(
            signature_method="code", device=None, renews=former, signature={"receipt": "x"}
        )
        Consent.objects.filter(pk=former.pk).update(
            signed_at=past - timedelta(days=9), expires_at=past, delete_after=past
        )
    assert sweep().consents == 1
    assert Consent.objects.get().renews is None


@pytest.mark.parametrize(
    "changes",
    [
        {"renews_id": "other"},
        {"device_id": None},
        {"signature_method": "code"},
    ],
)
def test_postgresql_keeps_who_renews_what(house: House, changes: dict[str, object]) -> None:
    one, other = (consents.sign(house.draft()).consent for _ in range(2))
    values = {key: other.pk if value == "other" else value for key, value in changes.items()}
    with pytest.raises(IntegrityError), transaction.atomic():
        Consent.objects.filter(pk=one.pk).update(**values)
    with without_triggers("consent_consent"), pytest.raises(IntegrityError), transaction.atomic():
        Consent.objects.filter(pk=one.pk).update(**values)
