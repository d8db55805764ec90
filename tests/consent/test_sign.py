"""A consent is proof: of the very text, each answer, the drawn path, the device and the time."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.audit import services as audit
from apps.audit import signing
from apps.audit.models import Entry
from apps.consent import services as consents
from apps.consent.models import Consent, Purpose, Receipt, Refusal
from apps.consent.services import ConsentRefused
from apps.consent.signature import BadSignaturePath
from tests.conftest import SIGNATURE, House
from tests.consent.notices import new_version


def test_a_draft_is_not_kept(house: House) -> None:
    house.draft()
    assert not Consent.objects.exists()


def test_a_signed_consent_says_what_was_agreed_and_what_was_not(house: House) -> None:
    signed = consents.sign(house.draft())
    consent = Consent.objects.get()
    assert consent.purposes == ["lane", "history"]
    assert consent.declined == ["contact"]
    assert consent.signature == SIGNATURE
    assert consent.device == house.kiosk
    assert consent.text == house.text
    assert consent.live
    assert signed.receipt.consent == consent
    (entry,) = audit.about(consent.subject)
    assert entry.detail["digest"] == house.text.digest


def test_the_term_is_the_longest_that_the_jurisdiction_allows(house: House) -> None:
    consent = consents.sign(house.draft()).consent
    term = consent.expires_at - consent.signed_at
    longest = timedelta(days=house.store.pack.max_term_days)
    assert longest - timedelta(seconds=1) <= term <= longest
    assert consent.delete_after > consent.expires_at


def test_nothing_agreed_is_no_consent(house: House) -> None:
    with pytest.raises(ConsentRefused, match="nothing was kept") as refused:
        house.draft(purposes=[Purpose.HISTORY, Purpose.CONTACT])
    assert refused.value.code == "nothing_agreed"


def test_who_is_too_young_is_told_the_age(house: House) -> None:
    with pytest.raises(ConsentRefused, match=str(house.store.pack.min_age)) as refused:
        house.draft(age_confirmed=False)
    assert refused.value.code == "too_young"


@pytest.mark.parametrize("changes", [{"digest": "0" * 64}, {"locale": "fr"}, {"notice": "x"}])
def test_another_text_than_the_published_one_cannot_be_signed(
    house: House, changes: dict[str, str]
) -> None:
    with pytest.raises(ConsentRefused) as refused:
        house.draft(**changes)
    assert refused.value.code == "notice_changed"


def test_a_text_published_between_draft_and_signature_is_read_first(house: House) -> None:
    draft = house.draft()
    consents.publish(notice=new_version(house), actor="test")
    with pytest.raises(ConsentRefused) as refused:
        consents.sign(draft)
    assert refused.value.code == "notice_changed"
    assert not Consent.objects.exists()
    assert not Refusal.objects.exists()


def test_a_dot_is_no_signature(house: House) -> None:
    with pytest.raises(BadSignaturePath, match="very short"):
        house.draft(signature=[[[0.5, 0.5]]])


def test_declined_purposes_are_counted_without_anybody(house: House) -> None:
    for _person in range(3):
        consents.sign(house.draft(purposes=[Purpose.LANE]))
    counted = dict(Refusal.objects.values_list("purpose", "count"))
    assert counted == {"history": 3, "contact": 3}
    assert {field.name for field in Refusal._meta.fields} == {
        "id",
        "store",
        "day",
        "purpose",
        "count",
    }


def test_the_secret_is_given_out_once_and_only_its_digest_stays(house: House) -> None:
    one, other = consents.sign(house.draft()), consents.sign(house.draft())
    assert one.secret != other.secret
    assert len(one.secret.replace("-", "")) == 24
    assert Receipt.objects.get(pk=one.receipt.pk).secret_digest == consents.secret_digest(
        one.secret
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(r::text, ' ') FROM consent_receipt r")
        assert one.secret not in cursor.fetchone()[0]


def test_the_receipt_proves_the_whole_text_without_us(house: House) -> None:
    receipt = consents.sign(house.draft()).receipt
    facts = signing.verify(receipt.document, signing.public_jwk())
    assert facts["privacy_notice"]["short"] == house.text.short
    assert facts["privacy_notice"]["full"] == house.text.full
    assert facts["declined"] == ["contact"]


@pytest.mark.parametrize(
    "change",
    [
        {"purposes": ["lane", "history", "contact"]},
        {"signature": []},
        {"digest": "0" * 64},
        {"signed_at": timezone.now() - timedelta(days=400)},
        {"expires_at": timezone.now() + timedelta(days=4000)},
        {"declined": []},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_signed_consent_is_never_rewritten(house: House, change: dict[str, object]) -> None:
    consents.sign(house.draft())
    with (
        pytest.raises(IntegrityError, match="only ever withdrawn or shortened"),
        transaction.atomic(),
    ):
        Consent.objects.update(**change)


def test_a_consent_is_withdrawn_once_and_stays_so(house: House) -> None:
    consent = consents.sign(house.draft()).consent
    first = consents.withdraw(consent=consent, actor="self")
    second = consents.withdraw(consent=consent, actor="self")
    assert first.withdrawn_at == second.withdrawn_at
    assert not second.live
    assert Entry.objects.filter(action="consent.withdrawn").count() == 1
    with pytest.raises(IntegrityError), transaction.atomic():
        Consent.objects.update(withdrawn_at=None)
