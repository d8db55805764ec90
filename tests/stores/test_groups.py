"""The register of groups: which stores may be in one, who keeps it, and what follows from it."""

from collections.abc import Callable

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse

from apps.audit.models import Entry
from apps.consent import notices
from apps.consent.models import Notice
from apps.consent.wording import Registers
from apps.stores import groups
from apps.stores.models import Membership, Organization, Role, Store, StoreGroup, User
from apps.visits.membership import change_members
from tests.clients import browser
from tests.conftest import House, hashed
from tests.consent.notices import published
from tests.database import run
from tests.groups import grouped, joined, left
from tests.visits.test_disclose import old_town


@pytest.fixture
def there(house: House) -> House:
    return old_town(house)


def names(stores: list[Store]) -> list[str]:
    return [store.name for store in stores]


def test_a_store_knows_the_others_of_its_group(house: House, there: House) -> None:
    assert groups.others(house.store) == []
    grouped(house)
    assert groups.others(house.store) == [], "alone in it"
    joined(there, StoreGroup.objects.get())
    assert names(groups.others(house.store)) == ["Old Town"]
    assert names(groups.others(there.store)) == ["Harbour Street"]
    left(there)
    assert groups.others(house.store) == groups.others(there.store) == []


def moved(house: House, **changes: object) -> House:
    Store.objects.filter(pk=house.store.pk).update(**changes)
    house.store.refresh_from_db()
    return house


def stranger() -> Organization:
    return Organization.objects.create(
        name="Other", address="x", contact_name="x", contact_email="x@x.example"
    )


def of_others(there: House) -> None:
    moved(there, organization=stranger())


def under_another_law(there: House) -> None:
    moved(there, jurisdiction="cn")


def in_another_group(there: House) -> None:
    grouped(there, name="Another")


@pytest.mark.parametrize("how", [of_others, under_another_law, in_another_group])
def test_a_store_that_may_not_be_in_a_group_is_refused_here_and_by_postgresql(
    house: House, there: House, how: Callable[[House], None]
) -> None:
    group = grouped(house)
    how(there)
    with pytest.raises(ValidationError):
        change_members(group=group, stores=[house.store, there.store], actor="test")
    with pytest.raises(DatabaseError), transaction.atomic():
        joined(there, group)
    assert Membership.objects.filter(group=group).count() == 1


def test_where_the_law_is_not_named_there_is_no_group(house: House, there: House) -> None:
    group = StoreGroup.objects.create(organization=house.organization, name="Strict")
    for one in (house, there):
        moved(one, jurisdiction="strict")
    with pytest.raises(ValidationError, match="permits no recognition across stores"):
        change_members(group=group, stores=[house.store, there.store], actor="test")
    # Past that check it is of no use either.
    joined(house, group)
    joined(there, group)
    assert groups.others(house.store) == []


@pytest.mark.parametrize("change", [{"jurisdiction": "cn"}, {"organization": None}])
def test_a_store_in_a_group_does_not_move(
    house: House, there: House, change: dict[str, object]
) -> None:
    if "organization" in change:
        change = {"organization": stranger()}
    grouped(house, there)
    for name, value in change.items():
        setattr(there.store, name, value)
    with pytest.raises(ValidationError, match="is in a group"):
        there.store.full_clean()
    with pytest.raises(DatabaseError, match="keeps its organization"), transaction.atomic():
        there.store.save()
    left(there)
    there.store.full_clean()
    there.store.save()


def test_a_membership_begins_when_it_begins_and_is_not_rewritten(
    house: House, there: House
) -> None:
    group = grouped(house)
    Membership.objects.create(store=there.store, group=group, joined_at="2020-01-01T00:00Z")
    first, second = Membership.objects.order_by("joined_at")
    assert (first.store, second.store) == (house.store, there.store)
    with pytest.raises(DatabaseError, match="never rewritten"), transaction.atomic():
        run("UPDATE stores_membership SET joined_at = joined_at - interval '1 year'")


# In the portal.


@pytest.fixture
def officer(house: House) -> Client:
    return browser(house.dpo)


def saved(client: Client, group: StoreGroup | None, house: House, *stores: House) -> str:
    """What the portal answers to the filled form."""
    page = (
        reverse("admin:stores_storegroup_change", args=[group.pk])
        if group
        else reverse("admin:stores_storegroup_add")
    )
    form = {
        "organization": str(house.organization.pk),
        "name": "Hamburg",
        "stores": [str(each.store.pk) for each in stores],
    }
    answer = client.post(page, form, follow=True)
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_an_officer_keeps_the_register(house: House, there: House, officer: Client) -> None:
    saved(officer, None, house, house, there)
    group = StoreGroup.objects.get()
    assert {each.store for each in group.memberships.all()} == {house.store, there.store}
    kept = group.memberships.get(store=house.store).joined_at
    page = officer.get(reverse("admin:stores_storegroup_changelist")).content.decode()
    assert "Harbour Street, Old Town" in page

    saved(officer, group, house, house)
    assert group.memberships.get().joined_at == kept, "who stays has been there all the time"
    joined_, left_ = Entry.objects.filter(action="group.changed").order_by("seq")
    assert joined_.detail["joined"] == sorted([str(house.store.pk), str(there.store.pk)])
    assert left_.detail["left"] == [str(there.store.pk)]


def test_the_portal_says_what_a_group_cannot_be(
    house: House, there: House, officer: Client
) -> None:
    moved(there, jurisdiction="cn")
    assert "under different jurisdictions" in saved(officer, None, house, house, there)
    assert not StoreGroup.objects.exists()


def test_an_officer_takes_no_store_that_is_not_theirs(house: House, there: House) -> None:
    """And leaves those in the group that are another officer's."""
    group = grouped(house, there)
    local = User.objects.create(username="otto", password=hashed())
    Role.objects.create(user=local, store=there.store, kind=Role.Kind.DPO)
    page = browser(local).get(reverse("admin:stores_storegroup_change", args=[group.pk]))
    assert str(house.store.pk) not in page.content.decode()
    saved(browser(local), group, house, house, there)
    assert group.memberships.count() == 2
    saved(browser(local), group, house)
    assert group.memberships.get().store == house.store


# What it says elsewhere.


def test_the_notice_names_who_recognises_together_and_says_when_that_changed(
    house: House, there: House
) -> None:
    group = grouped(house, there)
    text = published(house)
    assert "Harbour Street, Old Town" in text.full
    notice = Notice.objects.published().first()
    assert notice is not None
    assert notices.drift(notice, Registers(house.organization)) == []
    left(there)
    (drift,) = notices.drift(notice, Registers(house.organization))
    assert (drift.register, drift.new) == ("groups", [])
    assert str(group) in drift.gone[0]


def test_the_public_page_names_the_other_stores(house: House, there: House) -> None:
    page = "/public/harbour-street/"
    grouped(house, there)
    assert "Old Town" in browser().get(page).content.decode()
    left(there)
    assert "Old Town" not in browser().get(page).content.decode()
