"""A rotation is renewed while the store is open: nobody comes back for it, and nobody is missed."""

import json
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from numpy.typing import NDArray

from apps.audit import services as audit
from apps.audit.models import Entry
from apps.consent.models import Purpose
from apps.recognition.client import MatchRequest, Recognizer
from apps.recognition.renewal import renew
from apps.recognition.rotations import Rotations
from apps.recognition.sealed import (
    COLUMNS,
    TEMPLATES,
    PackName,
    binding_of_row,
    key_of_row,
    open_row,
)
from apps.retention.services.sweep import sweep
from apps.visitors.models import FaceTemplate, Rotation, Visitor
from apps.visitors.services import restrict
from apps.visitors.vault import FileKeyring, seal, unwrap_rotation
from apps.visits.models import Visit
from tests.conftest import House, build_house
from tests.database import without_triggers
from tests.people import enrolled_for_good, manage
from tests.recognition.test_present import Holder, holder_of, verify
from tests.waiting import until

Crops = Callable[[int], NDArray[np.uint8]]


class Town:
    """A store, a recognizer, and people 2 and 3 enrolled."""

    def __init__(self, recognizer: Recognizer, crops_of: Crops) -> None:
        self.recognizer = recognizer
        self.crops_of = crops_of
        self.house: House = build_house()
        self.keyring = FileKeyring.load(settings.CONSENTRY.keyring_path)
        self.people: dict[int, Visitor] = {
            person: enrolled_for_good(self.house, [recognizer], crops_of(person))
            for person in (2, 3)
        }

    def outcomes(self) -> list[str]:
        """What the lane says to 2, 3 and a stranger, as to people who have not been here today."""
        Visit.objects.all().delete()
        asked = MatchRequest(self.house.camera.pk, self.house.store.pk, time.time())
        return [self.recognizer.match(asked, self.crops_of(one)).outcome for one in (2, 3, 4)]

    def renew(self) -> dict[str, object]:
        return renew(
            organization=self.house.organization.pk, keyring=self.keyring, actor="test"
        ).as_dict()

    def secrets(self) -> list[bytes]:
        opened = [
            unwrap_rotation(
                bytes(one.wrapped),
                organization=one.organization_id,
                number=one.number,
                keyring=self.keyring,
            )
            for one in Rotation.objects.order_by("number")
        ]
        # A secret is overwritten with its object.
        return [bytes(one.reveal()) for one in opened]

    def in_rotation(self) -> list[int]:
        """The rotation that each person's template names."""
        return [one.templates.get().rotation for one in self.people.values()]

    def rows(self) -> dict[uuid.UUID, SimpleNamespace]:
        """The sealed rows, as the recognizer reads them, by visitor."""
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {COLUMNS} {TEMPLATES}")
            names = [column.name for column in cursor.description]
            found = [SimpleNamespace(**dict(zip(names, row, strict=True))) for row in cursor]
        return {row.visitor_id: row for row in found}

    def opened(self, row: SimpleNamespace) -> NDArray[np.float32]:
        return open_row(row, pack=PackName(row.pack, row.pack_version), keyring=self.keyring)


@pytest.fixture
def town(recognizer: Recognizer, crops_of: Crops) -> Town:
    return Town(recognizer, crops_of)


ALL_KNOWN = ["visit", "visit", "unknown"]


def let_a_minute_pass() -> None:
    Rotation.objects.update(created_at=timezone.now() - timedelta(minutes=2))


def test_everybody_is_recognised_before_and_after_and_the_old_secret_goes(town: Town) -> None:
    assert town.in_rotation() == [1, 1]
    before = {visitor: town.opened(row) for visitor, row in town.rows().items()}
    assert town.outcomes() == ALL_KNOWN
    done = town.renew()
    assert (done["rotation"], done["moved"], done["left"], done["broken"]) == (2, 2, 0, 0)
    assert town.in_rotation() == [2, 2]
    assert town.outcomes() == ALL_KNOWN
    # Not a number of it stayed.
    for visitor, row in town.rows().items():
        assert abs(float(before[visitor] @ town.opened(row))) < 0.4
    sweep()
    assert Rotation.objects.count() == 2, "what was sealed a moment ago may not be a row yet"
    let_a_minute_pass()
    sweep()
    assert [one.number for one in Rotation.objects.all()] == [2]
    assert town.outcomes() == ALL_KNOWN
    # Nor does a recognizer that reads everything anew miss anybody.
    for person in town.people.values():
        restrict(visitor=person, restricted=True, actor="test")
        restrict(visitor=person, restricted=False, actor="test")
    until(lambda: town.recognizer.status()["templates"] == 2)
    assert town.outcomes() == ALL_KNOWN


def test_the_ledger_says_when_and_nothing_holds_the_secret(town: Town) -> None:
    town.renew()
    kept = town.secrets()
    let_a_minute_pass()
    sweep()
    said = list(
        Entry.objects.filter(action__startswith="rotation.")
        .order_by("seq")
        .values_list("action", "detail__number")
    )
    assert said == [
        ("rotation.begun", 1),
        ("rotation.begun", 2),
        ("rotation.finished", 2),
        ("rotation.retired", 1),
    ]
    assert audit.verify().ok
    stored = b"".join(bytes(one) for one in Rotation.objects.values_list("wrapped", flat=True))
    written = json.dumps(list(Entry.objects.values_list("detail", flat=True)))
    assert len(set(kept)) == 2
    for secret in kept:
        assert secret not in stored
        assert secret.hex() not in written


