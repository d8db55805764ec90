"""Sign a consent, withdraw it. Each in one transaction with its ledger entry.

Notices are written and published in `consent.notices`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.consent import codes, document, promises
from apps.consent.models import (
    PROOF,
    RECOGNITION,
    Consent,
    Notice,
    NoticeText,
    Purpose,
    Receipt,
    Refusal,
    Withdrawal,
)
from apps.consent.notices import publish as publish
from apps.consent.signature import BadSignaturePath, check, method_of
from apps.consent.terms import end_of, terms
from apps.stores import groups
from apps.stores.models import Device, Store, User


class ConsentRefused(ValueError):
    """What was sent is no valid consent. `code` is for machines, the text for the person."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


# For how long a tablet whose network failed may ask again for the receipt it did not get.
SECOND_CHANCE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Signed:
    """A fresh consent and the one thing that is never stored: the receipt's secret."""

    consent: Consent
    receipt: Receipt
    secret: str


def current_text(*, store: Store, locale: str) -> NoticeText | None:
    """The text that a kiosk of this store shows now, or None when there is none to show.

    Always of the newest version: a language that it lacks is not shown from an older one, and one
    that the store does not offer is not shown at all.
    """
    notice = Notice.objects.published().filter(organization=store.organization_id).first()
    if notice is None or locale not in store.languages:
        return None
    return notice.texts.select_related("notice").filter(locale=locale).first()


def draft(
    *,
    attempt: UUID,
    device: Device,
    locale: str,
    notice: str,
    digest: str,
    purposes: Sequence[Purpose],
    asked: Sequence[Purpose],
    term: int,
    age_confirmed: bool,
    signature: Any,
    stores: Sequence[UUID] = (),
    guardian: dict[str, Any] | None = None,
    witness: User | None = None,
    presence_witness: User | None = None,
) -> Consent:
    """Return a consent ready to sign, not saved. Raises ConsentRefused, BadSignaturePath.

    The text that was on the screen must be the published one; what was `asked` and not ticked is
    recorded as declined. `term` is in months, one of `terms`. `stores` are the other stores of the
    group that the question named; the consent names just these. Who is too young alone needs a
    `guardian`, `{"name": …, "signature": …}`, where the pack allows one; who can agree alone needs
    none, and none is kept. `witness` is the member of staff who saw a typed signature, or a
    guardian's, being given; `presence_witness` who saw somebody that could not make the movements.
    """
    store = device.store
    text = current_text(store=store, locale=locale)
    if text is None or str(text.pk) != notice or text.digest != digest:
        raise notice_changed()
    if not any(purpose in purposes for purpose in RECOGNITION):
        raise ConsentRefused(
            "nothing_agreed",
            _("Without recognition there is nothing to keep, so nothing was kept."),
        )
    named = list(stores) if Purpose.GROUP in purposes else []
    if Purpose.GROUP in purposes and not _are_the_others(store, named):
        raise _group_changed()
    pack = promises.pack(store, text)
    if term not in terms(pack):
        raise ConsentRefused("term", _("Please choose how long this may last."))
    if age_confirmed:
        guardian = None
    elif guardian is None or not store.pack.guardian:
        raise ConsentRefused(
            "too_young",
            _("You need to be at least %(age)s years old.") % {"age": store.pack.min_age},
        )
    check(signature)
    if guardian is not None:
        _check_guardian(guardian)
    method = method_of(signature)
    if witness is None and (guardian or method == Consent.SignatureMethod.TYPED):
        raise ConsentRefused(
            "no_witness", _("One of our staff has to confirm this signature. Please ask for one.")
        )
    now = timezone.now()
    expires_at = end_of(term, now, pack)
    return Consent(
        id=attempt,
        store=store,
        text=text,
        digest=digest,
        locale=locale,
        purposes=[purpose.value for purpose in Purpose if purpose in purposes],
        declined=[
            purpose.value for purpose in Purpose if purpose in asked and purpose not in purposes
        ],
        signature=signature,
        signature_method=method,
        guardian=guardian,
        witness=witness if guardian or method == Consent.SignatureMethod.TYPED else None,
        presence_witness=presence_witness,
        device=device,
        group=store.membership.group if named else None,
        group_stores=sorted(set(named)),
        signed_at=now,
        expires_at=expires_at,
        delete_after=expires_at + PROOF,
    )


