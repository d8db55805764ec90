"""Who may import whom, and that half an environment is refused with a sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SECRET = "correct-horse-battery-staple-0123456789"
WHOLE = {
    "DATABASE_URL": "postgresql://keeper:hunter2@/consentry",
    "REDIS_URL": "redis://:swordfish@127.0.0.1/0",
    "CONSENTRY_SECRET_KEY": SECRET,
    "CONSENTRY_STATE_DIR": "/nowhere",
    "CONSENTRY_PUBLIC_URL": "https://consentry.example",
}
SECRETS = (SECRET, "hunter2", "swordfish")


def test_imports_go_down_the_house(tmp_path: Path) -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [str(lint), "--cache-dir", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def start(**environment: str | None) -> subprocess.CompletedProcess[str]:
    """Start a process of the house with exactly this environment."""
    named = {name: value for name, value in {**WHOLE, **environment}.items() if value is not None}
    kept = {
        name: os.environ[name] for name in ("PATH", "PYTHONPYCACHEPREFIX") if name in os.environ
    }
    return subprocess.run(
        [sys.executable, "-c", "import django; django.setup(); print('started')"],
        cwd=ROOT,
        env={**kept, **named, "DJANGO_SETTINGS_MODULE": "apps.config.settings"},
        capture_output=True,
        text=True,
    )


def test_with_its_whole_environment_it_starts() -> None:
    assert start().stdout == "started\n"


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"DATABASE_URL": None}, "DATABASE_URL"),
        ({"REDIS_URL": None}, "REDIS_URL"),
        ({"CONSENTRY_SECRET_KEY": None}, "CONSENTRY_SECRET_KEY"),
        ({"CONSENTRY_STATE_DIR": None}, "CONSENTRY_STATE_DIR"),
        ({"CONSENTRY_SECRET_KEY": "swordfish"}, "CONSENTRY_SECRET_KEY"),
        ({"DATABASE_URL": "sqlite:///hunter2"}, "DATABASE_URL must begin with postgresql://"),
        ({"REDIS_URL": "amqp://:swordfish@host"}, "REDIS_URL must begin with redis://"),
        ({"CONSENTRY_PUBLIC_URL": "http://consentry.example"}, "must begin with https://"),
        (
            {"CONSENTRY_INSECURE_HTTP": "1"},
            "CONSENTRY_INSECURE_HTTP is for a loopback address only",
        ),
        ({"CONSENTRY_INSECURE_HTTP": "perhaps"}, "CONSENTRY_INSECURE_HTTP"),
        ({"CONSENTRY_MAIL_URL": "smtp://a:hunter2/b@host"}, "CONSENTRY_MAIL_URL must be smtp://"),
        ({"CONSENTRY_MAIL_URL": "smtp://a:hunter2@host"}, "CONSENTRY_MAIL_FROM must be"),
        (
            {"CONSENTRY_MAIL_URL": "console:", "CONSENTRY_MAIL_FROM": "a@b.example"},
            "CONSENTRY_MAIL_URL=console: prints addresses",
        ),
    ],
)
def test_half_configured_it_does_not_start_and_says_what_is_missing(
    environment: dict[str, str | None], named: str
) -> None:
    done = start(**environment)
    assert done.returncode != 0
    assert done.stdout == ""
    sentence = done.stderr.strip().splitlines()[-1]
    assert sentence.startswith(
        "django.core.exceptions.ImproperlyConfigured: Consentry cannot start"
    )
    assert named in sentence
    for secret in SECRETS:
        assert secret not in done.stderr


def test_everything_that_is_missing_is_named_at_once() -> None:
    sentence = start(**dict.fromkeys(WHOLE)).stderr.splitlines()[-1]
    for name in ("DATABASE_URL", "REDIS_URL", "CONSENTRY_SECRET_KEY", "CONSENTRY_STATE_DIR"):
        assert name in sentence
