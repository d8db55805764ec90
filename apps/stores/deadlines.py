"""Periods of the law as moments: one month after 31 January is the last day of February."""

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
    """The same time of day on the wall of the clock's zone, so many months and days later; on the
    last day of a month that is too short."""
    zone = ZoneInfo(clock.zone)
    local = start.astimezone(zone)
    year, month = divmod(local.year * 12 + local.month - 1 + months, 12)
    day = min(local.day, calendar.monthrange(year, month + 1)[1])
    # Arithmetic on an aware time of one zone is of its wall clock.
    return (local.replace(year=year, month=month + 1, day=day) + timedelta(days=days)).astimezone(
        UTC
    )
