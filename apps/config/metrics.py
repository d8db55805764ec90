"""`/metrics` for Prometheus, as plain text: what is overdue and whether anybody answers.

Counts and seconds only. For this machine itself, or for whoever shows CONSENTRY_METRICS_TOKEN; when
one is set, this machine shows it too.
"""

import ipaddress
import secrets
from collections.abc import Iterator

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from apps.recognition.models import Recognizer
from apps.retention.services import watchdog


@never_cache
@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """The text format 0.0.4."""
    if not _may_read(request):
        return HttpResponse(status=403)
    return HttpResponse(
        "".join(f"{line}\n" for line in _lines()),
        content_type="text/plain; version=0.0.4; charset=utf-8",
    )


def _may_read(request: HttpRequest) -> bool:
    token = settings.CONSENTRY.metrics_token
    if token is not None:
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return secrets.compare_digest(shown.encode(), token.get_secret_value().encode())
    # Whoever comes through a proxy of this machine is not this machine.
    if {"X-Forwarded-For", "X-Forwarded-Proto", "Forwarded"} & request.headers.keys():
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


def _lines() -> Iterator[str]:
    now, seen = timezone.now(), watchdog.look()
    yield "# HELP consentry_overdue_rows Rows past their deadline that no legal hold keeps."
    yield "# TYPE consentry_overdue_rows gauge"
    for each in seen:
        yield f'consentry_overdue_rows{{kind="{each.kind}"}} {each.count}'
    yield "# HELP consentry_overdue_seconds By how much the oldest of them is late."
    yield "# TYPE consentry_overdue_seconds gauge"
    for each in seen:
        yield f'consentry_overdue_seconds{{kind="{each.kind}"}} {each.seconds(now)}'
    yield "# HELP consentry_held_rows Rows past their deadline under a legal hold."
    yield "# TYPE consentry_held_rows gauge"
    for each in seen:
        yield f'consentry_held_rows{{kind="{each.kind}"}} {each.held}'
    answering = Recognizer.objects.running().count()
    yield "# HELP consentry_recognizers Recognizers that answer."
    yield "# TYPE consentry_recognizers gauge"
    yield f"consentry_recognizers {answering}"
