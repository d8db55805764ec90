"""An inspector with one file, one key and no connection can tell a true certificate from any other.

Every certificate here is signed by the house's own key and ledger code and read by the script in
a process of its own, from a folder where nothing of the house can be imported.
"""

import base64
import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from joserfc import jws
from joserfc.jwk import OKPKey

from apps.audit import merkle, signing
from apps.retention.models import Erasure

SCRIPT = Path(__file__).parents[2] / "ops" / "verify-certificate"
CERTIFICATE = "consentry-certificate+jws"
CHECKPOINT = "consentry-checkpoint+jws"
SUBJECT = "5e" * 32
ERASURE = "0b9a1d3e-8f0c-4c55-9a63-0d5f6f1f2b11"
SCOPE = [
    {"what": "templates", "count": 3, "how": "deleted"},
    {"what": "visits", "count": 12, "how": "anonymised"},
]


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    lines: list[str]
    complaint: str

    @property
    def verdict(self) -> dict[str, Any]:
        verdict: dict[str, Any] = json.loads(self.lines[-1])
        return verdict


class Inspector:
    """A folder with the script, a certificate and a key; nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(SCRIPT, folder / "verify-certificate")

    def run(self, *arguments: str) -> Answer:
        done = subprocess.run(
            [sys.executable, "-I", "verify-certificate", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        return Answer(done.returncode, done.stdout.splitlines(), done.stderr)

    def checks(self, document: str | bytes, key: str | bytes) -> Answer:
        for name, content in (("certificate.jws", document), ("public.key", key)):
            data = content.encode() if isinstance(content, str) else content
            (self.folder / name).write_bytes(data)
        return self.run("certificate.jws", "--key", "public.key")


@pytest.fixture
def inspector(tmp_path: Path) -> Inspector:
    folder = tmp_path / "inspector"
    folder.mkdir()
    return Inspector(folder)


@pytest.fixture
def signer(tmp_path: Path) -> signing.Signer:
    signing.create_key(tmp_path / "signing.pem")
    return signing.Signer.load(tmp_path / "signing.pem")


@pytest.fixture
def jwk(signer: signing.Signer) -> str:
    return json.dumps(signer.public_jwk())


def entry(seq: int) -> dict[str, Any]:
    return {
        "seq": seq,
        "at": f"2026-05-01T10:00:{seq:02}.000000+00:00",
        "actor": "system:certificate",
        "action": "visitor.seen",
        "subject": "",
        "detail": {},
    }


def ledger(signer: signing.Signer, seq: int = 6, size: int = 11, **changes: Any) -> dict[str, Any]:
    entries = [entry(number) for number in range(1, size + 1)]
    ours = entries[seq - 1]
    ours |= {
        "action": "erasure.certified",
        "detail": {"erasure": ERASURE, "about": SUBJECT, "scope": SCOPE},
    }
    ours |= changes
    leaves = [merkle.leaf_hash(rfc8785.dumps(entry)) for entry in entries]
    head = {"size": size, "root": merkle.root(leaves).hex(), "at": "2026-05-01T10:01:00+00:00"}
    return {
        "entry": ours,
        "index": seq - 1,
        "proof": [node.hex() for node in merkle.inclusion_proof(seq - 1, leaves)],
        "checkpoint": signer.sign(head, CHECKPOINT),
    }


def facts(ledger: dict[str, Any], /, **changes: Any) -> dict[str, Any]:
    return {
        "schema": "consentry-certificate/1",
        "id": ERASURE,
        "issued_at": "2026-05-01T10:00:06.000000+00:00",
        "organization": "示例汽车 Motors",
        "store": "Riverside",
        "scope": SCOPE,
        "subject": SUBJECT,
        "cause": "withdrawal",
        "requested_at": "2026-05-01T10:00:01.000000+00:00",
        "unmatchable_at": "2026-05-01T10:00:01.200000+00:00",
        "erased_at": "2026-05-01T10:00:01.100000+00:00",
        "recognizers": [
            {
                "id": "8a4b0c1e-8f0c-4c55-9a63-0d5f6f1f2b11",
                "acknowledged_at": "2026-05-01T10:00:01.200000+00:00",
            }
        ],
        "key": {"generation": 3, "row": "deleted", "generation_destroyed": None},
        "backup_horizon": "Backups from before hold noise once generation 3 is destroyed.",
        "partial": False,
        "pending": [],
        "ledger": ledger,
        **changes,
    }


def altered(document: str, change: Callable[[dict[str, Any]], object]) -> str:
    """Change the signed content and keep the old signature."""
    header, payload, signature = document.split(".")
    content = json.loads(base64.urlsafe_b64decode(payload + "=="))
    change(content)
    return f"{header}.{letters(rfc8785.dumps(content))}.{signature}"


def letters(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every leaf of a document."""
    if not isinstance(value, dict | list) or not value:
        return [path]
    members = value.items() if isinstance(value, dict) else enumerate(value)
    return [found for key, member in members for found in paths(member, (*path, key))]


