"""Celery's door to requests. Messages carry ids."""

import logging
from uuid import UUID

from celery import shared_task

from apps.privacy.requests import alarms, decide, packages

log = logging.getLogger(__name__)


@shared_task
def build_package(package: str) -> None:
    """Build one access package."""
    packages.build(UUID(package))


@shared_task
def requests() -> None:
    """Finish what was left: packages, erasures that were done in part; then the alarms."""
    for package in packages.waiting():
        try:
            packages.build(package)
        except Exception as error:
            # Loud, and left for the next minute; the others and the alarms do not wait for it.
            log.error("package %s could not be made (%s)", package, type(error).__name__)
    for request in decide.unfinished():
        try:
            decide.carry_out(request)
        except Exception as error:
            log.error("request %s could not be carried out (%s)", request, type(error).__name__)
    alarms.escalate()
