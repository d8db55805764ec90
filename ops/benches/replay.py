"""`ops/bench replay`: the case of the chain that photographed everybody, run lawfully.

431,623 arrivals in 181 days at 7 stores with 22 cameras. Nearly all are of people whom nobody asked
or who said no; some sign, come again, withdraw, pause, ask for everything, write to the desk (see
`ops.benches.desk`) or let their time run out, and go on coming. Each arrival at a lane is searched
for in the real gallery, which the real keeper fills from sealed rows and empties by what PostgreSQL
announces; each match goes through the one statement that may disclose it; Celery's own tasks sweep,
look for what is late and check the ledger, called in this process. Cameras report their counts by
the quarter of an hour, as they count, and what met nobody once a day. Faces are random vectors, and
time is simulated: see `ops.benches.clock`.

What must hold is asked of a record that the code under test does not know: who was allowed to be
recognised at each arrival. `parts` says where the time went: of each part how often it ran, the
processor time of this process, and how much slower its calls became, the last fifth of them over
the second. The database's own is `database_cpu_s`.
"""

from __future__ import annotations

import argparse
import logging
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from apps.config.celery import app as celery
from apps.consent import services as consents
from apps.consent.models import Consent, Purpose
from apps.kiosk.demo import CHECK_IN, assess
from apps.privacy.export import everything
from apps.privacy.services import pause
from apps.recognition.benches import Bench, Benches
from apps.recognition.client import Match
from apps.recognition.engine.packs import Pack, load_pack
from apps.recognition.engine.types import Floats
from apps.recognition.gallery import Gallery
from apps.recognition.keeper import Keeper
from apps.recognition.matching import decide
from apps.recognition.presentation import Windows
from apps.recognition.sealed import binding_of
from apps.retention.holdings import HOLDINGS
from apps.retention.models import Erasure, Request
from apps.retention.services import policy, watchdog
from apps.retention.services.erase import erase
from apps.retention.services.withdraw import withdraw_purpose
from apps.stores.models import Camera, Device, Role, Store, User
from apps.stores.policies import Kind
from apps.visitors.models import Visitor
from apps.visitors.services import SealedTemplate, enroll
from apps.visitors.vault import FileKeyring, generation_of, new_data_key, seal, wrap
from apps.visits import reports
from apps.visits.pipeline.lane import Counters
from apps.visits.services import disclose
from ops.benches import desk, house
from ops.benches.clock import Clock
from ops.benches.outcome import Outcome

ARRIVALS, DAYS, STORES, LANES = 431_623, 181, 7, 15
"""With one that counts at each entrance, 22 cameras."""
BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
OPENS, CLOSES = 8, 22
SLOT = timedelta(minutes=15)
"""How often a sweep looks. A house sweeps each minute; 15 are as late as anything may ever be."""
DIM, NOISE = 512, 0.5
"""Numbers in a vector, and the length of what is added to a member's own at each visit."""

ASKED, AGREES, COMES_BACK = 0.012, 0.6, 0.06
"""Shares: of strangers who are asked, of those who sign, of arrivals who signed once."""
ACTS = {
    "withdraw": 8.0,
    "letter": 2.0,
    "narrow": 2.0,
    "pause": 2.0,
    "resume": 1.5,
    "access": 1.0,
    "correct": 1.0,
}
"""How often a day, in the whole chain, at the arrivals of the case."""
WIDENED = ("visits_footfall", "visits_unmatched", "stores_camera")
"""What a stranger may leave: counts, those of the camera among them."""
FIFTHS = 5
GROWTH = 1.5

