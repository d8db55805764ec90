"""Roll-ups as charts: titles, labels and numbers of one month at a store, or at all of them.

A number that was withheld is None here and everywhere after; no chart knows what it was.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.dates import WEEKDAYS_ABBR
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from apps.consent.models import Purpose
from apps.stores.models import Camera, Organization, Store
from apps.visitors.models import Age, Sex
from apps.visits.insights.rollup import BANDS, KIOSK
from apps.visits.insights.spans import Month
from apps.visits.models import Rollup

Number = int | float | None


@dataclass(frozen=True, slots=True)
class Series:
    """One number for each label of a chart."""

    name: str
    values: Sequence[Number]


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn, and what stands in its table. `lying`: labels are words, bars lie down."""

    key: str
    title: str
    text: str
    head: str
    labels: Sequence[str]
    series: Sequence[Series]
    lying: bool = False
    digits: int = 0

    @property
    def rows(self) -> list[tuple[str, list[str]]]:
        """Its table; an empty text where a number is withheld."""
        return [
            (label, [self.written(series.values[place]) for series in self.series])
            for place, label in enumerate(self.labels)
        ]

    @property
    def withheld(self) -> bool:
        """Whether any number is."""
        return any(value is None for series in self.series for value in series.values)

    def written(self, value: Number) -> str:
        return "" if value is None else number_format(value, self.digits, force_grouping=True)


@dataclass(frozen=True, slots=True)
class Share:
    """A number for the head of the page: a part of a whole; None: withheld, or nobody."""

    name: str
    part: int | None
    whole: int | None

    @property
    def percent(self) -> float | None:
        return 100 * self.part / self.whole if self.whole and self.part is not None else None


@dataclass(frozen=True, slots=True)
class Place:
    """A store, or all of an organization's together."""

    organization: Organization
    store: Store | None

    def rollups(self) -> QuerySet[Rollup]:
        """Its months: what cameras counted, and what may be told of people."""
        return Rollup.objects.filter(
            organization=self.organization,
            store=self.store,
            span__in=(Rollup.Span.FOOTFALL, Rollup.Span.MONTH),
        )

    def months(self) -> list[date]:
        """First days of the months that anything is known of, the latest first."""
        begins = self.rollups().values_list("begins", flat=True)
        return list(begins.distinct().order_by("-begins"))


@dataclass(frozen=True, slots=True)
class Insights:
    """One month at a place. `whole`: it is over and worked out, so that guests are in it."""

    charts: list[Chart]
    shares: list[Share]
    entered: int
    whole: bool


def insights_of(place: Place, month: Month) -> Insights:
    """Everything that may be told of a month, as it was worked out: two rows are read."""
    found = place.rollups().filter(begins=month.begins).values_list("span", "figures")
    rows: dict[str, dict[str, Any]] = dict(found)
    footfall = _Footfall(place, month, rows.get(Rollup.Span.FOOTFALL, {}))
    told = rows.get(Rollup.Span.MONTH)
    charts = footfall.charts()
    shares: list[Share] = []
    if told is not None:
        charts += [chart for chart in _guests(told, place) if _anything(chart)]
        shares = _shares(told)
    return Insights(charts, shares, footfall.entered, told is not None)


def _anything(chart: Chart) -> bool:
    """Whether a chart has a bar: one of nothing but withheld numbers says nothing."""
    return any(series.values[n] for series in chart.series for n in range(len(chart.labels)))


def _shares(told: dict[str, int | None]) -> list[Share]:
    return [
        Share(name, told.get(part), told.get(whole))
        for name, part, whole in (
            (_("Arrivals that were recognised, of all"), "arrivals", "entered"),
            (_("Guests who came back"), "returned", "guests"),
            (_("Opt-ins finished, of those begun"), "finished", "started"),
            (_("Greetings that were for somebody else"), "wrong", "arrivals"),
        )
    ]


