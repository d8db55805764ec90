"""The receipt as a signed document with the fields of ISO/IEC TS 27560.

Field names follow the consent record and receipt structure as the W3C Data Privacy Vocabulary
guide lists it. It carries the digest of the notice and its whole text: a receipt that only points
at a notice proves nothing once the notice is gone.
"""

import hashlib
from datetime import UTC, datetime
from typing import Any

import rfc8785
from django.conf import settings

from apps.audit import signing
from apps.consent.models import Consent, Purpose, Receipt
from apps.consent.signature import method_of

RECEIPT_TYPE = "consentry-receipt+jws"
SCHEMA = "consentry-receipt/1 (ISO/IEC TS 27560:2023)"

PII = {
    Purpose.LANE: [
        {"type": "face template (biometric)", "sensitive": True, "special_category": True},
        {"type": "name to be greeted by", "sensitive": False, "special_category": False},
    ],
    Purpose.PASS: [
        {"type": "face template (biometric)", "sensitive": True, "special_category": True},
        {"type": "name to be greeted by", "sensitive": False, "special_category": False},
    ],
    Purpose.HISTORY: [{"type": "dates of visits", "sensitive": False, "special_category": False}],
    Purpose.CONTACT: [{"type": "contact", "optional": True, "sensitive": False}],
}

PROCESSING = {
    Purpose.LANE: "sealed template compared inside the store's own recognizer",
    Purpose.PASS: (
        "template sealed twice, opened only by the key share in the pass that is shown, "
        "compared with one face inside the store's own recognizer"
    ),
}


def receipt_fields(receipt: Receipt) -> dict[str, Any]:
    """Return the receipt as plain JSON values."""
    consent = receipt.consent
    organization = consent.store.organization
    return {
        "schema_version": SCHEMA,
        "receipt_id": str(receipt.pk),
        "record_id": str(consent.pk),
        "pii_principal_id": str(consent.subject),
        "pii_processing": [_processing(consent, Purpose(purpose)) for purpose in consent.purposes],
        "declined": list(consent.declined),
        "privacy_notice": {
            "version": consent.text.notice.version,
            "sha256": consent.digest,
            "short": consent.text.short,
            "full": consent.text.full,
        },
        "language": consent.locale,
        "parties": [
            {
                "id": str(organization.pk),
                "name": organization.name,
                "address": organization.address,
                "contact": organization.contact_name,
                "email": organization.contact_email,
                "type": "controller",
            },
            *_who_else(consent),
        ],
        "event": {
            "type": "explicit consent",
            "state": "given",
            "time": _iso(consent.signed_at),
            "validity_duration": _iso(consent.expires_at),
            "entity_id": str(consent.device_id),
            "signature_method": consent.signature_method,
            "signature_sha256": _digest(consent.signature),
        },
    }


def receipt_jws(receipt: Receipt) -> str:
    """Return the signed receipt (JWS, EdDSA)."""
    return signing.sign(receipt_fields(receipt), RECEIPT_TYPE)


def _processing(consent: Consent, purpose: Purpose) -> dict[str, Any]:
    store = consent.store
    return {
        "purpose": purpose.value,
        "purpose_type": "personalised welcome",
        "lawful_basis": "explicit consent",
        "pii_information": PII[purpose],
        "pii_controllers": [str(store.organization_id)],
        "collection_method": "kiosk in the store, camera opened after the signature",
        "processing_method": PROCESSING.get(purpose, PROCESSING[Purpose.LANE]),
        "storage_locations": ["the store's own database"],
        "retention_period": f"until {_iso(consent.expires_at)} or withdrawal",
        "jurisdiction": store.pack.name,
        "recipient_third_parties": [
            {"name": each.name, "role": each.role, "purpose": each.purpose, "country": each.country}
            for each in store.organization.third_parties.filter(ended_at=None)
        ],
        "withdrawal_method": f"{settings.CONSENTRY.public_url}/receipt/ with the receipt's code",
        "privacy_rights": ["access", "rectification", "restriction", "erasure", "portability"],
        "service": store.name,
    }


def _who_else(consent: Consent) -> list[dict[str, Any]]:
    """The parties beside the person and the controller: who co-signed, and who of the staff saw it.

    The witness stands here as in the ledger, by number: a receipt names no staff.
    """
    parties: list[dict[str, Any]] = []
    if guardian := consent.guardian:
        parties.append(
            {
                "id": f"{consent.pk}#guardian",
                "type": "guardian",
                "name": guardian["name"],
                "role": "parent or guardian of the PII principal, present in person",
                "signature_method": method_of(guardian["signature"]).value,
                "signature_sha256": _digest(guardian["signature"]),
            }
        )
    if consent.witness_id:
        parties.append(
            {
                "id": f"user:{consent.witness_id}",
                "type": "witness",
                "role": "member of staff who saw the signature being given",
            }
        )
    return parties


def _digest(signature: Any) -> str:
    """SHA-256 of the canonical JSON (RFC 8785): binds a signature without carrying it."""
    return hashlib.sha256(rfc8785.dumps(signature)).hexdigest()


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")
