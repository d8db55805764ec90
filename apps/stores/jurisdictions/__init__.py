"""Jurisdiction packs: the law as data, one TOML file each. A store names its pack."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Clock:
    """By when a request is answered: so many months and days after it was received.

    They are counted on the calendars and wall clocks of `zones`, and the earliest end holds: see
    stores.deadlines, also for which of a jurisdiction's zones are among them. An extension adds
    `extension_months` and `extension_days` once; 0: there is none. `identity_stops`: whether the
    clock stands still while a proof of identity is awaited.
    """

    zones: tuple[str, ...]
    months: int = 0
    days: int = 0
    extension_months: int = 0
    extension_days: int = 0
    identity_stops: bool = False


@dataclass(frozen=True, slots=True)
class Pack:
    """One jurisdiction's figures; `source` names the rule behind each.

    `guardian`: whether who is younger than `min_age` may agree with a parent or guardian who
    co-signs in person; else they cannot agree at all.
    `groups`: whether somebody may agree to be recognised in other stores of a group too.
    `requires`: sections without which no notice is published, of `consent.wording.Section`.
    `renew_min_days` to `renew_max_days`: how long consents to a former notice last after a
    material change.
    `breach_hours`: from learning of a breach to telling the authority; 0: at once.
    `assessment_days`: how long an impact assessment holds at most before it is made anew.
    `sign_check_days`: after how many days somebody looks again whether a camera's sign hangs.
    `faces_limit`: from how many people's faces on the use is filed with the authority; 0: never.
    """

    code: str
    name: str
    min_age: int
    guardian: bool
    max_term_days: int
    inactivity_days: int
    visit_days: int
    renew_min_days: int
    renew_max_days: int
    breach_hours: int
    assessment_days: int
    sign_check_days: int
    faces_limit: int
    groups: bool
    clock: Clock
    modes: frozenset[str]
    requires: frozenset[str]
    source: dict[str, str]


@cache
def codes() -> frozenset[str]:
    """Codes of all packs that ship."""
    return frozenset(path.stem for path in FOLDER.glob("*.toml"))


@cache
def get(code: str) -> Pack:
    """Return the pack of a code. Raises KeyError for one that does not ship."""
    if code not in codes():
        raise KeyError(code)
    data = tomllib.loads((FOLDER / f"{code}.toml").read_text(encoding="utf-8"))
    modes, requires = (frozenset(data.pop(name)) for name in ("modes", "requires"))
    given = data.pop("clock")
    clock = Clock(zones=tuple(given.pop("zones")), **given)
    return Pack(code=code, clock=clock, modes=modes, requires=requires, **data)