def put(document: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> None:
    for step in path[:-1]:
        document = document[step]
    document[path[-1]] = change(document[path[-1]])


def other(value: Any) -> Any:
    """Something else of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, list):
        return ["x"]
    if isinstance(value, dict):
        return {"x": 1}
    return "2027" if value is None else f"{value}0"


def refused(answer: Answer, reason: str) -> None:
    assert (answer.code, answer.complaint) == (1, "")
    assert answer.verdict["valid"] is False
    assert reason in answer.verdict["reason"]
    assert answer.verdict["reason"] in answer.lines[-2]


def test_a_true_certificate_is_valid(
    inspector: Inspector, signer: signing.Signer, jwk: str
) -> None:
    answer = inspector.checks(signer.sign(facts(ledger(signer)), CERTIFICATE), jwk)
    assert (answer.code, answer.complaint) == (0, "")
    assert answer.verdict == {"valid": True, "scope": SCOPE, "partial": False, "reason": ""}
    told = "\n".join(answer.lines)
    for fact in ("示例汽车 Motors, Riverside", "3 templates: deleted", signer.kid, "entry 6 is in"):
        assert fact in told


def test_the_script_runs_as_it_lies(tmp_path: Path, signer: signing.Signer, jwk: str) -> None:
    assert SCRIPT.stat().st_mode & 0o111
    assert SCRIPT.read_text().startswith("#!/usr/bin/env python3\n")
    imported = [line for line in SCRIPT.read_text().splitlines() if "import" in line.split()]
    assert not any("apps" in line or "joserfc" in line or "rfc8785" in line for line in imported)


@pytest.mark.parametrize("form", ["jwk", "jwks", "pem"])
def test_the_key_may_come_in_three_forms(
    inspector: Inspector, signer: signing.Signer, tmp_path: Path, form: str
) -> None:
    private = serialization.load_pem_private_key((tmp_path / "signing.pem").read_bytes(), None)
    pem = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    older = OKPKey.generate_key("Ed25519").as_dict(private=False)
    keys = {
        "jwk": json.dumps(signer.public_jwk()).encode(),
        "jwks": json.dumps({"keys": [older, signer.public_jwk()]}).encode(),
        "pem": pem,
    }
    document = signer.sign(facts(ledger(signer)), CERTIFICATE)
    assert inspector.checks(document + "\n", keys[form]).code == 0


@pytest.mark.parametrize(("seq", "size"), [(1, 1), (1, 2), (2, 2), (7, 7), (8, 8), (9, 9), (1, 64)])
def test_the_place_in_the_ledger_may_be_any(
    inspector: Inspector, signer: signing.Signer, jwk: str, seq: int, size: int
) -> None:
    document = signer.sign(facts(ledger(signer, seq, size)), CERTIFICATE)
    assert inspector.checks(document, jwk).code == 0


@pytest.mark.parametrize("cause", Erasure.Cause.values)
def test_every_cause_that_the_house_certifies_is_known(
    inspector: Inspector, signer: signing.Signer, jwk: str, cause: str
) -> None:
    document = signer.sign(facts(ledger(signer), cause=cause), CERTIFICATE)
    assert inspector.checks(document, jwk).code == 0


def test_an_unfinished_erasure_is_valid_and_says_so(
    inspector: Inspector, signer: signing.Signer, jwk: str
) -> None:
    waiting = {"id": "second", "acknowledged_at": None}
    unfinished = facts(
        ledger(signer), partial=True, pending=["recognizer second"], recognizers=[waiting]
    )
    answer = inspector.checks(signer.sign(unfinished, CERTIFICATE), jwk)
    assert (answer.code, answer.verdict["partial"]) == (0, True)
    assert any(line.startswith("PARTIAL") for line in answer.lines)
    assert "  - recognizer second" in answer.lines


EVERY_FIELD = paths(facts({"entry": entry(1), "index": 0, "proof": ["00"], "checkpoint": "a.b.c"}))


@pytest.mark.parametrize("path", EVERY_FIELD, ids=lambda path: ".".join(map(str, path)))
def test_changing_any_field_is_found(
    inspector: Inspector, signer: signing.Signer, jwk: str, path: tuple[Any, ...]
) -> None:
    document = signer.sign(facts(ledger(signer)), CERTIFICATE)
    changed = altered(document, lambda content: put(content, path, other))
    refused(inspector.checks(changed, jwk), "was changed after it was signed")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": "consentry-certificate/2"}, "schema"),
        ({"subject": "name"}, "subject"),
        ({"subject": "6e" * 32}, "about something else"),
        ({"id": "another"}, "about something else"),
        ({"scope": SCOPE[:1]}, "about something else"),
        ({"scope": ["templates"]}, "scope"),
        ({"scope": [{"what": "templates", "count": -1, "how": "deleted"}]}, "negative"),
        ({"scope": [{"what": "templates", "count": True, "how": "deleted"}]}, "scope.count"),
        ({"cause": "whim"}, "cause"),
        ({"issued_at": "yesterday"}, "issued_at is not a time"),
        ({"issued_at": "2026-05-01T10:00:06"}, "issued_at is not a time"),
        ({"erased_at": None}, "erased_at"),
        ({"recognizers": [{"id": "x", "acknowledged_at": None}]}, "acknowledged_at"),
        ({"key": {"generation": 3, "row": "kept", "generation_destroyed": None}}, "not deleted"),
        ({"pending": ["recognizer"]}, "do not agree"),
        ({"partial": True}, "do not agree"),
        ({"partial": 0}, "partial"),
        ({"pending": [1]}, "pending"),
        ({"ledger": None}, "ledger"),
        ({"store": 7}, "store"),
    ],
)
def test_what_the_house_signs_must_still_make_sense(
    inspector: Inspector,
    signer: signing.Signer,
    jwk: str,
    change: dict[str, Any],
    reason: str,
) -> None:
    document = signer.sign(facts(ledger(signer), **change), CERTIFICATE)
    refused(inspector.checks(document, jwk), reason)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("entry", "actor"), "user:1", "not in the tree"),
        (("entry", "at"), "2026-05-01T10:00:59.000000+00:00", "not in the tree"),
        (("entry", "extra"), 1, "not in the tree"),
        (("entry", "action"), "visitor.seen", "about something else"),
        (("entry", "detail"), {}, "about something else"),
        (("entry", "seq"), 7, "do not agree"),
        (("index",), 4, "do not agree"),
        (("proof",), [], "not in the tree"),
        (("proof",), ["ab" * 32], "not in the tree"),
        (("proof",), ["AB" * 32], "not a list of SHA-256"),
        (("proof",), [None], "not a list of SHA-256"),
        (("checkpoint",), "a.b", "three parts"),
        (("checkpoint",), "a.b.c", "checkpoint is damaged"),
        (("checkpoint",), None, "checkpoint"),
    ],
)
def test_a_ledger_that_does_not_hold_is_found(
    inspector: Inspector,
    signer: signing.Signer,
    jwk: str,
    path: tuple[str, ...],
    value: Any,
    reason: str,
) -> None:
    changed = copy.deepcopy(ledger(signer))
    holder = changed
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    refused(inspector.checks(signer.sign(facts(changed), CERTIFICATE), jwk), reason)


def test_a_place_beyond_the_tree_is_found(
    inspector: Inspector, signer: signing.Signer, jwk: str
) -> None:
    for seq in (0, 12):
        changed = ledger(signer)
        changed["entry"]["seq"], changed["index"] = seq, seq - 1
        document = signer.sign(facts(changed), CERTIFICATE)
        refused(inspector.checks(document, jwk), "not in the tree")


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ({"size": 11, "root": "00" * 32, "at": "2026-05-01T10:01:00+00:00"}, "not in the tree"),
        ({"size": 11, "root": "short", "at": "2026-05-01T10:01:00+00:00"}, "root"),
        ({"size": "11", "root": "00" * 32, "at": "2026-05-01T10:01:00+00:00"}, "size"),
        ({"size": 11, "root": "00" * 32}, "at"),
    ],
)
def test_a_checkpoint_of_another_tree_is_found(
    inspector: Inspector, signer: signing.Signer, jwk: str, head: dict[str, Any], reason: str
) -> None:
    changed = {**ledger(signer), "checkpoint": signer.sign(head, CHECKPOINT)}
    refused(inspector.checks(signer.sign(facts(changed), CERTIFICATE), jwk), reason)


def grown(signer: signing.Signer, since: int = 11, size: int = 23, **changes: Any) -> str:
    """What the house answers on a later day: the ledger of `ledger`, with more entries after it."""
    leaves = [
        merkle.leaf_hash(
            rfc8785.dumps(
                ledger(signer)["entry"] if number == 6 else entry(number) | changes.get("past", {})
            )
        )
        for number in range(1, size + 1)
    ]
    head = {"size": size, "root": merkle.root(leaves).hex(), "at": "2027-05-01T10:01:00+00:00"}
    proof = [node.hex() for node in merkle.consistency_proof(since, leaves)]
    return json.dumps(
        {
            "checkpoint": signer.sign(head, CHECKPOINT),
            "since": since,
            "consistency": changes.get("proof", proof),
        }
    )


@pytest.mark.parametrize("size", [11, 12, 16, 23])
def test_a_ledger_that_only_grew_since_is_told(
    inspector: Inspector, signer: signing.Signer, jwk: str, size: int
) -> None:
    (inspector.folder / "later.json").write_text(grown(signer, size=size))
    inspector.checks(signer.sign(facts(ledger(signer)), CERTIFICATE), jwk)
    answer = inspector.run("certificate.jws", "--key", "public.key", "--ledger", "later.json")
    assert (answer.code, answer.complaint) == (0, "")
    assert any(f"only grown, to {size} entries" in line for line in answer.lines)


def test_a_ledger_that_was_rewritten_since_is_found(
    inspector: Inspector, signer: signing.Signer, jwk: str
) -> None:
    """Even by whoever holds the house's key: the certificate's head is in another hand."""
    inspector.checks(signer.sign(facts(ledger(signer)), CERTIFICATE), jwk)
    for later, reason in (
        (grown(signer, past={"actor": "somebody else"}), "did not grow"),
        (grown(signer, proof=["ab" * 32]), "did not grow"),
        (grown(signer, proof=["AB" * 32]), "not a list of SHA-256"),
        (grown(signer, since=10), "since=11"),
        ("{}", "no consistency proof"),
        ("[]", "not a JSON object"),
    ):
        (inspector.folder / "later.json").write_text(later)
        answer = inspector.run("certificate.jws", "--key", "public.key", "--ledger", "later.json")
        refused(answer, reason)


def test_a_checkpoint_signed_by_nobody_we_know_is_found(
    inspector: Inspector, signer: signing.Signer, jwk: str, tmp_path: Path
) -> None:
    signing.create_key(tmp_path / "forger.pem")
    theirs = ledger(signing.Signer.load(tmp_path / "forger.pem"))
    document = signer.sign(facts(theirs), CERTIFICATE)
    refused(inspector.checks(document, jwk), "checkpoint was signed with another key")


def test_a_document_of_another_kind_is_not_a_certificate(
    inspector: Inspector, signer: signing.Signer, jwk: str
) -> None:
    content = facts(ledger(signer))
    refused(inspector.checks(signer.sign(content, "consentry-receipt+jws"), jwk), "another kind")
    taken = {**ledger(signer), "checkpoint": signer.sign(content, CERTIFICATE)}
    document = signer.sign(facts(taken), CERTIFICATE)
    refused(inspector.checks(document, jwk), "checkpoint is another kind")


def test_a_forgers_key_is_not_the_houses(
    inspector: Inspector, signer: signing.Signer, jwk: str, tmp_path: Path
) -> None:
    signing.create_key(tmp_path / "forger.pem")
    forger = signing.Signer.load(tmp_path / "forger.pem")
    forged = forger.sign(facts(ledger(forger)), CERTIFICATE)
    refused(inspector.checks(forged, jwk), "another key")
    # Even when the forger writes the house's thumbprint into the header.
    header = {"alg": "EdDSA", "kid": signer.kid, "typ": CERTIFICATE}
    _, payload, signature = forged.split(".")
    claimed = f"{letters(json.dumps(header).encode())}.{payload}.{signature}"
    refused(inspector.checks(claimed, jwk), "forged")


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "Ed25519"},
        {"alg": None},
        {"crit": ["exp"]},
        {"b64": False},
        {"jwk": {}},
        {"kid": 7},
        {"kid": None},
    ],
)
def test_a_header_cannot_bend_the_rules(
    inspector: Inspector, signer: signing.Signer, jwk: str, header: dict[str, Any]
) -> None:
    document = signer.sign(facts(ledger(signer)), CERTIFICATE)
    ours = {"alg": "EdDSA", "kid": signer.kid, "typ": CERTIFICATE, **header}
    bent = letters(json.dumps(ours).encode()) + document[document.index(".") :]
    refused(inspector.checks(bent, jwk), "The certificate")


@pytest.mark.parametrize(
    ("respell", "reason"),
    [
        (lambda data: data.replace(b'","', b'", "', 1), "not canonical"),
        (lambda data: data.replace(b"Riverside", b"\\u0052iverside"), "not canonical"),
        (lambda data: data.replace(b'"count":3', b'"count":3.0'), "fraction"),
        (lambda data: data.replace(b'"count":3', b'"count":3e0'), "fraction"),
        (lambda data: data.replace(b'"count":3', b'"count":-0'), "not canonical"),
        (lambda data: data.replace(b'"count":3', b'"count":NaN'), "fraction"),
        (lambda data: data.replace(b'"count":3', b'"count":9007199254740992'), "too large"),
        (lambda data: data.replace(b'"count":3', b'"count":' + b"9" * 5000), "too large"),
        (lambda data: data.replace(b"Riverside", b"\\ud800"), "surrogate"),
        (lambda data: data.replace(b'"store":', b'"partial":false,"store":'), "same field twice"),
        (lambda data: b"\xef\xbb\xbf" + data, "not JSON"),
        (lambda data: data + b" ", "not canonical"),
        (lambda data: data[:-1], "not JSON"),
        (lambda data: b"[" + data + b"]", "not a JSON object"),
        (lambda data: b'{"a":' + b"[" * 20 + b"]" * 20 + b"}", "nested too deeply"),
        (lambda data: b"[" * 50_000, "not JSON"),
        (lambda data: b"\xff", "not JSON"),
    ],
)
def test_a_signed_text_has_one_spelling(
    inspector: Inspector,
    signer: signing.Signer,
    jwk: str,
    tmp_path: Path,
    respell: Callable[[bytes], bytes],
    reason: str,
) -> None:
    """The house's own key under content that two readers could read differently."""
    plain = rfc8785.dumps(facts(ledger(signer)))
    assert respell(plain) != plain
    key = OKPKey.import_key((tmp_path / "signing.pem").read_bytes())
    header = {"alg": "EdDSA", "kid": signer.kid, "typ": CERTIFICATE}
    document = jws.serialize_compact(header, respell(plain), key, registry=signing._REGISTRY)
    refused(inspector.checks(document, jwk), reason)


def test_both_canonicalisers_agree(inspector: Inspector, signer: signing.Signer, jwk: str) -> None:
    """The order of UTF-16, the short escapes, and what is left as it is (RFC 8785, 3.2)."""
    awkward: dict[str, Any] = {
        "\u20ac": "Euro",
        "\r": '\u0000\u001f\b\t\n\f\r"\\/\u007f\u2028',
        "\ufb33": [True, None, [], {}, 0, -1, 2**53 - 1, -(2**53) + 1],
        "\U0001f600": "Smiley",
        "1": "é",
        "": {"\u0080": "", "ö": ""},
    }
    document = signer.sign(facts(ledger(signer), awkward=awkward), CERTIFICATE)
    assert inspector.checks(document, jwk).code == 0


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("", "three parts"),
        ("..", "damaged"),
        ("a.b", "three parts"),
        ("a.b.c.d", "three parts"),
        ("a.b.c", "damaged"),
        ("e30.e30.e30", "header must hold"),
        ("W10.e30.e30", "not a JSON object"),
        ("{}", "three parts"),
        ("é.é.é", "not plain text"),
        (b"\x00\xff", "not plain text"),
        (b"a" * ((1 << 20) + 1), "too large"),
    ],
)
def test_what_is_no_certificate_gets_a_sentence(
    inspector: Inspector, jwk: str, document: str | bytes, reason: str
) -> None:
    refused(inspector.checks(document, jwk), reason)


