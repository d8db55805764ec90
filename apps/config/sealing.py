"""Seal a small secret that the database keeps, under this house's CONSENTRY_SECRET_KEY.

For what the web and its workers must read again: a passphrase until it was told, what signs a
webhook. Nothing of a face: that is the vault's (apps.visitors.vault). The form is nonce 12 ‖
AES-256-GCM, under a key of its own for each use, bound to the row that it lies in.
"""

import secrets
from uuid import UUID

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

NONCE = 12


def seal(plain: bytes, use: bytes, row: UUID) -> bytes:
    """Return what only `unseal` with the same use and row opens."""
    nonce = secrets.token_bytes(NONCE)
    return nonce + _cipher(use).encrypt(nonce, plain, row.bytes)


def unseal(sealed: bytes, use: bytes, row: UUID) -> bytes:
    """Open it. Raises InvalidTag for another row or use, and when the house's key is another."""
    return _cipher(use).decrypt(sealed[:NONCE], sealed[NONCE:], row.bytes)


def _cipher(use: bytes) -> AESGCM:
    derive = HKDF(hashes.SHA256(), 32, salt=None, info=use)
    return AESGCM(derive.derive(settings.SECRET_KEY.encode()))
