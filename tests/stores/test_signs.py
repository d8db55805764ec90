"""The register of signs: what hangs where, who saw it, and when somebody looks again."""

from datetime import timedelta
from io import BytesIO

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from pypdf import PdfReader

from apps.audit.models import Entry
from apps.stores.models import Camera, Sign, Store
from tests import qr
from tests.clients import browser
from tests.conftest import House
from tests.privacy.test_paper import drawn, text_of

SIGNS = "/admin/duties/signs"


@pytest.fixture
def officer(house: House) -> Client:
    return browser(house.dpo)


def page(client: Client) -> str:
    return str(client.get(f"{SIGNS}/").content.decode())


def test_an_officer_who_saw_the_sign_opens_the_cameras_gate(house: House, officer: Client) -> None:
    Camera.objects.update(signage_confirmed_at=None)
    house.camera.refresh_from_db()
    assert any("sign at the lane" in why for why in house.camera.blockers())
    assert "Nobody has looked yet" in page(officer)
    assert "signs-due" in officer.get("/admin/").content.decode()
    officer.post(f"{SIGNS}/{house.camera.pk}/confirm/")
    house.camera.refresh_from_db()
    assert not house.camera.blockers()
    sign = Sign.objects.get()
    assert (sign.confirmed_by, set(sign.words)) == (house.dpo, set(house.store.languages))
    assert sign.next_check_at - sign.confirmed_at == timedelta(days=90)
    assert "Diana saw it" in page(officer)
    assert "signs-due" not in officer.get("/admin/").content.decode()
    assert Entry.objects.get(action="sign.confirmed").detail["digest"] == sign.digest


def test_a_check_that_is_overdue_is_listed(house: House, officer: Client) -> None:
    officer.post(f"{SIGNS}/{house.camera.pk}/confirm/")
    assert "sign-overdue" not in page(officer)
    Sign.objects.update(next_check_at=timezone.now())
    assert "sign-overdue" in page(officer)


@pytest.mark.parametrize("change", [{"mode": "count"}, {"check_in": "Ask at the desk."}])
def test_a_sign_that_says_something_else_than_it_should_is_listed(
    house: House, officer: Client, change: dict[str, str]
) -> None:
    officer.post(f"{SIGNS}/{house.camera.pk}/confirm/")
    assert "sign-changed" not in page(officer)
    if "mode" in change:
        Camera.objects.update(mode=change["mode"])
    else:
        Store.objects.update(non_face_check_in=change["check_in"])
    assert "sign-changed" in page(officer)


def test_the_printed_sign_says_it_in_each_language_and_leads_to_the_public_page(
    house: House, officer: Client
) -> None:
    paper = officer.get(f"{SIGNS}/{house.camera.pk}/pdf/").content
    reader = PdfReader(BytesIO(paper))
    assert len(reader.pages) == len(house.store.languages)
    text = text_of(paper)
    for words in ("only those who signed for it", "Show your card.", "privacy@harbour.example"):
        assert words in text, words
    address = f"{settings.CONSENTRY.public_url}/public/{house.store.slug}/"
    assert address in text.replace(" ", "")
    assert qr.text_in(drawn(paper)) == address


def test_a_sign_of_another_store_is_not_there(house: House, officer: Client) -> None:
    there = Store.objects.create(organization=house.organization, name="Else", slug="else")
    camera = Camera.objects.create(store=there, name="Desk", source="x")
    assert "Desk" not in page(officer)
    assert officer.post(f"{SIGNS}/{camera.pk}/confirm/").status_code == 404
    assert officer.get(f"{SIGNS}/{camera.pk}/pdf/").status_code == 404
