"""A tablet is let in by a code that works once, and then by its own key over nonces used once."""

import base64
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from django.db import connection
from django.utils import timezone
from pydantic import SecretStr
from pytest_django.fixtures import Settings

from apps.audit.models import Entry
from apps.stores.devices import NONCE_SECONDS, live_events, new_code, revoke
from apps.stores.models import Device
from ops.tablet import Answer
from tests.clients import KioskTablet, enrolled
from tests.conftest import House

NOTHING = b'{"purposes": []}'
JSON = {"Content-Type": "application/json"}


def code_of(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json()["error"]["code"]


def send(tablet: KioskTablet, headers: dict[str, str]) -> Answer:
    """A signed request that changes nothing."""
    return tablet.request("/kiosk/refuse/", NOTHING, {**headers, **JSON})


def headers_of(tablet: KioskTablet) -> dict[str, str]:
    return tablet.headers_for("/kiosk/refuse/", NOTHING, tablet.nonce())


def test_a_code_lets_one_tablet_in_once(house: House) -> None:
    code = new_code(device=house.kiosk, actor="test")
    first, second = KioskTablet(), KioskTablet()
    answer = first.enroll(code)
    assert answer.json() == {"device": str(house.kiosk.pk), "store": "Harbour Street"}
    assert code_of(second.enroll(code)) == (403, "code")
    assert first.signed("/kiosk/refuse/", NOTHING).status == 204
    assert Entry.objects.filter(action="device.enrolled").count() == 1


@pytest.mark.parametrize(
    "typed",
    [
        lambda code: code.lower(),
        lambda code: f"  {code}\n",
        lambda code: code.replace("-", ""),
        lambda code: " ".join(code),
        lambda code: code.replace("-", " – "),
    ],
    ids=["small letters", "spaces around", "no dash", "spaced out", "a long dash"],
)
def test_a_code_may_be_typed_as_people_type(house: House, typed: Callable[[str], str]) -> None:
    assert KioskTablet().enroll(typed(new_code(device=house.kiosk, actor="test"))).status == 200


@pytest.mark.parametrize("code", ["", "-", "ABCD-EFGH", "' OR 1=1"])
def test_a_made_up_code_lets_nobody_in(house: House, code: str) -> None:
    new_code(device=house.kiosk, actor="test")
    revoke(device=Device.objects.create(store=house.store, name="Old"), actor="test")
    assert code_of(KioskTablet().enroll(code)) == (403, "code")


def test_a_code_ends_by_itself(house: House) -> None:
    code = new_code(device=house.kiosk, actor="test")
    Device.objects.update(code_expires_at=timezone.now() - timedelta(seconds=1))
    assert code_of(KioskTablet().enroll(code)) == (403, "code")


def test_a_new_code_ends_the_old_one_and_the_tablet_that_used_it(house: House) -> None:
    old = new_code(device=house.kiosk, actor="test")
    tablet = KioskTablet()
    tablet.enroll(old)
    waiting = headers_of(tablet)
    new_code(device=house.kiosk, actor="test")
    assert code_of(send(tablet, waiting)) == (403, "device")
    assert code_of(KioskTablet().enroll(old)) == (403, "code")


def jwk(curve: ec.EllipticCurve = ec.SECP256R1(), **changes: Any) -> dict[str, Any]:  # noqa: B008
    numbers = ec.generate_private_key(curve).private_numbers()
    size = (curve.key_size + 7) // 8

    def text(number: int) -> str:
        return base64.urlsafe_b64encode(number.to_bytes(size)).rstrip(b"=").decode()

    public = numbers.public_numbers
    key = {"kty": "EC", "crv": "P-256", "x": text(public.x), "y": text(public.y)}
    return {**key, **{name: text(value) if isinstance(value, int) else value
                      for name, value in changes.items()}}  # fmt: skip


@pytest.mark.parametrize(
    "key",
    [
        jwk(d=12345),
        jwk(ec.SECP384R1()),
        jwk(ec.SECP384R1(), crv="P-384"),
        jwk(ec.SECP256K1()),
        jwk(kty="OKP", crv="Ed25519"),
        jwk(x="", y=""),
        jwk(x=1, y=1),
        jwk(x="not base64 §§"),
        jwk(x=None),
        jwk(x=["a"]),
        {"kty": "EC"},
        [],
        "key",
        None,
    ],
    ids=[
        "private",
        "wrong curve, lying",
        "wrong curve",
        "bitcoin's curve",
        "other kind",
        "empty point",
        "point off the curve",
        "no base64",
        "null",
        "list",
        "half",
        "no object",
        "text",
        "nothing",
    ],
)
def test_only_a_public_p256_key_is_taken(house: House, key: object) -> None:
    code = new_code(device=house.kiosk, actor="test")
    tablet = KioskTablet()
    tablet.request("/kiosk/")
    body = json.dumps({"code": code, "jwk": key}).encode()
    answer = tablet.request("/kiosk/enroll/", body, {**JSON, "X-CSRFToken": tablet.csrf})
    assert answer.status in (400, 403), answer.body
    assert answer.json()["error"]["text"].endswith(".")
    house.kiosk.refresh_from_db()
    assert house.kiosk.public_key is None
    assert KioskTablet().enroll(code).status == 200, "the code is still good"


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b'{"code": 3}', b"[" * 100_000])
def test_an_enrolment_that_is_no_form_is_refused(house: House, body: bytes) -> None:
    tablet = KioskTablet()
    tablet.request("/kiosk/")
    answer = tablet.request("/kiosk/enroll/", body, {**JSON, "X-CSRFToken": tablet.csrf})
    assert code_of(answer) == (400, "form")


