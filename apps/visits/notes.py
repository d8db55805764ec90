"""The note that staff may keep about a visitor who agreed to it: one sentence, seen on their card.

Design. Written only while the visitor is on the board, by who works there. Each act is one
transaction with its ledger entry, which does not hold what was written. The board's order is locked
first, then the visitor, as a camera does; then each open board of their store is shown the card
anew, with the note or without it.
"""

from django.db import connection, transaction
from django.utils import timezone

from apps.audit import services as audit
from apps.visitors import names
from apps.visitors.models import Note, Visitor
from apps.visits.models import Visit
from apps.visits.services import one_at_a_time, show_anew


@transaction.atomic
def write(*, visit: Visit, text: str, actor: str) -> None:
    """Keep a note, in place of the one before; an empty one deletes it. Raises BadNote,
    Visitor.DoesNotExist, and IntegrityError where the consent was narrowed this very moment."""
    if not text.strip():
        delete(visitor=visit.visitor, actor=actor)
        return
    text = names.note(text)
    visitor = _locked(visit.visitor)
    Note.objects.update_or_create(
        visitor=visitor, defaults={"text": text, "written_at": timezone.now()}
    )
    audit.record(actor=actor, action="note.written", subject=visitor.subject)
    show_anew(visitor, [visitor.store_id])


@transaction.atomic
def delete(*, visitor: Visitor, actor: str) -> None:
    """Delete the note on a visitor, if there is one. Raises Visitor.DoesNotExist."""
    visitor = _locked(visitor)
    deleted, _models = Note.objects.filter(visitor=visitor).delete()
    if deleted:
        audit.record(actor=actor, action="note.deleted", subject=visitor.subject)
        show_anew(visitor, [visitor.store_id])


def _locked(visitor: Visitor) -> Visitor:
    with connection.cursor() as cursor:
        one_at_a_time(cursor, visitor.store_id)
    return Visitor.objects.select_for_update().get(pk=visitor.pk)
