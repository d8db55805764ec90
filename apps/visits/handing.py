"""“For Linda”: a visitor is handed to a colleague of the same store, and it stands on every board.

Whoever works there may hand on, also to themselves, and also back to nobody in particular; that is
how it is undone. It is no greeting: that stays the tap of whoever walks up.
"""

from django.db import connection, transaction
from django.db.models import QuerySet

from apps.audit import services as audit
from apps.stores.models import Role, Store, User
from apps.visits.models import Visit
from apps.visits.services import announce, one_at_a_time


def colleagues(store: Store) -> QuerySet[User]:
    """Those who work on the floor of a store, by name."""
    return (
        User.objects.filter(is_active=True, roles__store=store, roles__kind=Role.Kind.STAFF)
        .distinct()
        .order_by("first_name", "username")
    )


@transaction.atomic
def hand_on(*, visit: Visit, to: User | None, user: User) -> None:
    """Say who of this store is to greet; None is whoever is free. Raises User.DoesNotExist when
    they do not work there, and Visit.DoesNotExist when the visit is gone."""
    if to is not None:
        to = colleagues(visit.store).get(pk=to.pk)
    with connection.cursor() as cursor:
        one_at_a_time(cursor, visit.store_id)
        cursor.execute("SELECT nextval('visits_sequence')")
        (sequence,) = cursor.fetchone()
    others = Visit.objects.theirs().filter(pk=visit.pk).exclude(handed_to=to)
    changed = others.update(handed_to=to, sequence=sequence)
    visit.refresh_from_db()
    if not changed:
        return
    audit.record(
        actor=f"user:{user.pk}",
        action="visit.handed_on",
        subject=visit.visitor.subject,
        whereabouts=True,
        visit=str(visit.pk),
        to=f"user:{to.pk}" if to else "",
    )
    transaction.on_commit(lambda: announce(visit.store_id, sequence))
