"""Going on by receipt: what the letter offers, and the one tap that does it.

Design. The recognizer seals what there is anew before the transaction begins, so no lock is held
while it works. Then, with the visitor locked as in an erasure, one transaction makes the new
consent, puts templates and visits under it, replaces the pass, and ends the former consent. A fault
before its commit leaves everything as it was; after it, the code that the person holds opens the
new receipt, whether the answer arrived or not.

A template for a pass opens with its pass alone. Whoever has no other template shows theirs: it is
sealed anew under the same id and share, so that what they hold is good for as long as the new
consent. A card is not sealed: it goes on as it is, and takes no recognizer. The share goes from
their picture to the recognizer and is kept nowhere.
"""

import uuid
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from apps.consent import renewals
from apps.consent.models import FACE, Consent, NoticeText, Purpose, Receipt
from apps.consent.renewals import Offer
from apps.privacy.notices import Change, changes
from apps.recognition.client import Anew, RebindRequest, Rebound, Recognizer
from apps.recognition.passes import Pass
from apps.retention.services.erase import lock
from apps.visitors import services as visitors
from apps.visitors.models import Visitor, cards_held, overdue
from apps.visitors.services import SealedTemplate


@dataclass(frozen=True, slots=True)
class GoingOn:
    """How a person whose consent is near its end can go on: by this offer, or, in a sentence, why
    that takes the kiosk. new_pass: their pass is made anew with it; show_pass: they show theirs;
    card: theirs goes on.
    """

    offer: Offer | None
    new_pass: bool = False
    card: bool = False
    show_pass: bool = False
    at_kiosk: str = ""


@dataclass(frozen=True, slots=True)
class Renewed:
    """The receipt that the code opens now, and the new pass if there was one: shown once. A card
    stays as it is."""

    receipt: Receipt
    key_share: Pass | None


def going_on(receipt: Receipt, visitor: Visitor | None) -> GoingOn | None:
    """What the letter of this receipt says about going on; None when there is nothing to say."""
    consent = receipt.consent
    if visitor is None or not renewals.due(consent):
        return None
    if consent.guardian:
        sentence = _(
            "Your parent or guardian signed with you. To go on, please sign anew together."
        )
        return GoingOn(None, at_kiosk=sentence)
    lane, pass_ = (_of(visitor, consent, each) for each in (Purpose.LANE, Purpose.PASS))
    card = _has_card(visitor, consent)
    if not (lane or pass_ or card):
        sentence = _(
            "There is no face template of you any more that could be sealed for longer. To go on, "
            "please agree anew at the kiosk."
        )
        return GoingOn(None, at_kiosk=sentence)
    offer = renewals.offer(receipt)
    if offer is None:
        return None
    return GoingOn(offer, new_pass=lane and pass_, card=card, show_pass=pass_ and not lane)


def renew(
    *,
    visitor: Visitor,
    receipt: Receipt,
    notice: str,
    digest: str,
    shown: Pass | None = None,
    actor: str,
) -> Renewed:
    """Renew a receipt's consent as it was offered, under the text that was shown. shown: the pass
    of whoever has no template for a lane.

    Raises ConsentRefused, RecognizerDown, PassRefused when no template can be sealed anew or the
    pass is not theirs, TemplatesChanged when they changed meanwhile, Visitor.DoesNotExist.
    """
    former = receipt.consent
    consent = renewals.draft(receipt=receipt, notice=notice, digest=digest)
    made = Rebound([], None, None)
    if any(_of(visitor, former, purpose) for purpose in FACE):
        made = _rebound(visitor, former, consent, shown)
    with transaction.atomic():
        person = lock(visitor.pk)
        new = renewals.begin(consent=consent, actor=actor)
        visitors.carry_over(
            visitor=person,
            former=former,
            consent=consent,
            templates=[_sealed(each) for each in made.kept],
            new_pass=made.new_pass is not None,
        )
        # A floor board shows visits of a live consent only: whoever is here now stays on it.
        person.visits.update(consent=consent)
        if made.new_pass:
            visitors.replace_pass(
                visitor=person,
                consent=consent,
                template=_sealed(made.new_pass),
                actor=actor,
            )
        renewals.end_former(former)
    return Renewed(new, made.key_share)


def _rebound(visitor: Visitor, former: Consent, consent: Consent, shown: Pass | None) -> Rebound:
    new_pass = uuid.uuid4() if not shown and _of(visitor, former, Purpose.PASS) else None
    return Recognizer.any_of(settings.CONSENTRY.sockets).rebind(
        RebindRequest(
            visitor=visitor.pk,
            former=former.pk,
            consent=consent.pk,
            not_after=int(consent.expires_at.timestamp()),
            others=consent.group_stores,
            new_pass=new_pass,
            shown=shown.template if shown else None,
        ),
        share=shown.share if shown else b"",
    )


def changed(former: Consent, text: NoticeText) -> list[Change]:
    """Where the text in force differs from the one that was signed, section by section."""
    before = former.text.notice.texts.filter(locale=text.locale).first()
    return [change for change in changes(before, text) if not change.same]


def _of(visitor: Visitor, consent: Consent, purpose: Purpose) -> bool:
    held = visitor.templates.filter(consent=consent, purpose=purpose)
    return held.exclude(overdue()).exists()


def _has_card(visitor: Visitor, consent: Consent) -> bool:
    return cards_held().filter(visitor=visitor, consent=consent).exists()


def _sealed(made: Anew) -> SealedTemplate:
    return SealedTemplate(
        template=made.template,
        wrapped_key=b"",
        generation=0,
        sealed=made.sealed,
        pack=made.pack,
        pack_version=made.pack_version,
        purpose=made.purpose,
        rotation=made.rotation,
    )