# A row that this connection adds or changes while it serves nobody who was asked, see `by`.
WATCH = """
CREATE TABLE bench_bystander (kind text);
CREATE FUNCTION bench_bystander() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('bench.who', true) = 'bystander' THEN
        INSERT INTO public.bench_bystander VALUES (TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END $$;
"""
# When the next sweep has something to do; while nobody comes, nothing is due before it.
NEXT_DUE = """
SELECT least(
    (SELECT min(least(t.delete_after, c.expires_at, c.withdrawn_at))
       FROM visitors_facetemplate t JOIN consent_consent c ON c.id = t.consent_id),
    (SELECT min(delete_after) FROM visits_visit),
    (SELECT min(requested_at) FROM retention_erasure WHERE state = 'pending'))
"""


@dataclass
class Member:
    """Somebody who signed once, and what they may expect, as told by nobody of the house."""

    visitor: uuid.UUID
    consent: uuid.UUID
    store: uuid.UUID
    vector: Floats
    ends: datetime
    rolling: timedelta
    seen: datetime
    gone: bool = False
    paused: bool = False

    def may_be_recognised(self, at: datetime) -> bool:
        return not (self.gone or self.paused) and at < min(self.ends, self.seen + self.rolling)


@dataclass
class Tally:
    """What happened, by kind; times in seconds."""

    outcomes: dict[str, int] = field(default_factory=dict)
    unlawful: int = 0
    missed: int = 0
    late_s: float = 0.0
    overdue_s: float = 0.0
    unanswered_s: float = 0.0
    spent: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Processor time of this process, by part, of each call in turn."""

    def add(self, what: str) -> None:
        self.outcomes[what] = self.outcomes.get(what, 0) + 1

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        begun = process_time()
        yield
        self.spent[name].append(process_time() - begun)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--arrivals", type=int, default=ARRIVALS)
    parser.add_argument("--days", type=int, default=DAYS)


def measure(given: argparse.Namespace) -> Outcome:
    clock = Clock(BEGIN)
    celery.loader.import_default_modules()
    logging.getLogger("celery").setLevel(logging.WARNING)
    address = house.own_database("replay")
    call_command("migrate", verbosity=0, interactive=False)
    clock.install()
    begun = perf_counter()
    replay = Replay(clock, address, given.arrivals, given.days)
    try:
        replay.run()
        wall = perf_counter() - begun
        outcome = replay.outcome(wall)
        replay.let_all_end()
    finally:
        replay.keeper.stop()
    outcome.values["left_in_the_end"] = sum(
        each.model._default_manager.count() for each in HOLDINGS
    )
    outcome.at_most("left_in_the_end", 0)
    return outcome


class Replay:
    """The chain, its people, and one thread of time."""

    def __init__(self, clock: Clock, address: str, arrivals: int, days: int) -> None:
        self.clock = clock
        self.arrivals = arrivals
        self.days = days
        self.chance = np.random.default_rng(1)
        self.tally = Tally()
        self.members: list[Member] = []
        self.next_due = BEGIN
        self.counted: Counter[uuid.UUID] = Counter()
        self.unmatched: Counter[uuid.UUID] = Counter()
        self.told: defaultdict[str, int] = defaultdict(int)
        first = house.prepare(Path("nobody.mp4"))
        self.stores = chain(first)
        self.lanes = {
            store.pk: list(store.cameras.filter(mode=Camera.Mode.LANE)) for store in self.stores
        }
        self.doors = {
            store.pk: store.cameras.get(mode=Camera.Mode.COUNT).pk for store in self.stores
        }
        self.tablets = {each.store_id: each for each in Device.objects.select_related("store")}
        # One of them keeps for less, so that rolling deadlines are met as well.
        policy.change(
            store=self.stores[0], figures={Kind.LANE: 45}, reason="Enough.", actor="bench"
        )
        self.text = consents.current_text(store=first, locale="en")
        self.pack: Pack = replace(load_pack(settings.CONSENTRY.packs), name="bench", dim=DIM)
        self.gallery = Gallery(DIM, clock=clock.seconds)
        self.keyring = FileKeyring.load(settings.CONSENTRY.keyring_path)
        self.keeper = Keeper(
            database=address,
            benches=Benches(Bench(self.pack, self.gallery)),
            keyring=self.keyring,
            windows=Windows(),
        )
        self.keeper.start()
        if not self.keeper.loaded.wait(60):
            raise RuntimeError("the gallery was not loaded in a minute")
        watch_bystanders()

    def run(self) -> None:
        """Every day: arrivals in their order, what people ask for, and the sweeps in between."""
        per_day = np.bincount(
            self.chance.integers(0, self.days, self.arrivals), minlength=self.days
        )
        for day, number in enumerate(per_day):
            opens = BEGIN + timedelta(days=day, hours=OPENS)
            seconds = np.sort(self.chance.uniform(0, (CLOSES - OPENS) * 3600, number))
            self.clock.move(opens)
            self._work_off()
            acts = self._acts_of_a_day()
            slot = opens
            for index, second in enumerate(seconds):
                at = opens + timedelta(seconds=float(second))
                while slot <= at:
                    self._sweep_at(slot)
                    slot += SLOT
                self.clock.move(at)
                self._arrive()
                while acts and acts[-1][0] <= index / number:
                    self._act(acts.pop()[1])
            while slot < opens + timedelta(days=1):
                self._sweep_at(slot)
                slot += SLOT
            self._close()
            if day % 20 == 0:
                self._tell(day)

        self.clock.tell()
        self._work_off()

    def _work_off(self) -> None:
        """The desk opens before the store does."""
        self.clock.tell()
        self.tally.unanswered_s = max(self.tally.unanswered_s, desk.overdue_s(self.clock.now))
        with by("member"), self.tally.part("desk"):
            erased = set(desk.work_off())
        for member in self.members:
            member.gone = member.gone or member.visitor in erased

    def _close(self) -> None:
        """At the end of a day: what met nobody, what the hour brings, and the watchdog."""
        with self.tally.part("reports"):
            for store, number in self.unmatched.items():
                reports.add(
                    camera=self.lanes[store][0].pk,
                    counters=Counters(unmatched=number),
                    state="ok",
                    last_frame_at=self.clock.now,
                )
        self.unmatched.clear()
        with by("house"):
            with self.tally.part("ledger"):
                celery.tasks["apps.visits.tasks.checkpoint"].apply().get()
            with self.tally.part("requests"):
                celery.tasks["apps.privacy.tasks.requests"].apply().get()
        with self.tally.part("watchdog"):
            celery.tasks["apps.retention.tasks.watchdog"].apply().get()

    def _tell(self, day: int) -> None:
        """How far it is, and what one call of each part took since the last word, in ms."""
        took = {
            name: round(float(np.median(spent[self.told[name] :])) * 1000, 2)
            for name, spent in self.tally.spent.items()
            if len(spent) > self.told[name]
        }
        self.told.update({name: len(spent) for name, spent in self.tally.spent.items()})
        print(f"day {day}: {self.tally.outcomes}\n  ms a call: {took}", flush=True)

    def _arrive(self) -> None:
        """Somebody comes in by the counted door and walks through a lane."""
        if self.members and self.chance.random() < COMES_BACK:
            member = self.members[self.chance.integers(len(self.members))]
            probe = near(self.chance, member.vector)
            self._seen(member.store, probe, member)
            return
        store = self.stores[self.chance.integers(len(self.stores))]
        face = unit(self.chance)
        self._seen(store.pk, face, None)
        if self.chance.random() < ASKED:
            self.clock.tell()
            with self.tally.part("asked"):
                self._ask(store, face)

    def _seen(self, store: uuid.UUID, probe: Floats, member: Member | None) -> None:
        self.counted[store] += 1
        with self.tally.part("search"):
            verdict = decide(self.pack, self.gallery, store, probe[None])
        allowed = member is not None and member.may_be_recognised(self.clock.now)
        if verdict.outcome != "match" or verdict.candidate is None:
            self.tally.add("stranger" if member is None else f"{verdict.outcome} member")
            self.tally.missed += allowed
            self.unmatched[store] += 1
            return
        self.clock.tell()
        lanes = self.lanes[store]
        found = Match(
            template=verdict.candidate.template,
            camera=lanes[len(self.tally.spent["disclose"]) % len(lanes)].pk,
            store=store,
            score=verdict.candidate.score,
            threshold=verdict.threshold,
            seen_at=self.clock.seconds(),
        )
        with by("member"), self.tally.part("disclose"):
            decision = disclose(found)
        self.tally.add(decision.outcome)
        # The first thing that may be due of a visit: one that nobody agreed to remember.
        self.next_due = min(self.next_due, self.clock.now + timedelta(hours=12))
        disclosed = decision.outcome in ("visit", "still_here")
        right = member is not None and verdict.candidate.visitor == member.visitor
        self.tally.unlawful += disclosed and not (allowed and right)
        self.tally.missed += allowed and not disclosed
        if disclosed and decision.outcome == "visit" and member is not None:
            member.seen = self.clock.now

    def _ask(self, store: Store, face: Floats) -> None:
        """At the kiosk: most sign, the rest is a count."""
        if self.chance.random() >= AGREES:
            with by("asked"):
                consents.count_refusal(store=store, purpose=Purpose.LANE)
            self.tally.add("refused at the kiosk")
            return
        with by("member"):
            self.members.append(self._opt_in(store, face))
        self.tally.add("signed")

    def _opt_in(self, store: Store, face: Floats) -> Member:
        assert self.text is not None
        purposes = [Purpose.LANE, *([Purpose.HISTORY] if self.chance.random() < 0.7 else [])]
        visitor, template = uuid.uuid4(), uuid.uuid4()
        with transaction.atomic():
            consent = consents.draft(
                attempt=uuid.uuid4(),
                device=self.tablets[store.pk],
                locale="en",
                notice=str(self.text.pk),
                digest=self.text.digest,
                purposes=purposes,
                asked=[Purpose.LANE, Purpose.HISTORY],
                term=int(self.chance.choice([3, 3, 6, 12])),
                age_confirmed=True,
                signature=[[[i / 40, 0.5 + (i % 3) / 20] for i in range(40)]],
            )
            consent = consents.sign(consent).consent
            enroll(
                visitor=visitor,
                consent=consent,
                greeting_name="Guest",
                contact="",
                templates=[self._sealed(store, consent, visitor, template, face)],
                actor="bench",
            )
        rolling = policy.policies.days(store)[Kind.LANE]
        return Member(
            visitor,
            consent.pk,
            store.pk,
            face,
            consent.expires_at,
            timedelta(days=rolling),
            self.clock.now,
        )

    def _sealed(
        self, store: Store, consent: Consent, visitor: uuid.UUID, template: uuid.UUID, face: Floats
    ) -> SealedTemplate:
        binding = binding_of(
            organization=store.organization_id,
            store=store.pk,
            others=(),
            visitor=visitor,
            template=template,
            consent=consent.pk,
            purpose=Purpose.LANE,
            not_after=int(consent.expires_at.timestamp()),
            pack=self.pack,
        )
        key = new_data_key()
        wrapped = wrap(
            key, visitor=visitor, organization=store.organization_id, keyring=self.keyring
        )
        return SealedTemplate(
            template=template,
            wrapped_key=wrapped,
            generation=generation_of(wrapped),
            sealed=seal(face, key, binding),
            pack=self.pack.name,
            pack_version=self.pack.version,
        )

    def _acts_of_a_day(self) -> list[tuple[float, str]]:
        """What people ask for today, each with its part of the day; the first one last."""
        scale = self.arrivals / ARRIVALS * DAYS / self.days
        acts = [
            (float(self.chance.random()), act)
            for act, rate in ACTS.items()
            for _ in range(self.chance.poisson(rate * scale))
        ]
        return sorted(acts, reverse=True)

    def _act(self, act: str) -> None:
        now = self.clock.now
        able = [each for each in self.members if not each.gone and now < each.ends]
        able = [each for each in able if each.paused == (act == "resume")]
        if not able:
            return
        member = able[self.chance.integers(len(able))]
        person = Visitor.objects.filter(pk=member.visitor).first()
        if person is None:
            return
        self.clock.tell()
        with by("member"), self.tally.part("act"):
            match act:
                case "withdraw":
                    erase(visitor=person, cause=Erasure.Cause.WITHDRAWAL, actor="self")
                    member.gone = True
                case "letter":
                    # Until an officer has read it, nothing changes.
                    if Request.objects.open().filter(subject=person.subject).exists():
                        return
                    desk.write(person)
                case "correct":
                    desk.correct(person)
                case "narrow":
                    withdraw_purpose(visitor=person, purpose=Purpose.HISTORY, actor="self")
                case "pause" | "resume":
                    member.paused = act == "pause"
                    pause(visitor=person, paused=member.paused, actor="self")
                case "access":
                    everything(person)
        self.tally.add(act)
        # What was erased waits for its certificate.
        self.next_due = min(self.next_due, now)

    def _sweep_at(self, at: datetime) -> None:
        self.clock.move(at)
        with self.tally.part("reports"):
            for store, entered in self.counted.items():
                reports.count(camera=self.doors[store], quarter=at - SLOT, entered=entered, left=0)
        self.counted.clear()
        if at < self.next_due:
            # The sweep of this minute finds nothing; looking each time would only take longer.
            return
        self.clock.tell()
        self.tally.late_s = max(self.tally.late_s, self._lateness())
        with by("member"), self.tally.part("sweep"):
            celery.tasks["apps.retention.tasks.sweep"].apply().get()
        self.tally.overdue_s = max(self.tally.overdue_s, self._lateness())

    def _lateness(self) -> float:
        """Seconds by which the oldest row that is due is late; remembers when the next one is."""
        with connection.cursor() as cursor:
            cursor.execute(NEXT_DUE)
            self.next_due = cursor.fetchone()[0] or datetime.max.replace(tzinfo=UTC)
        return max(0.0, (self.clock.now - self.next_due).total_seconds())

    def let_all_end(self) -> None:
        """Years later, when the last proof has had its time, nothing personal is left."""
        for years in (2, 5):
            self.clock.move(BEGIN + timedelta(days=365 * years))
            self.clock.tell()
            # Proofs go in batches, one a run.
            for _ in range(20):
                celery.tasks["apps.retention.tasks.sweep"].apply().get()
                if not any(each.overdue().exists() for each in HOLDINGS):
                    break

    def outcome(self, wall: float) -> Outcome:
        """What was measured, and which reach was missed."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM bench_bystander")
            (bystander_rows,) = cursor.fetchone()
            cursor.execute("SELECT count(*) FROM visits_visit")
            (kept,) = cursor.fetchone()
        tally = self.tally
        self.tally.overdue_s = max(tally.overdue_s, self._lateness())
        late = [each for each in watchdog.look() if each.count]
        outcome = Outcome(
            {
                "arrivals": self.arrivals,
                "days": self.days,
                "stores": len(self.stores),
                "cameras": Camera.objects.filter(store__in=self.stores).count(),
                "wall_s": round(wall, 1),
                "ms_per_arrival": round(wall * 1000 / self.arrivals, 3),
                "visits": tally.outcomes.get("visit", 0),
                "visits_kept": kept,
                "bystander_rows": bystander_rows,
                "unlawful_matches": tally.unlawful,
                "lawful_missed": tally.missed,
                "overdue_max_s": round(tally.overdue_s, 1),
                "swept_late_max_s": round(tally.late_s, 1),
                "overdue_kinds": len(late),
                "unanswered_max_s": round(tally.unanswered_s, 1),
                "cpu_s": round(process_time(), 1),
                "database_cpu_s": house.database_cpu_s(),
                "disclose_growth": growth(tally.spent["disclose"]),
                "search_growth": growth(tally.spent["search"]),
                "parts": {
                    name: {"calls": len(each), "cpu_s": round(sum(each), 1), "growth": growth(each)}
                    for name, each in tally.spent.items()
                },
                "outcomes": tally.outcomes,
            }
        )
        outcome.at_most("bystander_rows", 0)
        outcome.at_most("unlawful_matches", 0)
        outcome.at_most("overdue_max_s", 0)
        outcome.at_most("overdue_kinds", 0)
        outcome.at_most("unanswered_max_s", 0)
        outcome.at_most("swept_late_max_s", SLOT.total_seconds())
        if self.arrivals >= ARRIVALS:
            # A few arrivals measure the start, and nothing that could grow.
            outcome.at_most("wall_s", 1200)
            outcome.at_most("disclose_growth", GROWTH)
        return outcome


