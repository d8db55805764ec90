"""A receipt opens without an account, ends everything in a press, and its code leaks nowhere."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.test import Client
from pydantic import SecretStr
from pytest_django.fixtures import Settings

from apps.audit import signing
from apps.audit.models import Entry
from apps.audit.services import record
from apps.consent.document import RECEIPT_TYPE
from apps.consent.models import Consent
from apps.privacy.receipts import TRIES
from apps.recognition.client import Recognizer
from apps.retention.models import Erasure
from apps.retention.services.erase import CERTIFICATE_TYPE, erase
from apps.visitors.models import FaceTemplate, Visitor
from apps.visits.models import Visit
from apps.visits.services import disclose
from tests.clients import browser
from tests.conftest import House
from tests.privacy.conftest import Customer
from tests.visits.test_disclose import match_of

PATHS = (
    "/receipt/",
    "/receipt/stop/",
    "/receipt/name/",
    "/receipt/stated/",
    "/receipt/pause/",
    "/receipt/pass/",
    "/receipt/everything/",
    "/receipt/paper/",
    "/receipt/withdraw/",
    "/receipt/certificate/",
    "/receipt/download/",
)


def test_the_page_asks_for_the_code_and_nothing_else(house: House) -> None:
    page = browser().get("/receipt/")
    assert page.status_code == 200
    assert 'name="secret"' in page.content.decode()
    assert 'method="post"' in page.content.decode()


@pytest.mark.parametrize(
    "typed",
    [
        lambda code: code,
        lambda code: code.lower(),
        lambda code: code.replace("-", ""),
        lambda code: code.replace("-", " "),
        lambda code: f"\t{code.replace('-', ' – ')} \n",
        lambda code: f"#{code}",
    ],
    ids=["as printed", "small", "no dashes", "spaces", "long dashes", "from the address bar"],
)
def test_the_code_opens_however_it_is_typed(
    customer: Customer, typed: Callable[[str], str]
) -> None:
    answer = customer.post(secret=typed(customer.secret))
    assert (answer.status_code, b"Ms Chen" in answer.content) == (200, True)


@pytest.mark.parametrize("secret", ["", "-", "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA", "\x00", "é" * 300])
@pytest.mark.parametrize("path", [path.removeprefix("/receipt/") for path in PATHS])
def test_a_wrong_code_opens_nothing(customer: Customer, path: str, secret: str) -> None:
    answer = customer.post(path, secret=secret)
    assert answer.status_code == 404
    assert "no receipt with this code" in answer.content.decode()
    assert Visitor.objects.exists()


def test_almost_the_code_is_a_wrong_code(customer: Customer) -> None:
    other = "B" if customer.secret.endswith("A") else "A"
    assert customer.post(secret=customer.secret[:-1] + other).status_code == 404
    assert customer.post(secret=customer.secret[:-1]).status_code == 404
    assert customer.post(secret=customer.secret + "A").status_code == 404


def test_guessing_is_slowed_down_and_the_right_code_still_opens(customer: Customer) -> None:
    """Everybody in the store may share one address: another's mistakes must not stop anyone."""
    for _attempt in range(TRIES):
        assert customer.post(secret="WRONG").status_code == 404
    refused = customer.post(secret="WRONG")
    assert refused.status_code == 429
    assert "wait ten minutes" in refused.content.decode()
    assert customer.post().status_code == 200


def test_withdrawing_works_without_redis(
    customer: Customer, settings: Settings, tmp_path: Path
) -> None:
    nobody = SecretStr(f"unix://{tmp_path / 'nobody.sock'}")
    settings.CONSENTRY = settings.CONSENTRY.model_copy(update={"redis_url": nobody})
    assert customer.post(secret="WRONG").status_code == 429
    assert customer.post("withdraw/").status_code == 200
    assert not Visitor.objects.exists()


def test_the_letter_shows_answers_holdings_visits_and_who_looked(
    house: House, customer: Customer
) -> None:
    disclose(match_of(customer.visitor, house))
    staff = browser(house.staff)
    staff.get("/floor/harbour-street/")
    staff.get("/floor/harbour-street/")
    record(
        actor=f"user:{house.dpo.pk}",
        action="visitor.looked",
        subject=customer.visitor.subject,
        reason="complaint",
    )
    text = customer.text()
    assert text.count('data-granted="yes"') == 3
    assert "Ms Chen" in text
    assert "chen@example.org" in text
    assert "A sealed face template, no picture" in text
    assert text.count('data-testid="receipt-visits"') == 1
    assert "The kiosk: signed the consent" in text
    assert "The camera at the lane: recognised you" in text
    assert "Someone who works here: opened your record (complaint)" in text
    assert text.count("saw your name on the floor board") == 1, "a refreshed page is one look"
    # Roles, never the names of the people who work here.
    for name in ("Linda", "linda", "Diana", "diana"):
        assert name not in text
    assert "visit.shown" not in text


def test_nothing_of_anybody_else_is_in_the_letter(house: House, customer: Customer) -> None:
    house.visitor("Mr Other")
    text = customer.text()
    assert "Mr Other" not in text


def test_opening_the_letter_is_itself_in_the_ledger(customer: Customer) -> None:
    customer.post()
    assert "You: opened this receipt" in customer.text()


