"""The page on how often recognition errs: measured, expected at each store, and seen by staff.

It decides nothing by itself. An officer records a measurement or sets another threshold, sees first
what that would do, and says why; the recognizer then works by what was recorded last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.audit.admin import PortalAdmin
from apps.consent.models import Purpose
from apps.privacy import drawing
from apps.recognition.client import Recognizer as Client
from apps.recognition.client import RecognizerDown
from apps.recognition.engine.rates import Rate, threshold_at_size
from apps.recognition.measured import LARGEST, Measurement, MeasurementInvalid, read_measurement
from apps.recognition.models import Calibration, Recognizer
from apps.recognition.services import LEAST, MOST, choose_threshold, record_calibration
from apps.stores.access import actor, stores_of
from apps.stores.models import Camera, Role, Store, User
from apps.visitors.models import FaceTemplate
from apps.visits import selectors as visits
from apps.visits.models import FalseGreeting, Unmatched

TRAFFIC = timedelta(days=28)
"""How far back people in the lane are averaged, and false greetings are looked at."""
SIZES = (100, 1_000, 10_000)
STEPS = 12
"""Rows of the table that says what the charts show."""
MOST_FPIR, MOST_FNIR = 0.01, 0.02
"""The reach of the house: as `manage.py evaluate` holds it."""


class ThresholdForm(forms.Form):
    threshold = forms.FloatField(
        min_value=LEAST,
        max_value=MOST,
        label=gettext_lazy("Threshold"),
        widget=forms.NumberInput(attrs={"step": "0.005", "inputmode": "decimal"}),
    )
    reason = forms.CharField(max_length=200, label=gettext_lazy("Reason"))


class MeasurementForm(forms.Form):
    file = forms.FileField(label="measured.json")
    note = forms.CharField(max_length=200, required=False, label=gettext_lazy("Note"))


@dataclass(frozen=True, slots=True)
class Errors:
    """How often a threshold errs, by a measurement; shares in percent."""

    threshold: float
    greeted: float
    missed: float
    pairs: float

    @classmethod
    def of(cls, measurement: Measurement, threshold: float) -> "Errors":
        return cls(
            threshold,
            100 * measurement.false_greetings(threshold).share,
            100 * measurement.misses(threshold).share,
            100 * measurement.false_matches(threshold).share,
        )


@dataclass(frozen=True, slots=True)
class AtSize:
    """A gallery of `templates`: its threshold, and percent of strangers that it takes for one."""

    templates: int
    threshold: float
    greeted: float
    most: float


@dataclass(frozen=True, slots=True)
class AtStore:
    """One store. strangers: people a day whom its lanes did not know, None before any were counted.
    expected, most: false greetings a day. seen: share of this week's greetings that staff said were
    false, interval: the shares that this is compatible with at 95 %; percent.
    """

    store: Store
    size: AtSize
    closest: float | None
    strangers: float | None
    expected: float | None
    most: float | None
    week: visits.Week
    interval: tuple[float, float] | None

    @property
    def too_close(self) -> bool:
        """Whether two visitors look so alike that each could be found as the other."""
        return self.closest is not None and self.closest >= self.size.threshold

    @property
    def too_many(self) -> bool:
        """Whether even the least that staff's word allows is more than a week should bring."""
        if self.interval is None or self.most is None:
            return False
        return self.week.arrivals * self.interval[0] / 100 > 7 * self.most


@dataclass(frozen=True, slots=True)
class Preview:
    """What another threshold would do. prevented: of the false greetings that staff reported."""

    now: Errors
    then: Errors
    stores: list[tuple[AtStore, AtSize, float | None]]
    prevented: int
    reported: int

    @property
    def shown(self) -> str:
        """How the form says which threshold the officer has seen."""
        return f"{self.then.threshold:g}"


