"""Impact assessments in the portal: written by one officer, read and signed by another."""

from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.privacy import documents
from apps.privacy.selectors import names_of
from apps.stores import assessments
from apps.stores.access import stores_of
from apps.stores.admin import StoreScopedAdmin
from apps.stores.assessments import TEXTS, AssessmentRefused
from apps.stores.models import Assessment, Camera, Role, User

LONGEST = 20_000
# Rows for risks that the page offers beside those that are written already.
SPARE_ROWS = 2
MOST_ROWS = 40


class AssessmentForm(forms.ModelForm):
    """One version's texts; its risks are rows of their own."""

    until = forms.DateField(
        label=gettext_lazy("It holds until"), widget=forms.DateInput({"type": "date"})
    )

    class Meta:
        model = Assessment
        fields = (*TEXTS, "max_faces", "way_past")
        labels = {"max_faces": gettext_lazy("Faces in the lane at once, at most")}  # noqa: RUF012
        widgets = {name: forms.Textarea({"rows": 4}) for name in TEXTS}  # noqa: RUF012

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in TEXTS:
            self.fields[name].required = False
            self.fields[name].validators.append(MaxLengthValidator(LONGEST))
        self.fields["until"].initial = self.instance.expires_at.date()

    def written(self) -> dict[str, Any]:
        given = {name: self.cleaned_data[name] for name in self.Meta.fields}
        end = datetime.combine(self.cleaned_data["until"], time(23, 59, 59), UTC)
        return {**given, "expires_at": end}


@dataclass(frozen=True, slots=True)
class Risk:
    """One row as the document shows it."""

    risk: str
    likelihood: str
    severity: str
    measure: str


def risks_of(assessment: Assessment) -> list[Risk]:
    """The rows of risks, levels in words."""
    words = dict(Assessment.Level.choices)
    return [
        Risk(
            row["risk"],
            str(words.get(row["likelihood"], "")),
            str(words.get(row["severity"], "")),
            row["measure"],
        )
        for row in assessment.risks
    ]


