"""The insights: one page a store and month, its charts, and files to take along.

For managers of a store, who see nothing else under these addresses, and for its officers.
"""

import csv
from datetime import date
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.decorators import user_passes_test
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from apps.stores.access import stores_of
from apps.stores.models import Role
from apps.visits.insights.figures import Chart, Place, insights_of
from apps.visits.insights.spans import Month

# Who reads them.
READERS = (Role.Kind.MANAGER, Role.Kind.DPO)
# What matplotlib draws and joins by itself; the words of a picture are English in the others.
DRAWN = ("en", "fr")
# A spreadsheet would run what begins with one of these.
FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def urls() -> list[URLPattern]:
    """The addresses; anybody else than a reader is led to the log-in."""
    readers = user_passes_test(lambda user: stores_of(user, *READERS).exists())
    return [
        path(f"insights/{address}", never_cache(readers(view)), name=name)
        for address, view, name in (
            ("", hub, "insights"),
            ("<uuid:pk>/", page, "insights_of"),
            ("<uuid:pk>/<slug:key>.svg", as_svg, "insights_svg"),
            ("<uuid:pk>/<slug:key>.png", as_png, "insights_png"),
            ("<uuid:pk>/<slug:key>.csv", as_csv, "insights_csv"),
        )
    ]


def places(request: HttpRequest) -> dict[UUID, Place]:
    """What this reader may see, by id: their stores, and an organization of which they have all
    stores, where there are several."""
    own = list(stores_of(request.user, *READERS).select_related("organization"))
    found = {store.pk: Place(store.organization, store) for store in own}
    for organization in {store.organization for store in own}:
        stores = set(organization.stores.values_list("pk", flat=True))
        if len(stores) > 1 and stores <= found.keys():
            found[organization.pk] = Place(organization, None)
    return found


def hub(request: HttpRequest) -> HttpResponse:
    """The first of them."""
    seen = places(request)
    if not seen:
        raise Http404
    return page(request, next(iter(seen)))


def page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One month at one place; the latest, unless another is asked for."""
    seen = places(request)
    place = seen.get(pk)
    if place is None:
        raise Http404
    months = place.months()
    month, error = _month(request, months)
    insights = insights_of(place, month) if month else None
    at = months.index(month.begins) if month and month.begins in months else None
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": _("Insights"),
        "pk": pk,
        "place": place,
        "places": seen,
        "months": months,
        "month": month,
        "before": months[at + 1] if at is not None and at + 1 < len(months) else None,
        "after": months[at - 1] if at else None,
        "insights": insights,
        "minimum": settings.CONSENTRY.insights_minimum,
        "error": error,
        "cameras": reverse("admin:stores_camera_changelist"),
    }
    return TemplateResponse(request, "admin/insights.html", context, status=400 if error else 200)


def as_svg(request: HttpRequest, pk: UUID, key: str) -> HttpResponse:
    """A chart for the page, in light or dark."""
    from apps.visits.insights import charts

    drawn = charts.svg(
        _chart(request, pk, key),
        dark=request.GET.get("theme") == "dark",
        rtl=translation.get_language_bidi(),
    )
    return HttpResponse(drawn, content_type="image/svg+xml")


def as_png(request: HttpRequest, pk: UUID, key: str) -> HttpResponse:
    """A chart to put into a letter or onto a slide."""
    from apps.visits.insights import charts

    language = translation.get_language() or "en"
    with translation.override(language if language in DRAWN else "en"):
        drawn = charts.png(_chart(request, pk, key), rtl=False)
    return _file(drawn, "image/png", f"{key}.png")


def as_csv(request: HttpRequest, pk: UUID, key: str) -> HttpResponse:
    """A chart's numbers; an empty cell where one is withheld."""
    chart = _chart(request, pk, key)
    answer = _file(b"", "text/csv; charset=utf-8", f"{key}.csv")
    # So that spreadsheets read the signs of every language.
    answer.write("\ufeff")
    rows = csv.writer(answer)
    rows.writerow([chart.title, *(_plain(series.name) for series in chart.series)])
    for place, label in enumerate(chart.labels):
        values = (series.values[place] for series in chart.series)
        rows.writerow([_plain(label), *("" if each is None else round(each, 2) for each in values)])
    return answer


def _plain(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULAS) else text


def _file(content: bytes, kind: str, name: str) -> HttpResponse:
    return HttpResponse(
        content,
        content_type=kind,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _chart(request: HttpRequest, pk: UUID, key: str) -> Chart:
    place = places(request).get(pk)
    if place is None:
        raise Http404
    month, error = _month(request, [] if "month" in request.GET else place.months())
    if month is None or error:
        raise Http404
    for chart in insights_of(place, month).charts:
        if chart.key == key:
            return chart
    raise Http404


def _month(request: HttpRequest, months: list[date]) -> tuple[Month | None, str]:
    """The month that is asked for, else the latest."""
    latest = Month(months[0]) if months else None
    written = request.GET.get("month", "")
    if not written:
        return latest, ""
    try:
        return Month(date.fromisoformat(f"{written}-01")), ""
    except ValueError:
        return latest, _("That is no month. Here is the latest.")
