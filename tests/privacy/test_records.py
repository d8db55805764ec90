"""Records of processing and the register of processors say what the house is set up to do."""

import csv
import io

import pytest
from django.test import Client

from apps.stores.models import Camera, Store, ThirdParty, User
from tests.clients import browser
from tests.conftest import House, hashed
from tests.consent.notices import third_party
from tests.privacy.test_paper import text_of


@pytest.fixture
def officer(house: House) -> Client:
    return browser(house.dpo)


def page_of(officer: Client, house: House) -> str:
    address = f"/admin/duties/records/{house.organization.pk}/"
    return str(officer.get(address).content.decode())


def table(officer: Client, path: str) -> list[dict[str, str]]:
    text = officer.get(f"/admin/duties/{path}/csv/").content.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_gdpr_30_each_purpose_has_its_entry_drawn_from_the_registers(
    house: House, officer: Client
) -> None:
    third_party(house.organization, transfer=ThirdParty.Transfer.ADEQUACY)
    page = page_of(officer, house)
    pack = house.store.pack
    for words in (
        "Harbour Motors",
        "privacy@harbour.example",
        "Recognise me when I come back",
        "explicit consent",
        "sealed face template",
        f"{pack.inactivity_days} days after the last visit",
        "Alpine Hosting",
        "Switzerland",
        "that country is recognised as safe enough",
        "Proof that people agreed",
        "AES-256-GCM",
    ):
        assert words in page, words
    assert "Recognise me when I show my pass" not in page, "no camera here does that"
    paper = text_of(officer.get(f"/admin/duties/records/{house.organization.pk}/pdf/").content)
    assert "Records of processing" in paper
    assert "Alpine Hosting" in paper
    rows = table(officer, f"records/{house.organization.pk}")
    assert [row["Purpose"] for row in rows][:2] == [
        "Count people, recognise nobody",
        "Recognise me when I come back",
    ]
    lane = rows[1]
    assert "Alpine Hosting, Switzerland: Runs the server." in lane["Who else gets it"]
    assert lane["Controller"] == "Harbour Motors"


def test_what_the_house_does_anew_is_in_the_records_at_once(house: House, officer: Client) -> None:
    Camera.objects.create(store=house.store, name="Desk", mode=Camera.Mode.PASS, source="x")
    assert "Recognise me when I show my pass" in page_of(officer, house)
    Camera.objects.update(active=False)
    page = page_of(officer, house)
    assert "Recognise me when" not in page
    assert "Recognise me by a card, without my face" in page
    Store.objects.update(non_face_check_in="")
    assert "Recognise me" not in page_of(officer, house)
    house.visitor()
    assert "Recognise me when I come back" in page_of(officer, house), "somebody still agrees to it"


def test_each_store_has_its_own_clock(house: House, officer: Client) -> None:
    Store.objects.create(
        organization=house.organization, name="Canton", slug="canton", jurisdiction="cn"
    )
    page = page_of(officer, house)
    assert "(Canton): 180 days after the last visit" in page
    assert f"({house.store.name}): 365 days after the last visit" in page


def test_gdpr_28_a_processor_without_a_contract_is_flagged(house: House, officer: Client) -> None:
    party = third_party(house.organization)
    page = officer.get("/admin/duties/processors/").content.decode()
    assert "The date of its contract is missing" in page
    assert "whether data leaves the country" in page
    assert "1 incomplete" in officer.get("/admin/duties/").content.decode()
    form = {
        "organization": str(house.organization.pk),
        "name": party.name,
        "role": party.role,
        "purpose": party.purpose,
        "country": party.country,
        "contact": party.contact,
        "contract_at": "2026-01-15",
        "transfer": "adequacy",
    }
    officer.post(f"/admin/stores/thirdparty/{party.pk}/change/", form)
    page = officer.get("/admin/duties/processors/").content.decode()
    assert "processor-lacks" not in page
    assert "complete" in officer.get("/admin/duties/").content.decode()
    (row,) = table(officer, "processors")
    assert (row["Contract of"], row["Missing"]) == ("2026-01-15", "")


def test_a_name_is_no_formula_in_a_spreadsheet(house: House, officer: Client) -> None:
    third_party(house.organization, name='=HYPERLINK("http://x")')
    (row,) = table(officer, "processors")
    assert row["Name"].startswith("'=")


def test_another_organizations_records_are_not_there(house: House, officer: Client) -> None:
    other = User.objects.create(username="otto", password=hashed())
    for path in ("", "pdf/", "csv/"):
        address = f"/admin/duties/records/{house.organization.pk}/{path}"
        assert browser(other).get(address).status_code == 302
        assert browser(house.staff).get(address).status_code == 302
    missing = "/admin/duties/records/00000000-0000-0000-0000-000000000000/"
    assert officer.get(missing).status_code == 404
