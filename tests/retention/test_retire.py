"""A model is retired: from that day what it made recognises nobody, and goes with certificates."""

import json
import subprocess
import sys
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from apps.audit import services as audit
from apps.audit import signing
from apps.audit.models import Entry, Salt
from apps.consent.models import Consent, Purpose
from apps.consent.services import reissue
from apps.recognition.engine.starter import VERSION
from apps.recognition.models import Recognizer
from apps.retention.models import Erasure
from apps.retention.services.erase import CERTIFICATE_TYPE, erase
from apps.retention.services.sweep import sweep
from apps.visitors.models import Eviction, FaceTemplate, FormerPack, Visitor, overdue
from apps.visits.services import disclose
from tests.clients import browser
from tests.conftest import ROOT, House, build_house
from tests.people import manage
from tests.visits.test_disclose import match_of
from tests.visits.test_disclose_pass import both

OLD = ("consentry-former", "before")


def ends(days: float, pack: tuple[str, str] = OLD) -> FormerPack:
    """The former pack's day is so many days from now."""
    now = timezone.now()
    name, version = pack
    row, _ = FormerPack.objects.update_or_create(
        name=name,
        version=version,
        defaults={"left_at": now, "ends_at": now + timedelta(days=days)},
    )
    return row


def of_the_former(house: House, **changes: object) -> Visitor:
    """Somebody who is known by the former model alone."""
    visitor = house.visitor(**changes)  # type: ignore[arg-type]
    visitor.templates.update(pack=OLD[0], pack_version=OLD[1])
    return visitor


def taken_anew(house: House) -> tuple[Visitor, FaceTemplate]:
    """Somebody who is known by both, and the template by which they are in future."""
    visitor = of_the_former(house)
    new = visitor.templates.get()
    new.pk, new.pack, new.pack_version = uuid.uuid4(), "consentry-starter", VERSION
    new.save(force_insert=True)
    return visitor, new


def facts(erasure: Erasure) -> dict[str, Any]:
    """What a certificate says, its signature checked."""
    return signing.verify(erasure.document, signing.public_jwk(), CERTIFICATE_TYPE)


def test_before_its_day_nothing_goes(house: House) -> None:
    visitor = of_the_former(house)
    ends(1)
    swept = sweep()
    assert (swept.people, swept.templates, swept.failed) == (0, 0, 0)
    assert disclose(match_of(visitor, house)).outcome == "visit"


def test_from_its_day_nobody_is_recognised_by_it_even_if_nothing_sweeps(house: House) -> None:
    visitor = of_the_former(house)
    match = match_of(visitor, house)
    ends(-1)
    assert disclose(match).outcome == "refused"
    assert not FaceTemplate.objects.live().exists()
    assert FaceTemplate.objects.filter(overdue()).count() == 1


def test_whoever_is_known_by_the_new_one_loses_just_the_old_template(house: House) -> None:
    visitor, new = taken_anew(house)
    ends(-1)
    swept = sweep()
    assert (swept.people, swept.templates, swept.certificates, swept.failed) == (0, 1, 1, 0)
    assert visitor.templates.get() == new
    assert Consent.objects.get().live
    assert disclose(match_of(visitor, house)).outcome == "visit"
    erasure = Erasure.objects.get()
    assert (erasure.cause, erasure.state) == ("retired", "complete")
    told = facts(erasure)
    assert told["scope"] == [{"what": "sealed face template", "count": 1, "how": "erased"}]
    assert (told["pack"], told["key"]["row"]) == ("consentry-former before", "kept")
    assert Entry.objects.get(action="template.retired") in audit.about(visitor.subject)
    assert sweep().as_dict() == {**dict.fromkeys(swept.as_dict(), 0)}


def test_whoever_did_not_come_by_goes_with_their_last_template(house: House) -> None:
    visitor = of_the_former(house)
    ends(-1)
    swept = sweep()
    assert (swept.people, swept.templates, swept.certificates) == (1, 0, 1)
    assert not Visitor.objects.exists()
    assert not Salt.objects.exists()
    erasure = Erasure.objects.get()
    assert (erasure.cause, erasure.pack) == ("retired", "consentry-former before")
    assert facts(erasure)["key"]["row"] == "deleted"
    consent = Consent.objects.get(subject=visitor.subject)
    assert consent.withdrawn_at is None, "nobody withdrew anything"


def test_a_withdrawal_that_did_not_go_through_stays_a_withdrawal(house: House) -> None:
    of_the_former(house)
    Consent.objects.update(withdrawn_at=timezone.now())
    ends(-1)
    sweep()
    assert Erasure.objects.get().cause == "withdrawal"


def test_another_purpose_goes_on(house: House) -> None:
    """Taken anew at the lane only: the pass of the former model goes alone."""
    visitor = both(house)
    visitor.templates.filter(purpose="pass").update(pack=OLD[0], pack_version=OLD[1])
    ends(-1)
    assert sweep().templates == 1
    assert visitor.templates.get().purpose == "lane"


