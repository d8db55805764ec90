"""Write down what cameras and kiosks report: footfall, counters, how they fare. Numbers only.

Apart from `services`, so that a process that only counts loads nothing that knows of matches.
"""

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.db import connection, transaction
from django.utils import timezone

from apps.stores.models import Camera

if TYPE_CHECKING:
    # The pipeline brings decoders and models along; nobody but the watcher needs them.
    from apps.visits.pipeline.lane import Counters
    from apps.visits.pipeline.watcher import Report

COUNT_FOOTFALL = """
INSERT INTO visits_footfall (camera_id, quarter, entered, "left")
VALUES (%(camera)s, %(quarter)s, %(entered)s, %(left)s)
    ON CONFLICT (camera_id, quarter) DO UPDATE
   SET entered = visits_footfall.entered + excluded.entered,
       "left" = visits_footfall."left" + excluded."left"
"""
COUNT_UNMATCHED = """
INSERT INTO visits_unmatched (store_id, day, count)
VALUES (%(store)s, (clock_timestamp() AT TIME ZONE 'UTC')::date, %(count)s)
    ON CONFLICT (store_id, day) DO UPDATE SET count = visits_unmatched.count + excluded.count
"""

COUNT_OPT_IN = """
INSERT INTO visits_optin (store_id, month, started, finished)
VALUES (%(store)s, %(month)s, %(started)s, %(finished)s)
    ON CONFLICT (store_id, month) DO UPDATE
   SET started = visits_optin.started + excluded.started,
       finished = visits_optin.finished + excluded.finished
"""


def opt_in(*, store: uuid.UUID, started: int = 0, finished: int = 0) -> None:
    """Count that a kiosk's questions were opened, or answered to the end. Nothing about by whom."""
    with connection.cursor() as cursor:
        cursor.execute(
            COUNT_OPT_IN,
            {
                "store": store,
                "month": timezone.localdate().replace(day=1),
                "started": started,
                "finished": finished,
            },
        )


def count(*, camera: uuid.UUID, quarter: datetime, entered: int, left: int) -> None:
    """Add to a quarter hour's footfall."""
    with connection.cursor() as cursor:
        cursor.execute(
            COUNT_FOOTFALL,
            {"camera": camera, "quarter": quarter, "entered": entered, "left": left},
        )


def report(seen: "Report") -> None:
    """Add what a watched camera counted since its last report, and how it fares."""
    at = None if seen.last_frame_at is None else datetime.fromtimestamp(seen.last_frame_at, UTC)
    add(camera=seen.camera, counters=seen.counters, state=seen.state, last_frame_at=at)


@transaction.atomic
def add(
    *, camera: uuid.UUID, counters: "Counters", state: str, last_frame_at: datetime | None
) -> None:
    """Add increments to a camera's counters, and how it fares now. `state`: see stream.State."""
    row = Camera.objects.select_for_update().get(pk=camera)
    aborts = dict(row.aborts)
    for reason, number in counters.aborts.items():
        aborts[reason] = aborts.get(reason, 0) + number
    row.aborts = aborts
    row.triggers += counters.triggers
    row.outside_zone += counters.outside_zone
    row.embeddings_outside_trigger += counters.embeddings_outside_trigger
    row.state = state
    row.reported_at = timezone.now()
    if last_frame_at is not None:
        row.last_frame_at = last_frame_at
    row.save(
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
    if counters.unmatched and row.mode == Camera.Mode.LANE:
        with connection.cursor() as cursor:
            cursor.execute(COUNT_UNMATCHED, {"store": row.store_id, "count": counters.unmatched})
