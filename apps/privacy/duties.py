"""The officer's duties on one page: what is in place, what is missing, and where it is done."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.consent.wording import Registers
from apps.privacy import breaches, documents, records
from apps.stores.access import stores_of
from apps.stores.models import Camera, Organization, Role, Store, ThirdParty

View = Callable[..., HttpResponse]


def urls(view: Callable[[View], View]) -> list[URLPattern]:
    """The addresses of all duties; `view` lets only officers in."""
    return [
        path("duties/", view(hub), name="duties"),
        path("duties/records/<uuid:pk>/", view(records_page), name="records"),
        path("duties/records/<uuid:pk>/pdf/", view(records_pdf), name="records_pdf"),
        path("duties/records/<uuid:pk>/csv/", view(records_csv), name="records_csv"),
        path("duties/processors/", view(processors_page), name="processors"),
        path("duties/processors/csv/", view(processors_csv), name="processors_csv"),
        *breaches.urls(view),
    ]


def hub(request: HttpRequest) -> HttpResponse:
    """All duties of this officer's organizations."""
    cameras = Camera.objects.filter(store__in=_stores(request))
    parties = list(_parties(request).filter(ended_at=None))
    context = {
        **admin.site.each_context(request),
        "title": _("Duties"),
        "organizations": list(_organizations(request)),
        "cameras": [
            (camera, camera.assessment(), _draft_of(camera))
            for camera in cameras.select_related("store").prefetch_related("assessments")
        ],
        "breaches": breaches.running(_organizations(request)),
        "parties": parties,
        "incomplete": [each for each in parties if each.lacks],
    }
    return TemplateResponse(request, "admin/duties.html", context)


# Records of processing.


def records_page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What the organization does with data on people, as it is set up now."""
    files = [(reverse(f"admin:records_{kind}", args=[pk]), kind.upper()) for kind in ("pdf", "csv")]
    title = _("Records of processing")
    return documents.page(request, "records", title, files=files, **_records(request, pk))


def records_pdf(request: HttpRequest, pk: UUID) -> HttpResponse:
    return documents.pdf(request, "records", _("Records of processing"), **_records(request, pk))


def records_csv(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One row an activity."""
    found = _records(request, pk)
    house: Organization = found["organization"]
    header = (
        _("Controller"),
        _("Address"),
        _("Contact"),
        _("Purpose"),
        _("On what ground"),
        _("People"),
        _("Data"),
        _("Who else gets it"),
        _("Leaves the country"),
        _("How long it is kept"),
        _("How it is protected"),
    )
    lines = [
        (
            house.name,
            house.address,
            f"{house.contact_name}, {house.contact_email}",
            each.title,
            each.ground,
            each.people,
            "; ".join(each.data),
            "; ".join(f"{one.name}, {one.country}: {one.purpose}" for one in each.recipients),
            "; ".join(
                f"{one.name}, {one.country}: {one.get_transfer_display() or _('not said yet')}"
                for one in each.transfers
            ),
            "; ".join(each.retention),
            "; ".join(found["security"]),
        )
        for each in found["activities"]
    ]
    return documents.rows("records", header, lines)


def _records(request: HttpRequest, pk: UUID) -> dict[str, Any]:
    registers = Registers(get_object_or_404(_organizations(request), pk=pk))
    return {
        "organization": registers.organization,
        "stores": registers.stores,
        "activities": records.activities(registers),
        "security": records.security(),
        "today": timezone.localdate(),
    }


# Who else gets data.


def processors_page(request: HttpRequest) -> HttpResponse:
    """The register of processors and recipients, and what it does not say yet."""
    return documents.page(
        request,
        "processors",
        _("Who else gets data"),
        files=[(reverse("admin:processors_csv"), "CSV")],
        acts="admin/_processor_acts.html",
        organizations=_organizations(request),
        parties=_parties(request),
        link=True,
    )


def processors_csv(request: HttpRequest) -> HttpResponse:
    header = (
        _("Name"),
        _("Role"),
        _("What it gets and what for"),
        _("Country"),
        _("Contact"),
        _("Contract of"),
        _("Leaves the country"),
        _("Missing"),
    )
    lines = [
        (
            each.name,
            each.get_role_display(),
            each.purpose,
            each.country,
            each.contact,
            each.contract_at or "",
            each.get_transfer_display(),
            " ".join(each.lacks),
        )
        for each in _parties(request)
    ]
    return documents.rows("processors", header, lines)


def _draft_of(camera: Camera) -> object:
    return next((each for each in camera.assessments.all() if each.signed_at is None), None)


def _parties(request: HttpRequest) -> QuerySet[ThirdParty]:
    return ThirdParty.objects.filter(organization__in=_organizations(request))


def _stores(request: HttpRequest) -> QuerySet[Store]:
    return stores_of(request.user, Role.Kind.DPO)


def _organizations(request: HttpRequest) -> QuerySet[Organization]:
    """Those of this officer's stores."""
    return Organization.objects.filter(stores__in=_stores(request)).distinct()