def test_each_recognizer_acknowledges_before_there_is_a_certificate(house: House) -> None:
    taken_anew(house)
    row = Recognizer.objects.create(
        pack="consentry-starter",
        pack_version=VERSION,
        licence="",
        commercial=True,
        generation=1,
        started_at=timezone.now(),
        seen_at=timezone.now() + timedelta(minutes=5),
    )
    ends(-1)
    swept = sweep()
    assert (swept.templates, swept.certificates) == (1, 0)
    assert Erasure.objects.get().state == "pending"
    eviction = Eviction.objects.get()
    row.acknowledgements.create(eviction=eviction, at=timezone.now())
    assert sweep().certificates == 1
    assert facts(Erasure.objects.get())["recognizers"][0]["id"] == str(row.pk)


def test_a_person_is_erased_after_a_template_of_theirs_was(house: House) -> None:
    visitor, _new = taken_anew(house)
    ends(-1)
    sweep()
    erase(visitor=visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")
    assert sorted(Erasure.objects.values_list("cause", flat=True)) == ["retired", "withdrawal"]
    sweep()
    assert {one.state for one in Erasure.objects.all()} == {"complete"}
    assert audit.verify().ok


def test_a_pack_that_is_neither_present_nor_former_goes_on_its_day_too(house: House) -> None:
    visitor = house.visitor()
    visitor.templates.update(pack="consentry-ancient", pack_version="0")
    ends(-1, ("consentry-ancient", "0"))
    assert sweep().people == 1


def test_two_sweeps_at_once_erase_each_template_once(transactional_db: None) -> None:
    house = build_house()
    people = [taken_anew(house)[0] for _ in range(6)]
    lone = [of_the_former(house) for _ in range(4)]
    ends(-1)
    sweeps = [manage("sweep") for _ in range(2)]
    told = [
        json.loads(each.communicate(timeout=120)[0].strip().splitlines()[-1]) for each in sweeps
    ]
    assert sum(each["templates"] for each in told) == len(people)
    assert sum(each["people"] for each in told) == len(lone)
    assert not any(each["failed"] for each in told)
    assert Erasure.objects.count() == len(people) + len(lone)
    sweep()
    assert not Erasure.objects.exclude(state="complete").exists()


# What the person and the inspector read.


def test_the_certificates_hold_for_whoever_checks_them_without_us(
    house: House, tmp_path: Path
) -> None:
    taken_anew(house)
    of_the_former(house)
    ends(-1)
    sweep()
    (tmp_path / "key.json").write_text(json.dumps(signing.public_jwk()))
    for erasure in Erasure.objects.all():
        (tmp_path / "certificate.jws").write_text(erasure.document)
        done = subprocess.run(
            [
                *(sys.executable, str(ROOT / "ops" / "verify-certificate")),
                *(str(tmp_path / "certificate.jws"), "--key", str(tmp_path / "key.json")),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        assert "  model        consentry-former before" in done.stdout.splitlines()


@pytest.mark.parametrize("known_anew", [True, False])
def test_the_receipt_says_what_became_of_a_person(house: House, known_anew: bool) -> None:
    visitor = taken_anew(house)[0] if known_anew else of_the_former(house)
    secret = renewed_secret(visitor)
    ends(-1)
    sweep()
    page = browser().post("/receipt/", {"secret": secret}).content.decode()
    if known_anew:
        assert 'data-testid="receipt-retired"' in page
        assert 'data-state="live"' in page
    else:
        assert "The model that recognised you was replaced" in page
        assert "pressed the button" not in page
    answer = browser().post("/receipt/certificate/", {"secret": secret})
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/jose")


def test_the_receipt_names_the_template_of_a_model_that_will_end(house: House) -> None:
    visitor, _new = taken_anew(house)
    secret = renewed_secret(visitor)
    ends(30)
    page = browser().post("/receipt/", {"secret": secret}).content.decode()
    assert page.count("A sealed face template, no picture") == 2
    assert page.count("of a model that will end") == 1
    assert 'data-testid="receipt-retired"' not in page


def test_the_receipt_says_which_purpose_has_stopped(house: House) -> None:
    visitor = both(house)
    visitor.templates.filter(purpose="pass").update(pack=OLD[0], pack_version=OLD[1])
    secret = renewed_secret(visitor)
    ends(-1)
    sweep()
    page = browser().post("/receipt/", {"secret": secret}).content.decode()
    assert page.count('data-testid="receipt-stopped"') == 1
    assert str(Purpose.PASS.label) in page.split('data-testid="receipt-stopped"')[1]


def renewed_secret(visitor: Visitor) -> str:
    """The code of a receipt that was made anew for this person."""
    return reissue(Consent.objects.get(subject=visitor.subject)).secret