@transaction.atomic
def sign(consent: Consent) -> Signed:
    """Store a drafted consent as proof, with its receipt. Raises ConsentRefused.

    The text is checked once more: a new version may have been published since the draft. It is
    locked first: a publication of this moment either waits and finds this consent, or is seen here.
    So are the stores of a group, on which PostgreSQL has the last word.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM consent_noticetext WHERE id = %s FOR SHARE", [consent.text_id])
        # Whoever shortens a policy of the store, too: what is kept under this consent obeys it.
        cursor.execute("SELECT FROM stores_store WHERE id = %s FOR SHARE", [consent.store_id])
    text = current_text(store=consent.store, locale=consent.locale)
    if text is None or text.pk != consent.text_id:
        raise notice_changed()
    if consent.group_id and not _are_the_others(consent.store, consent.group_stores):
        raise _group_changed()
    consent.save(force_insert=True)
    secret = new_secret()
    receipt = Receipt(
        consent=consent, secret_digest=secret_digest(secret), created_at=consent.signed_at
    )
    receipt.document = document.receipt_jws(receipt)
    receipt.save()
    for purpose in consent.declined:
        count_refusal(store=consent.store, purpose=purpose)
    audit.record(
        actor=f"device:{consent.device_id}",
        action="consent.signed",
        subject=consent.subject,
        consent=str(consent.pk),
        digest=consent.digest,
        locale=consent.locale,
        purposes=consent.purposes,
        declined=consent.declined,
        method=consent.signature_method,
        guardian=consent.guardian is not None,
        witness=f"user:{consent.witness_id}" if consent.witness_id else "",
        presence=f"user:{consent.presence_witness_id}" if consent.presence_witness_id else "",
        presence_for="movement" if consent.presence_witness_id else "",
    )
    return Signed(consent, receipt, secret)


def find_attempt(*, attempt: UUID, device: Device) -> Consent | None:
    """The consent that this attempt of this tablet led to a moment ago, if it did."""
    return (
        Consent.objects.live()
        .filter(pk=attempt, device=device, signed_at__gt=Now() - SECOND_CHANCE)
        .first()
    )


@transaction.atomic
def reissue(consent: Consent) -> Signed:
    """Give the receipt a new secret; the old one, which may never have arrived, stops working."""
    receipt = Receipt.objects.select_for_update().get(consent=consent)
    secret = new_secret()
    receipt.secret_digest = secret_digest(secret)
    receipt.save(update_fields=["secret_digest"])
    audit.record(
        actor=f"device:{consent.device_id}",
        action="receipt.reissued",
        subject=consent.subject,
        consent=str(consent.pk),
    )
    return Signed(consent, receipt, secret)


@transaction.atomic
def withdraw(*, consent: Consent, actor: str) -> Consent:
    """End a consent now. The database tells every recognizer when this commits (GDPR 7(3))."""
    consent = Consent.objects.select_for_update().get(pk=consent.pk)
    if consent.withdrawn_at is None:
        consent.withdrawn_at = timezone.now()
        # The proof's own clock begins where the consent ended, not where it would have ended.
        consent.delete_after = min(consent.delete_after, consent.withdrawn_at + PROOF)
        consent.save(update_fields=["withdrawn_at", "delete_after"])
        audit.record(
            actor=actor,
            action="consent.withdrawn",
            subject=consent.subject,
            consent=str(consent.pk),
        )
    return consent


@transaction.atomic
def withdraw_purpose(*, consent: Consent, purpose: Purpose, actor: str) -> Consent:
    """Take one purpose out of a consent; the others go on. The proof keeps both events.

    What rests on the purpose is the caller's to erase: see retention.services.withdraw.
    """
    consent = Consent.objects.select_for_update().get(pk=consent.pk)
    if purpose in consent.purposes:
        consent.purposes = [each for each in consent.purposes if each != purpose]
        consent.save(update_fields=["purposes"])
        Withdrawal.objects.create(consent=consent, purpose=purpose, at=timezone.now())
        audit.record(
            actor=actor,
            action="purpose.withdrawn",
            subject=consent.subject,
            consent=str(consent.pk),
            purpose=purpose.value,
        )
    return consent


def _are_the_others(store: Store, named: Sequence[UUID]) -> bool:
    """Whether these are all the other stores of the store's group, of which there is one at least.

    Whoever was asked about fewer or other stores has not agreed to those that there are now.
    """
    return bool(named) and {other.pk for other in groups.others(store)} == set(named)


def count_refusal(*, store: Store, purpose: str) -> None:
    """Count that a purpose was declined today. Nothing about who declined."""
    row, _created = Refusal.objects.get_or_create(
        store=store, day=timezone.now().date(), purpose=purpose
    )
    Refusal.objects.filter(pk=row.pk).update(count=F("count") + 1)


def _check_guardian(guardian: dict[str, Any]) -> None:
    try:
        check(guardian["signature"])
    except BadSignaturePath as error:
        raise ConsentRefused("guardian", str(error)) from None


def notice_changed() -> ConsentRefused:
    """What was on the screen is not the text in force."""
    return ConsentRefused(
        "notice_changed",
        _("The text changed while you were reading. Please read the new one; nothing was kept."),
    )


def _group_changed() -> ConsentRefused:
    return ConsentRefused(
        "group_changed",
        _("The stores of the group changed while you were reading; nothing was kept."),
    )


def new_secret() -> str:
    """Return a receipt code of 24 signs, about 119 bits."""
    return codes.in_fours(codes.draw(24))


def secret_digest(secret: Any) -> str:
    """Return the digest under which a receipt is found, however the code was typed."""
    plain = "".join(sign for sign in str(secret).upper() if sign in codes.SIGNS)
    return hashlib.sha256(plain.encode()).hexdigest()
