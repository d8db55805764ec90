"""Arrive without a face: by the code of a card, at the floor board or at the door.

What comes of it is a visit as any other. Whatever is wrong, with the code, the person's consent or
this store, the answer is the same word: whoever tries learns nothing of anybody.
"""

from apps.recognition.client import Decision
from apps.stores.models import Store
from apps.visitors.cards import CardCode, digest
from apps.visits.services import LAWFUL, WHOSE, Way, arrive

CARD_MAY = f"""
  FROM visitors_card t {WHOSE}
 WHERE t.digest = %(digest)s AND 'card' = ANY (c.purposes) {LAWFUL}
"""
# As with a pass, whoever the lane took for someone else still comes in by their card.
BY_CARD = Way(may=CARD_MAY, column="by_card", held="FALSE")


def check_in(*, code: CardCode, store: Store, actor: str) -> Decision:
    """Make a visit of whoever has this card, if the law of this moment allows it, as
    `services.disclose` does of a match. actor: who read the card, for the ledger."""
    return arrive(
        BY_CARD,
        store=store.pk,
        pack=store.pack,
        actor=actor,
        mode="card",
        digest=digest(code),
    )
