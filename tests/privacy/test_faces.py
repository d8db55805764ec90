"""How many faces are kept, against the number from which on a law wants it filed."""

import csv
import io
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client

from apps.privacy.faces import Faces, faces_of
from apps.stores import jurisdictions
from apps.stores.models import Store
from tests.clients import browser
from tests.conftest import House
from tests.database import without_triggers
from tests.privacy.test_paper import text_of


@pytest.fixture
def officer(house: House) -> Client:
    return browser(house.dpo)


def test_a_person_counts_once_and_nobody_who_is_gone(house: House) -> None:
    first, second = house.visitor(), house.visitor()
    template = first.templates.get()
    with without_triggers("visitors_facetemplate"):
        template.pk, template.pack_version = uuid.uuid4(), "former"
        template.save(force_insert=True)
    assert first.templates.count() == 2
    assert faces_of(house.organization).people == 2
    second.templates.all().delete()
    assert faces_of(house.organization).people == 1


@pytest.mark.parametrize(
    ("people", "near", "due"),
    [(79_999, False, False), (80_000, True, False), (99_999, True, False), (100_000, True, True)],
)
def test_measures_of_2025_15_the_alarm_comes_at_80_percent(
    house: House, people: int, near: bool, due: bool
) -> None:
    faces = Faces(house.organization, people, 100_000)
    assert (faces.near, faces.due) == (near, due)
    assert not Faces(house.organization, people, 0).near


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The packs as they ship, but for China's limit: five people."""
    for each in jurisdictions.FOLDER.glob("*.toml"):
        text = each.read_text(encoding="utf-8")
        text = text.replace("faces_limit = 100000", "faces_limit = 5")
        (tmp_path / each.name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(jurisdictions, "FOLDER", tmp_path)
    jurisdictions.get.cache_clear()
    yield
    jurisdictions.get.cache_clear()


@pytest.mark.usefixtures("small_limit")
def test_the_first_page_alarms_where_the_law_counts(house: House, officer: Client) -> None:
    for _number in range(3):
        house.visitor()
    assert 'data-testid="faces' not in officer.get("/admin/").content.decode(), "not in the EU"
    Store.objects.update(jurisdiction="cn")
    page = officer.get("/admin/").content.decode()
    assert "3 of 5 (60 %)" in page
    assert "faces-near" not in page
    house.visitor()
    page = officer.get("/admin/").content.decode()
    assert "4 of 5 (80 %)" in page
    assert "faces-near" in page


def test_the_filing_holds_what_it_asks_for(house: House, officer: Client) -> None:
    Store.objects.update(jurisdiction="cn")
    house.visitor()
    address = f"/admin/duties/faces/{house.organization.pk}"
    page = officer.get(f"{address}/").content.decode()
    paper = text_of(officer.get(f"{address}/pdf/").content)
    rows = csv.reader(io.StringIO(officer.get(f"{address}/csv/").content.decode("utf-8-sig")))
    table = {row[0]: row[1] for row in rows}
    assert table["Faces that are kept"] == "1"
    assert table["Controller"] == "Harbour Motors, 1 Harbour Street"
    assert house.camera.name in table["Impact assessment"]
    for words in ("Harbour Motors", "180 days after the last visit", "AES-256-GCM", "Lane"):
        assert words in page, words
        assert words in paper, words
