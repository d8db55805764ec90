"""Celery's door to deliveries. Messages carry the id of a client, never what it is told."""

import logging
from uuid import UUID

from celery import shared_task
from kombu.exceptions import OperationalError

from apps.systems import delivery

log = logging.getLogger(__name__)


@shared_task
def deliver() -> None:
    """Have everyone served for whom something is due."""
    for client in delivery.waiting():
        serve.apply_async((str(client),), expires=60)


@shared_task
def serve(client: str) -> None:
    """Send one client what is due."""
    delivery.deliver(UUID(client))


def nudge(client: UUID) -> None:
    """Have a client served now; when the broker does not answer, the next beat does it."""
    try:
        serve.apply_async((str(client),), expires=60, retry=False)
    except OperationalError:
        log.warning("the broker does not answer; deliveries wait for the next beat")
