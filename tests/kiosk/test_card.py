"""Whoever declines the face opts in without a camera, and takes a card home."""

import uuid
from typing import Any

import pytest
from pydantic import ValidationError

from apps.audit.models import Entry
from apps.consent.models import Consent, Purpose
from apps.consent.services import ConsentRefused
from apps.kiosk import services
from apps.kiosk.services import OptedIn, OptIn
from apps.visitors.models import Card, DataKey, FaceTemplate, Visitor
from apps.visits.checkin import check_in
from tests.clients import nothing_kept, opt_in_form
from tests.conftest import House

BY_CARD = {"lane": False, "pass": False, "card": True, "history": True}


def opted_in(house: House, **changes: Any) -> OptedIn:
    """What becomes of it where no recognizer runs: none is needed."""
    form = {**opt_in_form(house, [], purposes=BY_CARD), **changes}
    return services.opt_in(device=house.kiosk, locale="en", form=OptIn.model_validate(form))


def test_a_card_is_made_without_a_camera_and_without_a_recognizer(house: House) -> None:
    done = opted_in(house)
    consent = Consent.objects.get()
    assert (consent.purposes, consent.declined) == (["card", "history"], ["lane", "pass"])
    assert (FaceTemplate.objects.count(), DataKey.objects.count()) == (0, 0)
    assert done.key_share is None
    assert done.card is not None
    assert done.card.signs not in repr(done)
    decision = check_in(code=done.card, store=house.store, actor="test")
    assert decision.outcome == "visit"
    assert Visitor.objects.get().card.delete_after <= consent.expires_at
    assert Entry.objects.filter(action="card.made").exists()


def test_a_lost_answer_gives_a_new_card_and_ends_the_lost_one(house: House) -> None:
    attempt = str(uuid.uuid4())
    lost, fresh = (opted_in(house, attempt=attempt).card for _ in range(2))
    assert lost is not None
    assert fresh is not None
    assert (Visitor.objects.count(), Card.objects.count()) == (1, 1)
    assert check_in(code=lost, store=house.store, actor="test").outcome == "refused"
    assert check_in(code=fresh, store=house.store, actor="test").outcome == "visit"


def test_pictures_come_exactly_where_a_face_was_agreed_to(house: House) -> None:
    with nothing_kept():
        for changes in (
            {"photos": ["cGljdHVyZQ=="]},
            {"frames": [{"step": 0, "at": 0.5, "photo": "cGljdHVyZQ=="}]},
            {"purposes": {**BY_CARD, "lane": True}},
        ):
            with pytest.raises(ValidationError) as refused:
                opted_in(house, **changes)
            assert "cGljdHVyZQ" not in str(refused.value)


def test_without_any_way_to_be_known_nothing_is_kept(house: House) -> None:
    with nothing_kept(), pytest.raises(ConsentRefused):
        opted_in(house, purposes={**BY_CARD, "card": False})


def test_who_cannot_move_needs_no_witness_where_no_camera_looks(house: House) -> None:
    assert opted_in(house, still=True).signed.consent.presence_witness is None
    assert Consent.objects.get().purposes == [Purpose.CARD, Purpose.HISTORY]
