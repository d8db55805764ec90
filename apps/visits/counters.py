"""What every camera counted goes into the ledger each hour, so that no number can change unseen.

The public page shows the same numbers. They say how often, never who: see `Camera`. Of a lane they
count who walked in and who was turned away unread, and say nothing of whether the others were
known; at a camera that reads passes each trigger was a pass held up for all to see. So nothing is
told of any guest of the statistics; but no more can have arrived by face than triggered, and
whoever reads both knows that too.
"""

from datetime import UTC

from django.db import connection, transaction
from django.db.models import Q

from apps.audit import services as audit
from apps.stores.models import Camera

ACTOR = "system:hourly"


@transaction.atomic
def publish() -> int:
    """Write the totals of each camera, once an hour each. Returns how many were written.

    Safe to run twice or beside itself: whoever comes second waits, and finds the hour written.
    """
    with connection.cursor() as cursor:
        # The clock of the database, as for everything that is kept or deleted by the hour.
        cursor.execute("SELECT date_trunc('hour', clock_timestamp(), 'UTC')")
        (hour,) = cursor.fetchone()
    due = Camera.objects.filter(Q(counted_at=None) | Q(counted_at__lt=hour))
    cameras = list(due.order_by("pk").select_for_update(no_key=True))
    for camera in cameras:
        audit.record(
            actor=ACTOR,
            action="camera.counted",
            object=str(camera.pk),
            hour=hour.astimezone(UTC).isoformat(),
            triggers=camera.triggers,
            aborts=camera.aborts,
            outside_zone=camera.outside_zone,
            embeddings_outside_trigger=camera.embeddings_outside_trigger,
        )
        camera.counted_at = hour
        camera.save(update_fields=["counted_at"])
    return len(cameras)
