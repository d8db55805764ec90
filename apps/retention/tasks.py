"""Celery's door to retention."""

from uuid import UUID

from celery import shared_task

from apps.retention.services import breaches
from apps.retention.services import remind as reminding
from apps.retention.services import sweep as sweeping
from apps.retention.services import watchdog as watching


@shared_task
def sweep() -> None:
    """Run one sweep."""
    sweeping.sweep()


@shared_task
def watchdog() -> None:
    """Look for what is overdue, and tell whom it concerns."""
    watching.watch()


@shared_task
def remind() -> None:
    """Write to whose consent ends soon and who asked for it."""
    reminding.remind()


@shared_task
def tell(breach: str) -> None:
    """Write to the people whom a breach touched."""
    breaches.send(UUID(breach))
