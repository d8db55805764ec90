"""People in the portal: a record opens only for a reason, and every look is in the ledger."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.audit import services as audit
from apps.consent.models import Consent, Notice
from apps.privacy.assessments import AssessmentAdmin
from apps.privacy.calibration import CalibrationAdmin
from apps.privacy.desk import RequestAdmin
from apps.privacy.holds import HoldAdmin, to_hold
from apps.privacy.notices import NoticeAdmin
from apps.privacy.packs import FormerPackAdmin
from apps.privacy.policies import PolicyAdmin
from apps.privacy.selectors import where
from apps.privacy.services import pause
from apps.recognition.models import Calibration
from apps.retention.holds import Held, Hold
from apps.retention.models import Erasure, Request
from apps.retention.services.erase import plan
from apps.stores.access import actor
from apps.stores.admin import StoreScopedAdmin
from apps.stores.models import Assessment
from apps.stores.policies import Policy
from apps.visitors.models import FormerPack, Visitor

REASONS = {
    "request": gettext_lazy("The person asked something"),
    "correction": gettext_lazy("Something is to be corrected"),
    "complaint": gettext_lazy("A complaint"),
    "fault": gettext_lazy("A technical fault"),
    "inspection": gettext_lazy("An inspection"),
}
admin.site.register(Assessment, AssessmentAdmin)
admin.site.register(Calibration, CalibrationAdmin)
# What a user may do is said by their roles; Django's groups would be a second truth.
admin.site.unregister(Group)
admin.site.register(FormerPack, FormerPackAdmin)
admin.site.register(Notice, NoticeAdmin)
admin.site.register(Policy, PolicyAdmin)
admin.site.register(Request, RequestAdmin)
admin.site.register(Hold, HoldAdmin)

# A reason holds for one piece of work, not for the day.
REASON_SECONDS = 15 * 60


@admin.register(Visitor)
class VisitorAdmin(StoreScopedAdmin):
    """The list names nobody; the record does, once a reason was given. Whoever is to be erased has
    asked for it: that is a request, of which a second officer approves."""

    list_display = ("id", "store", "created_at", "restricted_at")
    list_filter = (("store", admin.RelatedOnlyFieldListFilter),)
    fields = (
        "id",
        "store",
        "greeting_name",
        "say_as",
        "asks_for",
        "contact",
        "noted",
        "created_at",
        "restricted_at",
        "agreed",
        "held",
        "acts",
        "holds",
    )
    readonly_fields = fields
    change_form_template = "admin/visitor.html"

    def get_urls(self) -> list[Any]:
        return [
            path(
                "<uuid:pk>/restrict/",
                self.admin_site.admin_view(self.restrict_view),
                name="visitor_restrict",
            ),
            *super().get_urls(),
        ]

    @transaction.atomic
    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Ask for the reason, then show the record and write the look into the ledger."""
        visitor = self._visitor(request, object_id)
        reason = request.POST.get("reason", "") if request.method == "POST" else ""
        if reason in REASONS:
            request.session[_key(visitor)] = [reason, timezone.now().timestamp()]
            return HttpResponseRedirect(request.path)
        given = _reason(request, visitor)
        if given is None:
            return self._ask(request, visitor)
        _record_look(request, visitor, given)
        return super().change_view(request, object_id, form_url, extra_context)

    def _ask(self, request: HttpRequest, visitor: Visitor) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": _("Why do you open this record?"),
            "reasons": list(REASONS.items()),
            "object_label": str(visitor),
        }
        return TemplateResponse(request, "admin/reason.html", context)

    def restrict_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Pause or resume recognition of one person (GDPR 18). Needs the record's reason."""
        visitor = self._visitor(request, str(pk))
        if request.method == "POST" and _reason(request, visitor):
            try:
                pause(
                    visitor=visitor,
                    paused=visitor.restricted_at is None,
                    actor=actor(request.user),
                )
            except Held as claim:
                self.message_user(request, claim.paused, messages.ERROR)
            except Visitor.DoesNotExist:
                pass  # Erased this very moment.
        return HttpResponseRedirect(reverse("admin:visitors_visitor_change", args=[pk]))

    def _visitor(self, request: HttpRequest, pk: str) -> Visitor:
        try:
            key = UUID(pk)
        except ValueError as error:
            raise Http404 from error
        return get_object_or_404(self.get_queryset(request), pk=key)

    @admin.display(description=gettext_lazy("agreed to"))
    def agreed(self, visitor: Visitor) -> str:
        return format_html_join(
            "",
            "<div>{} ({}): {} – {}</div>",
            (
                (
                    ", ".join(consent.purposes),
                    where(consent),
                    f"{consent.signed_at:%Y-%m-%d}",
                    f"{consent.expires_at:%Y-%m-%d}",
                )
                for consent in Consent.objects.filter(subject=visitor.subject)
            ),
        )

    @admin.display(description=gettext_lazy("note by staff"))
    def noted(self, visitor: Visitor) -> str:
        return visitor.note.text if hasattr(visitor, "note") else "—"

    @admin.display(description=gettext_lazy("held"))
    def held(self, visitor: Visitor) -> str:
        return format_html_join(
            "",
            "<div>{}: {}</div>",
            ((_(line.what), line.count) for line in plan(visitor) if line.count),
        )

    @admin.display(description=gettext_lazy("ledger"))
    def acts(self, visitor: Visitor) -> str:
        entries = audit.about(visitor.subject)[:50]
        return format_html_join(
            "",
            "<div>{} {} {}</div>",
            ((f"{entry.at:%Y-%m-%d %H:%M:%S}", entry.actor, entry.action) for entry in entries),
        )

    @admin.display(description=gettext_lazy("legal hold"))
    def holds(self, visitor: Visitor) -> str:
        return to_hold(Consent.objects.filter(subject=visitor.subject).latest("signed_at"))


