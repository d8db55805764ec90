"""What people change of their own, by receipt: the name, a pause, the pass, the card.

Each act is one transaction with its ledger entry, and locks the visitor first, as an erasure does.
Raises Visitor.DoesNotExist when the person was erased meanwhile.
"""

import uuid
from functools import partial

from django.conf import settings
from django.db import transaction

from apps.consent.models import Consent, Purpose
from apps.recognition.client import Recognizer
from apps.recognition.passes import Pass
from apps.retention.holds import Held, held_until
from apps.retention.services.erase import lock
from apps.systems import outbox
from apps.visitors import cards
from apps.visitors import services as visitors
from apps.visitors.cards import CardCode
from apps.visitors.models import Visitor, cards_held
from apps.visitors.services import SealedTemplate
from apps.visits.services import announce_all, boards_of, redraw

# Who acts by their own receipt, as the ledger calls them.
SELF = "self"


@transaction.atomic
def rename(
    *,
    visitor: Visitor,
    greeting_name: str,
    say_as: str | None = None,
    asks_for: str | None = None,
    actor: str,
) -> None:
    """Greet a person by another name (GDPR 16), say it so, and have whom they ask for come; what is
    None stays. Open boards show it, and other systems hear that the name changed, which is all that
    they were told. Raises BadName."""
    visitor = lock(visitor.pk)
    before = visitor.greeting_name
    visitors.rename(
        visitor=visitor,
        greeting_name=greeting_name,
        say_as=say_as,
        asks_for=asks_for,
        actor=actor,
    )
    if visitor.greeting_name != before:
        outbox.rectified(subject=visitor.subject)
    # Afterwards: it takes the boards' turn, which comes before the visitor's lock.
    transaction.on_commit(partial(redraw, visitor=visitor))


@transaction.atomic
def pause(*, visitor: Visitor, paused: bool, actor: str) -> None:
    """Stop recognising a person without erasing anything, or go on (GDPR 18). Twice is once.

    Raises Held when anybody but the person ends a pause that a legal claim needs.
    """
    visitor = lock(visitor.pk)
    if (visitor.restricted_at is not None) == paused:
        return
    if not paused and actor != SELF and (until := held_until(visitor.subject)):
        raise Held(until)
    outbox.restricted(subject=visitor.subject, restricted=paused)
    visitors.restrict(visitor=visitor, restricted=paused, actor=actor)
    if paused:
        # Open boards take the person's card down.
        announce_all(boards_of(visitor))
    else:
        # They show it again: a board is given only what is newer than what it has.
        transaction.on_commit(partial(redraw, visitor=visitor))


@transaction.atomic
def new_card(*, visitor: Visitor, consent: Consent, actor: str) -> CardCode | None:
    """Make a new card, to be shown once; the old one ends. None when there is none to replace."""
    person = lock(visitor.pk)
    if not cards_held().filter(visitor=person).exists():
        return None
    code = cards.draw()
    visitors.replace_card(
        visitor=person,
        consent=Consent.objects.get(pk=consent.pk),
        card=cards.digest(code),
        actor=actor,
    )
    return code


def new_pass(*, visitor: Visitor, consent: Consent, actor: str) -> Pass:
    """Make a new pass of the lane's template; the old pass ends in the same transaction.

    Raises RecognizerDown, PassRefused when there is no lane template to make it of.
    """
    template = uuid.uuid4()
    sealed = Recognizer.any_of(settings.CONSENTRY.sockets).reissue(
        visitor=visitor.pk, template=template
    )
    assert sealed.key_share is not None
    with transaction.atomic():
        person = lock(visitor.pk)
        consent = Consent.objects.get(pk=consent.pk)
        visitors.replace_pass(
            visitor=person,
            consent=consent,
            template=SealedTemplate(
                template=template,
                wrapped_key=sealed.wrapped_key,
                generation=sealed.generation,
                sealed=sealed.sealed[Purpose.PASS],
                pack=sealed.pack,
                pack_version=sealed.pack_version,
                purpose=Purpose.PASS,
                rotation=sealed.rotation,
            ),
            actor=actor,
        )
    return sealed.key_share