class CalibrationAdmin(PortalAdmin):
    """One page instead of a list: rows are added by what it asks for, and changed by nobody."""

    fields = (
        "pack",
        "pack_version",
        "threshold",
        "slope",
        "source",
        "basis",
        "note",
        "recorded_by",
        "recorded_at",
    )

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show what is recorded of a pack; take another threshold or another measurement."""
        pack, version = _asked_for(request)
        last = Calibration.objects.of(pack, version).select_related("basis").first()
        act = request.POST.get("act") if request.method == "POST" else None
        if act == "record":
            upload = MeasurementForm(request.POST, request.FILES)
            if answer := self._record(request, upload):
                return answer
            return self._shown(request, pack, version, last, upload=upload)
        if act in ("preview", "choose") and last is not None:
            form = ThresholdForm(request.POST)
            if not form.is_valid():
                return self._shown(request, pack, version, last, form=form)
            # Only what was shown is recorded: this number, beside the one that counts now.
            shown = request.POST.get("shown") == f"{last.pk} {form.cleaned_data['threshold']:g}"
            if act == "choose" and shown and (answer := self._choose(request, form, last)):
                return answer
            return self._shown(request, pack, version, last, form=form)
        return self._shown(request, pack, version, last)

    def _choose(
        self, request: HttpRequest, form: ThresholdForm, last: Calibration
    ) -> HttpResponse | None:
        try:
            row = choose_threshold(basis=last, actor=actor(request.user), **form.cleaned_data)
        except ValidationError as error:
            form.add_error(None, error)
            return None
        words = _("Recorded. From now on the threshold is %(threshold)s.")
        self.message_user(request, words % {"threshold": f"{row.threshold:.3f}"}, messages.SUCCESS)
        return HttpResponseRedirect(_address(row.pack, row.pack_version))

    def _record(self, request: HttpRequest, form: MeasurementForm) -> HttpResponse | None:
        if not form.is_valid():
            return None
        try:
            measurement = read_measurement(form.cleaned_data["file"].read(LARGEST + 1))
        except MeasurementInvalid as error:
            form.add_error("file", str(error))
            return None
        row = record_calibration(
            measurement=measurement,
            source=Calibration.Source.MEASURED,
            note=form.cleaned_data["note"],
            actor=actor(request.user),
        )
        words = _("Recorded. %(pack)s answers with the threshold %(threshold)s that was measured.")
        values = {"pack": f"{row.pack} {row.pack_version}", "threshold": f"{row.threshold:.3f}"}
        self.message_user(request, words % values, messages.SUCCESS)
        return HttpResponseRedirect(_address(row.pack, row.pack_version))

    def _shown(
        self,
        request: HttpRequest,
        pack: str,
        version: str,
        last: Calibration | None,
        *,
        form: ThresholdForm | None = None,
        upload: MeasurementForm | None = None,
    ) -> HttpResponse:
        stores = stores_of(request.user, Role.Kind.DPO)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Calibration"),
            "pack": f"{pack} {version}",
            "others": [
                (f"{name} {number}", _address(name, number))
                for name, number in _packs()
                if (name, number) != (pack, version)
            ],
            "last": last,
            "upload": upload or MeasurementForm(),
        }
        if last is not None:
            context |= _report(last, stores, form)
        bad = bool((form and form.errors) or (upload and upload.errors))
        return TemplateResponse(
            request, "admin/calibration.html", context, status=400 if bad else 200
        )


def _report(
    last: Calibration, stores: QuerySet[Store], form: ThresholdForm | None
) -> dict[str, Any]:
    measurement = last.measurement
    now = Errors.of(measurement, last.threshold)
    reported = list(
        FalseGreeting.objects.filter(
            store__in=stores, day__gt=timezone.now().date() - TRAFFIC
        ).select_related("camera")
    )
    at_stores = _at_stores(last, measurement, stores)
    preview = None
    if form is not None and form.is_valid():
        preview = _preview(last, measurement, form.cleaned_data["threshold"], at_stores, reported)
    history = list(
        Calibration.objects.of(last.pack, last.pack_version).select_related("basis")[:20]
    )
    return {
        "measurement": measurement,
        "now": now,
        "good": now.greeted <= 100 * MOST_FPIR and now.missed <= 100 * MOST_FNIR,
        "reach": {"greeted": 100 * MOST_FPIR, "missed": 100 * MOST_FNIR},
        "stores": at_stores,
        "sizes": [_at_size(measurement, last.threshold, last.slope, n) for n in SIZES],
        "histogram": drawing.histogram(
            measurement, last.threshold, (greeting.score for greeting in reported)
        ),
        "det": drawing.det(measurement, last.threshold),
        "drawing": drawing,
        "steps": _steps(measurement, last.threshold),
        "reported": len(reported),
        "form": form or ThresholdForm(initial={"threshold": f"{last.threshold:.3f}"}),
        "preview": preview,
        "history": list(zip(history, _names(history), strict=True)),
    }


def _steps(measurement: Measurement, threshold: float) -> list[Errors]:
    """The charts in numbers: every 0.05 from 0.20 up, and the threshold itself."""
    around = sorted({threshold, *(round(0.20 + 0.05 * i, 2) for i in range(STEPS))})
    return [Errors.of(measurement, at) for at in around]


def _at_size(measurement: Measurement, base: float, slope: float, templates: int) -> AtSize:
    threshold = threshold_at_size(base, slope, templates)
    greeted, most = measurement.stranger_greeted(threshold, templates)
    return AtSize(templates, threshold, 100 * greeted, 100 * most)


def _at_stores(
    last: Calibration, measurement: Measurement, stores: QuerySet[Store]
) -> list[AtStore]:
    held = FaceTemplate.objects.live().filter(
        purpose=Purpose.LANE, pack=last.pack, pack_version=last.pack_version
    )
    strangers = _strangers(stores)
    found = []
    for store, week, _before in visits.weeks(stores):
        templates = held.searched_in(store).count()
        size = _at_size(measurement, last.threshold, last.slope, templates)
        people = strangers.get(store.pk)
        seen = Rate(week.wrong, week.arrivals).interval if week.arrivals else None
        found.append(
            AtStore(
                store=store,
                size=size,
                closest=_closest(store) if size.templates > 1 else None,
                strangers=people,
                expected=None if people is None else people * size.greeted / 100,
                most=None if people is None else people * size.most / 100,
                week=week,
                interval=(100 * seen[0], 100 * seen[1]) if seen else None,
            )
        )
    return found


def _strangers(stores: QuerySet[Store]) -> dict[UUID, float]:
    """People a day whom a store's lanes did not know, on the days on which there were any."""
    since = timezone.now().date() - TRAFFIC
    rows = (
        Unmatched.objects.filter(store__in=stores, day__gt=since)
        .values_list("store")
        .annotate(Sum("count"), Count("day"))
    )
    return {store: people / days for store, people, days in rows}


