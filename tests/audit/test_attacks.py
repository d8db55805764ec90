"""A ledger rewritten whole, signed heads included, is found by the heads that were exported."""

import copy
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from apps.audit import checks, heads, signing
from apps.audit import services as audit
from apps.audit.models import Entry, LedgerCheck
from tests.audit.forging import rewrite
from tests.database import run, without_triggers

Entries = list[Entry]


def wrote(count: int) -> None:
    for number in range(count):
        audit.record(actor="test", action="wrote", number=number)


@pytest.fixture
def exported(db: None) -> str:
    """Eleven entries; heads after the fifth and the ninth, in the database and outside it."""
    wrote(5)
    heads.export(audit.checkpoint().signature)
    wrote(4)
    head = audit.checkpoint().signature
    heads.export(head)
    wrote(2)
    return head


def changed(entries: Entries) -> Entries:
    entries[3].actor = "somebody else"
    return entries


def one_more(entries: Entries) -> Entries:
    made_up = copy.copy(entries[2])
    made_up.action = "made.up"
    return [*entries[:3], made_up, *entries[3:]]


REWRITINGS: dict[str, tuple[Callable[[Entries], Entries], str]] = {
    "one entry says something else": (changed, "an entry up to 5 was changed"),
    "the last ones are dropped": (lambda all_: all_[:8], "entries after 8 are missing"),
    "one in the middle is dropped": (
        lambda all_: [*all_[:6], *all_[7:]],
        "an entry up to 9 was changed",
    ),
    "two changed places": (
        lambda all_: [all_[1], all_[0], *all_[2:]],
        "an entry up to 5 was changed",
    ),
    "one is put in": (one_more, "an entry up to 5 was changed"),
    "an old dump is put back, and went on": (
        lambda all_: [*all_[:7], *copy.deepcopy(all_[9:]), *copy.deepcopy(all_[9:])],
        "an entry up to 9 was changed",
    ),
    "nothing is left": (lambda all_: all_[-1:], "entries after 1 are missing"),
}


@pytest.mark.parametrize("name", REWRITINGS)
def test_a_database_that_agrees_with_itself_is_found_by_what_left_it(
    exported: str, name: str
) -> None:
    change, problem = REWRITINGS[name]
    assert audit.verify().exported == 2
    rewrite(change)
    found = audit.verify()
    assert (found.ok, problem in found.problem) == (False, True), found
    assert "exported" in found.problem
    # Nothing else tells: without that file, this ledger is as good as any.
    heads.path().unlink()
    assert audit.verify().ok


def test_a_forged_line_among_the_exported_heads_is_found(exported: str, tmp_path: Path) -> None:
    signing.create_key(tmp_path / "forger.pem")
    head = heads.read(exported, signing.public_jwk())
    forged = signing.Signer.load(tmp_path / "forger.pem").sign(
        {"size": head.size, "root": head.root, "at": head.at.isoformat()}, heads.CHECKPOINT_TYPE
    )
    for line in (forged, "nonsense", "", signing.sign({"size": 9}, heads.CHECKPOINT_TYPE)):
        heads.path().write_text(f"{exported}\n{line}\n")
        assert audit.verify().problem == "line 2 of the exported heads is not signed by this house"


# The file.


def test_a_head_is_exported_once_and_a_torn_line_costs_nothing(exported: str) -> None:
    assert not heads.export(exported)
    lines = heads.exported()
    assert (len(lines), lines[-1]) == (2, exported)
    with heads.path().open("a") as file:
        file.write(exported[:40])
    assert heads.exported() == lines
    assert audit.verify().ok
    latest = audit.checkpoint().signature
    assert heads.export(latest)
    assert heads.exported() == [*lines, latest]


def test_where_no_file_can_be_written_it_is_said(exported: str, settings: Settings) -> None:
    there = heads.path()
    settings.CONSENTRY = settings.CONSENTRY.model_copy(update={"checkpoint_dir": there})
    with pytest.raises(heads.HeadsUnwritable, match=re.escape(str(there))):
        heads.export(exported)


# The scheduled check.


def test_the_new_part_is_walked_every_hour_and_all_of_it_once_a_day(exported: str) -> None:
    assert [checks.check().first, checks.check().first] == [0, 11]
    wrote(3)
    part = checks.check()
    assert (part.first, part.entries, part.ok) == (11, 14, True)
    assert part.root == audit.verify().root
    LedgerCheck.objects.update(at=part.at - checks.FULL_EVERY)
    assert checks.check().first == 0
    assert checks.check(full=True).first == 0


def test_what_breaks_the_past_is_found_by_the_new_part_too_where_it_can_be(exported: str) -> None:
    """A change of an old row alone waits for the daily walk; what moves a root does not."""
    checks.check()
    rewrite(changed)
    wrote(1)
    part = checks.check()
    assert (part.first, part.ok) == (11, False)
    assert part.problem == "an entry up to 11 was changed after it was checked"


def test_a_broken_ledger_stays_broken_until_it_is_whole(exported: str) -> None:
    checks.check()
    with without_triggers("audit_entry"):
        run("UPDATE audit_entry SET actor = 'x' WHERE seq = 2")
    assert checks.check().ok
    assert not checks.check(full=True).ok
    wrote(1)
    # Not from where the last good one ended: the new part alone would look well.
    again = checks.check()
    assert (again.first, again.problem) == (0, "entry 2 was changed")
    with without_triggers("audit_entry"):
        run("UPDATE audit_entry SET actor = 'test' WHERE seq = 2")
    assert checks.check().ok


def test_the_command_compares_with_the_exported_heads(exported: str) -> None:
    rewrite(changed)
    with pytest.raises(CommandError, match="after the head that was exported"):
        call_command("ledger", "verify")
