"""Tablets, at the kiosk or at the door: enrolled once by a code, then every request signed over a
nonce that is used once.

The private key is made in the tablet's browser and cannot be exported from it. A stolen tablet can
submit until it is revoked; it can list nothing.
"""

import base64
import binascii
import hashlib
import logging
import secrets
from datetime import timedelta
from functools import cache, partial
from typing import Any
from uuid import UUID

import redis
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from apps.audit import services as audit
from apps.stores.models import Camera, Device

log = logging.getLogger(__name__)

NONCE_SECONDS = 120
CODE_HOURS = 24
CODE_ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"


class DeviceRefused(PermissionError):
    """This tablet may not do this: unknown, expired, revoked, or a signature that does not fit."""


class NonceUsed(DeviceRefused):
    """The request was sent before, or waited too long: its nonce is gone."""


class NonceStoreDown(ConnectionError):
    """Without Redis no nonce can be checked, so nothing is accepted."""


def live_events() -> redis.Redis:
    """Return this process's connections to Redis; ids and nonces only ever travel on them."""
    return _connections(settings.CONSENTRY.redis_url.get_secret_value())


@cache
def _connections(url: str) -> redis.Redis:
    """Kept open: to connect anew for each word would cost several times the word."""
    return redis.Redis.from_url(url, socket_timeout=3, socket_connect_timeout=3)


@transaction.atomic
def new_code(*, device: Device, actor: str) -> str:
    """Give a device a fresh one-time enrollment code, ending whatever key it had."""
    code = "-".join("".join(secrets.choice(CODE_ALPHABET) for _ in range(4)) for _ in range(2))
    device.code_digest = _digest(code)
    device.code_expires_at = timezone.now() + timedelta(hours=CODE_HOURS)
    device.public_key = None
    device.revoked_at = None
    device.save()
    audit.record(actor=actor, action="device.code_made", device=str(device.pk))
    transaction.on_commit(partial(_announce, device))
    return code


@transaction.atomic
def add_door(device: Device, *, actor: str) -> Device:
    """Save a new door tablet together with the camera that it is.

    That camera may not run before the officer has confirmed its sign, like any other.
    """
    device.kind = Device.Kind.DOOR
    device.camera = Camera.objects.create(
        store=device.store, name=device.name, mode=Camera.Mode.PASS, source=""
    )
    device.save()
    audit.record(actor=actor, action="camera.added", object=str(device.camera_id))
    return device


@transaction.atomic
def enroll(
    *, code: str, public_key: dict[str, Any], kind: Device.Kind = Device.Kind.KIOSK
) -> Device:
    """Bind a tablet's public key to the device of this kind whose code it knows.

    The code works once.
    """
    load_key(public_key)
    device = (
        Device.objects.select_for_update()
        .filter(
            kind=kind,
            code_digest=_digest(code),
            code_expires_at__gt=timezone.now(),
            revoked_at=None,
        )
        .first()
    )
    if device is None:
        raise DeviceRefused("code")
    device.code_digest = ""
    device.code_expires_at = None
    device.public_key = {name: public_key[name] for name in ("kty", "crv", "x", "y")}
    device.enrolled_at = device.last_seen_at = timezone.now()
    device.save()
    audit.record(actor=f"device:{device.pk}", action="device.enrolled", store=str(device.store_id))
    return device


@transaction.atomic
def revoke(*, device: Device, actor: str) -> None:
    """Stop a tablet at once: its next request is refused, and its open page hears of it."""
    device.revoked_at = timezone.now()
    device.public_key = None
    device.code_digest = ""
    device.save()
    audit.record(actor=actor, action="device.revoked", device=str(device.pk))
    transaction.on_commit(partial(_announce, device))


def channel_of(device: Device) -> str:
    """Where the open page of a tablet hears that it may no longer work."""
    return f"device:{device.pk}"


def _announce(device: Device) -> None:
    try:
        live_events().publish(channel_of(device), 1)
    except redis.RedisError:
        log.warning("Redis does not answer; a stopped tablet hears of it at its next request")


def new_nonce(device: Device) -> str:
    """Make a nonce for the device's next request. Raises NonceStoreDown."""
    nonce = secrets.token_urlsafe(18)
    try:
        live_events().set(f"nonce:{device.pk}:{nonce}", 1, ex=NONCE_SECONDS)
    except redis.RedisError as error:
        raise NonceStoreDown from error
    return nonce


def authenticate(request: HttpRequest) -> Device:
    """Return the device that signed this request; its nonce is spent whatever happens next.

    The signature is ECDSA P-256 with SHA-256 (raw r‖s, base64url) over nonce, method, path and the
    body's SHA-256, joined by line feeds. Raises DeviceRefused, NonceUsed, NonceStoreDown.
    """
    nonce = request.headers.get("Consentry-Nonce", "")
    try:
        device = Device.objects.select_related("store__organization", "camera__store").get(
            pk=UUID(request.headers.get("Consentry-Device", ""))
        )
        signature = _unbase64(request.headers.get("Consentry-Signature", ""))
    except (ValueError, Device.DoesNotExist) as error:
        raise DeviceRefused("unknown") from error
    if not device.live:
        raise DeviceRefused("not live")
    message = "\n".join(
        (nonce, request.method or "", request.path, hashlib.sha256(request.body).hexdigest())
    )
    try:
        if len(signature) != 64:
            raise InvalidSignature
        halves = (int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
        load_key(device.public_key or {}).verify(
            encode_dss_signature(*halves), message.encode(), ec.ECDSA(hashes.SHA256())
        )
    except InvalidSignature as error:
        raise DeviceRefused("signature") from error
    try:
        spent = live_events().delete(f"nonce:{device.pk}:{nonce}")
    except redis.RedisError as error:
        raise NonceStoreDown from error
    if not spent:
        raise NonceUsed("nonce")
    Device.objects.filter(pk=device.pk).update(last_seen_at=timezone.now())
    return device


def load_key(jwk: dict[str, Any]) -> ec.EllipticCurvePublicKey:
    """Read a P-256 public key from its JWK. Raises DeviceRefused for anything else."""
    try:
        if jwk["kty"] != "EC" or jwk["crv"] != "P-256" or "d" in jwk:
            raise DeviceRefused("key")
        x, y = (int.from_bytes(_unbase64(jwk[name])) for name in ("x", "y"))
        return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    except (KeyError, TypeError, ValueError) as error:
        raise DeviceRefused("key") from error


def _digest(code: str) -> str:
    """Dashes, spaces and capitals do not matter to the person who types."""
    plain = "".join(sign for sign in code.upper() if sign in CODE_ALPHABET)
    return hashlib.sha256(plain.encode()).hexdigest()


def _unbase64(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise DeviceRefused("encoding") from error
