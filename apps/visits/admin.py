"""Cameras in the portal: how they fare, why one may not run, and the zone that it looks at.

A picture is shown to an officer who asks for it, with faces covered; it is stored nowhere, and the
look is in the ledger.
"""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from apps.audit import services as audit
from apps.stores import lanes
from apps.stores.access import actor
from apps.stores.admin import StoreScopedAdmin
from apps.stores.limits import allowed
from apps.stores.models import Assessment, Camera, StoreGroup
from apps.visits import stills
from apps.visits.footfall import day_at
from apps.visits.health import abort_counts, answers_nobody, look_at
from apps.visits.membership import StoreGroupAdmin
from apps.visits.zones import MOST_CORNERS, draw_zone

admin.site.register(StoreGroup, StoreGroupAdmin)

FIRST_DAY = date(2020, 1, 1)
"""Nothing was counted before."""
# Rows for corners that a page without JavaScript offers beside those that are drawn already.
SPARE_ROWS = 4


class AssessmentInline(admin.StackedInline):
    model = Assessment
    extra = 0
    fields = ("necessity", "max_faces", "way_past", "signed_by", "signed_at", "expires_at")
    readonly_fields = fields
    show_change_link = True
    can_delete = False

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.admin_site.has_permission(request)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Camera)
class CameraAdmin(StoreScopedAdmin):
    writable = True
    list_display = ("name", "store", "mode")
    list_filter = ("mode", ("store", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("store",)
    show_facets = admin.ShowFacets.NEVER
    change_list_template = "admin/cameras.html"
    change_form_template = "admin/camera.html"
    fieldsets = (
        (None, {"fields": ("store", "name", "mode", "active")}),
        (gettext_lazy("Picture"), {"fields": ("source", "loop", "zone_drawn", "line")}),
        (gettext_lazy("Permission"), {"fields": ("signage_confirmed_at", "may_run")}),
        (
            gettext_lazy("How it fares"),
            {
                "fields": (
                    "health",
                    "last_frame_at",
                    "triggers",
                    "aborted",
                    "outside_zone",
                    "embeddings_outside_trigger",
                )
            },
        ),
    )
    readonly_fields = (
        "zone_drawn",
        "signage_confirmed_at",
        "may_run",
        "health",
        "last_frame_at",
        "triggers",
        "aborted",
        "outside_zone",
        "embeddings_outside_trigger",
    )
    inlines = (AssessmentInline,)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("<uuid:pk>/zone/", view(self.zone_view), name="camera_zone"),
            path("<uuid:pk>/footfall/", view(self.footfall_view), name="camera_footfall"),
            path("<uuid:pk>/still/", view(self.still_view), name="camera_still"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).prefetch_related("assessments")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "line":
            kwargs["widget"] = forms.Textarea(attrs={"rows": 1, "cols": 30})
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list is the page on how they all fare."""
        answer = super().changelist_view(request, {"title": _("Cameras"), **(extra_context or {})})
        if isinstance(answer, TemplateResponse) and answer.context_data:
            shown = answer.context_data["cl"].result_list
            silent = answers_nobody()
            answer.context_data["cameras"] = [
                look_at(camera, uncalibrated=silent) for camera in shown
            ]
        return answer

    def zone_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Show the zone to draw, and take what was drawn."""
        camera = get_object_or_404(self.get_queryset(request).select_related("store"), pk=pk)
        corners = [(f"{100 * x:.1f}", f"{100 * y:.1f}") for x, y in camera.zone]
        errors: list[str] = []
        if request.method == "POST":
            corners = _written(request)
            try:
                draw_zone(camera=camera, corners=_read(corners), actor=actor(request.user))
            except ValidationError as error:
                errors = error.messages
            else:
                self.message_user(request, _("The zone is drawn."), messages.SUCCESS)
                return HttpResponseRedirect(reverse("admin:stores_camera_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Draw the zone"),
            "camera": camera,
            "corners": [*corners, *[("", "")] * min(SPARE_ROWS, MOST_CORNERS - len(corners))],
            "most": MOST_CORNERS,
            "errors": errors,
        }
        return TemplateResponse(request, "admin/zone.html", context, status=400 if errors else 200)

    def footfall_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """How many came in and went out on a day, by quarter of an hour."""
        camera = get_object_or_404(self.get_queryset(request).select_related("store"), pk=pk)
        today = timezone.localdate()
        asked, error = today, ""
        if written := request.GET.get("day", ""):
            try:
                asked = min(max(date.fromisoformat(written), FIRST_DAY), today)
            except ValueError:
                asked, error = today, _("That is no day. Here is today.")
        day = day_at(camera, asked)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("People in and out"),
            "camera": camera,
            "day": day,
            "today": today,
            "before": asked - timedelta(days=1),
            "after": asked + timedelta(days=1) if asked < today else None,
            "error": error,
        }
        page = "admin/footfall.html"
        return TemplateResponse(request, page, context, status=400 if error else 200)

    def still_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """One picture of now with every face covered; a sentence when there is none."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        camera = get_object_or_404(self.get_queryset(request), pk=pk)
        if not allowed(f"still:{camera.pk}", limit=12, seconds=60):
            return _sentence(_("Twelve pictures a minute are enough. Wait a little."), 429)
        try:
            picture = stills.take(camera)
        except stills.NoPicture as error:
            return _sentence(str(error), 503)
        # The picture is given away only when the look is in the ledger.
        with transaction.atomic():
            audit.record(actor=actor(request.user), action="camera.still", object=str(camera.pk))
        return HttpResponse(picture, content_type="image/jpeg")

    @admin.display(description=gettext_lazy("may run"))
    def may_run(self, camera: Camera) -> str:
        if camera.pk is None or camera._state.adding:
            return "—"
        needs = lanes.needs(camera)
        if not needs:
            return _("yes; a camera that only counts needs nothing more")
        rows = ((need.name, _("in place") if need.met else need.missing) for need in needs)
        return format_html_join("", "<div>{}: {}</div>", rows)

    @admin.display(description=gettext_lazy("state"))
    def health(self, camera: Camera) -> str:
        if camera._state.adding:
            return "—"
        health = look_at(camera, uncalibrated=answers_nobody()).health
        return format_html("<div>{}</div><div>{}</div>", health.word, health.advice)

    @admin.display(description=gettext_lazy("nobody was greeted"))
    def aborted(self, camera: Camera) -> str:
        rows = abort_counts(camera) if not camera._state.adding else []
        return format_html_join("", "<div>{}: {}</div>", rows) or "—"

    @admin.display(description=gettext_lazy("zone"))
    def zone_drawn(self, camera: Camera) -> str:
        if camera._state.adding:
            return _("Save the camera, then draw its zone.")
        words = (
            ngettext("%(n)s corner", "%(n)s corners", len(camera.zone)) % {"n": len(camera.zone)}
            if camera.zone
            else _("not drawn")
        )
        address = reverse("admin:camera_zone", args=[camera.pk])
        return format_html('{} · <a href="{}">{}</a>', words, address, _("Draw the zone"))


def _written(request: HttpRequest) -> list[tuple[str, str]]:
    """Rows of the form in which anything is written, percent from the left and from the top."""
    rows = zip(request.POST.getlist("x"), request.POST.getlist("y"), strict=False)
    return [(x.strip(), y.strip()) for x, y in rows if x.strip() or y.strip()][: MOST_CORNERS + 1]


def _read(rows: list[tuple[str, str]]) -> list[tuple[float, float]]:
    try:
        return [(float(x) / 100, float(y) / 100) for x, y in rows]
    except ValueError:
        raise ValidationError(_("A corner is two numbers from 0 to 100.")) from None


def _sentence(text: str, status: int) -> HttpResponse:
    return HttpResponse(text, status=status, content_type="text/plain; charset=utf-8")
