"""Who agreed to it is searched for in the other stores of the group too, by a real recognizer: in
those that they signed for, for as long as it holds, and with the same word of it when it ends.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta

import numpy as np
import pytest
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from numpy.typing import NDArray
from pytest_django.plugin import DjangoDbBlocker

from apps.audit import signing
from apps.consent.models import Consent, Purpose, Receipt
from apps.privacy.renewals import renew
from apps.recognition.client import (
    MatchRequest,
    PassRefused,
    Recognizer,
    SealRequest,
    VerifyRequest,
)
from apps.recognition.models import Recognizer as Row
from apps.retention.models import Erasure
from apps.retention.services.erase import CERTIFICATE_TYPE, await_acknowledgements, waiting_for
from apps.retention.services.withdraw import withdraw_purpose
from apps.stores.models import StoreGroup
from apps.visitors.models import Visitor
from apps.visits.membership import change_members
from apps.visits.models import Visit
from tests.conftest import House, Process, build_house
from tests.database import without_triggers
from tests.groups import agreed_for, grouped, left
from tests.people import enrolled_for_good
from tests.recognition.test_present import holder_of
from tests.visits.test_disclose import old_town
from tests.waiting import until

Crops = Callable[[int], NDArray[np.uint8]]
PERSON, OTHER, STRANGER = 2, 3, 4


class Chain:
    """A recognizer that runs, and three stores: two of them are a group."""

    def __init__(self, crops_of: Crops) -> None:
        self.crops_of = crops_of
        self.recognizer = Recognizer(settings.CONSENTRY.socket, timeout=30)
        self.here: House = build_house()
        self.there = old_town(self.here)
        self.far = old_town(self.here, "Far Away")
        self.group: StoreGroup = grouped(self.here, self.there)
        # The tests before emptied the tables under its feet.
        until(Row.objects.filter(stopped_at=None).exists, seconds=20)
        until(lambda: self.recognizer.status()["trusted"], seconds=20)

    def enrol(self, person: int = PERSON, house: House | None = None, **changes: object) -> Visitor:
        """Somebody who agreed to the group, unless another draft is asked for."""
        draft = changes or agreed_for(self.there)
        crops = self.crops_of(person)
        return enrolled_for_good(house or self.here, [self.recognizer], crops, **draft)

    def sees(self, house: House, person: int = PERSON) -> str:
        asked = MatchRequest(house.camera.pk, house.store.pk, time.time())
        return self.recognizer.match(asked, self.crops_of(person)).outcome


@pytest.fixture(scope="module")
def process(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[list[Process]]:
    """The recognizer, in a list so that a test may put another in its place."""
    with django_db_blocker.unblock():
        running = [Process("recognizer")]
    yield running
    running[0].stop()


@pytest.fixture
def chain(process: list[Process], transactional_db: None, crops_of: Crops) -> Iterator[Chain]:
    chain = Chain(crops_of)
    yield chain
    # Emptying tables tells nobody, deleting does.
    Visitor.objects.all().delete()
    until(lambda: not chain.recognizer.status()["templates"], seconds=20)


def test_she_is_greeted_in_both_stores_until_she_takes_the_other_one_back(chain: Chain) -> None:
    visitor = chain.enrol()
    assert (chain.sees(chain.there), chain.sees(chain.here)) == ("visit", "visit")
    assert chain.sees(chain.far) == "unknown"
    assert chain.sees(chain.there, STRANGER) == "unknown"

    (erasure,) = withdraw_purpose(visitor=visitor, purpose=Purpose.GROUP, actor="self")
    erasure = await_acknowledgements(erasure, 20.0)
    assert erasure.state == Erasure.State.COMPLETE
    assert chain.sees(chain.there) == "unknown"
    assert chain.sees(chain.here) == "still_here"
    assert Visit.objects.get().store == chain.here.store, "her visits there went with it"

    facts = signing.verify(erasure.document, signing.public_jwk(), CERTIFICATE_TYPE)
    assert (facts["cause"], facts["purpose"], facts["key"]["row"]) == ("purpose", "group", "kept")
    assert [line["count"] for line in facts["scope"]] == [1, 1]
    assert [each["id"] for each in facts["recognizers"]] == [
        str(Row.objects.get(stopped_at=None).pk)
    ]
    assert Consent.objects.get().purposes == ["lane", "history"]
    # A second time there is nothing left to do, and the whole of it can still be ended.
    assert withdraw_purpose(visitor=visitor, purpose=Purpose.GROUP, actor="self") == []
    (end,) = withdraw_purpose(visitor=visitor, purpose=Purpose.LANE, actor="self")
    assert await_acknowledgements(end, 20.0).state == Erasure.State.COMPLETE
    assert chain.sees(chain.here) == "unknown"


def test_a_store_that_leaves_stops_at_once_and_comes_back_to_nobody(chain: Chain) -> None:
    chain.enrol()
    assert chain.sees(chain.there) == "visit"
    change_members(group=chain.group, stores=[chain.here.store], actor="test")
    assert chain.sees(chain.there) in {"refused", "unknown"}
    until(lambda: chain.sees(chain.there) == "unknown", seconds=20)
    change_members(group=chain.group, stores=[chain.here.store, chain.there.store], actor="test")
    assert chain.sees(chain.there) == "unknown"
    assert chain.sees(chain.here) == "visit"


def test_who_ends_everything_is_a_stranger_in_each_store(chain: Chain) -> None:
    visitor = chain.enrol()
    assert chain.sees(chain.there) == "visit"
    (erasure,) = withdraw_purpose(visitor=visitor, purpose=Purpose.LANE, actor="self")
    assert await_acknowledgements(erasure, 20.0).state == Erasure.State.COMPLETE
    assert (chain.sees(chain.here), chain.sees(chain.there)) == ("unknown", "unknown")


def test_a_recognizer_that_starts_holds_what_is_covered_and_says_what_is_over(
    chain: Chain, process: list[Process]
) -> None:
    """It was away when the other stores were taken back, and answers for that when it is there."""
    one, two = chain.enrol(), chain.enrol(OTHER)
    process[0].kill()
    (erasure,) = withdraw_purpose(visitor=one, purpose=Purpose.GROUP, actor="self")
    process[0] = Process("recognizer")
    until(lambda: chain.recognizer.status()["trusted"], seconds=20)
    assert (chain.sees(chain.there), chain.sees(chain.here)) == ("unknown", "visit")
    assert (chain.sees(chain.there, OTHER), chain.sees(chain.here, OTHER)) == ("visit", "visit")
    # The one that was killed is waited for until it surely answers nobody.
    until(lambda: not waiting_for(erasure), seconds=30)
    assert chain.recognizer.status()["templates"] == 2
    assert two.visits.count() == 2


@pytest.mark.parametrize("name", ["a store that was not named", "a store that was named by nobody"])
def test_a_template_is_sealed_for_the_stores_that_its_consent_names(
    chain: Chain, name: str
) -> None:
    """Who can write past every trigger cannot have it searched where it was not agreed to."""
    if name == "a store that was not named":
        chain.enrol()
    else:
        chain.enrol(purposes=[Purpose.LANE])
    with without_triggers("consent_consent"), without_triggers("stores_membership"):
        chain.far.store.refresh_from_db()
        left(chain.far)
        chain.group.memberships.create(store=chain.far.store, joined_at="2020-01-01T00:00Z")
        Consent.objects.update(
            group=chain.group,
            group_stores=[chain.there.store.pk, chain.far.store.pk],
            purposes=["lane", "group"],
        )
    with transaction.atomic():
        # A pause and its end: it is read anew.
        Visitor.objects.update(restricted_at="2026-01-01T00:00Z")
        Visitor.objects.update(restricted_at=None)
    until(lambda: not chain.recognizer.status()["templates"], seconds=20)
    chain.enrol(OTHER, purposes=[Purpose.LANE])  # who comes after them is known
    assert (chain.sees(chain.far), chain.sees(chain.here)) == ("unknown", "unknown")
    assert not Visit.objects.exists()


def test_a_pass_opens_in_the_stores_that_it_was_signed_for(chain: Chain) -> None:
    purposes = [Purpose.PASS, Purpose.GROUP]
    draft = agreed_for(chain.there, purposes=purposes, asked=purposes)
    holder = holder_of(chain.here, chain.recognizer, chain.crops_of(PERSON), **draft)
    there, far = reads_passes(chain.there), reads_passes(chain.far)

    def shown_at(camera: uuid.UUID) -> str:
        nonce = chain.recognizer.present(camera=camera, shown=holder.shown)
        asked = VerifyRequest(camera, nonce, time.time())
        return chain.recognizer.verify(asked, chain.crops_of(PERSON)).outcome

    assert (shown_at(there), shown_at(holder.camera.pk)) == ("visit", "visit")
    assert {visit.store for visit in Visit.objects.all()} == {chain.here.store, chain.there.store}
    with pytest.raises(PassRefused, match="pass_elsewhere"):
        shown_at(far)
    left(chain.there)
    with pytest.raises(PassRefused, match="pass_elsewhere"):
        shown_at(there)
    assert shown_at(holder.camera.pk) == "still_here"


def reads_passes(house: House) -> uuid.UUID:
    """The store's camera reads passes from now on."""
    house.camera.mode = "pass"
    house.camera.save()
    return uuid.UUID(str(house.camera.pk))