def test_the_signed_receipt_can_be_taken_home(customer: Customer) -> None:
    answer = customer.post("download/")
    assert answer["Content-Disposition"] == 'attachment; filename="receipt.jws"'
    assert answer["Content-Type"] == "application/jose"
    facts = signing.verify(answer.content.decode(), signing.public_jwk(), RECEIPT_TYPE)
    assert facts["record_id"] == str(Consent.objects.get().pk)


def test_withdrawing_erases_everything_and_certifies_it(customer: Customer) -> None:
    page = customer.post("withdraw/")
    assert page.status_code == 200
    assert 'data-testid="certificate-download"' in page.content.decode()
    assert not Visitor.objects.exists()
    assert not FaceTemplate.objects.exists()
    assert not Visit.objects.exists()
    assert Consent.objects.get().withdrawn_at is not None
    answer = customer.post("certificate/")
    assert answer["Content-Disposition"] == 'attachment; filename="certificate.jws"'
    facts = signing.verify(answer.content.decode(), signing.public_jwk(), CERTIFICATE_TYPE)
    assert facts["cause"] == "withdrawal"
    assert facts["partial"] is False
    assert "Ms Chen" not in json.dumps(facts)


def test_pressing_twice_shows_the_same_page_and_erases_once(customer: Customer) -> None:
    first = [line for line in customer.text("withdraw/").splitlines() if "csrf" not in line]
    second = [line for line in customer.text("withdraw/").splitlines() if "csrf" not in line]
    assert first == second
    assert Erasure.objects.count() == 1
    assert Entry.objects.filter(action="visitor.erased").count() == 1


def test_after_the_end_the_certificate_and_the_signed_receipt_are_left(customer: Customer) -> None:
    customer.post("withdraw/")
    text = customer.text()
    assert "It is ended" in text
    assert "Ms Chen" not in text
    assert 'data-testid="certificate-download"' in text
    # What is still kept as proof is still theirs to have.
    assert customer.post("download/").status_code == 200


def test_before_the_end_there_is_no_certificate(customer: Customer) -> None:
    answer = customer.post("certificate/")
    assert answer.status_code == 404
    assert "no certificate yet" in answer.content.decode()


def test_what_the_officer_erased_is_certified_to_the_customer_too(
    house: House, customer: Customer
) -> None:
    erase(visitor=customer.visitor, cause=Erasure.Cause.REQUEST, actor=f"user:{house.dpo.pk}")
    assert "It is ended" in customer.text()
    assert customer.post("certificate/").status_code == 200


def test_a_withdrawal_waits_for_the_recognizers_word(
    house: House, customer: Customer, recognizer: Recognizer
) -> None:
    """The page comes back with the certificate: every recognizer has let go."""
    assert 'data-testid="certificate-download"' in customer.text("withdraw/")
    document = customer.post("certificate/").content.decode()
    facts = signing.verify(document, signing.public_jwk(), CERTIFICATE_TYPE)
    assert len(facts["recognizers"]) == 1


@pytest.fixture
def all_logs(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that any logger says, at the finest grain, SQL included."""
    loggers = [logging.getLogger(name) for name in ("django", "django.request", "django.server")]
    before = [(logger.propagate, logger.level) for logger in loggers]
    for logger in loggers:
        logger.propagate = True
        logger.setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        yield caplog
    for logger, (propagate, level) in zip(loggers, before, strict=True):
        logger.propagate = propagate
        logger.setLevel(level)


def test_the_code_and_the_name_are_in_no_address_and_no_log(
    customer: Customer,
    all_logs: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    paths = ("", "pause/", "download/", "paper/", "everything/", "withdraw/", "certificate/", "")
    pages = [customer.post(path) for path in paths]
    customer.post(secret=customer.secret + "X")
    assert all(page.status_code == 200 for page in pages)
    said = all_logs.text + "".join(capfd.readouterr())
    assert "/receipt/" in said, "something was logged"
    for words in (customer.secret, customer.secret.replace("-", ""), "Ms Chen", "chen@example"):
        assert words not in said
    for page in pages:
        text = page.content.decode(errors="replace")
        assert f"={customer.secret}" not in text
        assert f"#{customer.secret}" not in text
        assert f"/{customer.secret}" not in text


@pytest.mark.parametrize("path", PATHS)
def test_no_page_of_a_receipt_is_kept_or_told_onwards(customer: Customer, path: str) -> None:
    answer = customer.client.post(path, {"secret": customer.secret})
    assert "no-store" in answer["Cache-Control"]
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["X-Frame-Options"] == "DENY"


def test_a_receipt_is_opened_by_post_alone(customer: Customer) -> None:
    """An address ends in histories and logs: a code in a query opens nothing."""
    page = customer.client.get("/receipt/", {"secret": customer.secret})
    assert "Ms Chen" not in page.content.decode()
    for path in PATHS[1:]:
        assert customer.client.get(path, {"secret": customer.secret}).status_code == 405


def test_another_sites_form_ends_nothing(customer: Customer) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post("/receipt/withdraw/", {"secret": customer.secret}).status_code == 403
    assert Visitor.objects.exists()


def test_the_letter_speaks_the_readers_language(customer: Customer) -> None:
    customer.client.cookies["django_language"] = "zh-hans"
    assert "封存的面部模板" in customer.text() or "面部" in customer.text()
