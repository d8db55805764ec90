"""Stores that recognise each other's visitors, as tests need them."""

from typing import Any

from apps.consent.models import Purpose
from apps.stores.models import Membership, Organization, StoreGroup
from tests.conftest import House


def grouped(
    *houses: House,
    name: str = "Harbour Motors Hamburg",
    organization: Organization | None = None,
) -> StoreGroup:
    """A group of these stores, as the register has it from now on."""
    organization = organization or houses[0].organization
    group = StoreGroup.objects.create(organization=organization, name=name)
    for house in houses:
        joined(house, group)
    return group


def joined(house: House, group: StoreGroup) -> None:
    """Put a store into a group."""
    Membership.objects.create(store=house.store, group=group)


def left(house: House) -> None:
    """Take a store out of its group."""
    Membership.objects.filter(store=house.store).delete()


def agreed_for(*others: House, **changes: Any) -> dict[str, Any]:
    """What makes a draft one for these other stores as well, see `House.draft`."""
    agreed = [Purpose.LANE, Purpose.HISTORY, Purpose.GROUP]
    return {
        "purposes": agreed,
        "asked": [*agreed, Purpose.CONTACT],
        "stores": [each.store.pk for each in others],
        **changes,
    }
