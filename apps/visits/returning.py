"""How many guests come back to a store, and after how many days: of those who agreed to be counted.

Nothing is stored: each figure is worked out from the visits of now, so whoever withdraws is out of
it at once. A figure with fewer than `FEWEST` people behind it is not given (k-anonymity), be it
one or none. The running week is left out: a figure that grows by one as somebody walks in would
tell of them.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from statistics import median
from uuid import UUID

from django.db.models.functions import Now
from django.utils import timezone

from apps.consent.models import Purpose
from apps.stores.models import Store
from apps.visits.models import Visit

FEWEST = 5
WEEKS = 8
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Week:
    """How many guests came back in the week from this Monday; None: fewer than `FEWEST`."""

    monday: date
    guests: int | None


@dataclass(frozen=True, slots=True)
class Returning:
    """A store's whole weeks, the latest first, and the median over guests of how many days each
    usually stays away; None: fewer than `FEWEST` came back at all."""

    weeks: list[Week]
    median_days: int | None

    @property
    def told(self) -> bool:
        """Whether there is any figure."""
        return self.median_days is not None


def returning_at(store: Store) -> Returning:
    """Work out who came back on another day, in whole weeks up to now."""
    monday = timezone.localdate() - timedelta(days=timezone.localdate().weekday())
    back: defaultdict[date, set[UUID]] = defaultdict(set)
    away: defaultdict[UUID, list[int]] = defaultdict(list)
    for visitor, days in _days(store).items():
        for before, day in pairwise(sorted(each for each in days if each < monday)):
            back[day - timedelta(days=day.weekday())].add(visitor)
            away[visitor].append((day - before).days)
    weeks = [monday - WEEK * ago for ago in range(1, WEEKS + 1)]
    usual = [median(gaps) for gaps in away.values()]
    return Returning(
        weeks=[Week(each, _enough(len(back[each]))) for each in weeks],
        median_days=round(median(usual)) if _enough(len(usual)) else None,
    )


def _enough(people: int) -> int | None:
    return people if people >= FEWEST else None


def _days(store: Store) -> dict[UUID, set[date]]:
    """The days on which each person who agrees to the statistics now was in this store."""
    visits = Visit.objects.theirs().filter(
        store=store,
        consent__purposes__contains=[Purpose.STATISTICS],
        consent__withdrawn_at=None,
        consent__expires_at__gt=Now(),
        visitor__restricted_at=None,
        delete_after__gt=Now(),
    )
    days: defaultdict[UUID, set[date]] = defaultdict(set)
    for visitor, arrived_at in visits.values_list("visitor", "arrived_at"):
        days[visitor].add(timezone.localdate(arrived_at))
    return days
