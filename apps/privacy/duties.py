"""The officer's duties on one page: what is in place, what is missing, and where it is done."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _

from apps.consent.qr import drawn
from apps.consent.wording import Registers
from apps.privacy import breaches, documents, records
from apps.privacy.faces import Faces, faces_of, filing, limit_of
from apps.stores import signs
from apps.stores.access import organizations_of, stores_of
from apps.stores.models import Camera, Organization, Role, Store, ThirdParty, User
from apps.stores.signs import Hanging

View = Callable[..., HttpResponse]

# From then on an assessment that ends is said on the first page: time to write the next one.
SOON = timedelta(days=30)


def urls(view: Callable[[View], View]) -> list[URLPattern]:
    """The addresses of all duties; `view` lets only officers in."""
    return [
        path("duties/", view(hub), name="duties"),
        path("duties/records/<uuid:pk>/", view(records_page), name="records"),
        path("duties/records/<uuid:pk>/pdf/", view(records_pdf), name="records_pdf"),
        path("duties/records/<uuid:pk>/csv/", view(records_csv), name="records_csv"),
        path("duties/processors/", view(processors_page), name="processors"),
        path("duties/processors/csv/", view(processors_csv), name="processors_csv"),
        path("duties/faces/<uuid:pk>/", view(faces_page), name="faces"),
        path("duties/faces/<uuid:pk>/pdf/", view(faces_pdf), name="faces_pdf"),
        path("duties/faces/<uuid:pk>/csv/", view(faces_csv), name="faces_csv"),
        path("duties/signs/", view(signs_page), name="signs"),
        path("duties/signs/<uuid:pk>/confirm/", view(sign_confirm), name="sign_confirm"),
        path("duties/signs/<uuid:pk>/pdf/", view(sign_pdf), name="sign_pdf"),
        *breaches.urls(view),
    ]


def in_short(request: HttpRequest) -> dict[str, Any]:
    """What the first page says: faces where a law counts them, and how much is to be done."""
    soon = timezone.now() + SOON
    lanes = Camera.objects.filter(store__in=_stores(request), mode=Camera.Mode.LANE)
    held = [camera.assessment() for camera in lanes.prefetch_related("assessments")]
    houses = _organizations(request).prefetch_related("stores")
    return {
        # Only where a law counts them.
        "faces": [faces_of(each) for each in houses if limit_of(each)],
        "signs": sum(not each.fine for each in _hanging(request)),
        "incomplete": sum(bool(each.lacks) for each in _parties(request).filter(ended_at=None)),
        "ending": sum(each is not None and each.expires_at <= soon for each in held),
    }


def hub(request: HttpRequest) -> HttpResponse:
    """All duties of this officer's organizations."""
    cameras = Camera.objects.filter(store__in=_stores(request))
    parties = list(_parties(request).filter(ended_at=None))
    organizations = list(_organizations(request))
    context = {
        **admin.site.each_context(request),
        "title": _("Duties"),
        "organizations": organizations,
        "faces": [faces_of(each) for each in organizations],
        "signs": sum(not each.fine for each in _hanging(request)),
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
    registers = Registers(_organization(request, pk))
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


# Faces that are kept.


def faces_page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """How many, and what a filing asks for."""
    files = [(reverse(f"admin:faces_{kind}", args=[pk]), kind.upper()) for kind in ("pdf", "csv")]
    context = filing(_organization(request, pk))
    return documents.page(request, "filing", _("Faces that are kept"), files=files, **context)


def faces_pdf(request: HttpRequest, pk: UUID) -> HttpResponse:
    context = filing(_organization(request, pk))
    return documents.pdf(request, "filing", _("Faces that are kept"), **context)


def faces_csv(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One line a fact, as a form asks for them."""
    found = filing(_organization(request, pk))
    house: Organization = found["organization"]
    faces: Faces = found["faces"]
    lines = [
        (_("Controller"), f"{house.name}, {house.address}"),
        (_("Contact"), f"{house.contact_name}, {house.contact_email}"),
        (_("Stores"), "; ".join(store.name for store in found["stores"])),
        (_("Faces that are kept"), faces.people),
        *((_("Purpose"), f"{each.title}: {each.ground}") for each in found["activities"]),
        *(
            (_("How long it is kept"), text)
            for text in dict.fromkeys(
                text for each in found["activities"] for text in each.retention
            )
        ),
        *((_("How it is protected"), text) for text in found["security"]),
        *(
            (_("Impact assessment"), f"{each}, {each.expires_at:%Y-%m-%d}, {each.digest}")
            for each in found["assessments"]
        ),
    ]
    return documents.rows("filing", (_("What"), _("Entry")), lines)


# Signs at the cameras.


def signs_page(request: HttpRequest) -> HttpResponse:
    """Which sign hangs where, who saw it, and what should hang there."""
    shown = [
        {
            "camera": each.camera,
            "last": each.last,
            "fine": each.fine,
            "changed": each.changed,
            "overdue": each.overdue,
            "words": signs.words(each.camera).items(),
        }
        for each in _hanging(request)
    ]
    context = {**admin.site.each_context(request), "title": _("Signs"), "signs": shown}
    return TemplateResponse(request, "admin/signs.html", context)


def sign_confirm(request: HttpRequest, pk: UUID) -> HttpResponse:
    """This officer saw that it hangs."""
    camera = _camera(request, pk)
    if request.method == "POST":
        assert isinstance(request.user, User)
        signs.confirm(camera=camera, user=request.user)
        messages.success(request, _("Written down; the camera's sign hangs."))
    return HttpResponseRedirect(reverse("admin:signs"))


def sign_pdf(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The sign to be hung, a page a language, with a code that opens the public page."""
    camera = _camera(request, pk)
    address = signs.address_of(camera.store)
    return documents.pdf(
        request,
        "sign",
        camera.name,
        walls=list(signs.words(camera).items()),
        address=address,
        # Our own drawing of an address of ours.
        qr=mark_safe(drawn(address, error="m")),  # noqa: S308
    )


def _hanging(request: HttpRequest) -> list[Hanging]:
    cameras = Camera.objects.filter(store__in=_stores(request), active=True)
    found = cameras.select_related("store__organization")
    return signs.hanging(list(found.prefetch_related("assessments", "signs__confirmed_by")))


def _camera(request: HttpRequest, pk: UUID) -> Camera:
    own = Camera.objects.filter(store__in=_stores(request)).select_related("store__organization")
    return get_object_or_404(own, pk=pk)


def _organization(request: HttpRequest, pk: UUID) -> Organization:
    return get_object_or_404(_organizations(request), pk=pk)


def _draft_of(camera: Camera) -> object:
    return next((each for each in camera.assessments.all() if each.signed_at is None), None)


def _parties(request: HttpRequest) -> QuerySet[ThirdParty]:
    return ThirdParty.objects.filter(organization__in=_organizations(request))


def _stores(request: HttpRequest) -> QuerySet[Store]:
    return stores_of(request.user, Role.Kind.DPO)


def _organizations(request: HttpRequest) -> QuerySet[Organization]:
    """Those of this officer's stores."""
    return organizations_of(request.user, Role.Kind.DPO)
