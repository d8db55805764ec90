"""Anyone can check a certificate on the inspector's page, and follow the ledger from it."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from apps.audit import services as audit
from apps.audit import signing
from apps.audit.models import Checkpoint, Entry
from apps.retention.models import Erasure
from apps.retention.services.erase import CERTIFICATE_TYPE, complete, erase
from tests.audit.forging import rewrite
from tests.clients import rows
from tests.conftest import ROOT, House


@pytest.fixture
def certificate(house: House) -> str:
    erasure = erase(visitor=house.visitor(), cause=Erasure.Cause.WITHDRAWAL, actor="self")
    return complete(erasure).document


def checked(document: str, language: str = "en") -> str:
    client = Client(headers={"Accept-Language": language})
    return client.post("/verify/", {"certificate": document}).content.decode()


def payload(document: str) -> dict[str, object]:
    content: dict[str, object] = json.loads(base64.urlsafe_b64decode(document.split(".")[1] + "=="))
    return content


def verdict(page: str) -> str:
    return page.partition('data-verdict="')[2].partition('"')[0]


def test_a_certificate_that_holds_says_what_it_proves_and_is_not_kept(
    house: House, certificate: str
) -> None:
    held = rows()
    page = checked(certificate)
    assert verdict(page) == "good"
    assert "1 × sealed face template: erased" in page
    assert 'data-testid="verdict-grown"' in page
    assert "until key generation" in page
    assert signing.public_jwk()["kid"] in page
    upload = SimpleUploadedFile("certificate.jws", certificate.encode() + b"\n")
    page = Client().post("/verify/", {"file": upload}).content.decode()
    assert verdict(page) == "good"
    assert rows() == held


def test_a_changed_certificate_and_what_is_none_are_told_apart_from_nothing(
    certificate: str,
) -> None:
    header, content, signature = certificate.split(".")
    bent = base64.urlsafe_b64decode(content + "==").replace(b"withdrawal", b"expiry")
    changed = f"{header}.{base64.urlsafe_b64encode(bent).decode().rstrip('=')}.{signature}"
    for document in (changed, "hello", "é", "a" * (1 << 20) + "a.b.c"):
        page = checked(document)
        assert verdict(page) == "bad", document[:10]
        assert "sealed face template" not in page
    page = checked("")
    assert verdict(page) == ""
    assert 'data-testid="verify-problem"' in page


def test_an_unfinished_erasure_is_amber_and_says_what_is_open(certificate: str) -> None:
    partial = {**payload(certificate), "partial": True, "pending": ["recognizer two"]}
    page = checked(signing.sign(partial, CERTIFICATE_TYPE))
    assert verdict(page) == "part"
    assert "recognizer two" in page


def test_a_ledger_that_was_rewritten_since_is_told_beside_a_true_certificate(
    certificate: str,
) -> None:
    def without_it(entries: list[Entry]) -> list[Entry]:
        return [entry for entry in entries if entry.action != "erasure.certified"]

    for _ in range(3):
        audit.record(actor="test", action="went.on")
    rewrite(without_it)
    page = checked(certificate)
    assert verdict(page) == "good"
    assert 'data-testid="verdict-another-ledger"' in page
    assert 'data-testid="verdict-grown"' not in page


def test_the_same_is_checked_without_us_from_what_is_published(
    certificate: str, tmp_path: Path
) -> None:
    """All that the page's four steps ask for, and nothing of ours but the one file."""
    for _ in range(6):
        audit.record(actor="test", action="went.on")
    audit.checkpoint()
    client = Client()
    size = len(Entry.objects.filter(seq__lte=Checkpoint.objects.earliest("size").size))
    for name, address in (
        ("verify-certificate", "/verify-certificate"),
        ("keys.json", "/keys.json"),
        ("checkpoints.json", f"/checkpoints.json?since={size}"),
    ):
        answer = client.get(address)
        assert answer.status_code == 200
        (tmp_path / name).write_bytes(answer.content)
    assert (tmp_path / "verify-certificate").read_bytes() == (
        ROOT / "ops" / "verify-certificate"
    ).read_bytes()
    (tmp_path / "certificate.jws").write_text(certificate)
    command = ["verify-certificate", "certificate.jws", "--key", "keys.json"]
    done = subprocess.run(
        [sys.executable, "-I", *command, "--ledger", "checkpoints.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert f"only grown, to {size + 6} entries" in done.stdout


def test_the_signed_head_is_public_and_odd_questions_get_a_sentence(certificate: str) -> None:
    head = Client().get("/checkpoints.json").json()
    assert signing.verify(head["checkpoint"], signing.public_jwk())["root"] == head["root"]
    for since in ("0", "-1", "x", "", "9" * 30, str(head["size"] + 1), "²"):
        answer = Client().get("/checkpoints.json", {"since": since})
        assert answer.status_code == 404
        assert "since must be" in answer.json()["error"]


def test_where_nothing_is_signed_yet_it_is_said(db: None) -> None:
    assert Client().get("/checkpoints.json").status_code == 404
    page = Client().get("/verify/").content.decode()
    assert "within the hour" in page
