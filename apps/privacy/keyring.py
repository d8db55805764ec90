"""What the portal tells of the keyring: its generations, and what is under them. No key."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, Q
from django.utils import timezone

from apps.visitors.models import DataKey, KeyGeneration


def state() -> dict[str, Any] | None:
    """How old the keys are and what is still under earlier ones; None before anybody looked.

    horizon: what was backed up before then was wrapped by generations that are all destroyed.
    """
    generations = list(KeyGeneration.objects.all())
    if not generations:
        return None
    newest, env = generations[-1], settings.CONSENTRY
    next_at = newest.created_at + timedelta(days=env.key_rotation_days)
    living = [each for each in generations if each.destroyed_at is None]
    gone = [each.number for each in generations if each.destroyed_at is not None]
    counts = DataKey.objects.filter(generation__lt=newest.number).aggregate(
        older=Count("pk", filter=~Q(generation__in=gone)),
        lost=Count("pk", filter=Q(generation__in=gone)),
    )
    return {
        "newest": newest,
        "next_at": next_at,
        "late": timezone.now() > next_at + timedelta(days=1),
        "kept": [each for each in living if each is not newest],
        "horizon": living[0].created_at if gone and living else None,
        **counts,
    }