@contextmanager
def by(who: str) -> Iterator[None]:
    """Whose rows are written in the block; outside it, a bystander's."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('bench.who', %s, false)", [who])
        yield
        cursor.execute("SELECT set_config('bench.who', 'bystander', false)")


def watch_bystanders() -> None:
    """Have the kind of every row be written down that this connection inserts or updates outside of
    `by`: while strangers pass, their counts are reported and the watchdog looks. Other connections,
    such as the keeper's, are not watched, nor is what a member's arrival brings about."""
    with connection.cursor() as cursor:
        cursor.execute("SET search_path = public, clock, pg_catalog")
        cursor.execute(WATCH)
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            if table not in (*WIDENED, "bench_bystander"):
                cursor.execute(
                    f"CREATE TRIGGER bench_bystander AFTER INSERT OR UPDATE ON {table} "
                    "FOR EACH ROW EXECUTE FUNCTION bench_bystander()"
                )
        cursor.execute("SET search_path = clock, pg_catalog, public")
        cursor.execute("SELECT set_config('bench.who', 'bystander', false)")


def chain(first: Store) -> list[Store]:
    """Seven stores of one house, each with a door that counts and lanes that are signed for."""
    officers = [User.objects.get(username=name) for name in ("diana", "omar")]
    stores: list[Store] = []
    for number in range(1, STORES + 1):
        stores.append(
            Store.objects.create(
                organization=first.organization,
                name=f"Showroom {number}",
                slug=f"showroom-{number}",
                jurisdiction="eu",
                non_face_check_in=CHECK_IN["en"],
                check_in_words=CHECK_IN,
            )
        )
        Device.objects.create(store=stores[-1], name="Tablet")
        for officer in officers:
            Role.objects.create(user=officer, store=stores[-1], kind=Role.Kind.DPO)
    for number in range(STORES + LANES):
        store = stores[number % STORES]
        mode = Camera.Mode.COUNT if number < STORES else Camera.Mode.LANE
        camera = Camera.objects.create(
            store=store,
            name=f"Camera {number + 1}",
            mode=mode,
            source="nobody.mp4",
            zone=[[0, 0], [1, 0], [1, 1], [0, 1]],
            signage_confirmed_at=timezone.now(),
        )
        if mode == Camera.Mode.LANE:
            assess(camera)
    return stores


def unit(chance: np.random.Generator) -> Floats:
    """Somebody's face: float32 (D,) of length 1."""
    vector = chance.standard_normal(DIM, dtype=np.float32)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def near(chance: np.random.Generator, vector: Floats) -> Floats:
    """The same face on another day."""
    other = vector + NOISE * unit(chance)
    return np.asarray(other / np.linalg.norm(other), dtype=np.float32)


def growth(seconds: list[float]) -> float:
    """The median of the last fifth over that of the second: how much slower it became."""
    fifth = len(seconds) // FIFTHS
    if not fifth:
        return 1.0
    early, late = (float(np.median(seconds[at * fifth : (at + 1) * fifth])) for at in (1, 4))
    return round(late / early, 3)
