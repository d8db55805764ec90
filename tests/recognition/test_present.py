"""A shown pass at a real recognizer: its owner, once, here and now; nothing else opens anything."""

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from numpy.typing import NDArray
from pytest_django.plugin import DjangoDbBlocker

from apps.consent import services as consents
from apps.consent.models import Consent, Purpose
from apps.recognition.client import (
    CropsRefused,
    MatchRequest,
    PassRefused,
    Recognizer,
    RecognizerDown,
    SealRequest,
    VerifyRequest,
)
from apps.recognition.models import Recognizer as Running
from apps.recognition.passes import Pass
from apps.recognition.presentation import LIFETIME, PassInvalid, Windows
from apps.retention.models import Erasure
from apps.retention.services.erase import erase
from apps.stores.models import Camera
from apps.visitors.models import DataKey, FaceTemplate, Visitor
from apps.visitors.services import SealedTemplate, enroll, replace_pass, restrict
from apps.visitors.vault import new_share
from apps.visits.models import Visit
from tests.conftest import House, Process, build_house
from tests.waiting import until

Crops = Callable[[int], NDArray[np.uint8]]
BOTH = [Purpose.LANE, Purpose.PASS, Purpose.HISTORY]


@pytest.fixture(scope="module")
def running(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Recognizer]:
    """A real recognizer process that outlives the tests' data, as it would in a store."""
    with django_db_blocker.unblock():
        process = Process("recognizer")
    yield Recognizer(settings.CONSENTRY.socket)
    process.stop()


