"""A material change of the notice: asked again at the next visit, and old consents end in time."""

import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from django.db import connection, transaction
from django.utils import timezone
from numpy.typing import NDArray

from apps.audit.models import Entry
from apps.consent import notices
from apps.consent import services as consents
from apps.consent.models import PROOF, Consent, Notice, Receipt
from apps.recognition.client import Recognizer
from apps.retention.models import Erasure
from apps.retention.services.sweep import sweep
from apps.visitors.models import Eviction, FaceTemplate, Visitor
from apps.visits import selectors
from apps.visits.models import Visit
from apps.visits.services import disclose
from tests.clients import browser
from tests.conftest import House, build_house
from tests.consent.notices import SECOND, new_version, published
from tests.database import without_triggers
from tests.house.test_rules import PERSON, seen
from tests.people import enrolled_for_good
from tests.visits.test_disclose import match_of, visit_of
from tests.visits.test_disclose_pass import both
from tests.waiting import until

END = timedelta(days=20)


def change(house: House, after: timedelta | None = END) -> datetime:
    """Publish a new version; when the old consents end, if the change is material."""
    end = (timezone.now() + after).replace(microsecond=0) if after else None
    notices.publish(notice=new_version(house), actor=SECOND, former_end=end)
    return end or timezone.now()


def anew(house: House) -> House:
    """The house as a tablet sees it that shows the newest notice."""
    text = consents.current_text(store=house.store, locale="en")
    assert text is not None
    return replace(house, text=text)


def test_consents_and_templates_end_on_the_day_that_was_said(house: House) -> None:
    both(house)
    consent = Consent.objects.get()
    not_after = set(FaceTemplate.objects.values_list("not_after", flat=True))
    end = change(house)
    consent.refresh_from_db()
    assert consent.expires_at == end
    assert consent.delete_after == end + PROOF
    assert consent.live
    assert set(FaceTemplate.objects.values_list("delete_after", flat=True)) == {end}
    assert set(FaceTemplate.objects.values_list("not_after", flat=True)) == not_after
    assert FaceTemplate.objects.live().count() == 2
    entry = Entry.objects.filter(action="notice.published").latest("seq")
    assert entry.detail["asked_again"] == 1


def test_words_only_change_nothing_for_who_signed(house: House) -> None:
    visitor = house.visitor()
    before = Consent.objects.get().expires_at
    change(house, None)
    assert Consent.objects.get().expires_at == before
    assert selectors.card(arrival(house, visitor)).sign_anew_by is None
    assert not Consent.objects.asked_again().exists()


def test_who_ends_sooner_anyway_ends_then(house: House) -> None:
    house.visitor()
    soon = timezone.now() + timedelta(days=2)
    Consent.objects.update(expires_at=soon)
    change(house)
    assert Consent.objects.get().expires_at == soon
    assert Consent.objects.asked_again().count() == 1


def test_another_house_and_whoever_has_ended_are_left_alone(house: House) -> None:
    withdrawn = consents.withdraw(
        consent=Consent.objects.get(subject=house.visitor().subject), actor="self"
    )
    other = Notice.objects.create(organization=house.organization, version=90)
    change(house)
    assert Consent.objects.get(pk=withdrawn.pk).expires_at == withdrawn.expires_at
    assert other.version == 90


def arrival(house: House, visitor: Visitor) -> Visit:
    found = visit_of(disclose(match_of(visitor, house)))
    return selectors.current(house.store).get(pk=found.pk)


def test_at_the_next_visit_the_board_asks_for_the_new_signature(house: House) -> None:
    visitor = house.visitor()
    assert selectors.card(arrival(house, visitor)).sign_anew_by is None
    Visit.objects.all().delete()
    end = change(house)
    card = selectors.card(arrival(house, visitor))
    assert card.sign_anew_by == end
    page = browser(house.staff).get("/floor/harbour-street/").content.decode()
    assert "ask to read and sign the new one" in page


def test_a_visit_prolongs_nothing_past_the_end(house: House) -> None:
    visitor = house.visitor()
    end = change(house)
    arrival(house, visitor)
    assert visitor.templates.get().delete_after == end


