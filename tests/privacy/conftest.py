"""A customer with the code of their receipt."""

import uuid
from dataclasses import dataclass

import pytest
from django.http import HttpResponse
from django.test import Client

from apps.consent import services as consents
from apps.consent.models import Purpose
from apps.recognition.engine import starter
from apps.visitors.models import Visitor
from apps.visitors.services import SealedTemplate, enroll
from tests.clients import browser
from tests.conftest import House


@dataclass(frozen=True, slots=True)
class Customer:
    """Someone who opted in and holds the receipt's code."""

    visitor: Visitor
    secret: str
    client: Client

    def post(self, path: str = "", secret: str | None = None, **fields: str) -> HttpResponse:
        form = {"secret": self.secret if secret is None else secret, **fields}
        answer = self.client.post(f"/receipt/{path}", form)
        assert isinstance(answer, HttpResponse)
        return answer

    def text(self, path: str = "", **fields: str) -> str:
        return self.post(path, **fields).content.decode()


@pytest.fixture
def customer(house: House) -> Customer:
    signed = consents.sign(house.draft(purposes=[Purpose.LANE, Purpose.HISTORY, Purpose.CONTACT]))
    visitor = enroll(
        visitor=uuid.uuid4(),
        consent=signed.consent,
        greeting_name="Ms Chen",
        contact="chen@example.org",
        templates=[
            SealedTemplate(uuid.uuid4(), b"wrapped", 1, b"sealed", starter.NAME, starter.VERSION)
        ],
        actor=f"device:{house.kiosk.pk}",
    )
    return Customer(visitor, signed.secret, browser())
