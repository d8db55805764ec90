"""The public page says in figures how long what is kept, in the reader's language."""

from django.test import Client

from tests.conftest import House


def test_the_schedule_names_the_figures_of_the_stores_jurisdiction(house: House) -> None:
    page = Client().get(f"/public/{house.store.slug}/").content.decode()
    assert f"{house.store.pack.inactivity_days} days after the last visit" in page
    assert f"{house.store.pack.visit_days} days" in page
    assert "kept as evidence" in page


def test_the_schedule_is_there_in_chinese(house: House) -> None:
    client = Client(headers={"Accept-Language": "zh-hans"})
    page = client.get(f"/public/{house.store.slug}/").content.decode()
    assert "封存的面部模板" in page
    assert f"最后一次到访后 {house.store.pack.inactivity_days} 天" in page
