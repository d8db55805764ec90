"""Write to the data protection officers of the house."""

import logging
import smtplib

from django.conf import settings
from django.core.mail import EmailMessage, get_connection

from apps.stores.models import Role, Store, User

log = logging.getLogger(__name__)


def tell_officers(*, subject: str, text: str, store: Store | None = None) -> int:
    """Send one message to each active officer, of one store or of any, who has an address; return
    how many were taken.

    0 where no mail server is named, nobody has an address, or the server does not answer.
    """
    if settings.CONSENTRY.mail_url is None:
        return 0
    # One filter: two would find somebody who is an officer elsewhere and something else here.
    where = {"roles__store": store} if store else {}
    officers = User.objects.filter(is_active=True, roles__kind=Role.Kind.DPO, **where)
    officers = officers.exclude(email="").order_by("email")
    sent = 0
    try:
        with get_connection() as post:
            for address in officers.values_list("email", flat=True).distinct():
                # One each: officers of different stores need not know of each other.
                message = EmailMessage(
                    subject,
                    text,
                    to=[address],
                    headers={"Auto-Submitted": "auto-generated"},
                    connection=post,
                )
                try:
                    sent += message.send()
                except (smtplib.SMTPRecipientsRefused, ValueError):
                    # A ValueError is of what is no address, and its text holds it.
                    log.warning("an officer's address was not taken")
    except (OSError, smtplib.SMTPException) as error:
        log.warning("officers could not be written to (%s)", type(error).__name__)
    return sent
