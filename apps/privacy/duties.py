"""The officer's duties on one page: what is in place, what is missing, and where it is done."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from apps.stores.access import stores_of
from apps.stores.models import Camera, Organization, Role

View = Callable[..., HttpResponse]


def urls(view: Callable[[View], View]) -> list[URLPattern]:
    """The addresses of all duties; `view` lets only officers in."""
    return [path("duties/", view(hub), name="duties")]


def hub(request: HttpRequest) -> HttpResponse:
    """All duties of this officer's organizations."""
    context = {
        **admin.site.each_context(request),
        "title": _("Duties"),
        "organizations": list(organizations_of(request)),
        "cameras": [
            (camera, camera.assessment(), camera.assessments.filter(signed_at=None).first())
            for camera in cameras_of(request)
        ],
    }
    return TemplateResponse(request, "admin/duties.html", context)


def organizations_of(request: HttpRequest) -> Any:
    """Those of this officer's stores."""
    stores = stores_of(request.user, Role.Kind.DPO)
    return Organization.objects.filter(stores__in=stores).distinct()


def cameras_of(request: HttpRequest) -> Any:
    """Those of this officer's stores."""
    stores = stores_of(request.user, Role.Kind.DPO)
    found = Camera.objects.filter(store__in=stores).select_related("store__organization")
    return found.prefetch_related("assessments")
