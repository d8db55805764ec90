"""By receipt: which stores it holds in, and the other ones taken back, with a certificate."""

import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from apps.audit import signing
from apps.consent import services as consents
from apps.consent.document import RECEIPT_TYPE
from apps.consent.models import Consent
from apps.privacy import export
from apps.privacy.paper import receipt_html
from apps.recognition.engine import starter
from apps.retention.models import Erasure
from apps.visitors.models import Eviction, FaceTemplate, Visitor
from apps.visitors.services import SealedTemplate, enroll
from apps.visits.models import Visit
from apps.visits.services import disclose
from tests.clients import browser
from tests.conftest import ROOT, House
from tests.groups import agreed_for, grouped, left
from tests.privacy.conftest import Customer
from tests.visits.test_disclose import match_of, old_town


@pytest.fixture
def there(house: House) -> House:
    there = old_town(house)
    grouped(house, there)
    return there


@pytest.fixture
def customer(house: House, there: House) -> Customer:
    signed = consents.sign(house.draft(**agreed_for(there)))
    visitor = enroll(
        visitor=uuid.uuid4(),
        consent=signed.consent,
        greeting_name="Ms Chen",
        contact="",
        templates=[
            SealedTemplate(uuid.uuid4(), b"wrapped", 1, b"sealed", starter.NAME, starter.VERSION)
        ],
        actor=f"device:{house.kiosk.pk}",
    )
    disclose(match_of(visitor, house))
    disclose(match_of(visitor, there))
    return Customer(visitor, signed.secret, browser())


def test_the_letter_and_the_copies_say_where_it_holds_and_where_she_was(
    there: House, customer: Customer
) -> None:
    text = customer.text()
    assert "It holds in Harbour Street, Old Town only." in text
    assert text.count("<bdi>Old Town</bdi>") == 1, "the visit there"
    consent = Consent.objects.get()
    assert "Old Town" in receipt_html(consent.receipt, customer.secret)
    (agreement,) = export.everything(customer.visitor).consents
    assert agreement.stores == ["Harbour Street", "Old Town"]
    assert agreement.group_stores_signed == [there.store.pk]

    left(there)
    text = customer.text()
    assert "It holds in Harbour Street only." in text
    assert "has left the group" in text
    (agreement,) = export.everything(customer.visitor).consents
    assert agreement.stores == ["Harbour Street"]


def test_the_signed_receipt_names_the_group_and_its_stores_as_they_were(
    there: House, customer: Customer
) -> None:
    left(there)
    document = customer.post("download/").content.decode()
    facts = signing.verify(document, signing.public_jwk(), RECEIPT_TYPE)
    (group,) = (each for each in facts["pii_processing"] if each["purpose"] == "group")
    assert group["group"]["stores"] == [{"id": str(there.store.pk), "name": "Old Town"}]
    assert group["processing_locations"] == ["Old Town"]
    (lane,) = (each for each in facts["pii_processing"] if each["purpose"] == "lane")
    assert lane["processing_locations"] == ["Harbour Street"]


def test_the_other_stores_go_with_a_certificate_and_the_rest_goes_on(
    house: House, customer: Customer, tmp_path: Path
) -> None:
    page = customer.text("stop/", purpose="group")
    assert 'data-testid="receipt-done"' in page
    assert "It holds in Harbour Street only." in page
    assert Visit.objects.get().store == house.store
    assert Consent.objects.get().purposes == ["lane", "history"]
    template = FaceTemplate.objects.get()
    assert Eviction.objects.get().template == template.pk

    erasure = Erasure.objects.get()
    assert (erasure.state, erasure.whole) == ("complete", False)
    certificate = customer.post("certificate/", number=str(erasure.pk)).content
    (tmp_path / "certificate.jws").write_bytes(certificate)
    (tmp_path / "keys.json").write_bytes(customer.client.get("/keys.json").content)
    verifier = [sys.executable, "-I", str(ROOT / "ops" / "verify-certificate")]
    done = subprocess.run(
        [*verifier, "certificate.jws", "--key", "keys.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1])["valid"] is True

    # It is not the end, which comes with a certificate of its own.
    assert 'data-testid="receipt-letter"' in customer.text()
    customer.post("withdraw/")
    assert not Visitor.objects.exists()
    assert Erasure.objects.filter(state="complete").count() == 2


def test_a_record_in_the_portal_says_where_it_holds(house: House, customer: Customer) -> None:
    officer = browser(house.dpo)
    record = f"/admin/visitors/visitor/{customer.visitor.pk}/change/"
    page = officer.post(record, {"reason": "request"}, follow=True).content.decode()
    assert "lane, history, group (Harbour Street, Old Town)" in page
