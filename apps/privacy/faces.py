"""How many people's faces an organization keeps, and what a filing of that asks for.

Measures on face recognition of 2025, 15: from 100,000 people on it is filed with the authority. A
person counts once, however many templates are kept of them. Whoever enrolled twice, in two stores,
counts twice: nobody here compares people across stores without their consent to find that out.
"""

from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from apps.consent.wording import Registers
from apps.privacy import records
from apps.stores.models import Assessment, Organization
from apps.visitors.models import Visitor

ALARM = 80
"""Percent of the limit from which on the portal alarms: time to prepare a filing."""


@dataclass(frozen=True, slots=True)
class Faces:
    """people: whose face templates are kept. limit: from how many on it is filed; 0: by no law."""

    organization: Organization
    people: int
    limit: int

    @property
    def percent(self) -> int:
        return 100 * self.people // self.limit if self.limit else 0

    @property
    def near(self) -> bool:
        """Whether the filing is near, or due."""
        return bool(self.limit) and self.percent >= ALARM

    @property
    def due(self) -> bool:
        return bool(self.limit) and self.people >= self.limit


def faces_of(organization: Organization) -> Faces:
    """Count them, all stores together."""
    kept = Visitor.objects.filter(store__organization=organization, templates__isnull=False)
    return Faces(organization, kept.distinct().count(), limit_of(organization))


def limit_of(organization: Organization) -> int:
    """From how many people on it is filed, by the laws of its stores; 0: by none."""
    limits = [store.pack.faces_limit for store in organization.stores.all()]
    return min((limit for limit in limits if limit), default=0)


def filing(organization: Organization) -> dict[str, Any]:
    """What the filing asks for: who, what for and how, how many, how long, protected by what, and
    the impact assessments."""
    registers = Registers(organization)
    signed = Assessment.objects.filter(
        camera__store__organization=organization,
        signed_at__isnull=False,
        expires_at__gt=timezone.now(),
    )
    return {
        "organization": organization,
        "faces": faces_of(organization),
        "stores": registers.stores,
        "activities": records.activities(registers),
        "security": records.security(),
        "assessments": signed.select_related("camera__store").order_by("camera__name", "version"),
        "today": timezone.localdate(),
    }
