"""The months and days of the insights, in the house's own time."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.utils import timezone

# A watcher that was cut off reports late.
STILL_COUNTED = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month: `begins` is its first day, `ends` the next one's."""

    begins: date

    @classmethod
    def of(cls, day: date) -> "Month":
        """The month of a day."""
        return cls(day.replace(day=1))

    @property
    def ends(self) -> date:
        return (self.begins + timedelta(days=31)).replace(day=1)

    @property
    def moments(self) -> tuple[datetime, datetime]:
        return midnight(self.begins), midnight(self.ends)


def midnight(day: date) -> datetime:
    """When the day begins."""
    return timezone.make_aware(datetime.combine(day, time.min)).astimezone(UTC)
