"""Celery's door to retention."""

from celery import shared_task

from apps.retention.services import sweep as sweeping


@shared_task
def sweep() -> None:
    """Run one sweep."""
    sweeping.sweep()
