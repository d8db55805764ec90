"""What the open boards of a store are told, read once for all of them.

Design. In each web process a store whose board is open has one `Feed`: it waits for the word that
something changed, reads the database once, and hands each board what that one does not know yet. A
card is rendered once for each language. What is of one reader alone stays so: in every reading
each reader's session and role are asked for again, and each look is an entry of the ledger in the
same transaction as the reading (looks). Nothing of a visit is kept between two readings but what
waits for a slow board.

A board that reads too slowly, or whose reading failed, is ended: the browser comes back with the
number of the last card it has, and is given everything after it, once.
"""

import asyncio
import logging
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID
from weakref import WeakKeyDictionary

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.db.models.functions import Now
from django.template.loader import render_to_string
from django.utils import translation

from apps.stores.access import actor
from apps.stores.live import listening, something_new
from apps.stores.models import Role, Store, User
from apps.visits import look_alikes, looks, selectors
from apps.visits.models import Visit

log = logging.getLogger(__name__)

# So many messages may wait for a board whose line is slow; each is one change of the floor.
WAITING = 50
# Stands in a shared card where each board's own token against forged forms goes. Made anew with
# each process, so that nobody can write it into a name.
TOKEN = secrets.token_hex(32)


@dataclass(eq=False, slots=True, repr=False)
class Board:
    """One open board: whose it is, and what it was told last. `session` is a session's key, `token`
    its forms' own, `seen` the number of the last card that it has."""

    user: User
    session: str
    language: str
    token: str
    seen: int
    here: set[UUID] | None = None
    look_alike_at: datetime | None = None
    # Of its user and session, as they were when they were last found to belong together.
    proof: tuple[str, str] | None = None
    _mail: asyncio.Queue[str | None] = field(default_factory=lambda: asyncio.Queue(WAITING))

    async def next(self) -> str | None:
        """What to send next, as Server-Sent Events; None when the stream is over."""
        return await self._mail.get()

    def tell(self, text: str | None) -> bool:
        """Have this sent; nothing ends the stream, and so does a board that does not listen.
        Returns whether it goes on."""
        if text is None or self._mail.full():
            while not self._mail.empty():
                self._mail.get_nowait()
            text = None
        self._mail.put_nowait(text)
        return text is not None


@contextmanager
def following(store: Store, board: Board) -> Iterator[Board]:
    """Have a board told what happens in a store, for as long as its page is open."""
    feeds = _feeds.setdefault(asyncio.get_running_loop(), {})
    feed = feeds.get(store.pk) or feeds.setdefault(store.pk, Feed(store, feeds))
    feed.join(board)
    try:
        yield board
    finally:
        feed.leave(board)


class Feed:
    """The open boards of one store in this process; lives as long as there is one."""

    def __init__(self, store: Store, feeds: "dict[UUID, Feed]") -> None:
        self._store, self._feeds = store, feeds
        self._boards: set[Board] = set()
        self._new: set[Board] = set()
        self._news = False
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def join(self, board: Board) -> None:
        """Tell a board everything after what it has seen, and go on."""
        self._boards.add(board)
        self._new.add(board)
        self._wake.set()

    def leave(self, board: Board) -> None:
        """Its page was closed."""
        self._boards.discard(board)
        self._new.discard(board)
        if not self._boards:
            self._end()
            self._task.cancel()

    def _end(self) -> None:
        if self._feeds.get(self._store.pk) is self:
            del self._feeds[self._store.pk]

    async def _run(self) -> None:
        listener = asyncio.create_task(self._listen())
        # It ends only by failing: then nobody would be told anything any more.
        listener.add_done_callback(lambda _ended: self._wake.set())
        try:
            while True:
                await self._wake.wait()
                if listener.done():
                    listener.result()
                # Whatever comes while the database is read is read in the next turn.
                self._wake.clear()
                boards = self._boards if self._news else self._new
                self._news, self._new = False, set()
                told = await asyncio.to_thread(_read, self._store, tuple(boards))
                for board, text in told:
                    if not board.tell(text):
                        self._boards.discard(board)
        except Exception:
            log.exception("the boards of a store are told to come back")
        finally:
            listener.cancel()
            self._end()
            for board in self._boards:
                board.tell(None)

    async def _listen(self) -> None:
        async with listening() as pubsub:
            while True:
                # Also when nothing came for a while: whose right has ended is noticed then.
                await something_new(pubsub, f"floor:{self._store.pk}")
                self._news = True
                self._wake.set()


