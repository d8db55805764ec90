"""Pages of the house itself: the door, the log-in, the public page, the public key."""

from django.conf import settings
from django.contrib.auth.views import LoginView
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from apps.audit import signing
from apps.consent.services import current_text
from apps.consent.wording import Registers
from apps.retention.holdings import HOLDINGS, periods
from apps.stores import groups, policies
from apps.stores.access import is_manager
from apps.stores.limits import allowed
from apps.stores.models import Organization, Store
from apps.visits.health import abort_counts


def release(request: HttpRequest) -> dict[str, str]:
    """Give every page the number of this release."""
    return {"release": settings.VERSION}


class Login(LoginView):
    """The one log-in page. Ten attempts in ten minutes per name and address, then wait."""

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        key = f"login:{request.META.get('REMOTE_ADDR')}:{request.POST.get('username', '')[:150]}"
        if not allowed(key, limit=10, seconds=600):
            return render(request, "429.html", status=429)
        return super().post(request, *args, **kwargs)

    def get_default_redirect_url(self) -> str:
        """Where one lands who was not on the way anywhere: a manager at the insights."""
        if is_manager(self.request.user):
            return reverse("admin:insights")
        return super().get_default_redirect_url()


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """The front door."""
    context = {"organization": Organization.objects.first(), "stores": Store.objects.all()}
    return render(request, "home.html", context)


@require_GET
def healthz(request: HttpRequest) -> HttpResponse:
    """Whether the web process reaches its database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("ok\n", content_type="text/plain")


@require_GET
def keys(request: HttpRequest) -> HttpResponse:
    """The public key that receipts, certificates and checkpoints are signed with."""
    return JsonResponse({"keys": [signing.public_jwk()]})


@require_GET
def public(request: HttpRequest, slug: str) -> HttpResponse:
    """What a store keeps, for how long, and what its cameras did."""
    store = get_object_or_404(Store.objects.select_related("organization"), slug=slug)
    language = get_language() or "en"
    text = current_text(store=store, locale=language) or current_text(
        store=store, locale=store.languages[0]
    )
    cameras = [
        {
            "name": camera.name,
            "mode": camera.mode,
            "mode_text": camera.get_mode_display(),
            "active": camera.active,
            "triggers": camera.triggers,
            "aborts": abort_counts(camera),
            "aborted": sum(camera.aborts.values()),
            "outside_zone": camera.outside_zone,
            "embeddings_outside_trigger": camera.embeddings_outside_trigger,
            "sign_seen_at": camera.signage_confirmed_at,
            "assessment": camera.assessment(),
        }
        for camera in store.cameras.prefetch_related("assessments")
    ]
    days = periods(policies.days(store))
    retention = [
        {"what": _(holding.what), "clock": _(holding.clock) % days, "how": _(holding.how.value)}
        for holding in HOLDINGS
    ]
    context = {
        "store": store,
        "notice": text,
        "cameras": cameras,
        "retention": retention,
        # As the notice says it, from the same registers.
        "schedule": Registers(store.organization).fill("{retention}", language),
        "clock": store.pack.clock,
        "together": groups.others(store),
        "third_parties": store.organization.third_parties.filter(ended_at=None),
    }
    return render(request, "public/store.html", context)
