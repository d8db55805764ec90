"""The receipt as a signed document with the fields of ISO/IEC TS 27560.

Field names are the standard's own (its tables of record, PII processing, party and event fields, as
the guide of the W3C Data Privacy Vocabulary lists them). It carries the digest of the notice and
its whole text: a receipt that only points at a notice proves nothing once the notice is gone.

What was signed stays as it was signed: purposes that were withdrawn since are further events.
"""

import hashlib
from datetime import UTC, datetime
from typing import Any

import rfc8785
from django.conf import settings

from apps.audit import signing
from apps.consent.models import FACE, RECOGNITION, Consent, Purpose, Receipt
from apps.consent.signature import method_of
from apps.stores.models import Store

RECEIPT_TYPE = "consentry-receipt+jws"
SCHEMA = "consentry-receipt/2 (ISO/IEC TS 27560:2023)"


def _pii(kind: str, *, sensitive: bool = False, optional: bool = False) -> dict[str, Any]:
    return {
        "pii_type": kind,
        "pii_optional": optional,
        "sensitive_pii_category": sensitive,
        "special_pii_category": sensitive,
    }


RECOGNISED = [
    _pii("face template (biometric)", sensitive=True),
    _pii("name to be greeted by"),
]
PII = {
    Purpose.LANE: RECOGNISED,
    Purpose.PASS: RECOGNISED,
    Purpose.CARD: [_pii("digest of a card's code"), _pii("name to be greeted by")],
    Purpose.HISTORY: [_pii("dates of visits")],
    Purpose.STATISTICS: [_pii("dates of visits")],
    # With it what they are known by, see `_held`.
    Purpose.GROUP: [_pii("dates and stores of visits")],
    Purpose.NOTES: [_pii("a short note by staff")],
    Purpose.CONTACT: [_pii("e-mail address", optional=True)],
}

PROCESSING = {
    Purpose.LANE: "sealed template compared inside the store's own recognizer",
    Purpose.PASS: (
        "template sealed twice, opened only by the key share in the pass that is shown, "
        "compared with one face inside the store's own recognizer"
    ),
    Purpose.CARD: (
        "digest of the card's random code, compared with that of the card that is shown or typed; "
        "no camera, no face"
    ),
    Purpose.HISTORY: "dates kept with the visits at which the person was recognised",
    Purpose.STATISTICS: "dates counted together with those of at least nine others",
    Purpose.GROUP: (
        "the same sealed templates, compared in the named stores of the group too, and the same "
        "card, good there, each in the way that was agreed to; a store that joins the group later "
        "is not covered"
    ),
    Purpose.NOTES: "one note kept for the staff of the store, shown to the person on their receipt",
    Purpose.CONTACT: "one e-mail, 14 days before the consent ends",
}


def receipt_fields(receipt: Receipt) -> dict[str, Any]:
    """Return the receipt of a consent that is being signed, as plain JSON values."""
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
        "party_identification": [
            {
                "party_id": str(organization.pk),
                "party_name": organization.name,
                "party_address": organization.address,
                "party_contact": organization.contact_name,
                "party_email": organization.contact_email,
                "party_url": settings.CONSENTRY.public_url,
                "party_role": "PII controller",
                "party_type": "organization",
            },
            *_who_else(consent),
        ],
        "events": [
            {
                "event_type": "explicit consent",
                "event_state": "renewed" if consent.renews_id else "given",
                "event_time": _iso(consent.signed_at),
                "validity_duration": _iso(consent.expires_at),
                "entity_id": str(consent.subject),
                **_given(consent),
                "signature_method": consent.signature_method,
                "signature_sha256": _digest(consent.signature),
                "purposes": list(consent.purposes),
            }
        ],
    }


def _given(consent: Consent) -> dict[str, str]:
    """At which tablet, or instead of which record."""
    if consent.renews_id:
        return {"renewed_record_id": str(consent.renews_id)}
    return {"device_id": str(consent.device_id)}


def receipt_jws(receipt: Receipt) -> str:
    """Return the receipt of a consent that is being signed (JWS, EdDSA)."""
    return signing.sign(receipt_fields(receipt), RECEIPT_TYPE)


def current_jws(receipt: Receipt) -> str:
    """Return the signed receipt with everything that was withdrawn since, and how a renewal ended
    it, signed anew if there is any.

    Raises signing.BadSignature when what is kept is not signed by this house.
    """
    since = [*_withdrawn(receipt.consent), *_renewed(receipt.consent)]
    if not since:
        return receipt.document
    fields = _verified(receipt)
    fields["events"] = [*fields.get("events", []), *since]
    return signing.sign(fields, RECEIPT_TYPE)


def signed_until(receipt: Receipt) -> datetime:
    """Until when the consent of a receipt was signed; a material change may have shortened it.

    Raises signing.BadSignature when what is kept is not signed by this house.
    """
    given, *_since = _verified(receipt).get("events") or [{}]
    until = given.get("validity_duration")
    return datetime.fromisoformat(until) if until else receipt.consent.expires_at


