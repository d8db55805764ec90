"""Pictures as a kiosk's camera takes them, and one recognizer for all of the kiosk's tests."""

from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from pytest_django.plugin import DjangoDbBlocker

from apps.recognition.client import Recognizer
from tests import faces
from tests.conftest import Process

Photos = Callable[..., list[bytes]]


@pytest.fixture(scope="package")
def running(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Recognizer]:
    """A real recognizer process that outlives the tests' data, as it would in a store."""
    with django_db_blocker.unblock():
        process = Process("recognizer")
    yield Recognizer(settings.CONSENTRY.socket)
    process.stop()


@pytest.fixture
def recognizer(running: Recognizer, transactional_db: None) -> Recognizer:
    return running


@pytest.fixture(scope="session")
def photos() -> Photos:
    """Three JPEGs of one of the six people, in one of the modes of `tests.faces.frames`,
    or masked."""
    taken: dict[tuple[int, str], list[bytes]] = {}

    def take(person: int = 2, mode: str = "steady") -> list[bytes]:
        if (person, mode) not in taken:
            shots = faces.frames(
                person,
                "steady" if mode == "masked" else mode,  # type: ignore[arg-type]
                seconds=0.3,
                fps=10,
            )
            if mode == "masked":
                shots = (faces.covered(shot, "mask") for shot in shots)
            taken[person, mode] = [faces.jpeg(shot) for shot in shots]
        return taken[person, mode]

    return take
