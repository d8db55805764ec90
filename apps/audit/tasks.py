"""Celery's door to the ledger."""

from celery import shared_task

from apps.audit import services


@shared_task
def checkpoint() -> None:
    """Sign the ledger's head."""
    services.checkpoint()
