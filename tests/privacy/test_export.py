"""Everything held on a person, for them and for machines, by the schema that is published."""

import json
import logging
from typing import Any

import pytest

from apps.consent.models import Consent
from apps.privacy.export import Export
from apps.retention.holdings import HOLDINGS
from apps.visits.mistakes import mark_wrong
from apps.visits.models import Visit
from apps.visits.services import disclose
from tests.clients import browser
from tests.conftest import SIGNATURE, House
from tests.privacy.conftest import Customer
from tests.visits.test_disclose import match_of


def taken(customer: Customer) -> dict[str, Any]:
    answer = customer.post("everything/")
    assert answer["Content-Disposition"] == 'attachment; filename="everything.json"'
    assert answer["Content-Type"] == "application/json"
    Export.model_validate_json(answer.content)
    return dict(json.loads(answer.content))


def test_it_holds_everything_and_says_by_what_clock_it_goes(
    house: House, customer: Customer
) -> None:
    disclose(match_of(customer.visitor, house))
    customer.post("stop/", purpose="contact")
    held = taken(customer)
    assert held["person"]["greeting_name"] == "Ms Chen"
    (consent,) = held["consents"]
    assert consent["purposes"] == ["lane", "history"]
    assert [each["purpose"] for each in consent["withdrawn"]] == ["contact"]
    assert house.text.full in consent["notice"]
    assert consent["signature"] == SIGNATURE
    assert consent["receipt"].count(".") == 2
    (template,) = held["templates"]
    assert (template["purpose"], template["sealed_bytes"]) == ("lane", len(b"sealed"))
    (visit,) = held["visits"]
    assert visit["number"] == 1
    assert "recognised you and told the floor board" in {look["what"] for look in held["ledger"]}
    assert held["controller"]["email"] == "privacy@harbour.example"


def test_every_kind_that_is_held_is_named(house: House, customer: Customer) -> None:
    """A new kind of personal data is in the answer as soon as it is in the table of holdings."""
    disclose(match_of(customer.visitor, house))
    held = {each["what"]: each["count"] for each in taken(customer)["held"]}
    there = {line.what: line.of(customer.visitor).count() for line in HOLDINGS}
    assert held == {what: count for what, count in there.items() if count}
    assert all("%(" not in each["clock"] for each in taken(customer)["held"])


def test_nobody_else_and_no_name_of_who_works_here_is_in_it(
    house: House, customer: Customer
) -> None:
    other = house.visitor("Mr Other")
    disclose(match_of(other, house))
    browser(house.staff).get("/floor/harbour-street/")
    text = json.dumps(taken(customer))
    for word in ("Mr Other", "Linda", "linda", str(other.pk), str(other.subject)):
        assert word not in text
    assert not taken(customer)["visits"]


def test_a_visit_of_somebody_who_was_taken_for_them_says_only_when(
    house: House, customer: Customer
) -> None:
    disclose(match_of(customer.visitor, house))
    mark_wrong(visit=Visit.objects.get(), user=house.staff)
    held = taken(customer)
    assert held["visits"] == []
    assert [set(each) for each in held["mistaken_for_you"]] == [{"arrived_at", "delete_after"}]


def test_the_schema_is_published_and_explains_every_part(customer: Customer) -> None:
    answer = browser().get("/receipt/schema.json")
    assert answer["Content-Type"] == "application/schema+json"
    schema = answer.json()
    assert taken(customer)["schema_address"].endswith("/receipt/schema.json")
    assert set(taken(customer)) == set(schema["properties"])
    for part in schema["$defs"].values():
        assert part["description"]
        assert part["additionalProperties"] is False


def test_neither_the_name_nor_the_code_is_logged(
    customer: Customer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    taken(customer)
    assert "Ms Chen" not in caplog.text
    assert customer.secret not in caplog.text


def test_the_secret_is_not_in_it(customer: Customer) -> None:
    assert customer.secret not in json.dumps(taken(customer))
    assert str(Consent.objects.get().receipt.secret_digest) not in json.dumps(taken(customer))
