"""The public page says in figures how long what is kept, in the reader's language."""

from django.test import Client

from apps.stores.models import Assessment, Store
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


def test_bipa_15a_the_schedule_is_public_in_words_too(house: House) -> None:
    """740 ILCS 14/15(a): a written policy, made available to the public."""
    Store.objects.update(jurisdiction="us-il")
    page = Client().get(f"/public/{house.store.slug}/").content.decode()
    assert "Your face template, or your card: until 365 days after your last visit" in page


def test_it_says_who_answers_and_in_what_time(house: House) -> None:
    address = f"/public/{house.store.slug}/"
    assert "You are answered within 1 month." in Client().get(address).content.decode()
    Store.objects.update(jurisdiction="cn")
    page = Client().get(address).content.decode()
    assert "You are answered within 15 days." in page
    assert "privacy@harbour.example" in page


def test_each_camera_says_that_it_is_assessed_and_signposted(house: House) -> None:
    address = f"/public/{house.store.slug}/"
    page = Client().get(address).content.decode()
    assert "Its impact assessment is signed and holds until" in page
    assert "That its sign hangs was last seen on" in page
    Assessment.objects.all().delete()
    assert "Its impact assessment" not in Client().get(address).content.decode()
