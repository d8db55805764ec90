"""Who is forgotten is forgotten: not a number of their template stays in the process.

The recognizer's whole memory is read, as its owner could, for pieces of what must not be there:
the template as the network gave it and as it was turned, in single and in half precision, a probe,
the pictures that were sent, the data key, the share of a pass.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from django.conf import settings
from numpy.typing import NDArray

from apps.consent import services as consents
from apps.consent.models import Purpose
from apps.recognition.client import MatchRequest, Recognizer
from apps.recognition.engine.packs import load_pack
from apps.recognition.matching import mean_of
from apps.recognition.rotations import Rotations
from apps.visitors.models import Eviction, Rotation
from apps.visitors.vault import FileKeyring, unwrap
from tests.conftest import ROOT, Process, build_house
from tests.memory import PIECE, found
from tests.recognition.test_present import Holder, holder_of, verify
from tests.waiting import until

Crops = Callable[[int], NDArray[np.uint8]]


def in_all_forms(name: str, vector: NDArray[np.float32]) -> dict[str, bytes]:
    return {name: vector.tobytes(), f"{name}, half": vector.astype(np.float16).tobytes()}


def secrets_of(holder: Holder, crops: NDArray[np.uint8]) -> dict[str, bytes]:
    """What the recognizer has seen of one person, worked out anew in this process."""
    keyring = FileKeyring.load(settings.CONSENTRY.keyring_path)
    pack = load_pack(settings.CONSENTRY.packs, threads=1)
    organization = holder.house.organization.pk
    rotation = Rotation.objects.get(organization=organization)
    space = Rotations(keyring).space(organization, rotation.number, rotation.wrapped, pack.dim)
    probes = pack.embedder.embed(crops)
    key = unwrap(
        bytes(holder.visitor.data_key.wrapped),
        visitor=holder.visitor.pk,
        organization=organization,
        keyring=keyring,
    )
    return {
        **in_all_forms("plain", mean_of(probes)),
        **in_all_forms("turned", space.enter(mean_of(probes))),
        **in_all_forms("probe", probes[0]),
        # Rows from the middle of the face, which no other picture has.
        "picture": crops[0, 50:56].tobytes(),
        "data key": bytes(key._secret),
        "share": holder.shown.share,
    }


def held_by(process: Process, secrets: dict[str, bytes]) -> dict[str, int]:
    """What of these a process holds in this moment, however long it takes to look."""
    process.send(signal.SIGSTOP)
    try:
        return found(process.pid, secrets)
    finally:
        process.send(signal.SIGCONT)


def held_once(count: int, secret: bytes) -> bool:
    """Whether so many pieces are one copy; faiss rounds a few numbers to half another way."""
    return 0.7 < count * PIECE / len(secret) <= 1.0


@pytest.fixture
def process(transactional_db: None) -> Iterator[Process]:
    process = Process("recognizer")
    yield process
    process.stop()


def test_nothing_of_a_forgotten_person_is_in_the_recognizers_memory(
    process: Process, crops_of: Crops
) -> None:
    recognizer, house = Recognizer(settings.CONSENTRY.socket), build_house()
    holder = holder_of(
        house, recognizer, crops_of(2), [Purpose.LANE, Purpose.PASS, Purpose.HISTORY]
    )
    until(lambda: recognizer.status()["templates"] == 1)
    secrets = secrets_of(holder, crops_of(2))
    recognizer.present(camera=holder.camera.pk, shown=holder.shown)
    # Held now: the gallery's one row, and the share of the open window. It opened the templates,
    # and the pictures came in three times, but of that nothing is there any more.
    before = held_by(process, secrets)
    assert set(before) == {"turned, half", "share"}
    assert held_once(before["turned, half"], secrets["turned, half"])
    until(lambda: recognizer.status()["trusted"])
    asked = MatchRequest(house.camera.pk, house.store.pk, time.time())
    assert recognizer.match(asked, crops_of(2)).outcome == "visit"
    assert verify(recognizer, holder, crops_of(2)) == "still_here"
    consents.withdraw(consent=holder.consent, actor="self")
    until(lambda: not Eviction.objects.filter(acknowledgements=None).exists())
    assert held_by(process, secrets) == {}


GALLERY = """
import sys
from uuid import UUID
import numpy as np
from apps.recognition.gallery import Enrolled, Gallery

vectors = np.random.default_rng(5).standard_normal((600, 64)).astype(np.float32)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
people = [Enrolled(UUID(int=n), UUID(int=n), 1e12) for n in range(600)]
gallery = Gallery(64)
for start in range(0, 600, 50):
    gallery.extend(UUID(int=1), people[start : start + 50], vectors[start : start + 50])
for person, vector in zip(people[:100], vectors[:100]):
    gallery.search(UUID(int=1), vector)
vectors.fill(0)
print("full", flush=True)
sys.stdin.readline()
for person in people[:300]:
    gallery.evict(person.template)
print("half", flush=True)
sys.stdin.readline()
gallery.clear()
print("empty", flush=True)
sys.stdin.readline()
"""


def test_a_gallery_that_grew_and_shrank_left_no_copy_behind() -> None:
    vectors = np.random.default_rng(5).standard_normal((600, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    # Every thirtieth: to look for all of them would take minutes.
    first, last = vectors[:300:30], vectors[300::30]
    secrets = {**in_all_forms("first", first), **in_all_forms("last", last)}
    with subprocess.Popen(
        [sys.executable, "-c", GALLERY],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for state, expected in (
            ("full", {"first, half", "last, half"}),
            ("half", {"last, half"}),
            ("empty", set()),
        ):
            assert child.stdout.readline().strip() == state
            held = found(child.pid, secrets)
            assert set(held) == expected
            assert all(held_once(count, secrets[name]) for name, count in held.items())
            child.stdin.write("\n")
            child.stdin.flush()
