"""Who may see which store. A user without a role sees nothing."""

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet

from apps.stores.models import Organization, Role, Store, User


def actor(user: User | AnonymousUser) -> str:
    """Return how the ledger names a user."""
    return f"user:{user.pk}"


def stores_of(user: User | AnonymousUser, *kinds: Role.Kind) -> QuerySet[Store]:
    """Return the stores in which this user has this role, or any of these."""
    if not user.is_authenticated:
        return Store.objects.none()
    return Store.objects.filter(roles__user=user, roles__kind__in=kinds).distinct()


def organizations_of(user: User | AnonymousUser, kind: Role.Kind) -> QuerySet[Organization]:
    """Return the organizations of the stores in which this user has this role."""
    return Organization.objects.filter(stores__in=stores_of(user, kind)).distinct()


def is_manager(user: User | AnonymousUser) -> bool:
    """Whether this user manages any store."""
    return stores_of(user, Role.Kind.MANAGER).exists()


def is_dpo(user: User | AnonymousUser) -> bool:
    """Whether this user answers for data protection in any store."""
    return stores_of(user, Role.Kind.DPO).exists()
