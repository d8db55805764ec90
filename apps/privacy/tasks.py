"""Celery's door to requests. Messages carry ids."""

from uuid import UUID

from celery import shared_task

from apps.privacy.requests import alarms, decide, packages


@shared_task
def build_package(package: str) -> None:
    """Build one access package."""
    packages.build(UUID(package))


@shared_task
def requests() -> None:
    """Finish what was left: packages, erasures that were done in part; then the alarms."""
    for package in packages.waiting():
        packages.build(package)
    for request in decide.unfinished():
        decide.carry_out(request)
    alarms.escalate()
