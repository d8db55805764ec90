"""Jurisdiction packs: the law as data, one TOML file each. A store names its pack."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Pack:
    """One jurisdiction's figures; `source` names the rule behind each.

    `guardian`: whether who is younger than `min_age` may agree with a parent or guardian who
    co-signs in person; else they cannot agree at all.
    `groups`: whether somebody may agree to be recognised in other stores of a group too.
    `requires`: sections without which no notice is published, of `consent.wording.Section`.
    `renew_min_days` to `renew_max_days`: how long consents to a former notice last after a
    material change.
    `request_days`: in which a request is answered; where `request_months` is set, the law counts
    in calendar months and that many days are never later. `extension_days`, `extension_months`:
    the one extension, likewise; 0: there is none.
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
    request_days: int
    request_months: int
    extension_days: int
    extension_months: int
    renew_min_days: int
    renew_max_days: int
    breach_hours: int
    assessment_days: int
    sign_check_days: int
    faces_limit: int
    groups: bool
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
    return Pack(code=code, modes=modes, requires=requires, **data)
