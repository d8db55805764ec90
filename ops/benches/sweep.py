"""`ops/bench sweep`: everything that is due goes once, though its workers are killed all the time.

Real rows in PostgreSQL, all past their deadline: visits, proofs, and one in a hundred a person with
a sealed template. Two Celery workers and `manage.py sweep` go for them at once, and as the work
goes on one after the other is ended by SIGKILL, in the middle of whatever it does, and started
again. A trigger writes down each row that a committed transaction deleted.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from time import monotonic, perf_counter, sleep
from uuid import UUID

import numpy as np
from django.conf import settings
from django.db import connection
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.models import Entry
from apps.config.celery import app as celery
from apps.consent.models import PROOF, Consent
from apps.recognition.engine.packs import load_pack
from apps.retention.holdings import HOLDINGS
from apps.retention.models import Erasure
from apps.stores.models import Store
from apps.visitors.models import Visitor
from ops.benches import house
from ops.benches.outcome import Outcome

A_PERSON_IN = 100
A_PROOF_IN = 10
KEPT = 50
TICK = 1.0
PATIENCE = 3600.0
POLL = 0.01

# What a sweep deletes by itself; the rest goes with its person.
WATCHED = ("visits_visit", "visitors_visitor", "consent_consent")
LOG = """
CREATE TABLE bench_gone (kind text, id uuid);
CREATE FUNCTION bench_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO bench_gone VALUES (TG_TABLE_NAME, OLD.id);
    RETURN NULL;
END $$;
"""
VISITS = """
INSERT INTO visits_visit (id, sequence, visitor_id, consent_id, store_id, score, threshold, seen_at,
                          arrived_at, last_seen_at, delete_after)
SELECT gen_random_uuid(), nextval('visits_sequence'), v.id, c.id, v.store_id, 0.9, 0.5,
       now() - interval '200 days', now() - interval '200 days', now() - interval '200 days',
       now() - interval '20 days'
  FROM generate_series(0, %(rows)s - 1) n
  JOIN (SELECT *, row_number() OVER () - 1 AS place FROM visitors_visitor) v
    ON v.place = n %% %(people)s
  JOIN consent_consent c ON c.subject = v.subject
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=25)


def measure(given: argparse.Namespace) -> Outcome:
    house.own_database("sweep")
    store = house.prepare(Path("nobody.mp4"))
    print(f"Writing {given.rows} rows that are due …", flush=True)
    make_due(store, given.rows)
    print(f"Sweeping, with {given.kills} kills …", flush=True)
    begun = perf_counter()
    killed = sweep_under_fire(given.rows, given.kills)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(DISTINCT (kind, id)) FROM bench_gone")
        done, distinct = cursor.fetchone()
    certificates = Erasure.objects.filter(state=Erasure.State.COMPLETE)
    outcome = Outcome(
        {
            "rows": given.rows,
            "done": done,
            "distinct": distinct,
            "left": left(),
            "kills": killed,
            "certificates": certificates.count(),
            "certified_people": certificates.values("subject").distinct().count(),
            "said_in_ledger": said_in_ledger(),
            "ledger_ok": audit.verify().ok,
            "wall_s": round(perf_counter() - begun, 1),
        }
    )
    people = given.rows // A_PERSON_IN
    for name, reach in (
        ("done", given.rows),
        ("distinct", given.rows),
        ("left", 0),
        ("kills", given.kills),
        ("certificates", people),
        ("certified_people", people),
        ("said_in_ledger", given.rows),
        ("ledger_ok", True),
    ):
        if outcome.values[name] != reach:
            outcome.missed.append(f"{name} is {outcome.values[name]}, not {reach}")
    return outcome