def _key(visitor: Visitor) -> str:
    return f"reason:{visitor.pk}"


def _reason(request: HttpRequest, visitor: Visitor) -> str | None:
    reason, at = request.session.get(_key(visitor), ("", 0.0))
    return reason if reason and timezone.now().timestamp() - at < REASON_SECONDS else None


def _record_look(request: HttpRequest, visitor: Visitor, reason: str) -> None:
    audit.record(
        actor=actor(request.user),
        action="visitor.looked",
        subject=visitor.subject,
        visitor=str(visitor.pk),
        reason=reason,
    )


@admin.register(Erasure)
class ErasureAdmin(StoreScopedAdmin):
    """What was erased, and its certificate."""

    list_display = ("id", "store", "cause", "state", "requested_at", "completed_at")
    list_filter = ("state", "cause")
    fields = (
        "id",
        "store",
        "cause",
        "actor",
        "state",
        "scope",
        "requested_at",
        "erased_at",
        "completed_at",
        "certificate",
        "holds",
    )
    readonly_fields = fields

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.certificate_view)
        return [
            path("<uuid:pk>/certificate/", view, name="erasure_certificate"),
            *super().get_urls(),
        ]

    @admin.display(description=gettext_lazy("certificate"))
    def certificate(self, erasure: Erasure) -> str:
        if not erasure.document:
            return _("waiting for a recognizer to acknowledge")
        address = reverse("admin:erasure_certificate", args=[erasure.pk])
        return format_html('<a href="{}" download>{}</a>', address, _("Download certificate.jws"))

    @admin.display(description=gettext_lazy("legal hold"))
    def holds(self, erasure: Erasure) -> str:
        consent = erasure.consent and Consent.objects.filter(pk=erasure.consent).first()
        return to_hold(consent) if consent else _("the proof is gone too")

    def certificate_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        erasure = get_object_or_404(self.get_queryset(request), pk=pk)
        if not erasure.document:
            raise Http404
        return HttpResponse(
            erasure.papers,
            content_type="application/jose",
            headers={"Content-Disposition": 'attachment; filename="certificate.jws"'},
        )
