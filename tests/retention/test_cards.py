"""A card ends as a template does: in time, with its purpose, with its person, and for good."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from apps.audit import signing
from apps.audit.models import Deletion, Entry
from apps.consent.models import Consent, Purpose
from apps.recognition.models import Recognizer
from apps.retention.models import Erasure
from apps.retention.services import watchdog
from apps.retention.services.backup import replay
from apps.retention.services.erase import CERTIFICATE_TYPE, complete, erase
from apps.retention.services.policy import change, preview
from apps.retention.services.sweep import _delete_card, sweep
from apps.retention.services.withdraw import withdraw_purpose
from apps.stores.policies import Kind
from apps.visitors import cards
from apps.visitors.cards import CardCode
from apps.visitors.models import Card, DataKey, FaceTemplate, Visitor
from apps.visitors.services import replace_card
from apps.visits.checkin import check_in
from apps.visits.models import Visit
from tests.conftest import House, build_house
from tests.database import let_templates_expire, without_triggers
from tests.retention.test_hold import hold
from tests.retention.test_supplement import verify

BY_CARD = [Purpose.CARD, Purpose.HISTORY]
BOTH = [Purpose.LANE, *BY_CARD]


@pytest.fixture
def code() -> CardCode:
    return cards.draw()


def let_cards_expire() -> None:
    with without_triggers("visitors_card"):
        Card.objects.update(delete_after=timezone.now() - timedelta(seconds=1))


def facts_of(erasure: Erasure) -> dict[str, object]:
    assert erasure.state == Erasure.State.COMPLETE
    return signing.verify(erasure.document, signing.public_jwk(), CERTIFICATE_TYPE)


def scope_of(erasure: Erasure) -> dict[str, int]:
    return {line["what"]: line["count"] for line in erasure.scope}


def test_who_had_a_card_alone_is_erased_with_a_certificate_that_anyone_can_check(
    house: House, code: CardCode, tmp_path: Path
) -> None:
    """No recognizer knew them, so none has to acknowledge, and no key opened anything of theirs."""
    guest = house.visitor(card=code, purposes=BY_CARD)
    check_in(code=code, store=house.store, actor="test")
    now = timezone.now()
    Recognizer.objects.create(
        pack="p",
        pack_version="1",
        licence="",
        commercial=True,
        generation=1,
        started_at=now,
        seen_at=now,
    )
    erasure = complete(erase(visitor=guest, cause=Erasure.Cause.WITHDRAWAL, actor="self"))
    facts = facts_of(erasure)
    assert facts["key"] == {"generation": None, "row": "deleted", "generation_destroyed": None}
    assert "not sealed" in str(facts["backup_horizon"])
    scope = scope_of(erasure)
    assert (scope["digest of the code of a card"], scope["visit"]) == (1, 1)
    assert "sealed face template" not in scope
    assert not Card.objects.exists()
    assert not Visit.objects.exists()
    assert check_in(code=code, store=house.store, actor="test").outcome == "refused"
    assert json.loads(verify(tmp_path, erasure.papers)[-1])["valid"]


def test_the_sweep_keeps_who_has_a_card_and_erases_them_by_its_deadline(house: House) -> None:
    house.visitor(purposes=BY_CARD)
    assert sweep().people == 0
    assert Visitor.objects.exists()
    assert not watchdog.late(watchdog.look())
    let_cards_expire()
    swept = sweep()
    assert (swept.people, swept.failed) == (1, 0)
    assert not Visitor.objects.exists()
    assert Erasure.objects.get().cause == Erasure.Cause.EXPIRY
    assert Consent.objects.get().withdrawn_at is None


def test_of_a_card_and_a_template_one_that_is_over_goes_alone(house: House) -> None:
    house.visitor(purposes=BOTH)
    let_cards_expire()
    swept = sweep()
    assert (swept.people, swept.cards, swept.failed) == (0, 1, 0)
    assert (FaceTemplate.objects.count(), Card.objects.count()) == (1, 0)
    Visitor.objects.all().delete()
    house.visitor(purposes=BOTH)
    let_templates_expire()
    swept = sweep()
    assert (swept.people, swept.templates, swept.failed) == (0, 1, 0)
    assert (FaceTemplate.objects.count(), Card.objects.count()) == (0, 1)
    assert not DataKey.objects.exists(), "a key that opens nothing any more"


def test_taking_the_card_back_leaves_the_face_and_the_other_way_round(
    house: House, tmp_path: Path
) -> None:
    first, second = house.visitor(purposes=BOTH), house.visitor(purposes=BOTH)
    (erasure,) = withdraw_purpose(visitor=first, purpose=Purpose.CARD, actor="self")
    assert scope_of(complete(erasure)) == {"digest of the code of a card": 1}
    assert facts_of(complete(erasure))["key"]["row"] == "kept"  # type: ignore[index]
    assert first.templates.exists()
    (erasure,) = withdraw_purpose(visitor=second, purpose=Purpose.LANE, actor="self")
    assert scope_of(erasure) == {"sealed face template": 1, "wrapped data key": 1}
    erasure = complete(erasure)
    assert facts_of(erasure)["key"]["row"] == "none"  # type: ignore[index]
    assert json.loads(verify(tmp_path, erasure.papers)[-1])["valid"]
    assert Card.objects.filter(visitor=second).exists()
    (erasure,) = withdraw_purpose(visitor=second, purpose=Purpose.CARD, actor="self")
    assert erasure.whole
    assert not Visitor.objects.filter(pk=second.pk).exists()


def test_taking_another_purpose_back_says_of_no_key_that_it_is_kept(
    house: House, code: CardCode, tmp_path: Path
) -> None:
    guest = house.visitor(card=code, purposes=[*BY_CARD, Purpose.CONTACT])
    check_in(code=code, store=house.store, actor="test")
    for erasure in withdraw_purpose(visitor=guest, purpose=Purpose.HISTORY, actor="self"):
        done = complete(erasure)
        assert facts_of(done)["key"]["row"] == "none"  # type: ignore[index]
        assert json.loads(verify(tmp_path, done.papers)[-1])["valid"]
    assert Card.objects.exists()
    assert Erasure.objects.exists()


def test_a_claim_laid_while_the_sweep_is_on_its_way_keeps_the_card(house: House) -> None:
    guest = house.visitor(purposes=BOTH)
    let_cards_expire()
    hold(guest)
    assert not _delete_card(guest.pk)
    assert Card.objects.exists()


def test_a_shorter_policy_of_the_pass_moves_cards_too(house: House) -> None:
    house.visitor(purposes=BY_CARD)
    figures = {Kind.PASS: 30}
    (effect,) = preview(store=house.store, figures=figures)
    assert (effect.people, effect.at_once) == (1, 0)
    change(store=house.store, figures=figures, reason="We need it for less.", actor="test")
    assert Card.objects.get().delete_after <= timezone.now() + timedelta(days=30)


def test_a_card_ends_with_its_consent_when_a_changed_notice_shortens_that(
    house: House, code: CardCode
) -> None:
    house.visitor(card=code, purposes=BY_CARD)
    end = timezone.now() + timedelta(days=20)
    Consent.objects.update(expires_at=end)
    assert Card.objects.get().delete_after == end
    assert check_in(code=code, store=house.store, actor="test").outcome == "visit"
    Card.objects.update(delete_after=end + timedelta(days=1))
    assert Card.objects.get().delete_after == end


def test_a_lost_card_stays_lost_after_a_restore(transactional_db: None, code: CardCode) -> None:
    house = build_house()
    guest, fresh = house.visitor(card=code, purposes=BY_CARD), cards.draw()
    before = Card.objects.get()
    consent = before.consent
    replace_card(visitor=guest, consent=consent, card=cards.digest(fresh), actor="self")
    assert check_in(code=code, store=house.store, actor="test").outcome == "refused"
    # As a backup of the day before brings it back.
    Card.objects.all().delete()
    before.save(force_insert=True)
    Deletion.objects.all().delete()
    assert check_in(code=code, store=house.store, actor="test").outcome == "visit"
    replay()
    assert Visitor.objects.exists()
    Visit.objects.all().delete()
    assert check_in(code=code, store=house.store, actor="test").outcome == "refused"
    assert Entry.objects.filter(action="restore.replayed").exists()
