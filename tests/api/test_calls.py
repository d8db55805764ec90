"""Other systems at the door: one token, the stores of its client, every call in the ledger."""

from django.utils import timezone

from apps.audit.models import Entry
from apps.systems.models import Token
from tests.conftest import House
from tests.systems.others import Caller, let_in
from tests.visits.test_disclose import old_town


def test_a_client_sees_its_stores_and_the_ledger_sees_the_call(house: House) -> None:
    old_town(house)
    caller = Caller(let_in(house))
    answer = caller.get("stores")
    assert answer.status_code == 200
    assert [each["id"] for each in answer.json()["stores"]] == [str(house.store.pk)]
    entry = Entry.objects.latest("seq")
    assert (entry.actor, entry.action) == (f"client:{caller.client.pk}", "api.stores")
    token = Token.objects.get()
    assert token.last_used_on == timezone.now().date()
    assert caller.token not in str(Token.objects.values())