class AssessmentAdmin(StoreScopedAdmin):
    store_path = "camera__store"
    writable = True
    list_display = ("camera", "mode", "state", "signed_by", "signed_at", "expires_at")
    list_select_related = ("camera__store", "signed_by")

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/sign/", view(self.sign_view), name="assessment_sign"),
            path("<int:pk>/document/", view(self.document_view), name="assessment_document"),
            path("<int:pk>/document/pdf/", view(self.pdf_view), name="assessment_pdf"),
            *super().get_urls(),
        ]

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Start the next version for one of this officer's cameras."""
        own = Camera.objects.filter(store__in=stores_of(request.user, Role.Kind.DPO))
        if request.method == "POST":
            try:
                camera = get_object_or_404(own, pk=request.POST.get("camera", ""))
            except ValidationError as error:
                raise Http404 from error
            draft = assessments.begin(camera=camera, user=_user(request))
            return HttpResponseRedirect(_address("stores_assessment_change", draft))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Start an impact assessment"),
            "cameras": own.select_related("store"),
        }
        return TemplateResponse(request, "admin/assessment_begin.html", context)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Write in a draft; a signed one is read."""
        draft = self._assessment(request, object_id)
        if draft.signed_at is not None:
            if request.method == "POST":
                return self.document_view(request, draft.pk, status=403)
            return HttpResponseRedirect(_address("assessment_document", draft))
        if request.method != "POST":
            return self._editor(request, draft, AssessmentForm(instance=draft), draft.risks)
        risks = _written_risks(request)
        form = AssessmentForm(request.POST, instance=draft)
        if not form.is_valid():
            return self._editor(request, draft, form, risks, status=400)
        draft.refresh_from_db()
        try:
            assessments.write(
                assessment=draft,
                user=_user(request),
                read=request.POST.get("read", ""),
                risks=risks,
                **form.written(),
            )
        except AssessmentRefused as error:
            # What was typed stays on the page; a second press saves it over the other text.
            return self._editor(request, draft, form, risks, error=error.text, status=409)
        self.message_user(request, _("Saved."), messages.SUCCESS)
        if "then" in request.POST:
            return HttpResponseRedirect(_address("assessment_document", draft))
        return HttpResponseRedirect(_address("stores_assessment_change", draft))

    def document_view(self, request: HttpRequest, pk: int, status: int = 200) -> HttpResponse:
        """The document, and the signature under it when it is this officer's turn."""
        assessment = self._assessment(request, str(pk))
        return documents.page(
            request,
            "assessment",
            str(assessment),
            status=status,
            opts=self.opts,
            acts="admin/_assessment_acts.html",
            files=[(_address("assessment_pdf", assessment), "PDF")],
            read=assessments.digest_of(assessment),
            missing=[] if assessment.signed_at else assessments.missing(assessment),
            wrote=_user(request).pk in assessment.editors,
            **_shown(assessment),
        )

    def pdf_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        assessment = self._assessment(request, str(pk))
        return documents.pdf(request, "assessment", str(assessment), **_shown(assessment))

    def sign_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Sign what was read."""
        assessment = self._assessment(request, str(pk))
        if request.method == "POST":
            try:
                assessments.sign(
                    assessment=assessment, user=_user(request), read=request.POST.get("read", "")
                )
            except AssessmentRefused as error:
                self.message_user(request, error.text, messages.ERROR)
            else:
                self.message_user(request, _("Signed."), messages.SUCCESS)
        return HttpResponseRedirect(_address("assessment_document", assessment))

    def _editor(
        self,
        request: HttpRequest,
        draft: Assessment,
        form: AssessmentForm,
        risks: list[dict[str, str]],
        *,
        error: str = "",
        status: int = 200,
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": str(draft),
            "assessment": draft,
            "form": form,
            "error": error,
            "read": assessments.digest_of(Assessment.objects.get(pk=draft.pk)),
            "missing": assessments.missing(draft),
            "levels": Assessment.Level.choices,
            "risks": [*risks, *[{} for _row in range(min(SPARE_ROWS, MOST_ROWS - len(risks)))]],
        }
        return TemplateResponse(request, "admin/assessment_edit.html", context, status=status)

    def _assessment(self, request: HttpRequest, pk: str) -> Assessment:
        if not pk.isdecimal():
            raise Http404
        own: QuerySet[Assessment] = self.get_queryset(request)
        return get_object_or_404(
            own.select_related("camera__store__organization", "signed_by"), pk=int(pk)
        )

    @admin.display(description=gettext_lazy("state"))
    def state(self, assessment: Assessment) -> str:
        if assessment.signed_at is None:
            return _("being written")
        if assessment.expires_at <= timezone.now():
            return _("over")
        return _("signed")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def _shown(assessment: Assessment) -> dict[str, Any]:
    writers = names_of(f"user:{pk}" for pk in assessment.editors)
    return {
        "assessment": assessment,
        "facts": assessment.facts or assessments.facts(assessment.camera),
        "risks": risks_of(assessment),
        "writers": ", ".join(writers.values()),
    }


def _written_risks(request: HttpRequest) -> list[dict[str, str]]:
    """Rows of the form that name a risk; a level that is none of ours is the highest."""
    columns = [request.POST.getlist(name) for name in ("risk", "likelihood", "severity", "measure")]
    high = Assessment.Level.HIGH.value
    return [
        {
            "risk": risk.strip()[:LONGEST],
            "likelihood": likelihood if likelihood in Assessment.Level.values else high,
            "severity": severity if severity in Assessment.Level.values else high,
            "measure": measure.strip()[:LONGEST],
        }
        for risk, likelihood, severity, measure in zip(*columns, strict=False)
        if risk.strip()
    ][:MOST_ROWS]


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _address(name: str, assessment: Assessment) -> str:
    return reverse(f"admin:{name}", args=[assessment.pk])
