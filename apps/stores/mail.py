"""Whether visitors can be written to, and whom that tells.

Where the mail server is not the house's own machine, whoever runs it gets the address: then nobody
is asked whether they may be written to before the register of third parties, and with it the
notice, names it.
"""

from django.conf import settings
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from apps.stores.models import Organization, ThirdParty


def carriers(organization: Organization) -> QuerySet[ThirdParty]:
    """Who delivers the e-mail of this organization, as the register says."""
    return organization.third_parties.filter(ended_at=None, delivers_mail=True)


def missing(organization: Organization) -> str:
    """Why visitors of this organization cannot be written to, in one sentence; empty: they can."""
    if settings.CONSENTRY.mail_url is None:
        return _(
            "Not configured: CONSENTRY_MAIL_URL names no mail server, so contact is not offered at "
            "the kiosk."
        )
    if settings.CONSENTRY.mail.leaves_the_house and not carriers(organization).exists():
        return _(
            "The mail server is not of this house, and no third party in the register delivers our "
            "e-mail, so contact is not offered at the kiosk."
        )
    return ""
