"""Two real recognizers for the house's rules, as a store with two lanes would have them."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from pytest_django.plugin import DjangoDbBlocker

from apps.recognition.client import Recognizer
from apps.recognition.models import Recognizer as Row
from apps.visitors.models import Visitor
from tests.conftest import House, Process, build_house
from tests.waiting import until


@pytest.fixture(scope="package")
def processes(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[list[Process]]:
    second = settings.CONSENTRY.socket.with_name("second.sock")
    with django_db_blocker.unblock():
        running = [
            Process("recognizer"),
            Process("recognizer", CONSENTRY_RECOGNIZER_SOCKET=str(second)),
        ]
    yield running
    for process in running:
        process.stop()


@pytest.fixture
def town(processes: list[Process], transactional_db: None) -> Iterator[House]:
    """A house of its own for each test, in front of the running recognizers."""
    # The test before emptied the tables under their feet.
    until(lambda: Row.objects.filter(stopped_at=None).count() == 2)
    yield build_house()
    # Emptying tables tells nobody, deleting does.
    Visitor.objects.all().delete()


@pytest.fixture
def recognizers(town: House) -> list[Recognizer]:
    path = settings.CONSENTRY.socket
    return [Recognizer(path), Recognizer(path.with_name("second.sock"))]