def _verified(receipt: Receipt) -> dict[str, Any]:
    return signing.verify(receipt.document, signing.public_jwk(), RECEIPT_TYPE)


def _renewed(consent: Consent) -> list[dict[str, Any]]:
    renewal = Consent.objects.filter(renews=consent).first()
    if renewal is None:
        return []
    return [
        {
            "event_type": "explicit consent",
            "event_state": "terminated",
            "event_time": _iso(renewal.signed_at),
            "entity_id": str(consent.subject),
            "renewed_by_record_id": str(renewal.pk),
            "purposes": list(consent.purposes),
        }
    ]


def _withdrawn(consent: Consent) -> list[dict[str, Any]]:
    events = [(each.at, [each.purpose]) for each in consent.withdrawals.all()]
    if consent.withdrawn_at:
        events.append((consent.withdrawn_at, list(consent.purposes)))
    return [
        {
            "event_type": "explicit consent",
            "event_state": "withdrawn",
            "event_time": _iso(at),
            "entity_id": str(consent.subject),
            "purposes": purposes,
        }
        for at, purposes in events
    ]


def _processing(consent: Consent, purpose: Purpose) -> dict[str, Any]:
    store = consent.store
    stores = [store]
    if purpose == Purpose.GROUP:
        stores = list(Store.objects.filter(pk__in=consent.group_stores))
    names = [each.name for each in stores]
    return {
        "purpose": purpose.value,
        "purpose_type": "personalised welcome",
        "lawful_basis": "explicit consent",
        "pii_information": _held(consent, purpose),
        "pii_controllers": [str(store.organization_id)],
        "collection_method": "kiosk in the store, camera opened after the signature"
        if any(each in consent.purposes for each in FACE)
        else "kiosk in the store, no camera",
        "processing_method": PROCESSING[purpose],
        "storage_locations": ["the store's own database"],
        "processing_locations": names,
        "geographic_restrictions": names,
        **_group(consent, purpose, stores),
        "retention_period": f"until {_iso(consent.expires_at)} or withdrawal",
        "jurisdiction": store.pack.name,
        "recipient_third_parties": [
            {"name": each.name, "role": each.role, "purpose": each.purpose, "country": each.country}
            for each in store.organization.third_parties.filter(ended_at=None)
            if purpose == Purpose.CONTACT or not each.delivers_mail
        ],
        "withdrawal_method": f"{settings.CONSENTRY.public_url}/receipt/ with the receipt's code",
        "privacy_rights": [
            "access",
            "rectification",
            "restriction",
            "withdrawal",
            "erasure",
            "portability",
        ],
        "services": [f"greeting by name in {name}" for name in names],
    }


def _held(consent: Consent, purpose: Purpose) -> list[dict[str, Any]]:
    """What a purpose needs; that of the group what their person is known by, too."""
    known = [each for each in RECOGNITION if each in consent.purposes]
    needed = [*(known if purpose == Purpose.GROUP else []), purpose]
    found = {each["pii_type"]: each for one in needed for each in PII[one]}
    return list(found.values())


def _group(consent: Consent, purpose: Purpose, stores: list[Store]) -> dict[str, Any]:
    """The group and its stores as they were when this was signed, by number."""
    if purpose != Purpose.GROUP or consent.group is None:
        return {}
    return {
        "group": {
            "id": str(consent.group_id),
            "name": consent.group.name,
            "stores": [{"id": str(each.pk), "name": each.name} for each in stores],
        }
    }


def _who_else(consent: Consent) -> list[dict[str, Any]]:
    """The parties beside the person and the controller: who co-signed, and who of the staff saw it.

    The witness stands here as in the ledger, by number: a receipt names no staff.
    """
    parties: list[dict[str, Any]] = []
    if guardian := consent.guardian:
        parties.append(
            {
                "party_id": f"{consent.pk}#guardian",
                "party_type": "guardian",
                "party_name": guardian["name"],
                "party_role": "parent or guardian of the PII principal, present in person",
                "signature_method": method_of(guardian["signature"]).value,
                "signature_sha256": _digest(guardian["signature"]),
            }
        )
    if consent.witness_id:
        parties.append(
            {
                "party_id": f"user:{consent.witness_id}",
                "party_type": "witness",
                "party_role": "member of staff who saw the signature being given",
            }
        )
    if consent.presence_witness_id:
        parties.append(
            {
                "party_id": f"user:{consent.presence_witness_id}",
                "party_type": "witness",
                "party_role": "member of staff who saw the PII principal before the camera",
                "reason": "movement",
            }
        )
    return parties


def _digest(signature: Any) -> str:
    """SHA-256 of the canonical JSON (RFC 8785): binds a signature without carrying it."""
    return hashlib.sha256(rfc8785.dumps(signature)).hexdigest()


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")
