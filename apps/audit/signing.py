"""The house's signature: Ed25519 over canonical JSON, so that anyone can check what we certified.

A compact JWS (RFC 7515, alg EdDSA of RFC 8037) over RFC 8785 JSON; `typ` says what kind of document
it is, `kid` is the key's RFC 7638 thumbprint. It refuses every other algorithm, a payload that is
not canonical, and a key file that others can read.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import rfc8785
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwa import EdDSA
from joserfc.jwk import OKPKey
from joserfc.jws import JWSAlgModel, JWSRegistry

from apps.audit import keyfile

ALGORITHM = "EdDSA"


class BadSignature(Exception):
    """The document is not what this key signed: do not rely on anything in it."""


class _EdDSAOnly(JWSRegistry):
    """One algorithm, whatever a header asks for; the curve is held to Ed25519 by `_public`."""

    def get_alg(self, name: str) -> JWSAlgModel:
        if name != ALGORITHM:
            raise BadSignature(f"A document must be signed with {ALGORITHM}.")
        return EdDSA


_REGISTRY = _EdDSAOnly(algorithms=[ALGORITHM])
# A certificate names what was erased, a ledger proof grows with log2 of its entries: far below.
_REGISTRY.max_payload_length = 1 << 20


@dataclass(frozen=True, slots=True, repr=False)
class Signer:
    """A signing key in memory. It shows its thumbprint and never itself."""

    _key: OKPKey
    kid: str

    @classmethod
    def load(cls, path: Path) -> "Signer":
        """Read a PEM file. KeyFileError when it is missing, readable by others, or not Ed25519."""
        content = keyfile.read(path)
        try:
            private = serialization.load_pem_private_key(content, password=None)
        except (ValueError, TypeError):
            private = None
        if not isinstance(private, Ed25519PrivateKey):
            raise keyfile.KeyFileError(
                f"{path} is not an unencrypted Ed25519 key. Restore it, or move it away and run: "
                "manage.py keys init"
            )
        key = OKPKey.import_key(private)
        return cls(key, key.thumbprint())

    def sign(self, payload: dict[str, Any], typ: str) -> str:
        """Return the compact JWS. ValueError when the payload is outside RFC 8785 (dates, NaN)."""
        header = {"alg": ALGORITHM, "kid": self.kid, "typ": typ}
        return jws.serialize_compact(header, canonical(payload), self._key, registry=_REGISTRY)

    def public_jwk(self) -> dict[str, str]:
        """Return the public key alone, with its thumbprint as `kid`."""
        x = self._key.as_dict(private=False)["x"]
        return {"crv": "Ed25519", "kid": self.kid, "kty": "OKP", "x": str(x)}

    def __repr__(self) -> str:
        return f"Signer(kid={self.kid!r})"

    def __reduce__(self) -> str:
        raise TypeError("A signing key does not leave its process.")


def create_key(path: Path) -> None:
    """Make a signing key: PEM, PKCS#8, mode 0400. KeyFileError when there is one already."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    keyfile.create(path, pem)


def signer() -> Signer:
    """Return the key that the settings name, read again only when its file was replaced."""
    from django.conf import settings

    path = settings.CONSENTRY.signing_key_path
    return _load(path, keyfile.current(path))


def sign(payload: dict[str, Any], typ: str) -> str:
    """Sign with the house's key; see `Signer.sign`."""
    return signer().sign(payload, typ)


def public_jwk() -> dict[str, str]:
    """Return the house's public key, to be handed to whoever wants to check."""
    return signer().public_jwk()


def verify(document: str, public_jwk: dict[str, Any], typ: str | None = None) -> dict[str, Any]:
    """Return the payload of a document that this key signed, or raise BadSignature.

    With `typ`, a document of another kind is refused too: a receipt is not a checkpoint.
    """
    key = _public(public_jwk)
    try:
        signed = jws.deserialize_compact(document, key, registry=_REGISTRY)
    except (JoseError, ValueError, TypeError):
        raise BadSignature("The signature does not fit the document and the key.") from None
    header, payload = signed.headers(), signed.payload or b""
    if header.get("kid") != key.thumbprint():
        raise BadSignature("The document was signed with another key.")
    if typ is not None and header.get("typ") != typ:
        raise BadSignature(f"The document is not a {typ}.")
    return _canonical_object(payload)


def canonical(payload: dict[str, Any]) -> bytes:
    """Return RFC 8785 JSON in UTF-8. ValueError when it has none, or holds a fraction.

    Fractions are refused because a verifier should not have to print floating point as
    ECMAScript does; the offline one does not.
    """
    if _has_fraction(payload):
        raise ValueError("A signed document holds whole numbers only: write a fraction as text.")
    try:
        return rfc8785.dumps(payload)
    except rfc8785.CanonicalizationError as error:
        raise ValueError(f"The document has no canonical JSON: {error}") from None


@lru_cache(maxsize=2)
def _load(path: Path, identity: tuple[int, int, int] | None) -> Signer:
    return Signer.load(path)


def _public(jwk: dict[str, Any]) -> OKPKey:
    try:
        key = OKPKey.import_key({name: jwk[name] for name in ("kty", "crv", "x")})
    except (JoseError, KeyError, ValueError, TypeError):
        raise BadSignature("The public key is not an Ed25519 JWK.") from None
    if key.curve_name != "Ed25519":
        raise BadSignature("The public key is not an Ed25519 JWK.")
    return key


def _has_fraction(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_fraction(member) for member in value.values())
    if isinstance(value, list | tuple):
        return any(_has_fraction(member) for member in value)
    return isinstance(value, float)


def _canonical_object(payload: bytes) -> dict[str, Any]:
    try:
        value = json.loads(payload)
        if isinstance(value, dict) and canonical(value) == payload:
            return value
    except (ValueError, RecursionError):
        pass
    raise BadSignature("The signed content is not canonical JSON.")