def test_the_signature_has_one_spelling(
    inspector: Inspector, signer: signing.Signer, jwk: str
) -> None:
    document = signer.sign(facts(ledger(signer)), CERTIFICATE)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    # 64 bytes leave four spare bits in the last letter: its neighbour decodes to the same bytes.
    neighbour = alphabet[alphabet.index(document[-1]) + 1]
    for respelt in (
        document[:-1] + neighbour,
        document + "==",
        document[:-9] + "\n" + document[-9:],
    ):
        refused(inspector.checks(respelt, jwk), "base64url")
    shorter = base64.urlsafe_b64decode(document.rpartition(".")[2] + "==")[:60]
    refused(inspector.checks(f"{document.rpartition('.')[0]}.{letters(shorter)}", jwk), "forged")


def public_pem_of_another_kind() -> bytes:
    return (
        generate_private_key(SECP256R1())
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "neither a PEM"),
        ("hello", "neither a PEM"),
        ("{", "not JSON"),
        ("{}", "must be an Ed25519"),
        ('{"keys":[]}', "holds no key"),
        ('{"keys":[1]}', "must be an Ed25519"),
        ('{"kty":"OKP","crv":"Ed25519"}', "not 32 bytes"),
        ('{"kty":"OKP","crv":"Ed25519","x":"AAAA"}', "not 32 bytes"),
        ('{"kty":"OKP","crv":"Ed25519","x":"*"}', "base64url"),
        ('{"kty":"OKP","crv":"Ed25519","x":"AAAA","d":"AAAA"}', "private key"),
        ('{"kty":"OKP","crv":"X25519","x":"AAAA"}', "must be an Ed25519"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "neither a PEM"),
        (public_pem_of_another_kind(), "must be Ed25519"),
        (b"\xff\x00", "not plain text"),
    ],
)
def test_what_is_no_public_key_gets_a_sentence(
    inspector: Inspector, signer: signing.Signer, key: str | bytes, reason: str
) -> None:
    refused(inspector.checks(signer.sign(facts(ledger(signer)), CERTIFICATE), key), reason)


