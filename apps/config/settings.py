"""Django's settings, all of them derived from one typed `Environment`.

A half-configured process does not start: the sentence below names what is missing.
"""

import tomllib
from pathlib import Path

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _
from pydantic import ValidationError

from apps.config.environment import Environment


def _variable(location: tuple[int | str, ...]) -> str:
    """The name under which an operator sets what a problem is about."""
    name = ".".join(str(part) for part in location)
    return name if name.isupper() or not name else f"CONSENTRY_{name.upper()}"


try:
    CONSENTRY = Environment()
except ValidationError as error:
    problems = "; ".join(
        f"{_variable(problem['loc'])}: {problem['msg']}"
        for problem in error.errors(include_input=False, include_url=False)
    )
    # `from None`: pydantic's own report would carry the values, and some of them are secrets.
    raise ImproperlyConfigured(
        f"Consentry cannot start, its environment is incomplete. {problems}"
    ) from None

BASE_DIR = Path(__file__).resolve().parent.parent.parent
# Which release this is; tablets say it of the page that they show.
VERSION: str = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]["version"]

SECRET_KEY = CONSENTRY.secret_key.get_secret_value()
DEBUG = False
ALLOWED_HOSTS = CONSENTRY.hosts
CSRF_TRUSTED_ORIGINS = [CONSENTRY.public_url]

INSTALLED_APPS = [
    "apps.config.portal.PortalConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
    "apps.audit",
    "apps.stores",
    "apps.consent",
    "apps.visitors",
    "apps.recognition",
    "apps.systems",
    "apps.visits",
    "apps.retention",
    "apps.privacy",
    "apps.kiosk",
    "apps.api",
]

MIDDLEWARE = [
    # Outside, what every answer says: also one that a middleware further in refuses.
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "apps.config.headers.permissions_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

ROOT_URLCONF = "apps.config.urls"
ASGI_APPLICATION = "apps.config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "apps.config.views.release",
            ],
            "libraries": {"bidi": "apps.config.bidi"},
        },
    }
]

DATABASES = {"default": CONSENTRY.database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "stores.User"
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"

LANGUAGE_CODE = "en"
LANGUAGES = [
    ("en", _("English")),
    ("zh-hans", _("Simplified Chinese")),
    ("fr", _("French")),
    ("ar", _("Arabic")),
]
LOCALE_PATHS = [BASE_DIR / "apps" / "config" / "locale"]
FORMAT_MODULE_PATH = "apps.config.formats"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Files are served from where they lie: no build step, nothing written beside the source.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

# An image never touches the disk: uploads are JSON or raw bodies, capped, and read from memory.
# Under ASGI Django spools a body to a file beyond FILE_UPLOAD_MAX_MEMORY_SIZE, so that is the cap
# too, and `apps.config.bodies` lets nothing larger in.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
DATA_UPLOAD_MAX_MEMORY_SIZE = FILE_UPLOAD_MAX_MEMORY_SIZE = 6 * 1024 * 1024

SECURE = not CONSENTRY.insecure_http
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = SECURE
SECURE_HSTS_SECONDS = 31_536_000 if SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE else None
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^metrics$"]
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_AGE = 12 * 60 * 60
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Strict"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# Nobody is written to while no server is named, and then the kiosk does not offer it.
EMAIL_BACKEND = CONSENTRY.mail.backend
EMAIL_HOST, EMAIL_PORT = CONSENTRY.mail.host, CONSENTRY.mail.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = CONSENTRY.mail.user, CONSENTRY.mail.password
EMAIL_USE_TLS, EMAIL_USE_SSL = CONSENTRY.mail.starttls, CONSENTRY.mail.tls
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = CONSENTRY.mail_from

CELERY_BROKER_URL = CONSENTRY.broker_url
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 600}
CELERY_TIMEZONE = "UTC"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": ["console"], "level": "INFO", "propagate": False},
        # A request's exception report would carry its body, and a kiosk's body carries a face.
        "django.request": {"level": "ERROR"},
        # What they say of a page that becomes a PDF would quote it.
        "weasyprint": {"level": "CRITICAL"},
        "fontTools": {"level": "CRITICAL"},
    },
}
DEFAULT_EXCEPTION_REPORTER_FILTER = "apps.config.headers.NothingPersonal"
