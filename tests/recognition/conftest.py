"""The starter pack, built once a run from the installed carrier wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.recognition.engine.packs import Pack, load_pack
from apps.recognition.engine.starter import build_starter


@pytest.fixture(scope="session")
def starter_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_starter(tmp_path_factory.mktemp("packs") / "starter")


@pytest.fixture(scope="session")
def starter(starter_dir: Path) -> Pack:
    return load_pack(starter_dir, threads=2)
