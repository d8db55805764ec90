"""The DPO's portal: the stock admin under our look, open to data protection officers only.

The insights let managers in too, by a door of their own; nothing else here knows of managers.
"""

from datetime import timedelta
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.privacy import breaches, duties, keyring, ledger, selectors, systems
from apps.privacy.board import board
from apps.recognition.models import SILENCE, Recognizer
from apps.retention.services import watchdog
from apps.stores import mail
from apps.stores.access import is_dpo, is_manager, organizations_of, stores_of
from apps.stores.models import Camera, Role
from apps.visits import look_alikes
from apps.visits import selectors as visits
from apps.visits.health import look_at
from apps.visits.insights import pages as insights

SCORES_SHOWN = 10
QUEUED = 20


class Portal(AdminSite):
    site_header = gettext_lazy("Data protection")
    site_title = gettext_lazy("Consentry")
    index_title = gettext_lazy("Overview")
    enable_nav_sidebar = False

    def has_permission(self, request: HttpRequest) -> bool:
        """Only an active user who is a data protection officer of some store."""
        # The admin asks some thirty times a page; within one request the answer stands.
        if not hasattr(request, "is_officer"):
            request.is_officer = request.user.is_active and is_dpo(request.user)  # type: ignore[attr-defined]
        return bool(request.is_officer)  # type: ignore[attr-defined]

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """There is one log-in page, and it counts attempts."""
        inside = reverse("admin:index")
        if self.has_permission(request):
            return HttpResponseRedirect(inside)
        asked = request.GET.get("next", inside)
        if asked == inside and is_manager(request.user):
            return HttpResponseRedirect(reverse("admin:insights"))
        return redirect_to_login(asked, reverse("login"))

    def get_urls(self) -> list[Any]:
        return [
            *duties.urls(self.admin_view),
            *systems.urls(self.admin_view),
            *insights.urls(),
            *super().get_urls(),
        ]

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """The first page: what is late, what is near, and whether everything runs."""
        return super().index(request, {**overview(request), **(extra_context or {})})


def overview(request: HttpRequest) -> dict[str, Any]:
    """Return the first page: this officer's requests and cameras, and how the whole house is."""
    stores = stores_of(request.user, Role.Kind.DPO)
    waiting = board(stores)
    organizations = organizations_of(request.user, Role.Kind.DPO)
    silent = set(Recognizer.objects.running().uncalibrated().values_list("pk", flat=True))
    return {
        "numbers": waiting.numbers,
        "queue": waiting.lines[:QUEUED],
        "notices": selectors.notices_of(stores),
        "breaches": breaches.running(organizations),
        "duties": duties.in_short(request),
        "systems": systems.outstanding(stores),
        "mail": [(each, mail.missing(each)) for each in organizations],
        "watchdog": _watchdog(),
        "ledger": ledger.panel(),
        "keyring": keyring.state(),
        "recognizers": [
            _recognizer(row, calibrated=row.pk not in silent)
            for row in Recognizer.objects.filter(
                stopped_at=None, seen_at__gt=Now() - timedelta(days=1)
            )
        ],
        "cameras": [
            look_at(camera, uncalibrated=bool(silent))
            for camera in Camera.objects.filter(store__in=stores)
            .select_related("store")
            .prefetch_related("assessments")
        ],
        "weeks": visits.weeks(stores),
        "look_alikes": look_alikes.counted(stores),
        "unmoved": selectors.unmoved(stores),
        "false_greetings": visits.false_greetings(stores)[:SCORES_SHOWN],
    }


def _watchdog() -> list[dict[str, Any]]:
    """Per kind of data: how many rows are past their deadline and how far the oldest is."""
    return [
        {
            "kind": _(seen.what),
            "oldest_due_at": seen.since,
            "count": seen.count,
            "held": seen.held,
        }
        for seen in watchdog.look()
    ]


def _recognizer(row: Recognizer, *, calibrated: bool) -> dict[str, Any]:
    return {
        "name": str(row),
        "pack": f"{row.pack} {row.pack_version}",
        "licence": row.licence,
        "commercial": row.commercial,
        "seen_at": row.seen_at,
        "fresh": timezone.now() - row.seen_at < SILENCE,
        "calibrated": calibrated,
    }
