"""Every figure of a jurisdiction pack against the rule that it is taken from. Not legal advice."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from apps.stores import jurisdictions
from apps.stores.jurisdictions import Clock, Pack

CLOCK = {field.name for field in fields(Clock)}
RULES: dict[str, tuple[str, dict[str, Any]]] = {
    "GDPR 8(1): 16 years, younger with a guardian": ("eu", {"min_age": 16, "guardian": True}),
    "GDPR 12(3): one month, once extended by two": (
        "eu",
        {"months": 1, "days": 0, "extension_months": 2, "identity_stops": True},
    ),
    "GDPR 33(1): 72 hours": ("eu", {"breach_hours": 72}),
    "UK GDPR 8(1): 13 years": ("uk", {"min_age": 13, "guardian": True}),
    "UK GDPR 12(3) and 12A: one month, once extended by two": (
        "uk",
        {"months": 1, "days": 0, "extension_months": 2, "identity_stops": True},
    ),
    "UK GDPR 33(1): 72 hours": ("uk", {"breach_hours": 72}),
    "755 ILCS 5/11-1: 18 years": ("us-il", {"min_age": 18}),
    "740 ILCS 14/15(b): no lane without a release of everybody in it": (
        "us-il",
        {"modes": frozenset({"count", "pass"})},
    ),
    "Tex. Bus. & Com. Code 541.052(b): 45 days, once extended by 45": (
        "us-tx",
        {"months": 0, "days": 45, "extension_months": 0, "extension_days": 45},
    ),
    "Tex. Bus. & Com. Code 521.053(i): 30 days": ("us-tx", {"breach_hours": 30 * 24}),
    "Tex. Bus. & Com. Code 503.001(b): no lane": ("us-tx", {"modes": frozenset({"count", "pass"})}),
    "PIPL 31: 14 years, younger with a guardian": ("cn", {"min_age": 14, "guardian": True}),
    "PIPL 50: promptly, no extension": (
        "cn",
        {"months": 0, "days": 15, "extension_months": 0, "extension_days": 0},
    ),
    "PIPL 57: at once": ("cn", {"breach_hours": 0}),
    "Measures on face recognition of 2025, 15: 100,000 people": ("cn", {"faces_limit": 100_000}),
    "OAIC, APP Guidelines B.58: 15 years": ("au", {"min_age": 15}),
    "OAIC, APP Guidelines 12.67: 30 calendar days": (
        "au",
        {"months": 0, "days": 30, "extension_days": 0},
    ),
    "Privacy Act 1988 26WH(2): 30 days": ("au", {"breach_hours": 30 * 24}),
    "Bunnings [2026] ARTA 130: no lane": ("au", {"modes": frozenset({"count", "pass"})}),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_pack_keeps(rule: str) -> None:
    code, figures = RULES[rule]
    pack = jurisdictions.get(code)
    of = {name: pack.clock if name in CLOCK else pack for name in figures}
    assert {name: getattr(of[name], name) for name in figures} == figures


def packs() -> dict[str, Pack]:
    return {code: jurisdictions.get(code) for code in jurisdictions.codes()}


def test_the_seven_packs_ship() -> None:
    assert jurisdictions.codes() == {"eu", "uk", "us-il", "us-tx", "cn", "au", "strict"}


def test_bipa_15a_and_cubi_503_001c_everything_goes_in_time() -> None:
    """740 ILCS 14/15(a): three years after the last interaction at the latest. Tex. Bus. & Com.
    Code 503.001(c)(3): a year after the purpose is over at the latest."""
    assert jurisdictions.get("us-il").inactivity_days <= 3 * 365
    assert jurisdictions.get("us-tx").inactivity_days <= 365


@pytest.mark.parametrize("code", sorted(jurisdictions.codes()))
def test_every_figure_names_its_rule(code: str) -> None:
    pack = jurisdictions.get(code)
    named = {field.name for field in fields(Pack)} - {"code", "name", "source"}
    named = named - {"renew_min_days", "renew_max_days"} | {"renew_days"}
    named |= {"extension", "identity_stops"}
    assert pack.source.keys() == named
    assert all(pack.source.values())


def test_no_clock_is_shorter_than_that_of_the_default() -> None:
    """Months are taken as the shortest of them: 28 days for one, 59 for two."""
    first = {code: pack.clock.days + 28 * pack.clock.months for code, pack in packs().items()}
    assert min(first.values()) == first["strict"]
    strict = jurisdictions.get("strict").clock
    assert (strict.extension_months, strict.extension_days, strict.identity_stops) == (0, 0, False)


STRICTEST: dict[str, Callable[..., int]] = {
    "min_age": max,
    "max_term_days": min,
    "inactivity_days": min,
    "visit_days": min,
    "renew_min_days": max,
    "renew_max_days": min,
    "breach_hours": min,
    "assessment_days": min,
    "sign_check_days": min,
    "faces_limit": max,
    "guardian": min,
    "groups": min,
}


@pytest.mark.parametrize("figure", STRICTEST)
def test_the_default_is_as_strict_as_any(figure: str) -> None:
    of_all = [getattr(pack, figure) for pack in packs().values()]
    assert getattr(jurisdictions.get("strict"), figure) == STRICTEST[figure](of_all)


def test_the_default_permits_and_requires_as_the_strictest() -> None:
    strict = jurisdictions.get("strict")
    assert strict.modes == frozenset.intersection(*(pack.modes for pack in packs().values()))
    assert strict.requires == frozenset.union(*(pack.requires for pack in packs().values()))