_feeds: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[UUID, Feed]] = WeakKeyDictionary()


def _read(store: Store, boards: Iterable[Board]) -> list[tuple[Board, str | None]]:
    """What to tell each board now; None to whoever may no longer see this store."""
    try:
        with transaction.atomic():
            allowed = _allowed(store, boards)
            visits = sorted(selectors.current(store), key=lambda visit: visit.sequence)
            staff = selectors.staff(store)
            look_alike_at = look_alikes.lately(store)
            # Last: from here on all who write to the ledger wait for this transaction.
            looks.record(
                (actor(board.user), visit)
                for board in allowed
                for visit in visits
                if visit.sequence > board.seen
            )
    finally:
        # A feed lives for hours; it must not hold a database connection while it waits.
        connection.close()
    cards = _Cards(visits, staff)
    here = {visit.pk for visit in visits}
    told: list[tuple[Board, str | None]] = [(board, None) for board in boards]
    for number, (board, _none) in enumerate(told):
        if board not in allowed:
            continue
        text = "".join(cards.after(board.seen, board.language)).replace(TOKEN, board.token)
        board.seen = max(board.seen, visits[-1].sequence if visits else 0)
        if here != board.here:
            # Whoever is not named may no longer be shown: withdrawn, erased, or long gone.
            board.here = here
            text += event("here", " ".join(str(visit) for visit in here))
        if look_alike_at and look_alike_at != board.look_alike_at:
            board.look_alike_at = look_alike_at
            text += event("look-alike", look_alike_at.isoformat())
        told[number] = board, text or ": quiet\n\n"
    return told


def _allowed(store: Store, boards: Iterable[Board]) -> set[Board]:
    """A stream lives for hours: in that time a user may log out, lose the role or leave."""
    boards = list(boards)
    passwords = dict(
        User.objects.filter(
            pk__in={board.user.pk for board in boards},
            is_active=True,
            roles__store=store,
            roles__kind=Role.Kind.STAFF,
        ).values_list("pk", "password")
    )
    # Gone once it has ended, or run out.
    sessions = dict(
        Session.objects.filter(
            session_key__in={board.session for board in boards}, expire_date__gt=Now()
        ).values_list("session_key", "session_data")
    )
    allowed = set()
    for board in boards:
        password, session = passwords.get(board.user.pk), sessions.get(board.session)
        if password is None or session is None:
            continue
        if board.proof == (password, session) or _belong(board.user.pk, password, session):
            board.proof = password, session
            allowed.add(board)
    return allowed


def _belong(user: int, password: str, session: str) -> bool:
    """Whether a session is this user's, begun under the password that they have now."""
    known = Session(session_data=session).get_decoded()
    now = User(pk=user, password=password).get_session_auth_hash()
    return known.get(SESSION_KEY) == str(user) and known.get(HASH_SESSION_KEY) == now


class _Cards:
    """The visits of one reading as events, each made once for a language."""

    def __init__(self, visits: list[Visit], staff: tuple[selectors.Colleague, ...]) -> None:
        self._visits, self._staff = visits, staff
        self._made: dict[tuple[UUID, str], str] = {}

    def after(self, seen: int, language: str) -> Iterator[str]:
        """Cards that come after one, in order, with `TOKEN` in their forms."""
        for visit in self._visits:
            if visit.sequence > seen:
                yield self._event(visit, language)

    def _event(self, visit: Visit, language: str) -> str:
        key = visit.pk, language
        if key not in self._made:
            with translation.override(language):
                shown = {"visit": selectors.card(visit, self._staff), "csrf_token": TOKEN}
                html = render_to_string("floor/_card.html", shown)
            self._made[key] = event("visit", str(html), visit.sequence)
        return self._made[key]


def event(name: str, data: str, sequence: int | None = None) -> str:
    """One Server-Sent Event; its number is what a browser comes back with."""
    lines = "".join(f"data: {line}\n" for line in data.splitlines() or [""])
    head = f"id: {sequence}\n" if sequence is not None else ""
    return f"{head}event: {name}\n{lines}\n"
