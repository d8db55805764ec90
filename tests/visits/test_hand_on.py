"""“For Linda”: a guest is handed to a colleague of the store, on every board, and handed back."""

import pytest
from django.test import Client
from django.utils.html import strip_tags

from apps.audit.models import Entry
from apps.privacy import selectors as privacy
from apps.stores.models import Store, User
from apps.visits.models import Visit
from tests.clients import browser
from tests.conftest import House
from tests.visits.test_board import (
    BOARD,
    Open,
    address,
    arrives,
    colleague,
    old_town,
    open_stream,
)

__all__ = ["address", "old_town", "open_stream"]  # fixtures of this module too


@pytest.fixture
def mia(house: House) -> User:
    return colleague(house, "Mia")


def hands(client: Client, visit: Visit, to: object, **headers: str) -> int:
    answer = client.post(f"{BOARD}visits/{visit.pk}/hand/", {"to": str(to)}, headers=headers)
    return answer.status_code


def test_a_guest_is_handed_on_and_back_on_every_board(
    house: House, mia: User, open_stream: Open
) -> None:
    visit = arrives(house)
    linda, streams = browser(house.staff), [open_stream(), open_stream(mia)]
    for stream in streams:
        assert 'data-testid="visit-for"' not in stream.next("visit").data
    for to, words in ((mia.pk, "For Mia"), (house.staff.pk, "For Linda"), ("", "")):
        assert hands(linda, visit, to) == 302
        for stream in streams:
            said = strip_tags(stream.next("visit").data)
            assert words in said
            assert ("For" in said) == bool(words)
    assert hands(linda, visit, "") == 302, "twice is once"
    handed = Entry.objects.filter(action="visit.handed_on").order_by("seq")
    assert [entry.detail["to"] for entry in handed] == [
        f"user:{mia.pk}",
        f"user:{house.staff.pk}",
        "",
    ]
    assert {entry.actor for entry in handed} == {f"user:{house.staff.pk}"}
    assert "asked a colleague to greet you" in [
        look.what for look in privacy.looks(visit.consent)
    ], "the guest reads it too"


def test_only_to_those_who_work_there_and_by_those(
    house: House, mia: User, old_town: Store
) -> None:
    visit = arrives(house)
    otto = colleague(house, "Otto", old_town)
    gone = colleague(house, "Gone")
    User.objects.filter(pk=gone.pk).update(is_active=False)
    linda = browser(house.staff)
    for nobody in (otto.pk, gone.pk, house.dpo.pk, 10**8, "x", "²", "9" * 30):
        assert hands(linda, visit, nobody) == 404, nobody
    assert hands(browser(otto), visit, mia.pk) == 404
    assert hands(browser(), visit, mia.pk) == 302, "to the log-in"
    visit.refresh_from_db()
    assert visit.handed_to is None
    page = linda.get(BOARD).content.decode()
    assert ">Mia</option>" in page
    assert "Otto" not in page
    assert "Gone" not in page


def test_where_one_works_alone_there_is_nobody_to_hand_to(house: House) -> None:
    arrives(house)
    assert 'data-testid="hand-open"' not in browser(house.staff).get(BOARD).content.decode()
