"""Celery's door to what is written down every hour and every night."""

from celery import shared_task

from apps.visits import hourly
from apps.visits.insights import rollup


@shared_task
def checkpoint() -> None:
    """Put the cameras' counters into the ledger, sign and export its head over them, and verify."""
    hourly.run()


@shared_task
def insights() -> None:
    """Roll up the days and months that are due."""
    rollup.run()
