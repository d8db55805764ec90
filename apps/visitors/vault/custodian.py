"""A custodian holds one key for each generation of the keyring, and never hands it out.

It seals the generation's own 32 bytes, which then lie in the keyring's file; a process opens them
once when it starts. So a hundred thousand people cost one question, and when the custodian has
destroyed the key, every copy of the file that was ever made opens nothing. Losing the custodian is
losing every template.

pkcs11:token=consentry?module-path=/usr/lib/softhsm/libsofthsm2.so   RFC 7512; the secret is the PIN
awskms:eu-central-1      credentials as boto3 finds them; `?endpoint=https://…` for a private one
vault:https://vault.example:8200/transit     Vault or OpenBao, that mount; the secret is the token
"""

import secrets
from typing import Protocol

from pydantic import SecretStr

from apps.audit.keyfile import KeyFileError
from apps.config.environment import CUSTODIANS


class CustodianFailed(KeyFileError):
    """The custodian does not answer, refuses, or no longer has the key. Its text says which."""


class Custodian(Protocol):
    """What an HSM or a key service must do. Every method raises CustodianFailed."""

    @property
    def scheme(self) -> str:
        """How an address of such a custodian begins."""

    def make(self, name: str) -> str:
        """Make an AES-256 key that never leaves; return under which name it is asked for."""

    def seal(self, name: str, secret: bytes, context: bytes) -> bytes:
        """Encrypt and authenticate 32 bytes for this context."""

    def open(self, name: str, sealed: bytes, context: bytes) -> bytearray:
        """Return what `seal` was given, in memory that the caller overwrites."""

    def destroy(self, name: str) -> bool:
        """Destroy a key; whether nobody can bring it back by now. Safe to repeat."""


def new_name(number: int) -> str:
    """A name that no other keyring of the same custodian has: letters, digits and hyphens."""
    return f"consentry-{number}-{secrets.token_hex(8)}"


def custodian_of(address: str, secret: SecretStr | None) -> Custodian:
    """The custodian of an address; its library is loaded only here. Raises CustodianFailed."""
    scheme = address.partition(":")[0]
    try:
        match scheme:
            case "pkcs11":
                from apps.visitors.vault.pkcs11 import Pkcs11

                return Pkcs11(address, secret)
            case "awskms":
                from apps.visitors.vault.awskms import AwsKms

                return AwsKms(address)
            case "vault":
                from apps.visitors.vault.transit import Transit

                return Transit(address, secret)
    except ImportError:
        raise CustodianFailed(
            f"The library for {scheme}: is missing. Run: pip install 'consentry[{scheme}]'"
        ) from None
    raise CustodianFailed(f"CONSENTRY_KEYRING begins with none of {', '.join(CUSTODIANS)}.")
