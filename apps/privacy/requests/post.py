"""E-mail about a request. No name stands in it, and no address in a log.

The mail server is spoken to before anything is written, so that what is written as told was told,
and while nothing is locked: somebody who withdraws does not wait for it. Whoever wants to write
checks first, sends, and checks again when writing; meanwhile `turn` keeps a second officer from
sending the same once more. A message that was not taken is a refusal which the officer reads, and
then nothing has changed. Nobody decides otherwise meanwhile: whoever approves takes the turn too.
"""

import logging
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.audit.turns import alone
from apps.privacy.requests.rows import RequestRefused
from apps.retention.models import Request
from apps.stores import mail
from apps.stores.models import Organization

CODE = gettext_noop("the code for your request")
EXTENDED = gettext_noop("your request takes longer")
ANSWER = gettext_noop("the answer to your request")

log = logging.getLogger(__name__)

LOCK = 0x504F5354


@contextmanager
def turn(request: Request) -> Iterator[None]:
    """Be the only one who tells this person something. Raises RequestRefused."""
    with alone(LOCK, request.pk) as mine:
        if not mine:
            raise RequestRefused("busy", _("Somebody else is answering this request right now."))
        yield


def must_go(organization: Organization) -> None:
    """Raises RequestRefused where nobody can be written to."""
    if mail.missing(organization):
        raise RequestRefused("mail", _("E-mail is not set up for this organization."))


def send(
    address: str,
    template: str,
    subject: str,
    organization: Organization,
    locale: str,
    **words: Any,
) -> None:
    """Hand one message over now. Raises RequestRefused when the mail server does not take it."""
    with translation.override(locale):
        text = render_to_string(template, {"organization": organization, **words})
        title = f"{organization.name}: {_(subject)}"
    # RFC 3834: no machine answers it.
    headers = {"Auto-Submitted": "auto-generated"}
    message = EmailMessage(" ".join(title.split()), text, to=[address], headers=headers)
    try:
        taken = message.send()
    except (OSError, smtplib.SMTPException, ValueError) as error:
        # The text of a ValueError holds what is no address.
        log.warning("the mail server did not take a message (%s)", type(error).__name__)
        taken = 0
    if not taken:
        raise RequestRefused("mail", _("The mail server did not take the message."))
