"""A member of staff vouches, at the kiosk, for what they saw: a signature being given, or a person
before the camera who cannot make the movements. Each takes a code of its own.

Their floor board shows six digits that work once, for three minutes, in that store. Typed at the
tablet, they bind that member of staff to the attempt that is under way there. Redis holds the
number of a user under a keyed digest, and neither a code nor a name.
"""

import hashlib
import hmac
import secrets
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

import redis
from django.conf import settings

from apps.stores.access import stores_of
from apps.stores.devices import NonceStoreDown, live_events
from apps.stores.models import Device, Role, Store, User

LIFE = timedelta(minutes=3)
# The camera and a second try come after the witness.
HOLDS = timedelta(minutes=15)
DIGITS = 6


class Seen(StrEnum):
    """What a member of staff vouches for."""

    SIGNATURE = "signature"
    PRESENCE = "presence"


class WitnessRefused(PermissionError):
    """This code is not known here: wrong, used, too old, or of somebody who works here no more."""


def new_code(*, user: User, store: Store) -> str:
    """Return a fresh code for this member of the store's staff. Raises NonceStoreDown."""
    while True:
        code = f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
        try:
            if live_events().set(_place(store.pk, code), user.pk, ex=LIFE, nx=True):
                return code
        except redis.RedisError as error:
            raise NonceStoreDown from error


def confirm(*, code: str, device: Device, attempt: UUID, seen: Seen = Seen.SIGNATURE) -> User:
    """Spend a code on what was seen of an attempt at this tablet.

    Raises WitnessRefused, NonceStoreDown.
    """
    user = vouched(code=code, store=device.store)
    try:
        live_events().set(_place(device.pk, f"{attempt} {seen.value}"), user.pk, ex=HOLDS)
    except redis.RedisError as error:
        raise NonceStoreDown from error
    return user


def vouched(*, code: str, store: Store) -> User:
    """Spend a code, told to whoever decides on a request, and return who of this store's staff it
    is from. Raises WitnessRefused, NonceStoreDown."""
    digits = "".join(sign for sign in code if sign.isdecimal())
    try:
        user = _staff(live_events().getdel(_place(store.pk, digits)), store.pk)
    except redis.RedisError as error:
        raise NonceStoreDown from error
    if user is None:
        raise WitnessRefused("code")
    return user


def witness_of(*, attempt: UUID, device: Device, seen: Seen = Seen.SIGNATURE) -> User | None:
    """Who vouched for this of an attempt at this tablet, if they still work here.

    Raises NonceStoreDown.
    """
    try:
        return _staff(
            live_events().get(_place(device.pk, f"{attempt} {seen.value}")), device.store_id
        )
    except redis.RedisError as error:
        raise NonceStoreDown from error


def _staff(found: object, store: UUID) -> User | None:
    if not isinstance(found, bytes):
        return None
    user = User.objects.filter(pk=int(found), is_active=True).first()
    if user and stores_of(user, Role.Kind.STAFF).filter(pk=store).exists():
        return user
    return None


def _place(where: UUID, what: str) -> str:
    secret = settings.SECRET_KEY.encode()
    return f"witness:{hmac.new(secret, f'{where} {what}'.encode(), hashlib.sha256).hexdigest()}"
