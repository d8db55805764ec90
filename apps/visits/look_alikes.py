"""A pass was offered at the kiosk, because the lane could mix somebody up: how staff hear of it.

They hear that it happened and how often, so that they can lend a hand. Neither the kiosk's process
nor this one knows who the other is, and it may be the very same person on a bad day.
"""

from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Q, QuerySet, Sum
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from apps.stores.models import Store
from apps.visits.models import LookAlike
from apps.visits.services import announce

SHOWN = timedelta(minutes=2)
"""For how long a board says it: while the person is likely to stand there still."""

NOTE = """
INSERT INTO visits_lookalike (store_id, day, count, latest_at)
VALUES (%(store)s, (clock_timestamp() AT TIME ZONE 'UTC')::date, 1, clock_timestamp())
    ON CONFLICT (store_id, day) DO UPDATE
   SET count = visits_lookalike.count + 1, latest_at = excluded.latest_at
"""


@transaction.atomic
def note(*, store: Store) -> None:
    """Count one, and tell the store's boards."""
    with connection.cursor() as cursor:
        cursor.execute(NOTE, {"store": store.pk})
    transaction.on_commit(lambda: announce(store.pk, 0))


def lately(store: Store) -> datetime | None:
    """When it happened last, if a board still says it."""
    rows = LookAlike.objects.filter(store=store, latest_at__gt=Now() - SHOWN)
    return rows.order_by("-latest_at").values_list("latest_at", flat=True).first()


def counted(stores: QuerySet[Store]) -> QuerySet[Store]:
    """These stores with `look_alikes_today` and `look_alikes_week`, of seven days."""
    today = timezone.now().date()

    def total(days: int) -> Coalesce:
        since = Q(look_alikes__day__gt=today - timedelta(days=days))
        return Coalesce(Sum("look_alikes__count", filter=since), 0)

    return stores.annotate(look_alikes_today=total(1), look_alikes_week=total(7))
