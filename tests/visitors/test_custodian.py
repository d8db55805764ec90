"""A keyring whose generations an HSM, AWS KMS or OpenBao holds: real ones, started for the test."""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import boto3
import hvac
import pytest
from pydantic import SecretStr

from apps.visitors import vault
from apps.visitors.vault import CustodianFailed, FileKeyring, UnknownGeneration
from apps.visitors.vault.custodian import Custodian, custodian_of
from tests.waiting import until

ROW: dict[str, UUID] = {"visitor": uuid4(), "organization": uuid4()}
SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
PIN, TOKEN = "4711-test", "a-token-of-this-test"


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as door:
        return door.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Custodian]:
    """SoftHSM2 with one token."""
    folder = tmp_path_factory.mktemp("hsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(
        f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        subprocess.run(
            [
                *("softhsm2-util", "--init-token", "--free", "--label", "consentry"),
                *("--pin", PIN, "--so-pin", "so-pin-of-this-test"),
            ],
            check=True,
            capture_output=True,
        )
        yield custodian_of(f"pkcs11:token=consentry?module-path={SOFTHSM}", SecretStr(PIN))


@pytest.fixture(scope="module")
def kms() -> Iterator[Custodian]:
    """moto's server, as a process of its own."""
    port = free_port()
    with (
        subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        try:
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                patch.setenv(name, "test")
            until(lambda: answers(port), seconds=60)
            endpoint = f"http://127.0.0.1:{port}"
            patch.setenv("TEST_KMS", endpoint)
            yield custodian_of(f"awskms:eu-central-1?endpoint={endpoint}", None)
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def bao() -> Iterator[Custodian]:
    """OpenBao itself, in memory; the token may do what `transit.py` says and no more."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program = Path(shutil.which("bao", path=Path(sys.executable).parent) or "bao")
    with subprocess.Popen(
        [
            *(program, "server", "-dev", f"-dev-root-token-id={TOKEN}"),
            *("-dev-no-store-token", f"-dev-listen-address=127.0.0.1:{port}"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": "/nonexistent"},
    ) as server:
        try:
            until(lambda: answers(port), seconds=60)
            root = hvac.Client(url=url, token=TOKEN)
            until(lambda: root.sys.is_initialized() and not root.sys.is_sealed(), seconds=60)
            root.sys.enable_secrets_engine("transit")
            root.sys.create_or_update_policy("consentry", least_policy())
            token = root.auth.token.create(policies=["consentry"])["auth"]["client_token"]
            yield custodian_of(f"vault:{url}/transit", SecretStr(token))
        finally:
            server.terminate()


def least_policy() -> str:
    from apps.visitors.vault import transit

    lines = (transit.__doc__ or "").splitlines()
    return "\n".join(line.strip() for line in lines if line.strip().startswith("path "))


@pytest.fixture(params=["hsm", "kms", "bao"])
def custodian(request: pytest.FixtureRequest) -> Custodian:
    return request.getfixturevalue(request.param)


def test_each_generation_is_held_and_destroyed_where_it_was_made(
    custodian: Custodian, tmp_path: Path
) -> None:
    path = tmp_path / "keys" / "keyring.json"
    keyring = FileKeyring.create(path, custodian)
    key = vault.new_data_key()
    first = vault.wrap(key, **ROW, keyring=keyring)
    stolen = tmp_path / "stolen.json"
    shutil.copy(path, stolen)
    # The file alone opens nothing, and says what is missing.
    with pytest.raises(CustodianFailed, match=f"is held by {custodian.scheme}"):
        FileKeyring.load(stolen)
    # With the custodian an old copy opens, for as long as the generation lives.
    assert vault.unwrap(first, **ROW, keyring=FileKeyring.load(stolen, custodian)) == key

    beside = FileKeyring.load(path, custodian)
    assert keyring.rotate() == 2
    second = vault.rewrap(first, **ROW, keyring=keyring)
    ended = keyring.destroy(1)
    assert ended.state == ("ending" if custodian.scheme == "awskms" else "destroyed")
    beside.refresh()
    for ring in (keyring, beside, FileKeyring.load(path, custodian)):
        assert vault.unwrap(second, **ROW, keyring=ring) == key
        with pytest.raises(UnknownGeneration, match="was destroyed"):
            vault.unwrap(first, **ROW, keyring=ring)
    if custodian.scheme != "awskms":  # moto lets a key that is being deleted open on; see below
        with pytest.raises(CustodianFailed):
            FileKeyring.load(stolen, custodian)
    assert keyring.destroy(1).state == ended.state
    # As after a run that was killed before it could write so down.
    held = (ended.handle or "").partition(":")[2]
    assert custodian.destroy(held) is (custodian.scheme != "awskms")
    # Nothing of the keys lies in the file.
    for record in json.loads(path.read_bytes())["generations"]:
        assert record["handle"].startswith(f"{custodian.scheme}:")
        assert record["key"] is None or len(base64.b64decode(record["key"])) > 32


def test_a_sealed_generation_opens_under_its_own_number_only(
    custodian: Custodian, tmp_path: Path
) -> None:
    path = tmp_path / "keys" / "keyring.json"
    FileKeyring.create(path, custodian).rotate()
    document = json.loads(path.read_bytes())
    one, two = document["generations"]
    for name in ("key", "handle"):
        one[name], two[name] = two[name], one[name]
    path.chmod(0o600)
    path.write_text(json.dumps(document))
    with pytest.raises(CustodianFailed):
        FileKeyring.load(path, custodian)


def test_a_keyring_in_a_file_moves_to_a_custodian_by_rotating(
    bao: Custodian, tmp_path: Path
) -> None:
    path = tmp_path / "keys" / "keyring.json"
    key = vault.new_data_key()
    plain = vault.wrap(key, **ROW, keyring=FileKeyring.create(path))
    keyring = FileKeyring.load(path, bao)
    assert keyring.rotate() == 2
    moved = vault.rewrap(plain, **ROW, keyring=keyring)
    assert keyring.destroy(1).state == "destroyed"
    assert vault.unwrap(moved, **ROW, keyring=FileKeyring.load(path, bao)) == key


def test_kms_counts_as_destroyed_only_when_it_knows_the_key_no_more(
    kms: Custodian, tmp_path: Path
) -> None:
    """Until then its owner could take the deletion back. moto forgets at once what AWS keeps for a
    week, and lets a key open on that AWS would refuse: so KMS is asked for the key's state."""
    keyring = FileKeyring.create(tmp_path / "keyring.json", kms)
    keyring.rotate()
    ended = keyring.destroy(1)
    assert (ended.state, ended.destroyed_at) == ("ending", None)
    key = (ended.handle or "").removeprefix("awskms:")
    client = boto3.client("kms", region_name="eu-central-1", endpoint_url=os.environ["TEST_KMS"])
    assert client.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    urllib.request.urlopen(f"{os.environ['TEST_KMS']}/moto-api/reset", data=b"").close()
    assert keyring.destroy(1).state == "destroyed"


def test_whoever_names_it_wrongly_reads_what_to_write_and_no_secret(
    hsm: Custodian, kms: Custodian, bao: Custodian
) -> None:
    told = []
    for address, secret in (
        (f"pkcs11:token=consentry?module-path={SOFTHSM}", "wrong-secret"),
        (f"pkcs11:token=another?module-path={SOFTHSM}", "wrong-secret"),
        ("pkcs11:token=consentry?module-path=/no/library.so", "wrong-secret"),
        ("pkcs11:token=consentry", "wrong-secret"),
        ("awskms:", "wrong-secret"),
        (f"awskms:eu-central-1?endpoint=http://127.0.0.1:{free_port()}", "wrong-secret"),
        (f"vault:http://127.0.0.1:{free_port()}/transit", "wrong-secret"),
        ("vault:http://vault.example/transit", "wrong-secret"),
        ("vault:nothing", "wrong-secret"),
    ):
        with pytest.raises(CustodianFailed) as caught:
            custodian_of(address, SecretStr(secret)).make("consentry-1-x")
        assert caught.value.__cause__ is None
        told.append(str(caught.value))
    assert all(sentence.endswith((".", "transit", "1")) for sentence in told), told
    assert "wrong-secret" not in repr(told)
