"""What the published schema says is what is answered, whatever is asked (schemathesis)."""

from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from apps.stores.models import Store
from apps.systems.models import Told
from apps.visits.services import disclose
from tests.conftest import build_house
from tests.systems.others import Caller, let_in
from tests.visits.test_disclose import match_of

# Of each call, of what the schema allows and of what it does not.
EXAMPLES = 12


@pytest.fixture
def token(transactional_db: None) -> str:
    """Of a client that may do everything, in a store where somebody is."""
    house = build_house()
    disclose(match_of(house.visitor(), house))
    caller = Caller(let_in(house))
    assert caller.get(f"stores/{house.store.pk}/visits").status_code == 200
    return caller.token


def test_every_call_answers_as_its_schema_says(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No 5xx, every status and body as documented, nothing without a token, one shape of errors."""
    # It tries wrong tokens with each of them.
    monkeypatch.setattr("apps.api.calls.GUESSES", 1_000_000)
    published = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", WSGIHandler())
    assert published.raw_schema["openapi"].startswith("3.1")
    statuses: dict[str, set[int]] = {}
    store = str(Store.objects.get().pk)

    def asked(operation: Any, mode: GenerationMode) -> None:
        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        def ask(case: schemathesis.Case) -> None:
            if mode == GenerationMode.POSITIVE:
                real(case, store)
            answer = case.call_and_validate(headers={"Authorization": f"Bearer {token}"})
            statuses.setdefault(operation.label, set()).add(answer.status_code)
            if answer.status_code >= 400:
                assert answer.headers["content-type"] == ["application/problem+json"]

        ask()

    for found in published.get_all_operations():
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            asked(found.ok(), mode)  # type: ignore[union-attr]
    assert len(statuses) == 9
    assert [label for label, seen in statuses.items() if not seen & {200, 201}] == []


def real(case: schemathesis.Case, store: str) -> None:
    """Ask for the store and the person that there are, where one is asked for, and write down
    nothing of anybody whom nobody knows."""
    if "store" in (case.path_parameters or {}):
        case.path_parameters["store"] = store
    if "person" in (case.path_parameters or {}):
        case.path_parameters["person"] = str(Told.objects.get().person)
    if isinstance(case.body, dict) and "store" in case.body:
        case.body.update(store=store, person=None)