@pytest.fixture
def recognizer(running: Recognizer, transactional_db: None) -> Iterator[Recognizer]:
    """It, trusted and with an empty gallery."""
    # The tests before emptied the tables under its feet.
    until(Running.objects.exists, seconds=20)
    yield running
    # Emptying tables tells nobody, deleting does.
    Visitor.objects.all().delete()
    until(lambda: not (status := running.status())["templates"] and status["trusted"], seconds=20)


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody with a pass, and the camera that reads it."""

    house: House
    camera: Camera
    visitor: Visitor
    consent: Consent
    shown: Pass

    @property
    def template(self) -> FaceTemplate:
        return self.visitor.templates.get(purpose="pass")


def seal(
    recognizer: Recognizer,
    consent: Consent,
    crops: NDArray[np.uint8],
    visitor: uuid.UUID,
    purposes: list[str],
) -> tuple[Pass | None, list[SealedTemplate]]:
    request = SealRequest(
        organization=consent.store.organization_id,
        store=consent.store_id,
        visitor=visitor,
        consent=consent.pk,
        not_after=int(consent.expires_at.timestamp()),
        templates={purpose: uuid.uuid4() for purpose in purposes},
        others=consent.group_stores,
    )
    made = recognizer.seal(request, crops)
    return made.key_share, [
        SealedTemplate(
            request.templates[purpose],
            made.wrapped_key,
            made.generation,
            sealed,
            made.pack,
            made.pack_version,
            purpose,
            made.rotation,
        )
        for purpose, sealed in made.sealed.items()
    ]


def holder_of(
    house: House,
    recognizer: Recognizer,
    crops: NDArray[np.uint8],
    purposes: list[Purpose],
    **changes: object,
) -> Holder:
    consent = consents.sign(house.draft(purposes=purposes, **changes)).consent
    recognition = [one.value for one in purposes if one in (Purpose.LANE, Purpose.PASS)]
    visitor = uuid.uuid4()
    shown, templates = seal(recognizer, consent, crops, visitor, recognition)
    assert shown is not None
    person = enroll(
        visitor=visitor,
        consent=consent,
        greeting_name="Ms Chen",
        contact="",
        templates=templates,
        actor="test",
    )
    camera, _ = Camera.objects.get_or_create(
        store=house.store,
        name="Pass reader",
        mode=Camera.Mode.PASS,
        source="door.mp4",
        defaults={"signage_confirmed_at": timezone.now()},
    )
    return Holder(house, camera, person, consent, shown)


@pytest.fixture
def holder(recognizer: Recognizer, crops_of: Crops) -> Holder:
    return holder_of(build_house(), recognizer, crops_of(2), [Purpose.PASS, Purpose.HISTORY])


def verify(
    recognizer: Recognizer, holder: Holder, crops: NDArray[np.uint8], nonce: str = ""
) -> str:
    nonce = nonce or recognizer.present(camera=holder.camera.pk, shown=holder.shown)
    request = VerifyRequest(holder.camera.pk, nonce, timezone.now().timestamp())
    return recognizer.verify(request, crops).outcome


def refused(ask: Callable[[], object]) -> str:
    with pytest.raises(PassRefused) as caught:
        ask()
    return caught.value.code


def test_who_shows_their_own_pass_is_a_visit_once_a_stay(
    recognizer: Recognizer, holder: Holder, crops_of: Crops
) -> None:
    assert verify(recognizer, holder, crops_of(2)) == "visit"
    assert verify(recognizer, holder, crops_of(2)) == "still_here"
    visit = Visit.objects.get()
    assert (visit.visitor, visit.camera, visit.number) == (holder.visitor, holder.camera, 1)
    assert visit.score is not None
    assert visit.threshold is not None
    assert visit.score >= visit.threshold


@pytest.mark.parametrize("somebody", [3, 5])
def test_a_copied_pass_with_another_face_discloses_nothing(
    recognizer: Recognizer, holder: Holder, crops_of: Crops, somebody: int
) -> None:
    assert verify(recognizer, holder, crops_of(somebody)) == "unknown"
    mixed = np.concatenate([crops_of(2)[:2], crops_of(somebody)[:1]])
    assert verify(recognizer, holder, mixed) == "unknown"
    assert not Visit.objects.exists()


def test_a_nonce_is_good_for_one_answer(
    recognizer: Recognizer, holder: Holder, crops_of: Crops
) -> None:
    nonce = recognizer.present(camera=holder.camera.pk, shown=holder.shown)
    assert verify(recognizer, holder, crops_of(3), nonce) == "unknown"
    assert refused(lambda: verify(recognizer, holder, crops_of(2), nonce)) == "pass_replayed"
    assert refused(lambda: verify(recognizer, holder, crops_of(2), "guessed")) == "pass_replayed"
    assert not Visit.objects.exists()


def test_a_second_presentation_at_a_camera_ends_the_first(
    recognizer: Recognizer, holder: Holder, crops_of: Crops
) -> None:
    first = recognizer.present(camera=holder.camera.pk, shown=holder.shown)
    recognizer.present(camera=holder.camera.pk, shown=holder.shown)
    assert refused(lambda: verify(recognizer, holder, crops_of(2), first)) == "pass_replayed"


def test_another_cameras_nonce_is_worth_nothing(
    recognizer: Recognizer, holder: Holder, crops_of: Crops
) -> None:
    nonce = recognizer.present(camera=holder.camera.pk, shown=holder.shown)
    other = Camera.objects.create(
        store=holder.house.store,
        name="Back door",
        mode=Camera.Mode.PASS,
        source="back.mp4",
        signage_confirmed_at=timezone.now(),
    )
    there = replace(holder, camera=other)
    assert refused(lambda: verify(recognizer, there, crops_of(2), nonce)) == "pass_replayed"


def test_fewer_than_three_pictures_are_not_compared(
    recognizer: Recognizer, holder: Holder, crops_of: Crops
) -> None:
    with pytest.raises(CropsRefused):
        verify(recognizer, holder, crops_of(2)[:2])


def test_a_wrong_share_opens_nothing(recognizer: Recognizer, holder: Holder) -> None:
    forged = Pass(holder.shown.template, os.urandom(32))
    ask = partial(recognizer.present, camera=holder.camera.pk, shown=forged)
    assert refused(ask) == "pass_broken"


def test_the_share_of_one_pass_does_not_open_anothers(
    recognizer: Recognizer, holder: Holder, crops_of: Crops
) -> None:
    other = holder_of(holder.house, recognizer, crops_of(3), BOTH)
    crossed = Pass(other.shown.template, holder.shown.share)
    ask = partial(recognizer.present, camera=holder.camera.pk, shown=crossed)
    assert refused(ask) == "pass_broken"
    # Nor when the rows themselves are swapped in the database.
    with connection.cursor() as cursor:
        cursor.execute(
            """UPDATE visitors_facetemplate t SET sealed = o.sealed FROM visitors_facetemplate o
                WHERE t.purpose = 'pass' AND o.purpose = 'pass' AND t.id <> o.id"""
        )
    for shown in (holder.shown, other.shown, crossed):
        ask = partial(recognizer.present, camera=holder.camera.pk, shown=shown)
        assert refused(ask) == "pass_broken"


def test_without_its_share_the_recognizer_cannot_load_it_and_says_so_to_nobody(
    holder: Holder, recognizer: Recognizer, crops_of: Crops
) -> None:
    """A recognizer that starts anew has database and keyring, and loads no pass template."""
    both = holder_of(holder.house, recognizer, crops_of(3), BOTH)
    second = Process("recognizer", CONSENTRY_RECOGNIZER_SOCKET=f"/tmp/pass-{os.getpid()}.sock")
    fresh = Recognizer(type(recognizer.path)(f"/tmp/pass-{os.getpid()}.sock"))
    assert fresh.status()["templates"] == 1, "the lane template of whoever agreed to both"
    request = MatchRequest(holder.house.camera.pk, holder.house.store.pk, 1.0)
    assert fresh.match(request, crops_of(2)).outcome == "unknown"
    assert fresh.match(request, crops_of(3)).outcome == "visit"
    second.stop()
    assert not [line for line in second.lines if "cannot be opened" in line]
    assert both.visitor.templates.count() == 2


def test_a_lane_never_finds_who_agreed_to_a_pass_only(
    recognizer: Recognizer, holder: Holder, crops_of: Crops
) -> None:
    assert recognizer.status()["templates"] == 0
    request = MatchRequest(holder.house.camera.pk, holder.house.store.pk, 1.0)
    assert recognizer.match(request, crops_of(2)).outcome == "unknown"
    assert not Visit.objects.exists()


def ended_by_withdrawing(holder: Holder) -> None:
    consents.withdraw(consent=holder.consent, actor="test")


def ended_by_erasing(holder: Holder) -> None:
    erase(visitor=holder.visitor, cause=Erasure.Cause.WITHDRAWAL, actor="test")


def ended_by_a_pause(holder: Holder) -> None:
    restrict(visitor=holder.visitor, restricted=True, actor="test")


def ended_by_time(holder: Holder) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE visitors_facetemplate DISABLE TRIGGER template_needs_consent")
        cursor.execute("UPDATE visitors_facetemplate SET delete_after = now() - interval '1 s'")
        cursor.execute(
            "ALTER TABLE visitors_facetemplate ENABLE ALWAYS TRIGGER template_needs_consent"
        )


def ended_by_withdrawing_the_purpose(holder: Holder) -> None:
    Consent.objects.update(purposes=["history"])


def ended_by_the_camera(holder: Holder) -> None:
    Camera.objects.filter(pk=holder.camera.pk).update(active=False)


ENDS = {
    "withdrawn": (ended_by_withdrawing, "pass_ended"),
    "erased": (ended_by_erasing, "pass_unknown"),
    "paused": (ended_by_a_pause, "pass_ended"),
    "expired": (ended_by_time, "pass_ended"),
    "purpose": (ended_by_withdrawing_the_purpose, "pass_ended"),
    "camera": (ended_by_the_camera, "pass_unknown"),
}


@pytest.mark.parametrize("how", ENDS)
def test_what_has_ended_opens_no_window_and_closes_an_open_one(
    recognizer: Recognizer, holder: Holder, crops_of: Crops, how: str
) -> None:
    end, code = ENDS[how]
    nonce = recognizer.present(camera=holder.camera.pk, shown=holder.shown)
    end(holder)
    assert refused(lambda: verify(recognizer, holder, crops_of(2))) == code
    # Either the eviction has closed it already, or the database of this moment refuses it.
    late = refused(lambda: verify(recognizer, holder, crops_of(2), nonce))
    assert late in {code, "pass_replayed"}
    assert not Visit.objects.exists()


def test_a_pass_of_another_store_is_no_pass_here(recognizer: Recognizer, holder: Holder) -> None:
    other = holder.house.organization.stores.create(
        name="Old Town", slug="old-town", jurisdiction="eu", non_face_check_in="A card."
    )
    there = Camera.objects.create(
        store=other,
        name="Pass reader",
        mode=Camera.Mode.PASS,
        source="x",
        signage_confirmed_at=timezone.now(),
    )
    ask = partial(recognizer.present, camera=there.pk, shown=holder.shown)
    assert refused(ask) == "pass_elsewhere"
    lane = partial(recognizer.present, camera=holder.house.camera.pk, shown=holder.shown)
    assert refused(lane) == "pass_unknown", "a lane reads no passes"


def test_a_new_pass_ends_the_old_one(
    recognizer: Recognizer, holder: Holder, crops_of: Crops
) -> None:
    shown, (template,) = seal(recognizer, holder.consent, crops_of(2), holder.visitor.pk, ["pass"])
    assert shown is not None
    assert template.wrapped_key == b"", "their own is kept, and not shown to who asked"
    replace_pass(visitor=holder.visitor, consent=holder.consent, template=template, actor="test")
    assert refused(lambda: verify(recognizer, holder, crops_of(2))) == "pass_unknown"
    assert verify(recognizer, replace(holder, shown=shown), crops_of(2)) == "visit"
    assert FaceTemplate.objects.count() == 1


def test_a_key_that_is_not_this_visitors_seals_nothing(
    recognizer: Recognizer, holder: Holder, crops_of: Crops
) -> None:
    other = holder.house.visitor("Mr Okafor")
    DataKey.objects.filter(visitor=other).update(wrapped=holder.visitor.data_key.wrapped)
    with pytest.raises(CropsRefused):
        seal(recognizer, holder.consent, crops_of(2), other.pk, ["pass"])


def test_the_database_takes_no_pass_that_the_server_could_open(holder: Holder) -> None:
    with pytest.raises(IntegrityError, match="pass_is_sealed_twice"), transaction.atomic():
        FaceTemplate.objects.update(sealed=b"CFT1 sealed once")
    twin = FaceTemplate.objects.get()
    twin.pk = uuid.uuid4()
    with (
        pytest.raises(IntegrityError, match="one_template_a_purpose_and_pack"),
        transaction.atomic(),
    ):
        twin.save(force_insert=True)


def test_a_silent_database_opens_no_window(recognizer: Recognizer, holder: Holder) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE recognition_recognizer RENAME TO gone")
        try:
            deadline = timezone.now().timestamp() + 20
            while recognizer.status()["trusted"]:
                assert timezone.now().timestamp() < deadline
            with pytest.raises(RecognizerDown):
                recognizer.present(camera=holder.camera.pk, shown=holder.shown)
        finally:
            cursor.execute("ALTER TABLE gone RENAME TO recognition_recognizer")


class Hand:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_window_closes_by_itself_and_keeps_no_share() -> None:
    clock = Hand()
    windows = Windows(clock=clock)
    camera = uuid.uuid4()
    nonce = windows.open(camera=camera, template=uuid.uuid4(), share=new_share())
    assert len(windows) == 1
    clock.now = LIFETIME
    with pytest.raises(PassInvalid):
        windows.take(nonce, camera=camera)
    assert len(windows) == 0


def test_many_windows_do_not_fill_the_memory() -> None:
    windows = Windows(clock=Hand())
    for _ in range(1000):
        windows.open(camera=uuid.uuid4(), template=uuid.uuid4(), share=new_share())
    assert len(windows) == 256


def test_a_template_that_ended_takes_its_window_along() -> None:
    windows = Windows(clock=Hand())
    template = uuid.uuid4()
    windows.open(camera=uuid.uuid4(), template=template, share=new_share())
    windows.forget(uuid.uuid4())
    assert len(windows) == 1
    windows.forget(template)
    assert len(windows) == 0
