"""What every answer says about itself, and that a real installation is configured safely."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from tests.clients import browser, enrolled
from tests.conftest import ROOT, House

PUBLIC = [
    "/",
    "/login/",
    "/kiosk/",
    "/kiosk/en/",
    "/door/",
    "/receipt/",
    "/floor/",
    "/public/harbour-street/",
    "/healthz",
    "/keys.json",
    "/checkpoints.json",
    "/verify/",
    "/admin/",
    "/nothing/here/",
]
POLICY = {
    "default-src": "'self'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}


def policy_of(answer: Any) -> dict[str, str]:
    parts = answer["Content-Security-Policy"].split(";")
    return dict(part.strip().split(" ", 1) for part in parts if part.strip())


@pytest.mark.parametrize("path", PUBLIC)
def test_every_page_runs_our_own_code_only_and_in_no_frame(house: House, path: str) -> None:
    answer = browser().get(path)
    assert policy_of(answer) == POLICY
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"


@pytest.mark.parametrize("path", PUBLIC)
def test_the_camera_opens_at_the_kiosk_and_the_door_alone(house: House, path: str) -> None:
    allowed = browser().get(path)["Permissions-Policy"]
    assert ("camera=(self)" if path.startswith(("/kiosk/", "/door/")) else "camera=()") in allowed
    assert "microphone=()" in allowed
    assert "geolocation=()" in allowed


@pytest.mark.parametrize("path", PUBLIC)
def test_no_page_is_kept_by_a_cache(house: House, path: str) -> None:
    assert "no-store" in browser().get(path)["Cache-Control"]


def test_a_style_sheet_may_be_kept_and_is_dressed_too(house: House) -> None:
    answer = browser().get("/static/css/base.css")
    answer.close()
    assert answer.status_code == 200
    assert "no-store" not in answer["Cache-Control"]
    assert answer["X-Content-Type-Options"] == "nosniff"


def refused(house: House) -> Iterator[Any]:
    """Answers that are no pages: refusals of every kind."""
    strict = Client(enforce_csrf_checks=True)
    yield strict.post("/receipt/", {"secret": "x"})
    yield strict.post("/kiosk/opt-in/", b"{}", content_type="application/json")
    yield browser().post("/keys.json")
    yield browser(house.staff).get("/floor/nowhere/")
    yield browser(house.dpo).get("/floor/")
    yield browser().get("/", headers={"Host": "evil.example"})


def test_a_refusal_is_dressed_like_a_page(house: House) -> None:
    statuses = []
    for answer in refused(house):
        statuses.append(answer.status_code)
        assert policy_of(answer) == POLICY
        assert answer["X-Frame-Options"] == "DENY"
        assert "no-store" in answer["Cache-Control"]
    assert statuses == [403, 403, 405, 404, 403, 400]


def test_cookies_are_for_us_alone(house: House) -> None:
    tablet = enrolled(house.kiosk)
    client = browser()
    client.post("/login/", {"username": "linda", "password": "a long password"})
    for cookie in (tablet.client.cookies["kiosk_device"], client.cookies["sessionid"]):
        assert cookie["httponly"]
        assert cookie["samesite"] == "Strict"


def test_after_a_log_in_nobody_is_sent_elsewhere(house: House) -> None:
    form = {"username": "linda", "password": "a long password", "next": "https://evil.example/"}
    assert browser().post("/login/", form)["Location"] == "/"


def test_nothing_is_public_about_people(house: House) -> None:
    """The public pages of a house with visitors name none of them."""
    house.visitor("Ms Chen")
    for path in ("/", "/public/harbour-street/", "/keys.json", "/healthz"):
        text = browser().get(path).content.decode()
        assert "Ms Chen" not in text
        assert "linda" not in text
    (key,) = browser().get("/keys.json").json()["keys"]
    assert set(key) == {"crv", "kid", "kty", "x"}, "the public half alone"


# Settings of the tests, and what the browser journeys ask of Django in this very process.
OURS = ("CONSENTRY", "DJANGO_AL")


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of a house that is configured as `environment` says."""
    inherited = {key: value for key, value in os.environ.items() if key[:9] not in OURS}
    kept = {key: os.environ[key] for key in ("CONSENTRY_SECRET_KEY", "CONSENTRY_STATE_DIR")}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**inherited, **kept, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_real_installation_passes_djangos_own_checks() -> None:
    done = manage(
        *("check", "--deploy", "--fail-level", "WARNING"),
        CONSENTRY_PUBLIC_URL="https://consentry.example",
        CONSENTRY_ALLOWED_HOSTS="consentry.example",
    )
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_over_https_everything_is_secure() -> None:
    probe = """
from django.test import Client
plain, secure = Client().get("/login/"), Client().get("/login/", secure=True)
print(plain.status_code, plain["Location"])
print(secure.status_code, secure["Strict-Transport-Security"])
print(secure.cookies["csrftoken"]["secure"], Client().get("/healthz").status_code)
"""
    done = manage(
        *("shell", "-v", "0", "-c", probe),
        CONSENTRY_PUBLIC_URL="https://consentry.example",
        CONSENTRY_ALLOWED_HOSTS="testserver",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "301 https://testserver/login/",
        "200 max-age=31536000; includeSubDomains; preload",
        "True 200",
    ]


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"CONSENTRY_PUBLIC_URL": "http://consentry.example"}, "must begin with https://"),
        (
            {
                "CONSENTRY_PUBLIC_URL": "http://consentry.example",
                "CONSENTRY_INSECURE_HTTP": "true",
            },
            "loopback address only",
        ),
        ({"DATABASE_URL": "sqlite:///x"}, "must begin with postgresql://"),
        ({"REDIS_URL": "memory://"}, "must begin with redis://"),
        ({"CONSENTRY_SECRET_KEY": "short"}, "CONSENTRY_SECRET_KEY"),
    ],
)
def test_a_half_configured_house_does_not_start_and_says_why(
    environment: dict[str, str], sentence: str
) -> None:
    done = manage("check", **{"CONSENTRY_PUBLIC_URL": "https://consentry.example", **environment})
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "Consentry cannot start" in last
    assert sentence in last
    # Secrets are never printed, not even wrong ones.
    assert environment.get("CONSENTRY_SECRET_KEY", "\0") not in done.stderr
