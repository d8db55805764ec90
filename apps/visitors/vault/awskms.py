"""AWS KMS: one symmetric key for each generation, in the account and region of the address.

KMS deletes a key 7 days after it was asked to, at the earliest. From that moment on the key opens
nothing; until the end of the 7 days its owner can take the deletion back, so the generation counts
as destroyed only when KMS does not know the key any more.
"""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from apps.visitors.vault.custodian import CustodianFailed

SHORTEST_WAIT = 7  # days; what KMS allows
PATIENCE = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 3})


class AwsKms:
    """The KMS of one region. Credentials are found by boto3: role, profile, environment."""

    scheme = "awskms"

    def __init__(self, address: str) -> None:
        region, _, query = address.partition(":")[2].partition("?")
        (endpoint,) = parse_qs(query).get("endpoint", [None])
        if not region:
            raise CustodianFailed("AWS KMS is named with its region: awskms:eu-central-1")
        with self._asked():
            self._kms = boto3.session.Session().client(
                "kms", region_name=region, endpoint_url=endpoint, config=PATIENCE
            )

    def make(self, name: str) -> str:
        with self._asked():
            made = self._kms.create_key(
                Description=name,
                KeySpec="SYMMETRIC_DEFAULT",
                KeyUsage="ENCRYPT_DECRYPT",
                Tags=[{"TagKey": "consentry", "TagValue": name}],
            )
        return str(made["KeyMetadata"]["KeyId"])

    def seal(self, name: str, secret: bytes, context: bytes) -> bytes:
        with self._asked():
            return bytes(
                self._kms.encrypt(KeyId=name, Plaintext=secret, EncryptionContext=_told(context))[
                    "CiphertextBlob"
                ]
            )

    def open(self, name: str, sealed: bytes, context: bytes) -> bytearray:
        with self._asked():
            return bytearray(
                self._kms.decrypt(
                    KeyId=name, CiphertextBlob=sealed, EncryptionContext=_told(context)
                )["Plaintext"]
            )

    def destroy(self, name: str) -> bool:
        with self._asked():
            try:
                state = self._kms.describe_key(KeyId=name)["KeyMetadata"]["KeyState"]
                if state != "PendingDeletion":
                    self._kms.schedule_key_deletion(KeyId=name, PendingWindowInDays=SHORTEST_WAIT)
            except self._kms.exceptions.NotFoundException:
                return True
        return False

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            raise CustodianFailed(f"AWS KMS refuses ({code}).") from None
        except BotoCoreError as error:
            raise CustodianFailed(f"AWS KMS cannot be asked ({type(error).__name__}).") from None


def _told(context: bytes) -> dict[str, str]:
    return {"consentry": base64.b64encode(context).decode()}