def test_a_killed_renewal_goes_on_and_meanwhile_nobody_is_missed(town: Town) -> None:
    held = town.people[3].templates.get()
    with transaction.atomic():
        FaceTemplate.objects.select_for_update().get(pk=held.pk)
        command = manage("rotation", "renew")
        until(lambda: town.in_rotation() == [2, 1], seconds=60)
        command.kill()
        said, _ = command.communicate()
    assert "renewing the rotation" in said
    assert town.outcomes() == ALL_KNOWN, "in both spaces"
    # Who opts in now is sealed in the new one.
    town.people[5] = enrolled_for_good(town.house, [town.recognizer], town.crops_of(5))
    assert town.in_rotation() == [2, 1, 2]
    again = manage("rotation", "renew")
    said, complaint = again.communicate(timeout=60)
    assert again.returncode == 0, complaint
    assert "going on with the renewal that was stopped" in said
    last = json.loads(said.splitlines()[-1])["organizations"][0]
    assert (last["rotation"], last["moved"], last["left"]) == (2, 1, 0)
    assert town.in_rotation() == [2, 2, 2]
    assert town.outcomes() == ALL_KNOWN
    for secret in town.secrets():
        assert secret.hex() not in said + complaint
    shown = manage("rotation", "show")
    state = json.loads(shown.communicate(timeout=60)[0].splitlines()[-1])["organizations"][0]
    assert (state["rotation"], state["unfinished"], state["lane"]) == (2, False, {"2": 3})


def test_what_was_sealed_before_there_were_rotations_follows_at_the_first_renewal(
    town: Town,
) -> None:
    """Such templates are as the network gave them, and bound to no rotation."""
    rotations = Rotations(town.keyring)
    with without_triggers("visitors_facetemplate"):
        for row in town.rows().values():
            vector = rotations.of(row, len(town.opened(row))).leave(town.opened(row))
            pack = PackName(row.pack, row.pack_version)
            key = key_of_row(row, keyring=town.keyring)
            sealed = seal(vector, key, binding_of_row(row, pack=pack, rotation=0))
            FaceTemplate.objects.filter(pk=row.template).update(sealed=sealed, rotation=0)
    Rotation.objects.all().delete()
    for person in town.people.values():
        restrict(visitor=person, restricted=True, actor="test")
        restrict(visitor=person, restricted=False, actor="test")
    until(lambda: town.recognizer.status()["templates"] == 2)
    assert town.outcomes() == ALL_KNOWN
    assert (town.renew()["moved"], town.in_rotation()) == (2, [1, 1])
    assert town.outcomes() == ALL_KNOWN


def test_a_pass_follows_when_it_is_shown_and_opens_before_and_after(
    recognizer: Recognizer, crops_of: Crops
) -> None:
    holder: Holder = holder_of(
        build_house(), recognizer, crops_of(2), [Purpose.PASS, Purpose.HISTORY]
    )
    keyring = FileKeyring.load(settings.CONSENTRY.keyring_path)
    done = renew(organization=holder.house.organization.pk, keyring=keyring, actor="test")
    assert (done.for_passes, holder.template.rotation) == (1, 1)
    let_a_minute_pass()
    sweep()
    assert Rotation.objects.count() == 2, "one template still needs the old one"
    assert verify(recognizer, holder, crops_of(3)) == "unknown"
    assert holder.template.rotation == 2
    assert verify(recognizer, holder, crops_of(2)) == "visit"
    sweep()
    assert [one.number for one in Rotation.objects.all()] == [2]
    assert verify(recognizer, holder, crops_of(2)) == "still_here"


def test_a_restricted_person_is_carried_and_one_whose_time_is_over_is_not(town: Town) -> None:
    paused, over = town.people.values()
    restrict(visitor=paused, restricted=True, actor="test")
    with without_triggers("visitors_facetemplate"):
        over.templates.update(delete_after=timezone.now() - timedelta(seconds=1))
    assert town.renew()["left"] == 0
    assert town.in_rotation() == [2, 1]
    restrict(visitor=paused, restricted=False, actor="test")
    until(lambda: town.outcomes()[0] == "visit")


def test_a_template_that_does_not_open_stops_nobody_elses(town: Town) -> None:
    with without_triggers("visitors_facetemplate"):
        town.people[3].templates.update(sealed=b"CFT1" + bytes(574))
    done = town.renew()
    assert (done["moved"], done["broken"], done["left"]) == (1, 1, 0)
    assert town.in_rotation() == [2, 1]


def test_postgresql_keeps_a_rotation_that_a_template_names(town: Town) -> None:
    with pytest.raises(IntegrityError, match="still names this rotation"):
        Rotation.objects.all().delete()
    template = town.people[2].templates.get()
    template.rotation = 9
    with pytest.raises(IntegrityError, match="names a rotation of its own organization"):
        template.save()


def test_a_wrong_organization_is_a_sentence(transactional_db: None) -> None:
    unknown = manage("rotation", "renew", "--organization", str(uuid.uuid4()))
    _, complaint = unknown.communicate(timeout=60)
    assert unknown.returncode == 1
    assert complaint.strip().splitlines()[-1].startswith("CommandError: There is no such org")