class _Footfall:
    """What cameras counted in a month, see footfall.added_up."""

    def __init__(self, place: Place, month: Month, sums: dict[str, Any]) -> None:
        self.place, self.month = place, month
        self.days: dict[int, int] = dict(sums.get("days", ()))
        self.hours: list[list[int]] = sums.get("hours", [])
        self.cameras = {UUID(camera): ways for camera, *ways in sums.get("cameras", ())}

    @property
    def entered(self) -> int:
        return sum(self.days.values())

    def charts(self) -> list[Chart]:
        if not self.days:
            return []
        return [self._hours(), self._inside(), self._weekdays(), self._by_day(), self._entrances()]

    def _hours(self) -> Chart:
        days = len(self.days)
        return Chart(
            "hours",
            _("The hours of a day"),
            _("People through the entrances, on a day of this month on average."),
            _("From"),
            [f"{hour:02}" for hour, *_sums in self.hours],
            [
                Series(_("In"), [entered / days for _hour, entered, _left, _in in self.hours]),
                Series(_("Out"), [left / days for _hour, _entered, left, _in in self.hours]),
            ],
            digits=1,
        )

    def _inside(self) -> Chart:
        days = len(self.days)
        return Chart(
            "inside",
            _("People inside"),
            _("At the end of each hour: who came in that day and is not out yet, on average."),
            _("Until"),
            [f"{hour + 1:02}" for hour, *_sums in self.hours],
            [Series(_("Inside"), [inside / days for *_sums, inside in self.hours])],
            digits=1,
        )

    def _weekdays(self) -> Chart:
        weekday = {day: self.month.begins.replace(day=day).weekday() for day in self.days}
        days = Counter(weekday.values())
        entered: Counter[int] = Counter()
        for day, people in self.days.items():
            entered[weekday[day]] += people
        return Chart(
            "weekdays",
            _("The days of a week"),
            _("People in, on such a day on average. A day on which nobody counted is left out."),
            _("Day"),
            [str(WEEKDAYS_ABBR[n]) for n in sorted(days)],
            [Series(_("In"), [entered[n] / days[n] for n in sorted(days)])],
        )

    def _by_day(self) -> Chart:
        days = range(1, max(self.days) + 1)
        return Chart(
            "days",
            _("Day by day"),
            _("People in."),
            _("Day"),
            [str(day) for day in days],
            [Series(_("In"), [self.days.get(day, 0) for day in days])],
        )

    def _entrances(self) -> Chart:
        known = Camera.objects.select_related("store").in_bulk(self.cameras)
        names = {
            pk: (str(known[pk]) if self.place.store is None else known[pk].name)
            if pk in known
            else _("a former entrance")
            for pk in self.cameras
        }
        order = sorted(self.cameras, key=lambda pk: -self.cameras[pk][0])
        return Chart(
            "entrances",
            _("Entrances"),
            _("People through each, in the whole month."),
            _("Entrance"),
            [names[pk] for pk in order],
            [
                Series(_("In"), [self.cameras[pk][0] for pk in order]),
                Series(_("Out"), [self.cameras[pk][1] for pk in order]),
            ],
            lying=True,
        )


def _guests(told: dict[str, int | None], place: Place) -> list[Chart]:
    """Of people: only those who agreed to the statistics; and of the kiosk's questions."""
    agreed = _("Only guests who agreed to be counted.")
    stated = _("As guests said themselves on their receipts; nobody is estimated.")
    people, unsaid = _("Guests"), _("not said")
    bands = [
        _("first time"),
        *(_("1–7 days"), _("8–14 days"), _("15–30 days"), _("31 days or more")),
    ]
    names = {str(store.pk): store.name for store in place.organization.stores.all()}
    came = {name.removeprefix("from:"): n for name, n in told.items() if name.startswith("from:")}
    steps = [_("begun"), _("finished"), _("not finished")]

    def chart(key: str, title: str, text: str, labels: list[str], cells: Sequence[str]) -> Chart:
        values = [told.get(cell) for cell in cells]
        return Chart(key, title, text, "", labels, [Series(people, values)], lying=True)

    kiosk = [
        Chart(
            "kiosk",
            _("Opting in"),
            _("How often the kiosk’s questions were opened, and how that ended."),
            "",
            steps,
            [Series(_("Times"), [told.get(cell) for cell in KIOSK[:3]])],
            lying=True,
        ),
        Chart(
            "declined",
            _("Declined, by purpose"),
            _("How often a question was answered with no."),
            "",
            [str(each.label) for each in Purpose],
            [Series(_("Times"), [told.get(f"declined:{each}") for each in Purpose])],
            lying=True,
        ),
    ]
    return [
        chart("away", _("Days since the visit before"), agreed, bands, ["once", *BANDS]),
        Chart(
            "flow",
            _("From other stores"),
            _("Guests who were in another store before, of those who agreed to both."),
            "",
            [names[pk] for pk in came if pk in names],
            [Series(people, [n for pk, n in came.items() if pk in names])],
            lying=True,
        ),
        chart(
            "sex",
            _("Sex"),
            stated,
            [*(str(each.label) for each in Sex), unsaid],
            [*(f"sex:{each}" for each in Sex), "sex:unsaid"],
        ),
        chart(
            "age",
            _("Age"),
            stated,
            [*(str(each.label) for each in Age), unsaid],
            [*(f"age:{each}" for each in Age), "age:unsaid"],
        ),
        *kiosk,
    ]