def test_a_private_key_is_not_accepted_for_checking(
    inspector: Inspector, signer: signing.Signer, tmp_path: Path
) -> None:
    pem = (tmp_path / "signing.pem").read_bytes()
    answer = inspector.checks(signer.sign(facts(ledger(signer)), CERTIFICATE), pem)
    refused(answer, "private key")
    assert pem.splitlines()[1].decode() not in "\n".join(answer.lines)


def test_a_missing_file_gets_a_sentence(inspector: Inspector, jwk: str) -> None:
    (inspector.folder / "public.key").write_text(jwk)
    refused(inspector.run("none.jws", "--key", "public.key"), "cannot be read")
    refused(inspector.run(".", "--key", "public.key"), "cannot be read")
    refused(inspector.run("none.jws", "--key", "none.key"), "cannot be read")


@pytest.mark.parametrize("arguments", [[], ["x"], ["x", "--key"], ["x", "y", "--key", "z"], ["-q"]])
def test_a_wrong_call_says_how_to_call(inspector: Inspector, arguments: list[str]) -> None:
    answer = inspector.run(*arguments)
    assert (answer.code, answer.complaint) == (2, "")
    assert "Usage: verify-certificate FILE --key PUB" in answer.lines[0]
    assert answer.verdict["valid"] is False


def test_a_terminal_cannot_be_steered(
    inspector: Inspector, signer: signing.Signer, jwk: str
) -> None:
    store = "Riverside\x1b[2J\rVALID\n\u202e"
    answer = inspector.checks(signer.sign(facts(ledger(signer), store=store), CERTIFICATE), jwk)
    assert answer.code == 0
    assert any("Riverside?[2J?VALID??" in line for line in answer.lines)