def _closest(store: Store) -> float | None:
    try:
        return Client.any_of(settings.CONSENTRY.sockets).closest(store.pk)
    except RecognizerDown:
        return None


def _preview(
    last: Calibration,
    measurement: Measurement,
    threshold: float,
    at_stores: Sequence[AtStore],
    reported: Sequence[FalseGreeting],
) -> Preview:
    sizes = {
        each.store.pk: _at_size(measurement, threshold, last.slope, each.size.templates)
        for each in at_stores
    }

    def prevented(greeting: FalseGreeting) -> bool:
        # A pass is compared with its one template, at the base threshold.
        alone = greeting.camera is not None and greeting.camera.mode == Camera.Mode.PASS
        asked = threshold if alone else sizes[greeting.store_id].threshold
        return greeting.score < asked

    return Preview(
        now=Errors.of(measurement, last.threshold),
        then=Errors.of(measurement, threshold),
        stores=[
            (
                each,
                sizes[each.store.pk],
                None
                if each.strangers is None
                else each.strangers * sizes[each.store.pk].greeted / 100,
            )
            for each in at_stores
        ],
        prevented=sum(prevented(greeting) for greeting in reported),
        reported=len(reported),
    )


def _names(rows: Sequence[Calibration]) -> list[str]:
    """Who recorded each row: an officer by name, anything else as the ledger says it."""
    keys = [row.recorded_by.removeprefix("user:") for row in rows]
    users = User.objects.in_bulk([int(key) for key in keys if key.isdigit()])
    return [
        str(users[int(key)].get_username()) if key.isdigit() and int(key) in users else key
        for key in keys
    ]


def _packs() -> list[tuple[str, str]]:
    """Packs that run, then those of which something is recorded."""
    running = Recognizer.objects.running().order_by("-started_at")
    recorded = Calibration.objects.order_by("-id")
    both = [
        *running.values_list("pack", "pack_version"),
        *recorded.values_list("pack", "pack_version"),
    ]
    return list(dict.fromkeys(both))


def _asked_for(request: HttpRequest) -> tuple[str, str]:
    """The pack that the address names, or the one that runs, or the one recorded last."""
    known = _packs()
    asked = request.GET.get("pack", ""), request.GET.get("version", "")
    if asked in known:
        return asked
    return known[0] if known else ("", "")


def _address(pack: str, version: str) -> str:
    page = reverse("admin:recognition_calibration_changelist")
    return f"{page}?{urlencode({'pack': pack, 'version': version})}"
