"""How long a consent lasts: as many months as the person chose, never past what the pack allows."""

import calendar
from datetime import datetime, timedelta

from apps.stores.jurisdictions import Pack

# In months, as they stand on the buttons; the last is the usual one.
CHOICES = (3, 6, 12)
SHORTEST_MONTH = 28


def terms(pack: Pack) -> list[int]:
    """The terms that are offered under this pack, in months; at least one."""
    within = [months for months in CHOICES if months * SHORTEST_MONTH <= pack.max_term_days]
    return within or [CHOICES[0]]


def end_of(months: int, signed_at: datetime, pack: Pack) -> datetime:
    """When a consent signed at this moment ends: the same day so many months later, or the last
    day of that month, and never later than the pack allows.

    In whole seconds: this very number is sealed into the template.
    """
    year, month = divmod(signed_at.year * 12 + signed_at.month - 1 + months, 12)
    day = min(signed_at.day, calendar.monthrange(year, month + 1)[1])
    chosen = signed_at.replace(year=year, month=month + 1, day=day)
    return min(chosen, signed_at + timedelta(days=pack.max_term_days)).replace(microsecond=0)


def term_of(signed_at: datetime, until: datetime, pack: Pack) -> int:
    """The term, in months, of a consent that was signed for until then: of those that are offered
    now, the shortest that lasts as long, or the longest."""
    offered = terms(pack)
    return next((each for each in offered if end_of(each, signed_at, pack) >= until), offered[-1])
