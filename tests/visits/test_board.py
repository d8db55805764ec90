"""The floor board: one store's visits, to its own staff, at once and for as long as allowed."""

import asyncio
import contextlib
import http.client
import re
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from queue import Empty, Queue

import pytest
from django.contrib.auth.hashers import make_password
from django.db import connection
from django.test import Client
from django.utils import timezone
from django.utils.html import strip_tags
from pydantic import SecretStr
from pytest_django.fixtures import Settings

from apps.audit.models import Entry
from apps.consent import services as consents
from apps.consent.models import Consent, Purpose
from apps.retention.models import Erasure
from apps.retention.services.erase import erase
from apps.stores.models import Role, Store, User
from apps.visitors.models import Visitor
from apps.visitors.services import restrict
from apps.visits import feed
from apps.visits.feed import WAITING, Board
from apps.visits.models import Visit
from apps.visits.services import announce, disclose
from tests.clients import browser, served
from tests.conftest import House, hashed
from tests.visits.test_disclose import match_of, visit_of

BOARD = "/floor/harbour-street/"


def arrives(house: House, name: str = "Ms Chen") -> Visit:
    """A visitor comes in and is recognised."""
    return visit_of(disclose(match_of(house.visitor(name), house)))


def names(page: str) -> list[str]:
    return re.findall(r'data-testid="visit-name"[^>]*>([^<]*)<', page)


def shown(client: Client, path: str = BOARD) -> list[str]:
    """The names on a board, newest first."""
    answer = client.get(path)
    assert answer.status_code == 200
    return names(answer.content.decode())


@pytest.fixture
def linda(house: House) -> Client:
    return browser(house.staff)


def colleague(house: House, name: str, store: Store | None = None) -> User:
    user = User.objects.create(username=name.lower(), password=hashed(), first_name=name)
    Role.objects.create(user=user, store=store or house.store, kind=Role.Kind.STAFF)
    return user


@pytest.fixture
def old_town(house: House) -> Store:
    return Store.objects.create(
        organization=house.organization, name="Old Town", slug="old-town", jurisdiction="eu"
    )


# What a board shows.


def test_a_board_shows_who_is_here_newest_first(house: House, linda: Client) -> None:
    arrives(house, "Ms Chen")
    arrives(house, "Mr Okoye")
    assert shown(linda) == ["Mr Okoye", "Ms Chen"]


def test_a_returning_visitor_has_a_number_and_a_last_visit(house: House, linda: Client) -> None:
    visitor = house.visitor()
    disclose(match_of(visitor, house))
    away = timezone.now() - timedelta(days=3)
    Visit.objects.update(arrived_at=away, last_seen_at=away)
    disclose(match_of(visitor, house))
    page = linda.get(BOARD).content.decode()
    assert "Visit 2" in page
    assert f'datetime="{away:%Y-%m-%d}"' in page


def test_without_an_agreed_history_the_card_says_nothing_of_earlier_visits(
    house: House, linda: Client
) -> None:
    visitor = house.visitor(purposes=[Purpose.LANE])
    disclose(match_of(visitor, house))
    Visit.objects.update(
        arrived_at=timezone.now() - timedelta(hours=1),
        last_seen_at=timezone.now() - timedelta(hours=1),
    )
    disclose(match_of(visitor, house))
    page = linda.get(BOARD).content.decode()
    assert 'data-testid="visit-number"' not in page
    assert 'data-testid="visit-last"' not in page


def withdrawn(visit: Visit) -> None:
    consents.withdraw(consent=visit.consent, actor="self")


def restricted(visit: Visit) -> None:
    restrict(visitor=visit.visitor, restricted=True, actor="test")