def request(house: House, *others: House) -> SealRequest:
    return SealRequest(
        organization=house.organization.pk,
        store=house.store.pk,
        others=[each.store.pk for each in others],
        visitor=uuid.uuid4(),
        consent=uuid.uuid4(),
        templates={"lane": uuid.uuid4()},
        not_after=int(time.time()) + 60,
    )


def test_who_enrols_is_compared_with_everybody_whom_they_could_be_mixed_up_with(
    chain: Chain, crops_of: Crops
) -> None:
    """In each store in which they will be searched for, and in no other."""
    local = chain.enrol(house=chain.there, purposes=[Purpose.LANE])
    seal = chain.recognizer.seal
    assert seal(request(chain.here), crops_of(PERSON)).same is None
    assert seal(request(chain.far, chain.there), crops_of(PERSON)).same == local.pk
    group = chain.enrol(OTHER)
    assert seal(request(chain.there), crops_of(OTHER)).same == group.pk
    assert seal(request(chain.far), crops_of(OTHER)).same is None


def test_a_renewal_names_the_stores_that_are_covered_still(chain: Chain) -> None:
    visitor = chain.enrol()
    receipt = Consent.objects.get().receipt
    renewed(visitor, receipt)
    again = Consent.objects.live().get()
    assert again.renews == receipt.consent
    assert (again.group, again.group_stores) == (chain.group, [chain.there.store.pk])
    assert Purpose.GROUP in again.purposes
    assert chain.sees(chain.there) == "visit"
    # Of a group that the other store left nothing goes on.
    left(chain.there)
    renewed(visitor, again.receipt)
    last = Consent.objects.live().get()
    assert (last.group, last.group_stores, last.renews) == (None, [], again)
    assert Purpose.GROUP not in last.purposes
    assert chain.sees(chain.there) in {"unknown", "refused"}
    assert chain.sees(chain.here) == "visit"


def renewed(visitor: Visitor, receipt: Receipt) -> None:
    """Renew near the end, as the holder of the code does."""
    consent = receipt.consent
    Consent.objects.filter(pk=consent.pk).update(expires_at=timezone.now() + timedelta(days=9))
    receipt = Receipt.objects.get(pk=receipt.pk)
    text = receipt.consent.text
    renew(visitor=visitor, receipt=receipt, notice=str(text.pk), digest=text.digest, actor="self")
