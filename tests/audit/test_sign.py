"""What this house signs, anyone can check with its public key, and nobody can change."""

import base64
import copy
import json
import pickle
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from django.conf import settings
from joserfc import jws
from joserfc.jwk import OKPKey

from apps.audit import keyfile, signing

TYP = "consentry-checkpoint+jws"
PAYLOAD: dict[str, Any] = {"size": 3, "root": "ab", "at": "2026-05-01T00:00:00+00:00", "名": [None]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "signing.pem"
    signing.create_key(path)
    return path


@pytest.fixture
def signer(path: Path) -> signing.Signer:
    return signing.Signer.load(path)


def parts(document: str) -> list[bytes]:
    return [base64.urlsafe_b64decode(part + "==") for part in document.split(".")]


def test_a_signed_document_reads_back(signer: signing.Signer) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        document = signer.sign(PAYLOAD, TYP)
        assert signing.verify(document, signer.public_jwk(), TYP) == PAYLOAD


def test_the_document_is_eddsa_over_canonical_json(signer: signing.Signer) -> None:
    header, payload, signature = parts(signer.sign(PAYLOAD, TYP))
    assert json.loads(header) == {"alg": "EdDSA", "kid": signer.kid, "typ": TYP}
    assert payload == rfc8785.dumps(PAYLOAD)
    assert len(signature) == 64


def test_the_key_is_called_by_its_rfc_7638_thumbprint() -> None:
    # The key and the thumbprint of RFC 8037, appendix A.1 to A.3.
    secret = base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    key = OKPKey.import_key(
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "d": base64.urlsafe_b64encode(secret).rstrip(b"=").decode(),
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        }
    )
    signer = signing.Signer(key, key.thumbprint())
    assert signer.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert signer.public_jwk() == {
        "crv": "Ed25519",
        "kid": signer.kid,
        "kty": "OKP",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }


def test_no_letter_of_a_document_can_be_changed(signer: signing.Signer) -> None:
    document, key = signer.sign({"size": 1}, TYP), signer.public_jwk()
    for index, letter in enumerate(document):
        for other in ("A", "B", "_", "=", "\n", "ä", "") if letter != "." else ("", "A"):
            if other != letter:
                with pytest.raises(signing.BadSignature):
                    signing.verify(document[:index] + other + document[index + 1 :], key)


def test_another_key_does_not_verify(signer: signing.Signer, tmp_path: Path) -> None:
    signing.create_key(tmp_path / "other.pem")
    other = signing.Signer.load(tmp_path / "other.pem")
    with pytest.raises(signing.BadSignature):
        signing.verify(signer.sign(PAYLOAD, TYP), other.public_jwk())


def test_a_document_of_one_kind_is_not_taken_for_another(signer: signing.Signer) -> None:
    with pytest.raises(signing.BadSignature, match="not a consentry-certificate"):
        signing.verify(signer.sign(PAYLOAD, TYP), signer.public_jwk(), "consentry-certificate+jws")


@pytest.mark.parametrize("alg", ["none", "HS256", "Ed25519", "ES256"])
def test_a_header_cannot_choose_another_algorithm(signer: signing.Signer, alg: str) -> None:
    header, payload, signature = signer.sign(PAYLOAD, TYP).split(".")
    forged = json.dumps({"alg": alg, "kid": signer.kid, "typ": TYP}).encode()
    header = base64.urlsafe_b64encode(forged).rstrip(b"=").decode()
    for last in (signature, ""):
        with pytest.raises(signing.BadSignature):
            signing.verify(f"{header}.{payload}.{last}", signer.public_jwk())