def erased(visit: Visit) -> None:
    erase(visitor=visit.visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")


def consent_over(visit: Visit) -> None:
    """Shortened to now: the database lets a consent only end earlier."""
    Consent.objects.update(expires_at=timezone.now())


def past_its_time(visit: Visit) -> None:
    Visit.objects.update(delete_after=timezone.now())


def hours_ago(visit: Visit) -> None:
    Visit.objects.update(arrived_at=timezone.now() - timedelta(hours=5))


ENDS = [withdrawn, restricted, erased, consent_over, past_its_time, hours_ago]


@pytest.mark.parametrize("end", ENDS)
def test_whoever_may_not_be_shown_is_off_the_board(
    house: House, linda: Client, end: Callable[[Visit], None]
) -> None:
    visit = arrives(house)
    assert shown(linda) == ["Ms Chen"]
    end(visit)
    assert shown(linda) == []
    assert linda.post(f"{BOARD}visits/{visit.pk}/greet/").status_code == 404


def test_a_board_is_its_own_stores_alone(house: House, old_town: Store, linda: Client) -> None:
    visit = arrives(house)
    otto = browser(colleague(house, "Otto", old_town))
    assert shown(otto, "/floor/old-town/") == []
    for path in (BOARD, f"{BOARD}events/", "/floor/nowhere/", "/floor/nowhere/events/"):
        assert otto.get(path).status_code == 404, path
    assert otto.post(f"{BOARD}visits/{visit.pk}/greet/").status_code == 404
    wrong_store = f"/floor/old-town/visits/{visit.pk}/greet/"
    assert otto.post(wrong_store).status_code == 404
    visit.refresh_from_db()
    assert visit.greeted_at is None


def test_a_board_needs_a_log_in_and_the_staff_role(house: House) -> None:
    arrives(house)
    stranger, officer = browser(), browser(house.dpo)
    assert stranger.get(BOARD)["Location"].startswith("/login/")
    assert stranger.get(f"{BOARD}events/").status_code == 404
    assert officer.get(BOARD).status_code == 404
    assert officer.get("/floor/").status_code == 403


def test_the_first_page_of_the_floor_is_the_own_store(house: House, linda: Client) -> None:
    assert linda.get("/floor/")["Location"] == BOARD


def test_an_empty_board_says_so_and_refreshes_without_a_script(house: House, linda: Client) -> None:
    page = linda.get(BOARD).content.decode()
    assert "Nobody who opted in is here" in page
    assert '<noscript><meta http-equiv="refresh" content="10"></noscript>' in page


def test_each_name_shown_is_one_look_of_one_person(house: House, linda: Client) -> None:
    visit = arrives(house)
    for _refresh in range(3):
        linda.get(BOARD)
    browser(colleague(house, "Mia")).get(BOARD)
    looks = Entry.objects.filter(action="visit.shown", detail__visit=str(visit.pk))
    assert looks.count() == 2
    assert looks.filter(actor=f"user:{house.staff.pk}").count() == 1


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", '"><script>', "שרה \u202eevil"])
def test_a_name_is_text_on_the_board(house: House, linda: Client, name: str) -> None:
    arrives(house, name)
    page = linda.get(BOARD).content.decode()
    assert "<img src=x" not in page
    assert "<script>" not in page
    # The direction of one name must not spill over the card.
    assert re.search(r'<h2[^>]*data-testid="visit-name"[^>]*dir="auto"', page)


def test_a_board_takes_as_many_queries_for_many_as_for_one(house: House, linda: Client) -> None:
    from django.test.utils import CaptureQueriesContext

    arrives(house)
    linda.get(BOARD)
    with CaptureQueriesContext(connection) as one:
        linda.get(BOARD)
    for index in range(4):
        arrives(house, f"Visitor {index}")
    linda.get(BOARD)
    with CaptureQueriesContext(connection) as five:
        linda.get(BOARD)
    # Per name, the person's salt, by which their look is found in the ledger.
    assert len(five) - len(one) <= 4


def test_a_wall_shows_the_same_with_nothing_to_tap_for(house: House, linda: Client) -> None:
    visit = arrives(house)
    page = linda.get(f"{BOARD}wall/").content.decode()
    assert names(page) == ["Ms Chen"]
    assert 'class="floor is-wall"' in page
    assert 'data-testid="witness-new"' not in page
    assert '<noscript><meta http-equiv="refresh" content="10"></noscript>' in page
    assert Entry.objects.filter(action="visit.shown", detail__visit=str(visit.pk)).count() == 1
    assert browser(house.dpo).get(f"{BOARD}wall/").status_code == 404


# Greeting.


def test_the_first_tap_greets_and_the_second_changes_nothing(house: House, linda: Client) -> None:
    visit = arrives(house)
    address = f"{BOARD}visits/{visit.pk}/greet/"
    assert linda.post(address)["Location"] == BOARD
    mia = browser(colleague(house, "Mia"))
    assert "Greeted by Linda" in strip_tags(mia.post(address, follow=True).content.decode())
    visit.refresh_from_db()
    assert visit.greeted_by == house.staff
    assert Entry.objects.filter(action="visit.greeted").count() == 1


def test_of_many_taps_at_once_one_greets(house: House, transactional_db: None) -> None:
    visit = arrives(house)
    people = [browser(colleague(house, f"Person{index}")) for index in range(6)]

    def tap(client: Client) -> int:
        try:
            return client.post(f"{BOARD}visits/{visit.pk}/greet/").status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        assert set(threads.map(tap, people)) == {302}
    (greeted,) = Entry.objects.filter(action="visit.greeted")
    visit.refresh_from_db()
    assert visit.greeted_by is not None
    assert greeted.actor == f"user:{visit.greeted_by.pk}"


def test_a_partial_greeting_answers_with_the_card(house: House, linda: Client) -> None:
    visit = arrives(house)
    answer = linda.post(
        f"{BOARD}visits/{visit.pk}/greet/", headers={"Consentry-Partial": "1"}
    ).content.decode()
    assert answer.lstrip().startswith(f'<li id="visit-{visit.pk}"')
    assert "Greeted by Linda" in strip_tags(answer)


def test_a_greeting_is_a_post_of_our_own_page(house: House) -> None:
    visit = arrives(house)
    address = f"{BOARD}visits/{visit.pk}/greet/"
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(house.staff)
    assert strict.get(address).status_code == 405
    assert strict.post(address).status_code == 403
    visit.refresh_from_db()
    assert visit.greeted_at is None


# Live.


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    id: int | None
    data: str


ENDED = Event("ended", None, "")
WITHIN = 5.0


class Stream:
    """One open event stream, read as a browser reads it."""

    def __init__(
        self,
        address: tuple[str, int],
        user: User,
        query: str = "",
        last: int = 0,
        language: str = "en",
    ):
        session = browser(user).cookies["sessionid"].value
        headers = {"Cookie": f"sessionid={session}", "Accept-Language": language}
        if last:
            headers["Last-Event-ID"] = str(last)
        self._connection = http.client.HTTPConnection(*address, timeout=20)
        self._connection.request("GET", f"{BOARD}events/{query}", headers=headers)
        self._socket = self._connection.sock
        self.response = self._connection.getresponse()
        self._events: Queue[Event] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        fields: dict[str, str] = {}
        try:
            while line := self.response.readline().decode():
                name, _, value = line.rstrip("\n").partition(": ")
                if name:
                    fields[name] = fields[name] + "\n" + value if name in fields else value
                elif "event" in fields:
                    last = int(fields["id"]) if "id" in fields else None
                    self._events.put(Event(fields["event"], last, fields.get("data", "")))
                    fields = {}
                else:
                    fields = {}
        except (OSError, ValueError, http.client.HTTPException):
            pass
        self._events.put(ENDED)

    def next(self, name: str, within: float = WITHIN) -> Event:
        """The next event of this name; others before it are passed over."""
        while True:
            try:
                event = self._events.get(timeout=within)
            except Empty:
                raise AssertionError(f"no “{name}” within {within} s") from None
            if event.name == name:
                return event
            assert event is not ENDED, f"the stream ended before “{name}”"

    def here(self) -> set[str]:
        """Who may be shown now, by the next word about it."""
        return set(self.next("here").data.split())

    def close(self) -> None:
        with contextlib.suppress(OSError):
            # Closed already when the server ended the stream.
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join(timeout=5)
        self.response.close()
        self._connection.close()


Open = Callable[..., Stream]


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    with served() as where:
        yield where


@pytest.fixture
def open_stream(address: tuple[str, int], house: House, transactional_db: None) -> Iterator[Open]:
    streams: list[Stream] = []

    def start(
        user: User | None = None, query: str = "", last: int = 0, language: str = "en"
    ) -> Stream:
        streams.append(Stream(address, user or house.staff, query, last, language))
        return streams[-1]

    yield start
    for stream in streams:
        stream.close()


def test_a_stream_is_for_this_reader_and_not_kept(house: House, open_stream: Open) -> None:
    response = open_stream().response
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Accel-Buffering"] == "no"


def test_an_arrival_is_on_an_open_board_at_once(house: House, open_stream: Open) -> None:
    stream = open_stream()
    assert stream.here() == set()
    visit = arrives(house, "<b>Ms Chen</b>")
    event = stream.next("visit", within=2)
    assert event.id == visit.sequence
    assert names(event.data) == ["&lt;b&gt;Ms Chen&lt;/b&gt;"]
    assert stream.here() == {str(visit.pk)}


def test_what_comes_by_itself_is_a_look_of_each_reader_once(
    house: House, open_stream: Open
) -> None:
    people = [house.staff, colleague(house, "Mia"), colleague(house, "Otto")]
    streams = [open_stream(person) for person in people for _display in range(2)]
    for stream in streams:
        assert stream.here() == set()
    visit = arrives(house)
    # In each reader's own form: whoever taps another's is refused.
    tokens = {
        re.findall(r'middlewaretoken" value="(\w+)"', stream.next("visit").data)[0]
        for stream in streams
    }
    assert len(tokens) == len(streams)
    looks = Entry.objects.filter(action="visit.shown", detail__visit=str(visit.pk))
    assert sorted(look.actor for look in looks) == sorted(f"user:{each.pk}" for each in people)


def test_each_board_is_told_in_its_own_language(house: House, open_stream: Open) -> None:
    words = {"en": "A sure match", "fr": "Reconnaissance sûre", "zh-hans": "识别把握大"}
    streams = {language: open_stream(language=language) for language in words}
    for stream in streams.values():
        assert stream.here() == set()
    arrives(house)
    for language, stream in streams.items():
        assert words[language] in stream.next("visit").data


def test_a_board_that_does_not_listen_is_ended_to_come_back(house: House) -> None:
    async def told() -> list[str | None]:
        board = Board(house.staff, "session", "en", "token", 0)
        for number in range(WAITING):
            board.tell(str(number))
        first = await board.next()
        for _more in range(2):
            board.tell("one too many")
        return [first, await board.next()]

    assert asyncio.run(told()) == ["0", None]


def test_a_greeting_is_on_every_open_board(house: House, open_stream: Open) -> None:
    visit = arrives(house)
    mine, other = open_stream(), open_stream(colleague(house, "Mia"))
    first = [stream.next("visit") for stream in (mine, other)]
    browser(house.staff).post(f"{BOARD}visits/{visit.pk}/greet/")
    for stream, before in zip((mine, other), first, strict=True):
        event = stream.next("visit", within=2)
        assert "Greeted by Linda" in strip_tags(event.data)
        assert event.id is not None
        assert before.id is not None
        assert event.id > before.id


def test_not_this_person_and_its_undo_are_on_every_open_board(
    house: House, open_stream: Open
) -> None:
    mistaken, staying = arrives(house, "Ms Chen"), arrives(house, "Mr Okoye")
    both = {str(mistaken.pk), str(staying.pk)}
    streams = [open_stream(), open_stream(colleague(house, "Mia"))]
    assert [stream.here() for stream in streams] == [both, both]
    linda, tap = browser(house.staff), f"{BOARD}visits/{mistaken.pk}/wrong/"
    linda.post(tap)
    for stream in streams:
        assert stream.here() == {str(staying.pk)}
    linda.post(f"{tap}undo/")
    for stream in streams:
        back = stream.next("visit", within=2)
        assert names(back.data) == ["Ms Chen"]
        assert back.id is not None
        assert back.id > staying.sequence
        assert stream.here() == both


def test_whoever_withdraws_is_off_every_open_board_at_once(house: House, open_stream: Open) -> None:
    leaving, staying = arrives(house, "Ms Chen"), arrives(house, "Mr Okoye")
    stream = open_stream()
    assert stream.here() == {str(leaving.pk), str(staying.pk)}
    erase(visitor=leaving.visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")
    assert stream.here() == {str(staying.pk)}


def test_a_board_that_comes_back_misses_nothing_and_repeats_nothing(
    house: House, open_stream: Open
) -> None:
    first, second, third = (arrives(house, f"Visitor {index}") for index in range(3))
    stream = open_stream(last=first.sequence)
    assert [stream.next("visit").id for _each in range(2)] == [second.sequence, third.sequence]
    assert len(stream.here()) == 3
    stream.close()

    away = arrives(house, "Came while the line was down")
    back = open_stream(last=third.sequence)
    assert back.next("visit").id == away.sequence
    live = arrives(house, "Came after")
    assert back.next("visit").id == live.sequence


def test_a_page_that_was_just_read_gets_only_what_is_newer(house: House, open_stream: Open) -> None:
    arrives(house, "Ms Chen")
    page = browser(house.staff).get(BOARD).content.decode()
    found = re.search(rf'data-events-url="{BOARD}events/(\?since=\d+)"', page)
    assert found
    newer = arrives(house, "Mr Okoye")
    assert open_stream(query=found[1]).next("visit").id == newer.sequence


@pytest.mark.parametrize("since", ["²", "-1", "1e9", "9" * 5000, "", "x"])
def test_a_since_that_is_no_number_begins_at_the_beginning(
    house: House, open_stream: Open, since: str
) -> None:
    from urllib.parse import quote

    visit = arrives(house)
    assert open_stream(query=f"?since={quote(since)}").next("visit").id == visit.sequence


def test_without_redis_a_board_still_hears_of_everyone(
    house: House, open_stream: Open, settings: Settings, tmp_path: Path
) -> None:
    nobody = SecretStr(f"unix://{tmp_path / 'nobody.sock'}")
    settings.CONSENTRY = settings.CONSENTRY.model_copy(update={"redis_url": nobody})
    stream = open_stream()
    assert stream.here() == set()
    visit = arrives(house)
    assert stream.next("visit").id == visit.sequence
    assert stream.here() == {str(visit.pk)}
    erase(visitor=visit.visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")
    assert stream.here() == set()


def role_lost(house: House) -> None:
    Role.objects.filter(user=house.staff).delete()


def logged_out(house: House) -> None:
    from django.contrib.sessions.models import Session

    Session.objects.all().delete()


def dismissed(house: House) -> None:
    User.objects.filter(pk=house.staff.pk).update(is_active=False)


def password_changed(house: House) -> None:
    User.objects.filter(pk=house.staff.pk).update(password=make_password("another"))


@pytest.mark.parametrize("end", [role_lost, logged_out, dismissed, password_changed])
def test_a_stream_ends_with_its_readers_right_to_it(
    house: House, open_stream: Open, end: Callable[[House], None]
) -> None:
    stream = open_stream()
    stream.here()
    end(house)
    announce(house.store.pk, 0)
    assert stream.next(ENDED.name) is ENDED


def test_boards_that_nobody_would_tell_anything_any_more_are_ended(
    open_stream: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def deaf(*_about: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(feed, "something_new", deaf)
    assert open_stream().next(ENDED.name) is ENDED


def test_many_boards_hold_no_connection_to_the_database(house: House, open_stream: Open) -> None:
    def connections() -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            )
            return int(cursor.fetchone()[0])

    before = connections()
    streams = [open_stream() for _board in range(6)]
    for stream in streams:
        assert stream.here() == set()
    visit = arrives(house)
    for stream in streams:
        assert stream.next("visit").id == visit.sequence
        assert stream.here() == {str(visit.pk)}
    assert connections() <= before + 1


def test_another_stores_arrival_is_no_event_here(
    house: House, old_town: Store, open_stream: Open
) -> None:
    stream = open_stream()
    stream.here()
    mine = arrives(house, "Ms Chen")
    theirs = Visitor.objects.create(
        subject=uuid.uuid4(), store=old_town, greeting_name="Not for Harbour Street"
    )
    elsewhere = Visit.objects.get(pk=mine.pk)
    elsewhere.pk, elsewhere.sequence = uuid.uuid4(), mine.sequence + 1000
    elsewhere.visitor, elsewhere.store = theirs, old_town
    elsewhere.save(force_insert=True)
    announce(house.store.pk, 0)
    assert names(stream.next("visit").data) == ["Ms Chen"]
    assert stream.here() == {str(mine.pk)}
