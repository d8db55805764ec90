"""Which stores may recognise each other's visitors: the live register, and who may be in it."""

from collections.abc import Iterable

from django.utils.translation import gettext as _

from apps.stores.models import Membership, Organization, Store, StoreGroup


def others(store: Store) -> list[Store]:
    """The other stores of this store's group, by name; none where its law permits no group."""
    if not store.pack.groups:
        return []
    return list(
        Store.objects.filter(
            membership__group__memberships__store=store,
            organization=store.organization_id,
            jurisdiction=store.jurisdiction,
        ).exclude(pk=store.pk)
    )


def together(organization: Organization) -> list[tuple[StoreGroup, list[Store]]]:
    """An organization's groups in which there are two stores at least, with their stores."""
    members = Membership.objects.filter(group__organization=organization)
    found: dict[StoreGroup, list[Store]] = {}
    for each in members.select_related("group", "store").order_by("group__name", "store__name"):
        found.setdefault(each.group, []).append(each.store)
    return [(group, stores) for group, stores in found.items() if len(stores) > 1]


def refusals(stores: Iterable[Store], organization: Organization) -> list[str]:
    """Why these stores cannot be one group of this organization, one sentence each."""
    stores = list(stores)
    found = [
        _("%(store)s belongs to another organization.") % {"store": store.name}
        for store in stores
        if store.organization_id != organization.pk
    ]
    found += [
        _("The jurisdiction of %(store)s permits no recognition across stores.")
        % {"store": store.name}
        for store in stores
        if not store.pack.groups
    ]
    if len({store.jurisdiction for store in stores}) > 1:
        found.append(
            _("These stores are under different jurisdictions; a group is under one of them.")
        )
    return found
