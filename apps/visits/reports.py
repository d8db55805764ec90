"""Write down what cameras report: footfall, counters, and how they fare. Numbers, never a person.

Apart from `services`, so that a process that only counts loads nothing that knows of matches.
"""

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from apps.stores.models import Camera
from apps.visits.models import Footfall

COUNT_UNMATCHED = """
INSERT INTO visits_unmatched (store_id, day, count)
VALUES (%(store)s, (clock_timestamp() AT TIME ZONE 'UTC')::date, %(count)s)
    ON CONFLICT (store_id, day) DO UPDATE SET count = visits_unmatched.count + excluded.count
"""

if TYPE_CHECKING:
    # The pipeline brings decoders and models along; nobody but the watcher needs them.
    from apps.visits.pipeline.watcher import Report


@transaction.atomic
def count(*, camera: uuid.UUID, quarter: datetime, entered: int, left: int) -> None:
    """Add to a quarter hour's footfall."""
    row, _created = Footfall.objects.get_or_create(camera_id=camera, quarter=quarter)
    Footfall.objects.filter(pk=row.pk).update(entered=F("entered") + entered, left=F("left") + left)


@transaction.atomic
def report(seen: "Report") -> None:
    """Add what a camera counted since its last report, and how it fares."""
    camera = Camera.objects.select_for_update().get(pk=seen.camera)
    aborts = dict(camera.aborts)
    for reason, number in seen.counters.aborts.items():
        aborts[reason] = aborts.get(reason, 0) + number
    camera.aborts = aborts
    camera.triggers += seen.counters.triggers
    camera.outside_zone += seen.counters.outside_zone
    camera.embeddings_outside_trigger += seen.counters.embeddings_outside_trigger
    camera.state = seen.state
    camera.reported_at = timezone.now()
    if seen.last_frame_at is not None:
        camera.last_frame_at = datetime.fromtimestamp(seen.last_frame_at, UTC)
    camera.save(
        update_fields=[
            "aborts",
            "triggers",
            "outside_zone",
            "embeddings_outside_trigger",
            "state",
            "last_frame_at",
            "reported_at",
        ]
    )
    # Whoever shows a pass is compared with its one template and never meets the gallery.
    if seen.counters.unmatched and camera.mode == Camera.Mode.LANE:
        with connection.cursor() as cursor:
            cursor.execute(
                COUNT_UNMATCHED, {"store": camera.store_id, "count": seen.counters.unmatched}
            )
