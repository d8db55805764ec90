"""The environment Consentry runs in: typed, read once, and refused when half of it is missing."""

import os
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
MAIL = "django.core.mail.backends"
# Which holds the keys of the keyring, see apps.visitors.vault.custodian.
CUSTODIANS = ("pkcs11", "awskms", "vault")


@dataclass(frozen=True, slots=True)
class Mail:
    """Where e-mail is handed over; nowhere while no `backend` but the dummy is named."""

    backend: str = f"{MAIL}.dummy.EmailBackend"
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    starttls: bool = False
    tls: bool = False

    @property
    def leaves_the_house(self) -> bool:
        """Whether somebody else's machine gets it."""
        return bool(self.host) and self.host not in LOOPBACK


class Environment(BaseSettings):
    """Every setting an operator may name. Secrets are `SecretStr`: no report prints them."""

    model_config = SettingsConfigDict(env_prefix="CONSENTRY_", extra="ignore")

    database_url: SecretStr = Field(validation_alias="DATABASE_URL")
    redis_url: SecretStr = Field(validation_alias="REDIS_URL")
    secret_key: SecretStr = Field(min_length=32)
    state_dir: Path
    public_url: str = "http://127.0.0.1:8000"
    allowed_hosts: str = "127.0.0.1,localhost"
    insecure_http: bool = False
    allow_noncommercial: bool = False
    pack_dir: Path | None = None
    former_pack_dir: Path | None = None
    recognizer_socket: str | None = None
    keyring: str | None = None
    keyring_secret: SecretStr | None = None
    key_rotation_days: float = Field(default=7, ge=0.01)
    key_keep_days: float = Field(default=7, ge=0.01)
    deletions: Path | None = None
    signing_key: Path | None = None
    checkpoint_dir: Path | None = None
    mail_url: SecretStr | None = None
    mail_from: str = ""
    alarm_to: str = ""
    # The kiosk and the notice promise ten at least.
    insights_minimum: int = Field(default=10, ge=10)
    metrics_token: SecretStr | None = Field(default=None, min_length=16)
    webhook_networks: str = ""

    @field_validator("database_url")
    @classmethod
    def _postgresql_only(cls, value: SecretStr) -> SecretStr:
        if urlsplit(value.get_secret_value()).scheme not in {"postgresql", "postgres"}:
            raise ValueError("DATABASE_URL must begin with postgresql://; Consentry has no other")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_only(cls, value: SecretStr) -> SecretStr:
        if urlsplit(value.get_secret_value()).scheme not in {"redis", "rediss", "unix"}:
            raise ValueError("REDIS_URL must begin with redis://, rediss:// or unix://")
        return value

    @field_validator("mail_url")
    @classmethod
    def _mail_goes_by_smtp(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        try:
            url = urlsplit(value.get_secret_value())
            served = url.scheme in {"smtp", "smtps"} and url.hostname and url.port != 0
        except ValueError:
            # No number where the port stands: it may be half of a password.
            url, served = urlsplit(""), False
        if not served and url.scheme != "console":
            raise ValueError(
                "CONSENTRY_MAIL_URL must be smtp://user:password@host:port (STARTTLS), smtps://… "
                "(TLS from the start), or console: to print what would be sent"
            )
        return value

    @field_validator("webhook_networks")
    @classmethod
    def _networks_are_networks(cls, value: str) -> str:
        try:
            _networks(value)
        except ValueError:
            raise ValueError(
                "CONSENTRY_WEBHOOK_NETWORKS must be networks such as 10.20.0.0/16, with commas"
            ) from None
        return value

    @model_validator(mode="after")
    def _mail_is_sent_by_somebody(self) -> "Environment":
        if self.mail_url and "@" not in self.mail_from:
            raise ValueError(
                "CONSENTRY_MAIL_FROM must be the address that CONSENTRY_MAIL_URL sends from"
            )
        if self.mail_url and not self.mail.host and not self.insecure_http:
            raise ValueError(
                "CONSENTRY_MAIL_URL=console: prints addresses into the log, and is for trying out "
                "on a loopback address; name an smtp:// or smtps:// server"
            )
        return self

    @model_validator(mode="after")
    def _plain_http_stays_at_home(self) -> "Environment":
        host = urlsplit(self.public_url).hostname or ""
        if self.insecure_http and host not in LOOPBACK:
            raise ValueError(
                "CONSENTRY_INSECURE_HTTP is for a loopback address only; "
                "serve CONSENTRY_PUBLIC_URL over https instead"
            )
        if not self.insecure_http and not self.public_url.startswith("https://"):
            raise ValueError("CONSENTRY_PUBLIC_URL must begin with https://")
        return self

    @model_validator(mode="after")
    def _a_pack_is_not_left_for_itself(self) -> "Environment":
        if self.former_pack_dir and self.former_pack_dir.resolve() == self.packs.resolve():
            raise ValueError(
                "CONSENTRY_FORMER_PACK_DIR is the folder of the present pack; "
                "name the one that is being left, or leave it out"
            )
        return self

    @property
    def hosts(self) -> list[str]:
        return [host.strip() for host in self.allowed_hosts.split(",") if host.strip()]

    @property
    def alarm_addresses(self) -> list[str]:
        """Who is told beside the officers that something is overdue; separated by commas."""
        return [address.strip() for address in self.alarm_to.split(",") if address.strip()]

    @property
    def networks(self) -> list[IPv4Network | IPv6Network]:
        """Networks that are not public and to which other systems may be told all the same."""
        return _networks(self.webhook_networks)

    @property
    def packs(self) -> Path:
        return self.pack_dir or self.state_dir / "pack"

    @property
    def sockets(self) -> tuple[Path, ...]:
        """One for each recognizer of this machine, separated as in PATH."""
        named = (self.recognizer_socket or "").split(os.pathsep)
        default = self.state_dir / "run" / "recognizer.sock"
        return tuple(Path(name) for name in named if name) or (default,)

    @property
    def socket(self) -> Path:
        return self.sockets[0]

    @property
    def keyring_path(self) -> Path:
        """The keyring's file, also where a custodian seals what is in it."""
        default = self.state_dir / "keys" / "keyring.json"
        return Path(self.keyring) if self.keyring and not self.custodian else default

    @property
    def custodian(self) -> str | None:
        """The address of the HSM or key service that CONSENTRY_KEYRING names instead of a file."""
        named = self.keyring or ""
        return named if named.partition(":")[0] in CUSTODIANS else None

    @property
    def deletions_path(self) -> Path:
        return self.deletions or self.state_dir / "deletions.jws"

    @property
    def signing_key_path(self) -> Path:
        return self.signing_key or self.state_dir / "keys" / "signing.pem"

    @property
    def checkpoints(self) -> Path:
        """Where the ledger's signed heads are written outside the database."""
        return self.checkpoint_dir or self.state_dir / "checkpoints"

    @property
    def mail(self) -> Mail:
        """CONSENTRY_MAIL_URL as Django's settings want it. A server elsewhere is reached by TLS."""
        if self.mail_url is None:
            return Mail()
        parts = urlsplit(self.mail_url.get_secret_value())
        if parts.scheme == "console":
            return Mail(f"{MAIL}.console.EmailBackend")
        tls, host = parts.scheme == "smtps", parts.hostname or ""
        return Mail(
            f"{MAIL}.smtp.EmailBackend",
            host=host,
            port=parts.port or (465 if tls else 25 if host in LOOPBACK else 587),
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            starttls=not tls and host not in LOOPBACK,
            tls=tls,
        )

    @property
    def broker_url(self) -> str:
        """The same server in the words Celery's transport knows."""
        url = self.redis_url.get_secret_value()
        return "redis+socket://" + url.removeprefix("unix://") if url.startswith("unix:") else url

    @cached_property
    def database(self) -> dict[str, object]:
        """DATABASE_URL as Django's mapping; libpq's own query parameters are passed through."""
        parts = urlsplit(self.database_url.get_secret_value())
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path.lstrip("/")),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": query.pop("host", parts.hostname or ""),
            "PORT": str(parts.port or ""),
            # Under ASGI a kept connection would outlive its thread and leak.
            "CONN_MAX_AGE": 0,
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": {"connect_timeout": 3, **query},
        }


def _networks(named: str) -> list[IPv4Network | IPv6Network]:
    return [ip_network(each.strip()) for each in named.split(",") if each.strip()]