def make_due(store: Store, rows: int, *, a_person_in: int = A_PERSON_IN) -> set[UUID]:
    """So many rows that a sweep must delete, and a few people who stay: which visitors these are.

    One row in `a_person_in` is a visitor.
    """
    people, proofs = rows // a_person_in, rows // A_PROOF_IN
    pack = load_pack(settings.CONSENTRY.packs)
    chance = np.random.default_rng(7)
    vectors = chance.standard_normal((KEPT, pack.dim), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    house.enrol(store, vectors, pack=pack)
    with connection.cursor() as cursor:
        cursor.execute(VISITS, {"rows": rows - people - proofs, "people": KEPT})
    kept = set(Visitor.objects.values_list("pk", flat=True))
    example = Consent.objects.first()
    assert example is not None
    ended = timezone.now() - PROOF - timedelta(days=30)
    Consent.objects.bulk_create(
        (
            Consent(
                store=store,
                text=example.text,
                digest=example.digest,
                locale="en",
                purposes=example.purposes,
                signature=example.signature,
                signature_method=example.signature_method,
                device=example.device,
                signed_at=ended - timedelta(days=100),
                expires_at=ended,
                delete_after=ended + PROOF,
            )
            for _ in range(proofs)
        ),
        batch_size=house.BATCH,
    )
    vectors = np.resize(vectors, (people, pack.dim))
    house.enrol(store, vectors, pack=pack)
    due = Visitor.objects.exclude(pk__in=kept)
    with connection.cursor() as cursor:
        # The deadline passes as the clock would have it; no trigger lets anybody write that.
        cursor.execute("ALTER TABLE visitors_facetemplate DISABLE TRIGGER USER")
        cursor.execute(
            "UPDATE visitors_facetemplate SET delete_after = now() - interval '1 hour' "
            "WHERE visitor_id = ANY(%s)",
            [list(due.values_list("pk", flat=True))],
        )
        cursor.execute("ALTER TABLE visitors_facetemplate ENABLE TRIGGER USER")
        for trigger in ("template_needs_consent", "template_changed"):
            cursor.execute(f"ALTER TABLE visitors_facetemplate ENABLE ALWAYS TRIGGER {trigger}")
        cursor.execute(LOG)
        for table in WATCHED:
            cursor.execute(
                f"CREATE TRIGGER bench_gone AFTER DELETE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION bench_gone()"
            )
        cursor.execute("ANALYZE")
    return kept


def sweep_under_fire(rows: int, kills: int) -> int:
    """Let three go at it, and kill one at every so many rows; how many were killed."""
    starts: list[Callable[[], subprocess.Popen[bytes]]] = [
        lambda: started("-m", "celery", "-A", "apps.config.celery", "worker", "-n", "one"),
        lambda: started("-m", "celery", "-A", "apps.config.celery", "worker", "-n", "two"),
        lambda: started("manage.py", "sweep"),
    ]
    running = [start() for start in starts]
    killed, ticked, end = 0, 0.0, monotonic() + PATIENCE
    # Only who lives is killed, and only while there is something left to be in the middle of.
    places = cycle(range(len(starts)))
    try:
        while monotonic() < end:
            if monotonic() - ticked > TICK:
                if not left():
                    return killed
                # As beat does; the message of one who was killed is not delivered again for long.
                celery.send_task("apps.retention.tasks.sweep")
                ticked = monotonic()
            if running[-1].poll() is not None:
                running[-1] = starts[-1]()
            if killed < kills and gone() >= rows * (killed + 1) / (kills + 2):
                place = next(places)
                running[place].kill()
                running[place].wait()
                running[place] = starts[place]()
                killed += 1
            sleep(POLL)
        raise RuntimeError("the rows are not gone after an hour")
    finally:
        for process in running:
            process.kill()
            process.wait()


def started(*command: str) -> subprocess.Popen[bytes]:
    solo = ["--pool=solo", "--loglevel=ERROR"] if "celery" in command else []
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", *command, *solo], stdout=subprocess.DEVNULL
    )


def gone() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM bench_gone")
        return int(cursor.fetchone()[0])


def left() -> int:
    """What is overdue, and erasures without a certificate."""
    pending = Erasure.objects.exclude(state=Erasure.State.COMPLETE).count()
    return pending + sum(holding.overdue().count() for holding in HOLDINGS)


def said_in_ledger() -> int:
    """How many rows the ledger says were deleted: each once, or it would say more."""
    batches = Entry.objects.filter(action__in=["visits.swept", "consents.swept"])
    return sum(batches.values_list("detail__count", flat=True)) + (
        Entry.objects.filter(action="visitor.erased").count()
    )
