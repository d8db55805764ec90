"""The benches run from end to end on a small scale, and say what they measured.

No figure is judged here: whether a reach is held depends on the machine and on its other work.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import cluster
from tests.conftest import ROOT


def bench(state: Path, *arguments: str, **environment: str) -> dict[str, Any]:
    """The bench's last line."""
    done = subprocess.run(
        [sys.executable, "-m", "ops.benches", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment, "CONSENTRY_STATE_DIR": str(state)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout.strip(), done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_a_clip_goes_through_the_whole_pipeline(tmp_path: Path) -> None:
    picture = tmp_path / "profile.png"
    said = bench(
        tmp_path / "state", "pipeline", "--frames", "2", "--no-peers", "--profile", str(picture)
    )
    assert said["frames"] == 2
    assert said["faces"] == {"ours": 6}
    assert said["floor_ratio"] > 0
    assert set(said["stages_ms"]) >= {"wait, convert", "detect", "track", "embed", "match"}
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_camera_reports_what_it_saw_and_what_it_dropped(tmp_path: Path) -> None:
    said = bench(tmp_path / "state", "fleet", "--cameras", "1", "--fps", "5", "--seconds", "4")
    assert said["cameras"] == 1
    assert said["frames_done"] + said["frames_dropped"] > 0
    assert said["cpu_s"] > 0
    assert said["mib"] > 0


def test_workers_that_are_killed_leave_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    said = bench(tmp_path / "state", "sweep", "--rows", "600", "--kills", "2")
    assert (said["done"], said["distinct"], said["left"]) == (600, 600, 0)
    assert said["said_in_ledger"] == 600
    assert (said["kills"], said["certified_people"], said["ledger_ok"]) == (2, 6, True)


def test_whatever_dies_meanwhile_each_row_goes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # Servers of its own: it kills them.
    monkeypatch.delenv("REDIS_URL", raising=False)
    with cluster() as town:
        small = ("--rows", "200", "--kills", "8", "--workers", "1", "--seed", "3")
        said = bench(town.folder.root, "chaos", *small, **town.environment)
    assert (said["done"], said["distinct"], said["left"]) == (200, 200, 0)
    assert (said["certified_people"], said["certificates"], said["unlisted"]) == (50, 50, 0)
    assert (said["said_in_ledger"], said["ledger_ok"]) == (200, True)
    assert (said["disclosed"], said["kept_disclosed"]) == (0, True)
    assert len(said["by_kind"]) == said["blows"] == 8


def test_six_days_of_arrivals_leave_nothing_of_a_stranger(tmp_path: Path) -> None:
    said = bench(tmp_path / "state", "replay", "--arrivals", "2000", "--days", "6")
    assert (said["stores"], said["cameras"]) == (7, 22)
    assert said["visits"] > 0
    assert said["outcomes"]["signed"] > 0
    assert (said["bystander_rows"], said["unlawful_matches"]) == (0, 0)
    assert (said["overdue_max_s"], said["overdue_kinds"], said["left_in_the_end"]) == (0, 0, 0)
    assert said["unanswered_max_s"] == 0
    assert said["parts"]["desk"]["calls"] == 7


def test_every_open_board_has_every_card_once_and_each_look_is_written(tmp_path: Path) -> None:
    said = bench(tmp_path / "state", "board", "--boards", "6", "--stores", "2", "--rounds", "2")
    assert (said["boards"], said["visits"], said["came_back"]) == (6, 4, 2)
    assert (said["missed"], said["twice"], said["ended"]) == (0, 0, 0)
    assert said["looks"] == 12
    assert said["p95_ms"] > 0
