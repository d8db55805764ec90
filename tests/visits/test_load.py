"""A recognizer that starts opens every live template of its database, and only those."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
from django.conf import settings
from django.utils import timezone

from apps.recognition.benches import Bench, Benches
from apps.recognition.engine.packs import Pack
from apps.recognition.gallery import Gallery
from apps.recognition.keeper import BATCH, Keeper
from apps.recognition.presentation import Windows
from apps.stores.models import Device, Store
from apps.visitors.models import Eviction, FaceTemplate
from apps.visitors.vault import FileKeyring
from ops.benches.house import enrol
from tests.conftest import House, test_database_url

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pack(eyes: Pack) -> Pack:
    return replace(eyes, name="small", dim=16)


@contextmanager
def loaded(pack: Pack) -> Iterator[Gallery]:
    """The gallery of a keeper that has followed the test's database to its present."""
    gallery = Gallery(pack.dim)
    keeper = Keeper(
        database=test_database_url(),
        benches=Benches(Bench(pack, gallery)),
        keyring=FileKeyring.load(settings.CONSENTRY.keyring_path),
        windows=Windows(),
    )
    keeper.start()
    try:
        assert keeper.loaded.wait(20)
        yield gallery
    finally:
        keeper.stop()


def templates(gallery: Gallery) -> set[UUID]:
    return {template for _store, template in gallery.held()}


def unit(rows: int, dim: int) -> np.ndarray:
    vectors = np.random.default_rng(rows).standard_normal((rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_more_than_one_batch_of_two_stores_is_all_there(house: House, pack: Pack) -> None:
    other = Store.objects.create(
        organization=house.organization, name="Old Town", slug="old-town", jurisdiction="eu"
    )
    Device.objects.create(store=other, name="Tablet")
    vectors = unit(BATCH + 40, pack.dim)
    here = enrol(house.store, vectors[:BATCH], pack=pack)
    there = enrol(other, vectors[BATCH:], pack=pack)
    with loaded(pack) as gallery:
        assert templates(gallery) == {row.pk for row in (*here, *there)}
        for store, row, vector in (
            (house.store, here[-1], vectors[BATCH - 1]),
            (other, there[0], vectors[BATCH]),
        ):
            found = gallery.search(store.pk, vector)
            assert found is not None
            assert (found.template, found.visitor) == (row.pk, row.visitor_id)
            assert found.score == pytest.approx(1.0, abs=1e-3)


def test_a_row_that_was_tampered_with_stays_closed_and_stops_nobody_else(
    house: House, pack: Pack
) -> None:
    rows = enrol(house.store, unit(5, pack.dim), pack=pack)
    sealed = bytearray(rows[2].sealed)
    sealed[-1] ^= 1
    FaceTemplate.objects.filter(pk=rows[2].pk).update(sealed=bytes(sealed))
    with loaded(pack) as gallery:
        assert templates(gallery) == {row.pk for row in rows} - {rows[2].pk}


def test_the_restricted_the_withdrawn_and_another_packs_are_left_out(
    house: House, pack: Pack
) -> None:
    rows = enrol(house.store, unit(4, pack.dim), pack=pack)
    enrol(house.store, unit(2, pack.dim), pack=replace(pack, version="of another time"))
    rows[0].visitor.restricted_at = timezone.now()
    rows[0].visitor.save()
    rows[1].consent.withdrawn_at = timezone.now()
    rows[1].consent.save()
    with loaded(pack) as gallery:
        assert templates(gallery) == {rows[2].pk, rows[3].pk}


def test_what_ended_before_it_started_is_acknowledged_also_where_it_did_not_end_all(
    house: House, pack: Pack
) -> None:
    rows = enrol(house.store, unit(3, pack.dim), pack=pack)
    rows[0].visitor.delete()
    gone = Eviction.objects.get(template=rows[0].pk)
    # Restricted and let go again: evicted once, and alive. Or held on, in fewer stores.
    rows[1].visitor.restricted_at = timezone.now()
    rows[1].visitor.save()
    rows[1].visitor.restricted_at = None
    rows[1].visitor.save()
    alive = Eviction.objects.get(template=rows[1].pk)
    with loaded(pack) as gallery:
        assert templates(gallery) == {rows[1].pk, rows[2].pk}
        assert gone.acknowledgements.count() == 1
        assert alive.acknowledgements.count() == 1, "it was loaded after that"
