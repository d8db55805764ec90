"""An HSM by PKCS#11: AES-256 keys made in the token that cannot be taken out (CKA_SENSITIVE, not
CKA_EXTRACTABLE), used with CKM_AES_GCM. A destroyed object is gone at once, unless the HSM has a
backup of its own.

Its address is a PKCS #11 URI (RFC 7512) with `token` and `module-path`. A session lasts for one
call: the library's log-in is per process, so one at a time.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote

import pkcs11
from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, ObjectClass
from pydantic import SecretStr

from apps.visitors.vault.custodian import CustodianFailed

NONCE_BYTES = 12
_one_at_a_time = threading.Lock()


class Pkcs11:
    """One token of one PKCS#11 library."""

    scheme = "pkcs11"

    def __init__(self, address: str, pin: SecretStr | None) -> None:
        path, _, query = address.partition(":")[2].partition("?")
        parts = dict(part.partition("=")[::2] for part in path.split(";") if part)
        (self._module,) = parse_qs(query).get("module-path", [""])
        self._token = unquote(parts.get("token", ""))
        self._pin = pin
        if not self._module or not self._token or pin is None:
            raise CustodianFailed(
                "An HSM is named pkcs11:token=LABEL?module-path=LIBRARY, and "
                "CONSENTRY_KEYRING_SECRET is its PIN."
            )

    def make(self, name: str) -> str:
        with self._session() as session:
            session.generate_key(
                KeyType.AES,
                256,
                label=name,
                store=True,
                template={
                    Attribute.SENSITIVE: True,
                    Attribute.EXTRACTABLE: False,
                    Attribute.ENCRYPT: True,
                    Attribute.DECRYPT: True,
                    Attribute.WRAP: False,
                    Attribute.UNWRAP: False,
                },
            )
        return name

    def seal(self, name: str, secret: bytes, context: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        with self._session() as session:
            sealed = self._key(session, name).encrypt(
                secret, mechanism=Mechanism.AES_GCM, mechanism_param=GCMParams(nonce, context)
            )
        return nonce + bytes(sealed)

    def open(self, name: str, sealed: bytes, context: bytes) -> bytearray:
        nonce = sealed[:NONCE_BYTES]
        with self._session() as session:
            return bytearray(
                self._key(session, name).decrypt(
                    sealed[NONCE_BYTES:],
                    mechanism=Mechanism.AES_GCM,
                    mechanism_param=GCMParams(nonce, context),
                )
            )

    def destroy(self, name: str) -> bool:
        with self._session() as session:
            for key in session.get_objects({Attribute.LABEL: name}):
                key.destroy()
        return True

    def _key(self, session: pkcs11.Session, name: str) -> Any:
        return session.get_key(object_class=ObjectClass.SECRET_KEY, label=name)

    @contextmanager
    def _session(self) -> Iterator[pkcs11.Session]:
        assert self._pin is not None
        with _one_at_a_time:
            try:
                token = pkcs11.lib(self._module).get_token(token_label=self._token)
                with token.open(rw=True, user_pin=self._pin.get_secret_value()) as session:
                    yield session
            except (pkcs11.PKCS11Error, RuntimeError, OSError) as error:
                # The kind alone: a library's own text may quote what it was given.
                raise CustodianFailed(
                    f"The HSM's token {self._token!r} refuses or is not there "
                    f"({type(error).__name__})."
                ) from None
