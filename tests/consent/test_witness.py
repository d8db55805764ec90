"""Signed without drawing, or for somebody too young alone: with a witness, or not at all."""

from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from apps.audit import services as audit
from apps.audit import signing
from apps.consent import services as consents
from apps.consent.models import Consent
from apps.consent.services import ConsentRefused
from apps.consent.signature import BadSignaturePath, said
from apps.stores.models import Store
from tests.conftest import SIGNATURE, House

TYPED = {"name": "Chen Mei"}
GUARDIAN = {"name": "Chen Hua", "signature": SIGNATURE}


def test_a_typed_name_counts_beside_a_witness(house: House) -> None:
    signed = consents.sign(house.draft(signature=TYPED, witness=house.staff))
    consent = Consent.objects.get()
    assert consent.signature == TYPED
    assert consent.signature_method == "typed"
    assert consent.witness == house.staff
    (entry,) = audit.about(consent.subject)
    assert (entry.detail["method"], entry.detail["witness"]) == ("typed", f"user:{house.staff.pk}")
    facts = signing.verify(signed.receipt.document, signing.public_jwk())
    assert facts["events"][0]["signature_method"] == "typed"
    controller, witness = facts["party_identification"]
    assert (controller["party_role"], witness["party_type"]) == ("PII controller", "witness")
    assert witness["party_id"] == f"user:{house.staff.pk}"
    assert "Linda" not in str(facts)
    assert "Chen Mei" not in str(facts), "bound by its digest, not told"
    assert said(consent) == ["With your typed name; one of our staff saw it."]


@pytest.mark.parametrize("name", ["", "  ", "X", "…!?", "12345"])
def test_what_is_no_name_is_no_signature(house: House, name: str) -> None:
    with pytest.raises(BadSignaturePath, match="full name"):
        house.draft(signature={"name": name}, witness=house.staff)


@pytest.mark.parametrize(
    "changes",
    [{"signature": TYPED}, {"age_confirmed": False, "guardian": GUARDIAN}],
    ids=["typed", "guardian"],
)
def test_without_a_witness_neither_counts(house: House, changes: dict[str, Any]) -> None:
    with pytest.raises(ConsentRefused) as refused:
        house.draft(**changes)
    assert refused.value.code == "no_witness"
    unwitnessed = house.draft(**changes, witness=house.staff)
    unwitnessed.witness = None
    with pytest.raises(IntegrityError, match="witnessed"), transaction.atomic():
        unwitnessed.save(force_insert=True)


def test_a_guardian_co_signs_and_stands_in_the_signed_document(house: House) -> None:
    draft = house.draft(age_confirmed=False, guardian=GUARDIAN, witness=house.staff)
    signed = consents.sign(draft)
    consent = Consent.objects.get()
    assert consent.guardian == GUARDIAN
    assert consent.signature == SIGNATURE, "the person's own signature too"
    facts = signing.verify(signed.receipt.document, signing.public_jwk())
    _controller, guardian, witness = facts["party_identification"]
    assert (guardian["party_type"], guardian["party_name"]) == ("guardian", "Chen Hua")
    assert guardian["signature_method"] == "drawn"
    assert guardian["signature_sha256"] == facts["events"][0]["signature_sha256"], (
        "the same strokes"
    )
    assert witness["party_type"] == "witness"
    assert "Chen Hua" in said(consent)[1]


def test_a_guardian_may_type_as_well(house: House) -> None:
    typed = {"name": "Chen Hua", "signature": {"name": "Chen Hua"}}
    consents.sign(house.draft(age_confirmed=False, guardian=typed, witness=house.staff))
    assert Consent.objects.get().guardian == typed


def test_a_guardians_dot_is_no_signature(house: House) -> None:
    dot = {"name": "Chen Hua", "signature": [[[0.5, 0.5]]]}
    with pytest.raises(ConsentRefused, match="very short") as refused:
        house.draft(age_confirmed=False, guardian=dot, witness=house.staff)
    assert refused.value.code == "guardian"


def test_where_the_law_names_no_guardian_nobody_agrees_for_a_child(house: House) -> None:
    Store.objects.update(jurisdiction="strict")
    house.kiosk.refresh_from_db()
    with pytest.raises(ConsentRefused) as refused:
        house.draft(age_confirmed=False, guardian=GUARDIAN, witness=house.staff)
    assert refused.value.code == "too_young"


def test_no_third_persons_name_is_kept_where_none_is_needed(house: House) -> None:
    consents.sign(house.draft(guardian=GUARDIAN, witness=house.staff))
    consent = Consent.objects.get()
    assert consent.guardian is None
    assert consent.witness is None


@pytest.mark.parametrize(
    "change", ["guardian = NULL", "guardian = '{}'", "witness_id = NULL"], ids=str
)
def test_guardian_and_witness_are_frozen_with_the_signature(house: House, change: str) -> None:
    consents.sign(house.draft(age_confirmed=False, guardian=GUARDIAN, witness=house.staff))
    with (
        pytest.raises(DatabaseError, match="only ever withdrawn or shortened"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"UPDATE consent_consent SET {change}")  # noqa: S608
