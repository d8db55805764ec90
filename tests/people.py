"""People as tests need them: enrolled for good with a real template, or many of them at once."""

import os
import subprocess
import sys
import uuid
from collections.abc import Sequence

import numpy as np
from django.db import transaction
from numpy.typing import NDArray

from apps.consent import services as consents
from apps.consent.models import Purpose
from apps.recognition.client import Recognizer, SealRequest
from apps.visitors.models import Visitor
from apps.visitors.services import SealedTemplate, enroll
from ops.clips import frames, jpeg
from tests.conftest import ROOT, House, test_database_url
from tests.waiting import until


def photos(person: int = 2) -> list[bytes]:
    """Three JPEGs as the kiosk's camera takes them."""
    return [jpeg(shot) for shot in frames(person, seconds=0.3, fps=10)]


def enrolled_for_good(
    house: House,
    recognizers: Sequence[Recognizer],
    crops: NDArray[np.uint8],
    **changes: object,
) -> Visitor:
    """Sign, seal with the first recognizer, enrol, and wait until each of them knows the person.

    changes: of the consent, see `House.draft`.
    """
    known = [recognizer.status()["templates"] for recognizer in recognizers]
    consent = house.draft(**changes)
    visitor, template = uuid.uuid4(), uuid.uuid4()
    sealed = recognizers[0].seal(
        SealRequest(
            organization=house.organization.pk,
            store=house.store.pk,
            visitor=visitor,
            consent=consent.pk,
            not_after=int(consent.expires_at.timestamp()),
            templates={Purpose.LANE.value: template},
            others=consent.group_stores,
        ),
        crops,
    )
    with transaction.atomic():
        person = enroll(
            visitor=visitor,
            consent=consents.sign(consent).consent,
            greeting_name="Ms Chen",
            contact="",
            templates=[
                SealedTemplate(
                    template,
                    sealed.wrapped_key,
                    sealed.generation,
                    sealed.sealed[Purpose.LANE],
                    sealed.pack,
                    sealed.pack_version,
                    rotation=sealed.rotation,
                )
            ],
            actor=f"device:{house.kiosk.pk}",
        )
    for recognizer, before in zip(recognizers, known, strict=True):
        until(lambda: recognizer.status()["templates"] == before + 1)  # noqa: B023
    return person


def manage(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start a command of the house as a process of its own, on the test's database."""
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": test_database_url(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