def test_another_site_cannot_enrol_a_tablet(house: House) -> None:
    """Without the token of our own page the request is not ours."""
    tablet = KioskTablet()
    body = json.dumps({"code": new_code(device=house.kiosk, actor="test"), "jwk": jwk()}).encode()
    assert tablet.request("/kiosk/enroll/", body, JSON).status == 403
    house.kiosk.refresh_from_db()
    assert house.kiosk.public_key is None


def test_a_stopped_tablet_is_out_at_its_next_request(house: House) -> None:
    tablet = enrolled(house.kiosk)
    headers = headers_of(tablet)
    revoke(device=house.kiosk, actor="test")
    assert code_of(send(tablet, headers)) == (403, "device")
    assert (
        tablet.request("/kiosk/nonce/", b"{}", {**JSON, "X-CSRFToken": tablet.csrf}).status == 403
    )


def test_a_tablet_past_its_end_is_out(house: House) -> None:
    tablet = enrolled(house.kiosk)
    headers = headers_of(tablet)
    Device.objects.update(expires_at=timezone.now())
    assert code_of(send(tablet, headers)) == (403, "device")


def test_one_tablets_key_does_not_sign_for_another(house: House) -> None:
    tablet = enrolled(house.kiosk)
    other = enrolled(Device.objects.create(store=house.store, name="Other"))
    body_headers = other.headers_for("/kiosk/refuse/", NOTHING, tablet.nonce())
    forged = {**body_headers, "Consentry-Device": tablet.device}
    assert code_of(send(tablet, forged)) == (403, "device")


def test_one_tablets_nonce_is_worth_nothing_to_another(house: House) -> None:
    tablet = enrolled(house.kiosk)
    other = enrolled(Device.objects.create(store=house.store, name="Other"))
    headers = other.headers_for("/kiosk/refuse/", NOTHING, tablet.nonce())
    assert code_of(send(other, headers)) == (409, "replayed")


@pytest.mark.parametrize(
    "changes",
    [
        {"Consentry-Signature": ""},
        {"Consentry-Signature": "A" * 86},
        {"Consentry-Signature": "A" * 1000},
        {"Consentry-Signature": "§§§§"},
        {"Consentry-Device": "not-a-uuid"},
        {"Consentry-Device": ""},
        {"Consentry-Nonce": "another"},
        {"Consentry-Nonce": ""},
    ],
)
def test_a_request_whose_proof_does_not_fit_is_refused(
    house: House, changes: dict[str, str]
) -> None:
    tablet = enrolled(house.kiosk)
    assert code_of(send(tablet, {**headers_of(tablet), **changes})) == (403, "device")


def test_a_nonce_is_good_for_one_of_many_requests_at_once(
    house: House, transactional_db: None
) -> None:
    tablet = enrolled(house.kiosk)
    headers = headers_of(tablet)

    def try_once(_number: int) -> int:
        twin = KioskTablet()
        try:
            return send(twin, headers).status
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        answers = sorted(threads.map(try_once, range(8)))
    assert answers == [204] + [409] * 7


def test_a_nonce_dies_of_age(house: House) -> None:
    tablet = enrolled(house.kiosk)
    nonce = tablet.nonce()
    (key,) = live_events().scan_iter(f"nonce:{tablet.device}:{nonce}")
    assert 0 < live_events().ttl(key) <= NONCE_SECONDS
    live_events().expire(key, 0)
    headers = tablet.headers_for("/kiosk/refuse/", NOTHING, nonce)
    assert code_of(send(tablet, headers)) == (409, "replayed")


def test_each_answer_brings_the_next_nonce(house: House) -> None:
    tablet = enrolled(house.kiosk)
    first = send(tablet, headers_of(tablet)).headers["Consentry-Nonce"]
    headers = tablet.headers_for("/kiosk/refuse/", NOTHING, first)
    assert send(tablet, headers).status == 204


def test_guessing_codes_is_slowed_down(house: House) -> None:
    tablet = KioskTablet()
    for _attempt in range(10):
        assert code_of(tablet.enroll("AAAA-AAAA")) == (403, "code")
    code = new_code(device=house.kiosk, actor="test")
    assert code_of(tablet.enroll(code)) == (429, "slow_down")


def test_without_redis_nobody_is_let_in(house: House, settings: Settings, tmp_path: Path) -> None:
    code = new_code(device=house.kiosk, actor="test")
    working = settings.CONSENTRY
    nobody = SecretStr(f"unix://{tmp_path / 'nobody.sock'}")
    settings.CONSENTRY = working.model_copy(update={"redis_url": nobody})
    assert KioskTablet().enroll(code).status == 429
    settings.CONSENTRY = working
    assert KioskTablet().enroll(code).status == 200