@pytest.mark.parametrize(
    "payload", [b'{"a": 1}', b'{"b":1,"a":2}', b'{"a":1,"a":1}', b"[]", b'{"a":1.5}', b"\xff", b""]
)
def test_a_signed_payload_that_is_not_canonical_is_refused(path: Path, payload: bytes) -> None:
    key = OKPKey.import_key(path.read_bytes())
    header = {"alg": "EdDSA", "kid": key.thumbprint(), "typ": TYP}
    with pytest.warns(UserWarning, match="EdDSA"):
        document = jws.serialize_compact(header, payload, key, algorithms=["EdDSA"])
    with pytest.raises(signing.BadSignature):
        signing.verify(document, signing.Signer.load(path).public_jwk())


@pytest.mark.parametrize("document", ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "é.é.é", "\0" * 9])
def test_what_is_no_document_is_refused(signer: signing.Signer, document: str) -> None:
    with pytest.raises(signing.BadSignature):
        signing.verify(document, signer.public_jwk())


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kty": "OKP", "crv": "Ed25519", "x": "short"},
        {"kty": "oct", "crv": "Ed25519", "x": "c2VjcmV0"},
        OKPKey.generate_key("Ed448").as_dict(private=False),
        OKPKey.generate_key("X25519").as_dict(private=False),
    ],
)
def test_a_key_of_another_kind_verifies_nothing(
    signer: signing.Signer, jwk: dict[str, Any]
) -> None:
    with pytest.raises(signing.BadSignature, match="not an Ed25519 JWK"):
        signing.verify(signer.sign(PAYLOAD, TYP), jwk)


@pytest.mark.parametrize("value", [1.0, [0.5], {"x": 1e-9}, 2**53, "\ud800", object(), {1: 2}])
def test_what_has_no_canonical_json_is_not_signed(signer: signing.Signer, value: Any) -> None:
    with pytest.raises(ValueError, match=r"whole numbers|canonical"):
        signer.sign({"value": value}, TYP)


def test_the_key_file_is_pkcs8_for_its_owner_alone(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o400
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert [entry.name for entry in path.parent.iterdir()] == ["signing.pem"]


def test_a_key_is_never_written_over_another(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(keyfile.KeyFileError, match="exists"):
        signing.create_key(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o620, 0o601])
def test_a_key_that_others_can_read_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(keyfile.KeyFileError, match="others can read it"):
        signing.Signer.load(path)


def test_a_missing_key_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(keyfile.KeyFileError, match=r"manage\.py keys init"):
        signing.Signer.load(tmp_path / "none.pem")


def pem(key: Any, encryption: Any = None) -> bytes:
    content: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        encryption or serialization.NoEncryption(),
    )
    return content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a key",
        pem(Ed448PrivateKey.generate()),
        pem(generate_private_key(SECP256R1())),
        pem(Ed448PrivateKey.generate(), serialization.BestAvailableEncryption(b"x")),
    ],
)
def test_another_kind_of_key_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "signing.pem"
    path.write_bytes(content)
    path.chmod(0o400)
    with pytest.raises(keyfile.KeyFileError, match="Ed25519"):
        signing.Signer.load(path)


def test_the_key_shows_itself_nowhere(path: Path, signer: signing.Signer) -> None:
    secret = str(OKPKey.import_key(path.read_bytes()).as_dict(private=True)["d"])
    for text in (repr(signer), str(signer), f"{signer}", json.dumps(signer.public_jwk())):
        assert secret not in text
        assert "PRIVATE" not in text
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="does not leave"):
            leave(signer)


def test_the_house_signs_with_the_key_its_settings_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key restored from safe keeping is used at once; no process has to be started again."""
    monkeypatch.setattr(settings, "CONSENTRY", SimpleNamespace(signing_key_path=path))
    first = signing.public_jwk()
    assert signing.verify(signing.sign(PAYLOAD, TYP), first, TYP) == PAYLOAD
    path.unlink()
    with pytest.raises(keyfile.KeyFileError, match="no key file"):
        signing.sign(PAYLOAD, TYP)
    signing.create_key(path)
    assert signing.public_jwk() != first
    assert signing.verify(signing.sign(PAYLOAD, TYP), signing.public_jwk()) == PAYLOAD
