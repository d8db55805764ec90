"""Whether a camera may compare faces: every need has its reason, and no setting leads past them."""

import itertools
from datetime import timedelta
from typing import get_args

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.config.environment import Environment
from apps.stores import jurisdictions
from apps.stores.models import Assessment, Camera, Role, Store
from apps.visits.cameras import specs
from apps.visits.pipeline.watcher import CameraSpec, Mode
from tests.clients import browser
from tests.conftest import House

SIDE_TO_SIDE = [[0, 0], [1, 0], [1, 1], [0, 1]]
HALF = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]


def test_a_lane_that_has_all_it_needs_runs(house: House) -> None:
    assert house.camera.blockers() == []
    assert specs(set())[house.camera.pk].mode == "lane"


def lose(house: House, what: str) -> None:
    """Take one of the things away that a lane needs."""
    camera, store, assessment = house.camera, house.store, Assessment.objects.get()
    match what:
        case "a jurisdiction that permits it":
            store.jurisdiction = "strict"
        case "an assessment":
            assessment.delete()
        case "an assessment that has not ended":
            assessment.signed_at = timezone.now() - timedelta(days=2)
            assessment.expires_at = timezone.now() - timedelta(days=1)
            assessment.save()
        case "a sign":
            camera.signage_confirmed_at = None
        case "a check-in without a face":
            store.non_face_check_in = ""
        case "a zone":
            camera.zone = []
        case "a way past":
            assessment.way_past = " "
            assessment.save()
    store.save()
    camera.save()


REASONS = {
    "a jurisdiction that permits it": "does not permit this mode",
    "an assessment": "signed and not expired",
    "an assessment that has not ended": "signed and not expired",
    "a sign": "sign at the lane",
    "a check-in without a face": "no check-in without a face",
    "a zone": "Draw the lane",
    "a way past": "from side to side",
}


@pytest.mark.parametrize("what", REASONS)
def test_without_any_one_of_them_it_does_not_run_and_the_portal_says_why(
    house: House, what: str
) -> None:
    lose(house, what)
    assert specs(set()) == {}
    officer = browser(house.dpo)
    for page in ("", f"{house.camera.pk}/change/"):
        text = officer.get(f"/admin/stores/camera/{page}").content.decode()
        assert REASONS[what] in text


def test_the_portal_lists_everything_that_a_lane_needs(house: House) -> None:
    page = browser(house.dpo).get(f"/admin/stores/camera/{house.camera.pk}/change/")
    for need in ("Jurisdiction", "Impact assessment", "Sign", "Check-in without a face", "Zone"):
        assert f"<div>{need}: in place</div>" in page.content.decode()


@pytest.mark.parametrize(
    ("zone", "leaves"),
    [
        (SIDE_TO_SIDE, False),
        (HALF, True),
        ([[0.1, 0], [1, 0], [1, 1], [0.1, 1]], True),
        ([[0.05, 0], [0.95, 0], [0.95, 1], [0.05, 1]], False),
        # Slanted: its corners, not its middle, are what one must get by.
        ([[0.0, 0], [0.4, 0], [1, 1], [0.6, 1]], False),
    ],
)
def test_somebody_can_walk_by_or_the_assessment_names_the_other_way(
    house: House, zone: list[list[float]], leaves: bool
) -> None:
    Assessment.objects.update(way_past="")
    Camera.objects.update(zone=zone)
    assert bool(specs(set())) is leaves
    Assessment.objects.update(way_past="The side door.")
    assert specs(set())


def test_an_assessment_is_signed_by_the_stores_own_officer(house: House) -> None:
    now = timezone.now()
    other = Store.objects.create(organization=house.organization, name="Old Town", slug="old-town")
    elsewhere = Role.objects.create(user=house.staff, store=other, kind=Role.Kind.DPO)
    for signer, signs in ((house.dpo, True), (house.staff, False), (elsewhere.user, False)):
        assessment = Assessment(
            camera=house.camera,
            necessity="x",
            signed_by=signer,
            signed_at=now,
            expires_at=now + timedelta(days=1),
        )
        if signs:
            assessment.save()
            continue
        with pytest.raises(ValidationError, match="data protection officer"):
            assessment.save()


@pytest.mark.parametrize("faces", [0, 5])
def test_an_assessment_allows_one_to_four_faces(house: House, faces: int) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Assessment.objects.update(max_faces=faces)


def test_a_lane_runs_with_as_many_faces_as_its_assessment_allows(house: House) -> None:
    Assessment.objects.update(max_faces=3)
    assert specs(set())[house.camera.pk].max_faces == 3


# There is no walk-by recognition: not by any mode, any law, any setting.


def test_there_are_three_modes_and_postgresql_knows_no_other(house: House) -> None:
    assert set(Camera.Mode.values) == set(get_args(Mode)) == {"count", "pass", "lane"}
    for code in jurisdictions.codes():
        assert jurisdictions.get(code).modes <= {"count", "pass", "lane"}
    for mode in ("walk-by", "identify", "", "LANE", "lane "):
        with pytest.raises(IntegrityError), transaction.atomic():
            Camera.objects.update(mode=mode)
        with pytest.raises(ValueError, match="no other mode"):
            CameraSpec(house.camera.pk, house.store.pk, "x", "-", mode)  # type: ignore[arg-type]


# One for each set of modes that any law permits.
LAWS = sorted({jurisdictions.get(code).modes: code for code in jurisdictions.codes()}.values())


def test_no_configuration_compares_whoever_walks_by(house: House) -> None:
    """Every combination of mode, law and settings: what runs as a lane has all that a lane needs,
    and what does not run as a lane compares with nobody's or with one pass's template."""
    now = timezone.now()
    dates = {"none": None, "over": now - timedelta(days=1), "valid": now + timedelta(days=1)}
    ran = 0
    for mode, law, zone, until, way_past, sign, check_in in itertools.product(
        Camera.Mode.values,
        LAWS,
        ([], HALF, SIDE_TO_SIDE),
        dates,
        ("", "The side door."),
        (None, now),
        ("", "Show your card."),
    ):
        Assessment.objects.all().delete()
        if expires := dates[until]:
            Assessment.objects.create(
                camera=house.camera,
                necessity="x",
                way_past=way_past,
                signed_by=house.dpo,
                signed_at=now - timedelta(days=3),
                expires_at=expires,
            )
        Camera.objects.update(mode=mode, zone=zone, signage_confirmed_at=sign)
        Store.objects.update(jurisdiction=law, non_face_check_in=check_in)
        running = specs(set())
        if mode == "count":
            assert running[house.camera.pk].mode == "count"
            continue
        lawful = mode in jurisdictions.get(law).modes and sign is not None and check_in != ""
        if mode == "lane":
            apart = zone == HALF or (zone == SIDE_TO_SIDE and way_past != "")
            lawful = lawful and until == "valid" and apart
        assert (house.camera.pk in running) is lawful
        if lawful:
            assert running[house.camera.pk].mode == mode
            ran += 1
    assert ran, "and with all of it in place, it runs"


def test_no_setting_of_the_environment_knows_of_modes() -> None:
    for name in Environment.model_fields:
        assert not {"mode", "lane", "walk", "identify", "zone"} & set(name.split("_"))
