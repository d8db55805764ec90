"""`ops/bench match`: a gallery of many, loaded from PostgreSQL through the real vault.

The templates are random unit vectors: searching, unsealing and evicting cost the same for any
numbers, and nobody's face is needed.
"""

from __future__ import annotations

import argparse
import gc
import uuid
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time

import faiss
import numpy as np
from django.conf import settings
from django.db import connection

from apps.recognition.benches import Bench, Benches
from apps.recognition.engine.packs import Pack, load_pack
from apps.recognition.engine.types import Floats
from apps.recognition.gallery import Enrolled, Gallery
from apps.recognition.keeper import Keeper
from apps.recognition.presentation import Windows
from apps.visitors.models import Visitor
from apps.visitors.vault import FileKeyring
from ops.benches import house
from ops.benches.outcome import Outcome, memory_mib, milliseconds, percentile

PROBES = 200
SINGLES = 100
PATIENCE = 120.0


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--templates", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512, help="numbers in a vector")


def measure(given: argparse.Namespace) -> Outcome:
    chance = np.random.default_rng(7)
    vectors = unit(chance, given.templates, given.dim)
    store = house.prepare(Path("nobody.mp4"))
    env = settings.CONSENTRY
    # The starter pack's name, licence and networks with vectors of another length: what is loaded
    # and searched depends on that length only.
    pack = replace(load_pack(env.packs), name="bench", dim=given.dim)
    print(f"Enrolling {given.templates} visitors …", flush=True)
    rows = house.enrol(store, vectors, pack=pack)
    order = {row.pk: number for number, row in enumerate(rows)}
    visitors = [row.visitor_id for row in rows[:SINGLES]]
    del rows
    # As a recognizer finds it when it starts, and not while PostgreSQL tidies up after a hundred
    # thousand people who came at once.
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    gc.collect()

    print("Loading …", flush=True)
    gallery = Gallery(pack.dim)
    keeper = new_keeper(pack, gallery)
    before = memory_mib()
    begun, worked = perf_counter(), process_time()
    keeper.start()
    if not keeper.loaded.wait(PATIENCE):
        raise RuntimeError("the gallery was not loaded in two minutes")
    load_s, load_cpu_s = perf_counter() - begun, process_time() - worked
    gc.collect()
    held = memory_mib() - before
    try:
        outcome = Outcome(
            {
                "templates": len(gallery),
                "dim": given.dim,
                "load_s": round(load_s, 2),
                "load_cpu_s": round(load_cpu_s, 2),
                "mib": round(held, 1),
                "load_peak_mib": round(memory_mib(peak=True) - before, 1),
            }
        )
        probes = unit(chance, PROBES, given.dim)
        outcome.values |= searching(gallery, store.pk, vectors, probes, order)
        outcome.values |= singles(gallery, store.pk, unit(chance, SINGLES, given.dim))
        outcome.values |= withdrawing(gallery, visitors)
    finally:
        keeper.stop()
    if len(order) != outcome.values["templates"]:
        outcome.missed.append("not every template was loaded")
    if outcome.values["other_answers"]:
        outcome.missed.append("the gallery and the bare index disagree")
    outcome.at_most("faiss_ratio", 1.5)
    outcome.at_most("load_s", 2.0)
    outcome.at_most("add_ms", 5.0)
    outcome.at_most("evict_ms", 5.0)
    return outcome


def new_keeper(pack: Pack, gallery: Gallery) -> Keeper:
    env = settings.CONSENTRY
    return Keeper(
        database=env.database_url.get_secret_value(),
        benches=Benches(Bench(pack, gallery)),
        keyring=FileKeyring.load(env.keyring_path),
        windows=Windows(),
    )


def searching(
    gallery: Gallery,
    store: uuid.UUID,
    vectors: Floats,
    probes: Floats,
    order: dict[uuid.UUID, int],
) -> dict[str, float]:
    """Both in turns on the same probes: the gallery, and bare exact indexes of the same matrix."""
    half = faiss.IndexScalarQuantizer(
        vectors.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    half.add(vectors)
    full = faiss.IndexFlatIP(vectors.shape[1])
    full.add(vectors)
    differ = 0
    for probe in probes:
        found = gallery.search(store, probe)
        # The best two: half precision may swap a pair that differs in the fourth digit.
        _, rows = full.search(probe[None], 2)
        differ += found is None or order[found.template] not in rows[0]
    turns = [iter(probes) for _ in range(3)]
    taken = milliseconds(
        [
            lambda: gallery.search(store, next(turns[0])),
            lambda: half.search(next(turns[1])[None], 1),
            lambda: full.search(next(turns[2])[None], 1),
        ],
        len(probes),
    )
    mine, bare_half, bare_full = (percentile(times, 95) for times in taken)
    return {
        "p50_ms": percentile(taken[0], 50),
        "p95_ms": mine,
        "faiss_fp16_p95_ms": bare_half,
        "faiss_fp32_p95_ms": bare_full,
        "faiss_ratio": round(mine / min(bare_half, bare_full), 3),
        "other_answers": differ,
    }


def singles(gallery: Gallery, store: uuid.UUID, vectors: Floats) -> dict[str, float]:
    """One more template and one less, in the full gallery; the slowest of a hundred."""
    people = [Enrolled(uuid.uuid4(), uuid.uuid4(), float("inf")) for _ in vectors]
    adds = iter(zip(people, vectors, strict=True))
    evictions = iter(people)
    (added,) = milliseconds([lambda: gallery.add(store, *next(adds))], len(people))
    (evicted,) = milliseconds([lambda: gallery.evict(next(evictions).template)], len(people))
    return {
        "add_ms": percentile(added, 95),
        "add_worst_ms": percentile(added, 100),
        "evict_ms": percentile(evicted, 95),
        "evict_worst_ms": percentile(evicted, 100),
    }


def withdrawing(gallery: Gallery, visitors: list[uuid.UUID]) -> dict[str, float]:
    """From the statement that erases a visitor to the keeper having evicted them: the whole way,
    commit, announcement and all."""
    taken = []
    for visitor in visitors:
        before = len(gallery)
        begun = perf_counter()
        Visitor.objects.filter(pk=visitor).delete()
        while len(gallery) == before:
            if perf_counter() - begun > PATIENCE:
                raise RuntimeError("an erased visitor stayed in the gallery")
        taken.append((perf_counter() - begun) * 1000)
    return {"erase_to_evicted_p95_ms": percentile(taken, 95)}


def unit(chance: np.random.Generator, rows: int, dim: int) -> Floats:
    vectors = chance.standard_normal((rows, dim), dtype=np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)
