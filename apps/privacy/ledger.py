"""How the ledger is, for the portal's first page: what the last scheduled check found."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.audit import tree
from apps.audit.models import LedgerCheck

# The check runs every hour; from here on somebody should look why it does not.
STALE = timedelta(hours=3)


def panel() -> dict[str, Any] | None:
    """Return what the panel shows; None while there is no entry. It walks nothing itself."""
    size = tree.size()
    if not size:
        return None
    check = LedgerCheck.objects.first()
    return {
        "entries": size,
        "check": check,
        "root_short": check.root[:16] if check else "",
        "stale": check is not None and timezone.now() - check.at > STALE,
        "unexported": check is not None
        and (check.exported_at is None or check.at - check.exported_at > STALE),
    }
