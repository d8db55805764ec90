"""The Transit engine of Vault or OpenBao: an aes256-gcm96 key for each generation, not exportable.

A deleted key is gone at once from the server; backups of the server's storage may still hold it.
The token may create, read, use, configure and delete keys below the mount, and needs no more:

    path "transit/keys/consentry-*" { capabilities = ["create", "read", "update", "delete"] }
    path "transit/keys/consentry-*/config" { capabilities = ["update"] }
    path "transit/encrypt/consentry-*" { capabilities = ["update"] }
    path "transit/decrypt/consentry-*" { capabilities = ["update"] }
"""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import hvac
import requests
from hvac.exceptions import InvalidPath, InvalidRequest, VaultError
from pydantic import SecretStr

from apps.visitors.vault.custodian import CustodianFailed

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
PATIENCE = 5  # seconds


class Transit:
    """One mount of one server."""

    scheme = "vault"

    def __init__(self, address: str, token: SecretStr | None) -> None:
        url = urlsplit(address.partition(":")[2])
        if url.scheme not in ("http", "https") or not url.hostname or token is None:
            raise CustodianFailed(
                "Vault or OpenBao is named vault:https://HOST:8200/transit, and "
                "CONSENTRY_KEYRING_SECRET is its token."
            )
        if url.scheme == "http" and url.hostname not in LOOPBACK:
            raise CustodianFailed("Vault or OpenBao elsewhere than on this machine needs https.")
        self._mount = url.path.strip("/") or "transit"
        self._transit = hvac.Client(
            url=f"{url.scheme}://{url.netloc}", token=token.get_secret_value(), timeout=PATIENCE
        ).secrets.transit

    def make(self, name: str) -> str:
        with self._asked():
            self._transit.create_key(name, key_type="aes256-gcm96", mount_point=self._mount)
        return name

    def seal(self, name: str, secret: bytes, context: bytes) -> bytes:
        with self._asked():
            sealed = self._transit.encrypt_data(
                name,
                plaintext=base64.b64encode(secret).decode(),
                associated_data=base64.b64encode(context).decode(),
                mount_point=self._mount,
            )
        return str(sealed["data"]["ciphertext"]).encode()

    def open(self, name: str, sealed: bytes, context: bytes) -> bytearray:
        with self._asked():
            opened = self._transit.decrypt_data(
                name,
                ciphertext=sealed.decode(),
                associated_data=base64.b64encode(context).decode(),
                mount_point=self._mount,
            )
        return bytearray(base64.b64decode(opened["data"]["plaintext"]))

    def destroy(self, name: str) -> bool:
        with self._asked():
            try:
                self._transit.update_key_configuration(
                    name, deletion_allowed=True, mount_point=self._mount
                )
                self._transit.delete_key(name, mount_point=self._mount)
            except (InvalidPath, InvalidRequest):
                # Both are said of a key that is gone; only then is it true that it is.
                return self._gone(name)
        return True

    def _gone(self, name: str) -> bool:
        try:
            self._transit.read_key(name, mount_point=self._mount)
        except InvalidPath:
            return True
        return False

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except (VaultError, requests.RequestException, ValueError) as error:
            # The kind alone: its text holds the request.
            raise CustodianFailed(
                f"Vault or OpenBao refuses or cannot be asked ({type(error).__name__})."
            ) from None
