"""Legal holds in the portal: placed from a person's record or what is left of it, and listed."""

from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.consent.models import Consent
from apps.retention.holds import LONGEST, Hold
from apps.retention.services import hold as services
from apps.retention.services.hold import HoldRefused
from apps.stores.access import actor, stores_of
from apps.stores.admin import StoreScopedAdmin
from apps.stores.models import Role


class HoldForm(forms.Form):
    """On what ground, why, and the last day."""

    ground = forms.ChoiceField(
        label=gettext_lazy("Ground"),
        choices=Hold.Ground.choices,
        widget=forms.RadioSelect,
        initial=Hold.Ground.PROOF,
    )
    reason = forms.CharField(
        label=gettext_lazy("Why"),
        max_length=200,
        help_text=gettext_lazy("For instance the number of a case; no names."),
    )
    last_day = forms.DateField(
        label=gettext_lazy("Last day"), widget=forms.DateInput(attrs={"type": "date"})
    )

    @property
    def ends_at(self) -> datetime:
        """The end of the last day, in UTC."""
        day: date = self.cleaned_data["last_day"]
        return datetime.combine(day, time(23, 59, 59), UTC)


class HoldAdmin(StoreScopedAdmin):
    """Every hold with its author and its end; lifting one is a button on its page."""

    list_display = ("id", "store", "ground", "reason", "author", "begun_at", "ends_at")
    list_filter = ("ground",)
    fields = ("id", "store", "ground", "reason", "author", "begun_at", "ends_at")
    readonly_fields = fields
    change_form_template = "admin/hold.html"

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("place/<uuid:consent>/", view(self.place_view), name="hold_place"),
            path("<uuid:pk>/lift/", view(self.lift_view), name="hold_lift"),
            *super().get_urls(),
        ]

    def place_view(self, request: HttpRequest, consent: UUID) -> HttpResponse:
        """Ask for ground, reason and end, then hold."""
        signed = get_object_or_404(
            Consent, pk=consent, store__in=stores_of(request.user, Role.Kind.DPO)
        )
        form = HoldForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                hold = services.place(
                    subject=signed.subject,
                    ground=Hold.Ground(form.cleaned_data["ground"]),
                    reason=form.cleaned_data["reason"],
                    ends_at=form.ends_at,
                    actor=actor(request.user),
                )
            except HoldRefused as refusal:
                form.add_error("last_day", _sentence(refusal))
            else:
                self.message_user(request, _("Held, and in the ledger."), messages.SUCCESS)
                return HttpResponseRedirect(reverse("admin:retention_hold_change", args=[hold.pk]))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Legal hold"),
            "form": form,
        }
        status = 400 if form.errors else 200
        return TemplateResponse(request, "admin/hold_place.html", context, status=status)

    @transaction.atomic
    def lift_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """End a hold now."""
        hold = get_object_or_404(self.get_queryset(request), pk=pk)
        if request.method == "POST":
            services.lift(hold=hold, actor=actor(request.user))
            self.message_user(
                request, _("Lifted; what is due goes with the next sweep."), messages.SUCCESS
            )
        return HttpResponseRedirect(reverse("admin:retention_hold_changelist"))


@admin.display(description=gettext_lazy("legal hold"))
def to_hold(consent: Consent) -> str:
    """The holds on the person of a consent, and the way to place one."""
    holds = Hold.objects.filter(subject=consent.subject)
    lines = format_html_join(
        "",
        '<div><a href="{}">{}</a> – {}</div>',
        (
            (
                reverse("admin:retention_hold_change", args=[hold.pk]),
                hold.get_ground_display(),
                f"{hold.ends_at:%Y-%m-%d}",
            )
            for hold in holds
        ),
    )
    where = reverse("admin:hold_place", args=[consent.pk])
    return format_html('{}<a href="{}" data-testid="to-hold">{}</a>', lines, where, _("Hold…"))


def _sentence(refusal: HoldRefused) -> str:
    if refusal.code == "long":
        return _("A hold lasts %(days)s days at most; decide again before it ends.") % {
            "days": LONGEST.days
        }
    if refusal.code == "over":
        return _("This day is over. Choose today or a later one.")
    return _("Nothing is left that could be held.")
