"""Periods of the law as moments: one month after 31 January is the last day of February.

Which moment that is depends on where the house is: by Regulation (EEC, Euratom) 1182/71 art. 3 a
period of a month ends with the last hour of the day of the same date, on the calendar of the place.
We do not know the place better than its jurisdiction, and whoever asked must never wait longer than
the law has it. So we count by the hour, which ends up to a day before the day is over, on several
calendars, and the earliest end holds. Among them have to be the westernmost zone of a jurisdiction,
on whose calendar the day of receipt may be a day earlier; the easternmost, on whose calendar it may
be a day later and the month too short for it (received on 30 January in Lisbon is the 31st on
Réunion, and both months end on 28 February); and at either end the last one with summer time, if
there is any, which begins within a period and takes an hour of it. Any other place of the
jurisdiction shares its date and its summer time with one of these. The Union reaches from
Martinique (UTC-4) to Réunion (UTC+4; art. 355(1) TFEU), with summer time from the Azores to Greece.

Art. 3(4), by which a period that ends on a holiday or a weekend ends on the next working day, would
only make ours later, and is left out.
"""

import calendar
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apps.stores.jurisdictions import Clock


def due(received_at: datetime, clock: Clock) -> datetime:
    """When a request that was received then is to be answered, in UTC."""
    return _after(received_at, clock, months=clock.months, days=clock.days)


def extended(first_due_at: datetime, clock: Clock) -> datetime:
    """When it is to be answered after the one extension. Raises ValueError where there is none."""
    if not (clock.extension_months or clock.extension_days):
        raise ValueError("this jurisdiction knows no extension")
    return _after(first_due_at, clock, months=clock.extension_months, days=clock.extension_days)


def _after(start: datetime, clock: Clock, *, months: int = 0, days: int = 0) -> datetime:
    """The same time of day on the wall, so many months and days later; on the last day of a month
    that is too short. The earliest of the clock's zones."""
    return min(_there(start, ZoneInfo(zone), months, days) for zone in clock.zones)


def _there(start: datetime, zone: ZoneInfo, months: int, days: int) -> datetime:
    local = start.astimezone(zone)
    year, month = divmod(local.year * 12 + local.month - 1 + months, 12)
    day = min(local.day, calendar.monthrange(year, month + 1)[1])
    # Arithmetic on an aware time of one zone is of its wall clock.
    return (local.replace(year=year, month=month + 1, day=day) + timedelta(days=days)).astimezone(
        UTC
    )
