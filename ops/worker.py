"""Gives each of several testing processes servers, keys and sockets of its own; journeys go last.

`ops/test` starts one set a process and hands their environments on; this module is loaded as a
plugin before Django's settings are, and takes the one that belongs to the process it is in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

HOUSES = "CONSENTRY_TEST_HOUSES"


def handed_on(environments: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The variable by which a testing process finds its own environment."""
    return {HOUSES: json.dumps(environments)}


def take_own() -> None:
    """Make this process's environment that of its own servers; nothing in a process alone."""
    number = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    if number and HOUSES in os.environ:
        houses = json.loads(os.environ[HOUSES])
        os.environ.update(houses[int(number)])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Journeys last: the browser leaves its event loop in the process, and what runs beside a loop
    may not call an async view."""
    items.sort(key=lambda item: item.path.parent.name == "journeys")


take_own()
