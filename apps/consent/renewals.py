"""Renew a consent with the code of its receipt: the same purposes, for as long as before.

Design. With the code everything can be ended, so with the code it may go on. A renewal is a consent
of its own, to the notice that is in force, with a receipt of its own; the former ends in the same
transaction and stays as proof, and each names the other. The code moves on to the new receipt: what
the person holds stays good, and an answer that got lost on its way loses nothing.

It refuses what nobody may decide alone (a guardian signs again, at the kiosk), what is over, what
is not near its end and not asked for anew, and a text other than the one that was shown.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models.functions import Least, Now
from django.utils import timezone, translation

from apps.audit import services as audit
from apps.audit.signing import BadSignature
from apps.consent import document, promises
from apps.consent.coverage import elsewhere
from apps.consent.models import PROOF, Consent, NoticeText, Purpose, Receipt
from apps.consent.services import (
    ConsentRefused,
    current_text,
    new_secret,
    notice_changed,
    secret_digest,
)
from apps.consent.terms import end_of, term_of

SOON = timedelta(days=60)
"""So near its end a consent may be renewed; one that is asked for anew, at once."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What one tap would do: this text, for so many months from now.

    changed: the text is another than the one that was signed, and is to be read first.
    """

    text: NoticeText
    months: int
    until: datetime
    changed: bool


def due(consent: Consent) -> bool:
    """Whether this consent is near its end, or a material change asks for it anew."""
    soon = consent.expires_at <= timezone.now() + SOON
    return consent.live and (soon or Consent.objects.asked_again().filter(pk=consent.pk).exists())


def offer(receipt: Receipt) -> Offer | None:
    """What the holder of a receipt may renew now; None where that takes the kiosk, or time."""
    consent = receipt.consent
    if consent.guardian or not due(consent):
        return None
    text = _text_now(consent)
    if text is None:
        return None
    pack = promises.pack(consent.store, text)
    months = term_of(consent.signed_at, _signed_until(receipt), pack)
    return Offer(
        text=text,
        months=months,
        until=end_of(months, timezone.now(), pack),
        changed=text.notice_id != consent.text.notice_id,
    )


def draft(*, receipt: Receipt, notice: str, digest: str) -> Consent:
    """Return the renewal of a receipt's consent, not saved. Raises ConsentRefused.

    notice, digest: of the text that was on the screen; it must be the one in force.
    """
    former, offered = receipt.consent, offer(receipt)
    if offered is None:
        raise ConsentRefused("not_offered", "")
    if (str(offered.text.pk), offered.text.digest) != (notice, digest):
        raise notice_changed()
    now = timezone.now()
    pack = promises.pack(former.store, offered.text)
    expires_at = end_of(offered.months, now, pack)
    purposes, stores = _going_on(former)
    return Consent(
        id=uuid.uuid4(),
        subject=former.subject,
        store=former.store,
        text=offered.text,
        digest=offered.text.digest,
        locale=offered.text.locale,
        purposes=purposes,
        group=former.group if stores else None,
        group_stores=stores,
        signature={"receipt": str(receipt.pk)},
        signature_method=Consent.SignatureMethod.CODE,
        renews=former,
        signed_at=now,
        expires_at=expires_at,
        delete_after=expires_at + PROOF,
    )


@transaction.atomic
def begin(*, consent: Consent, actor: str) -> Receipt:
    """Store a drafted renewal with its receipt, which takes over the code. Raises ConsentRefused.

    The caller then moves what rests on the former consent, and calls `end_former`, in the same
    transaction and with the visitor locked. As `services.sign`, it locks the text before anything
    else of the consent, and reads it again.
    """
    former = consent.renews
    assert former is not None
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM consent_noticetext WHERE id = %s FOR SHARE", [consent.text_id])
        cursor.execute("SELECT FROM stores_store WHERE id = %s FOR SHARE", [consent.store_id])
    held = Consent.objects.select_for_update().get(pk=former.pk)
    if not held.live or _going_on(held) != (consent.purposes, consent.group_stores):
        # Ended, renewed or narrowed in another window, or a store left, this very moment.
        raise ConsentRefused("not_offered", "")
    text = _text_now(former)
    if text is None or text.pk != consent.text_id:
        raise notice_changed()
    consent.save(force_insert=True)
    last = Receipt.objects.select_for_update().get(consent=former)
    code, last.secret_digest = last.secret_digest, secret_digest(new_secret())
    last.save(update_fields=["secret_digest"])
    receipt = Receipt(consent=consent, secret_digest=code, created_at=consent.signed_at)
    receipt.document = document.receipt_jws(receipt)
    receipt.save()
    audit.record(
        actor=actor,
        action="consent.renewed",
        subject=consent.subject,
        consent=str(consent.pk),
        former=str(former.pk),
        digest=consent.digest,
        locale=consent.locale,
        purposes=consent.purposes,
        method=consent.signature_method,
    )
    return receipt


def end_former(former: Consent) -> None:
    """End the consent that was just renewed: not withdrawn, shortened to now. Its proof is kept as
    long as any other's, from here on."""
    Consent.objects.filter(pk=former.pk).update(
        expires_at=Now(), delete_after=Least("delete_after", Now() + PROOF)
    )


def _going_on(former: Consent) -> tuple[list[str], list[uuid.UUID]]:
    """The purposes of a renewal, and the other stores that it names: those that are covered still.
    Where none is left, `group` ends with the former consent."""
    stores = sorted(store.pk for store in elsewhere(former))
    return [each for each in former.purposes if stores or each != Purpose.GROUP], stores


def _text_now(consent: Consent) -> NoticeText | None:
    """The text in force in the language that was signed, or in the reader's when it is no more."""
    for locale in (consent.locale, translation.get_language() or ""):
        if text := current_text(store=consent.store, locale=locale):
            return text
    return None


def _signed_until(receipt: Receipt) -> datetime:
    try:
        return document.signed_until(receipt)
    except BadSignature:
        # The proof's own trouble, of which its download tells; the term is not lost with it.
        return receipt.consent.expires_at