def test_the_receipt_says_until_when_and_still_ends_everything(house: House) -> None:
    signed = consents.sign(house.draft())
    visitor = house.visitor()
    secret = consents.reissue(Consent.objects.get(subject=visitor.subject)).secret
    letter = browser().post("/receipt/", {"secret": secret}).content.decode()
    assert "sign the new one" not in letter
    end = change(house)
    letter = browser().post("/receipt/", {"secret": secret}).content.decode()
    assert 'data-testid="receipt-sign-anew"' in letter
    assert f"{end.day} {end:%B %Y}" in letter
    assert browser().post("/receipt/withdraw/", {"secret": secret}).status_code == 200
    assert not Visitor.objects.exists()
    assert Receipt.objects.filter(pk=signed.receipt.pk).exists()


def test_who_signs_the_new_one_is_not_asked_again(house: House) -> None:
    house.visitor()
    change(house)
    again = anew(house)
    visitor = again.visitor("Ms Rivera")
    assert selectors.card(arrival(again, visitor)).sign_anew_by is None
    term = Consent.objects.get(subject=visitor.subject).expires_at - timezone.now()
    assert term > timedelta(days=300)


def test_a_later_change_of_words_does_not_forget_who_has_not_signed(house: House) -> None:
    visitor = house.visitor()
    end = change(house)
    published(house)
    assert selectors.card(arrival(house, visitor)).sign_anew_by == end


def test_who_has_not_signed_by_then_is_erased(house: House) -> None:
    """The day comes as it would: past the triggers that keep a deadline in the future."""
    house.visitor()
    change(house)
    assert sweep().people == 0
    with without_triggers("consent_consent"), without_triggers("visitors_facetemplate"):
        now = timezone.now()
        Consent.objects.update(signed_at=now - timedelta(days=30), expires_at=now)
        FaceTemplate.objects.update(delete_after=now)
    assert sweep().people == 1
    assert not Visitor.objects.exists()
    assert Erasure.objects.get().cause == Erasure.Cause.EXPIRY
    assert Consent.objects.get().withdrawn_at is None


def test_a_template_sealed_for_longer_stays_within_its_shortened_consent(house: House) -> None:
    visitor = house.visitor()
    end = change(house)
    FaceTemplate.objects.update(delete_after=timezone.now() + timedelta(days=300))
    assert visitor.templates.get().not_after > end
    assert visitor.templates.get().delete_after == end


@pytest.fixture
def standing(transactional_db: None) -> House:
    return build_house()


def test_whoever_signs_while_it_is_published_is_found_or_reads_anew(standing: House) -> None:
    """The old text is signed and not committed yet; the publication waits for it."""
    draft = standing.draft()
    notice = new_version(standing)
    end = timezone.now() + END
    failed: list[Exception] = []

    def publish() -> None:
        try:
            notices.publish(notice=notice, actor=SECOND, former_end=end)
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    officer = threading.Thread(target=publish)
    with transaction.atomic():
        consents.sign(draft)
        officer.start()
        until(waits_for_a_lock, seconds=20)
    officer.join()
    assert not failed
    assert Consent.objects.get().expires_at == end
    with pytest.raises(consents.ConsentRefused), transaction.atomic():
        consents.sign(standing_draft(draft))


def standing_draft(draft: Consent) -> Consent:
    """The same text, signed by somebody who began before the publication."""
    draft.pk, draft.subject = uuid.uuid4(), uuid.uuid4()
    draft._state.adding = True
    return draft


def waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])


def test_recognizers_go_on_until_the_end_and_refuse_after_it(
    standing: House,
    recognizer: Recognizer,
    crops_of: Callable[[int], NDArray[np.uint8]],
) -> None:
    crops = crops_of(PERSON)
    enrolled_for_good(standing, [recognizer], crops)
    assert seen(recognizer, standing, crops) == "visit"
    change(standing)
    assert not Eviction.objects.exists(), "shortened is not ended"
    assert seen(recognizer, standing, crops) == "still_here"
    # And an end that is near is known to the gallery itself, though nobody comes to evict.
    soon = timezone.now() + timedelta(seconds=3)
    Consent.objects.update(expires_at=soon)
    assert FaceTemplate.objects.get().delete_after == soon
    until(lambda: seen(recognizer, standing, crops) == "unknown", seconds=20)
    assert FaceTemplate.objects.exists()
    assert not Eviction.objects.exists()
