"""Write once to whoever asked for it, two weeks before their consent ends.

Design. The claim comes first: one transaction sets the consent's `reminded_at`, which PostgreSQL
lets be set once, and writes the ledger. Only when that has committed is the message handed over:
who runs this twice at once, or is killed in between, writes to nobody twice, at the price that
somebody may be told nothing. A mail server that is away costs nobody their message, because it is
spoken to before anything is claimed. No address goes into the ledger, a log or a message to Celery,
and no code or name into the e-mail.
"""

import logging
import smtplib
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.consent.models import Consent, ConsentQuerySet, Purpose
from apps.consent.wording import known_by
from apps.stores import mail
from apps.stores.models import Organization
from apps.visitors.models import Visitor

log = logging.getLogger(__name__)

ACTOR = "system:remind"
BEFORE = timedelta(days=14)
BATCH = 200


def remind() -> int:
    """Send what is due and return how many messages the mail server took. Safe beside itself."""
    served = [each for each in Organization.objects.all() if not mail.missing(each)]
    due = _due().filter(store__organization__in=served).order_by("expires_at")[:BATCH]
    claimable = list(due.values_list("pk", flat=True))
    sent = 0
    if not claimable:
        return sent
    try:
        with get_connection() as post:
            for consent in claimable:
                message = _claim(consent)
                if message is None:
                    continue
                message.connection = post
                try:
                    sent += message.send()
                except (smtplib.SMTPRecipientsRefused, ValueError):
                    # A ValueError is of what is no address, and its text holds it.
                    _undelivered(consent)
                except Exception:
                    _undelivered(consent)
                    raise
    except (OSError, smtplib.SMTPException) as error:
        log.warning("the mail server did not take everything (%s)", type(error).__name__)
    return sent


def _due() -> ConsentQuerySet:
    """Live consents that end soon, of people who gave an address and were not written to."""
    reachable = Visitor.objects.filter(subject=OuterRef("subject"), contact__contains="@")
    return Consent.objects.live().filter(
        Exists(reachable),
        purposes__contains=[Purpose.CONTACT],
        reminded_at=None,
        expires_at__lte=Now() + BEFORE,
    )


@transaction.atomic
def _claim(consent: UUID) -> EmailMessage | None:
    """Claim a consent and return what to send; None when somebody was faster, or it is over."""
    subjects = Consent.objects.filter(pk=consent).values("subject")
    people = Visitor.objects.select_for_update(skip_locked=True, of=("self",))
    # The visitor first, as in an erasure.
    person = people.filter(subject__in=subjects).first()
    row = _due().filter(pk=consent).select_related("store__organization").first()
    if person is None or row is None:
        return None
    row.reminded_at = timezone.now()
    row.save(update_fields=["reminded_at"])
    audit.record(actor=ACTOR, action="consent.reminded", subject=row.subject, consent=str(row.pk))
    return _message(row, person.contact)


def _message(consent: Consent, address: str) -> EmailMessage:
    store = consent.store
    with translation.override(consent.locale):
        until = date_format(consent.expires_at, "DATE_FORMAT")
        words = {
            "store": store.name,
            "organization": store.organization,
            "until": until,
            "known_by": known_by(consent.purposes),
            "receipt": f"{settings.CONSENTRY.public_url}/receipt/",
        }
        subject = _("%(store)s: what you agreed to ends on %(until)s") % {
            "store": store.name,
            "until": until,
        }
        return EmailMessage(
            " ".join(subject.split()),
            render_to_string("mail/ending.txt", words),
            to=[address],
            # RFC 3834: no machine answers it.
            headers={"Auto-Submitted": "auto-generated"},
        )


@transaction.atomic
def _undelivered(consent: UUID) -> None:
    """Write down that the message did not arrive; it is not sent again."""
    row = Consent.objects.get(pk=consent)
    person = Visitor.objects.filter(subject=row.subject).exists()
    audit.record(
        actor=ACTOR,
        action="consent.reminder_failed",
        subject=row.subject if person else None,
        consent=str(consent),
    )
