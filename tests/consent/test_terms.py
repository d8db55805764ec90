"""How long a consent lasts: as chosen, never past what the jurisdiction allows."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from apps.consent import services as consents
from apps.consent.services import ConsentRefused
from apps.consent.terms import end_of, term_of, terms
from apps.stores import jurisdictions
from tests.conftest import House

EU = jurisdictions.get("eu")


@pytest.mark.parametrize(
    ("signed", "months", "ends"),
    [
        ((2026, 11, 26), 3, (2027, 2, 26)),
        ((2026, 11, 30), 3, (2027, 2, 28)),
        ((2026, 12, 31), 6, (2027, 6, 30)),
        ((2026, 12, 1), 12, (2027, 12, 1)),
        # 366 days later would be more than the pack's 365.
        ((2027, 6, 1), 12, (2028, 5, 31)),
    ],
)
def test_a_term_ends_on_the_same_day_so_many_months_later(
    signed: tuple[int, int, int], months: int, ends: tuple[int, int, int]
) -> None:
    at = datetime(*signed, 15, 30, 12, 345, tzinfo=UTC)
    assert end_of(months, at, EU) == datetime(*ends, 15, 30, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("days", "offered"), [(365, [3, 6, 12]), (200, [3, 6]), (90, [3]), (30, [3])]
)
def test_no_term_is_offered_past_what_the_jurisdiction_allows(
    days: int, offered: list[int]
) -> None:
    pack = replace(EU, max_term_days=days)
    assert terms(pack) == offered
    now = datetime(2027, 1, 1, tzinfo=UTC)
    for months in offered:
        assert end_of(months, now, pack) <= now + timedelta(days=days)


def test_the_chosen_term_is_the_consents(house: House) -> None:
    short, long = (consents.sign(house.draft(term=months)).consent for months in (3, 12))
    assert timedelta(days=88) < short.expires_at - short.signed_at < timedelta(days=93)
    assert short.delete_after < long.delete_after


@pytest.mark.parametrize("term", [0, -3, 4, 24])
def test_a_term_that_is_not_offered_is_refused(house: House, term: int) -> None:
    with pytest.raises(ConsentRefused) as refused:
        house.draft(term=term)
    assert refused.value.code == "term"


@pytest.mark.parametrize(
    ("months", "cap", "again"), [(3, 365, 3), (6, 365, 6), (12, 365, 12), (12, 200, 6), (6, 90, 3)]
)
def test_a_renewal_is_for_the_term_that_was_chosen_as_far_as_it_is_still_offered(
    months: int, cap: int, again: int
) -> None:
    signed = datetime(2027, 1, 31, 9, 30, tzinfo=UTC)
    until = end_of(months, signed, EU)
    assert term_of(signed, until, replace(EU, max_term_days=cap)) == again
