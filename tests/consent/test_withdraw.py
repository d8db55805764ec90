"""A withdrawal ends the consent and starts the proof's own clock."""

from apps.consent import services as consents
from apps.consent.models import Consent
from apps.consent.services import PROOF
from tests.conftest import House


def test_the_proof_is_kept_for_its_time_after_the_end_and_no_longer(house: House) -> None:
    visitor = house.visitor()
    consent = Consent.objects.get(subject=visitor.subject)
    before = consent.delete_after
    consent = consents.withdraw(consent=consent, actor="self")
    assert consent.withdrawn_at is not None
    assert consent.delete_after == consent.withdrawn_at + PROOF < before
