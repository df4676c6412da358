"""Every setting of the deployment, read from the environment and from `.env`.

Settings of the apps (`QUOTES_*`, `INSTRUMENTS_*`, `KAFKA_*`) pass through as they are; their types,
defaults and meanings are in `quotes/conf.py`, `instruments/conf.py` and `quotes/kafka/conf.py`.
"""

import logging
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import environ
from corsheaders.defaults import default_headers
from django.core.exceptions import ImproperlyConfigured

from quotes.runtime.sentinel_url import SCHEMES as SENTINEL_SCHEMES
from quotes.runtime.sentinel_url import BadRedisURL, is_sentinel_url, parse_sentinel_url

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
# Set by whoever started the process, not by `.env`.
SET_OUTSIDE = frozenset(os.environ)
env.read_env(BASE_DIR / ".env", encoding="utf-8-sig")


def required(name: str, how: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise ImproperlyConfigured(f"{name} is not set: {how}")
    return value


def port(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ImproperlyConfigured(f"{name} must be a port from 1 to 65535, got {text!r}")
    return int(text)


def boolean(name: str, default: bool) -> bool:
    text = os.environ.get(name, "").strip().lower()
    if text in ("", *("1", "true", "yes", "on"), *("0", "false", "no", "off")):
        return text in ("1", "true", "yes", "on") if text else default
    raise ImproperlyConfigured(f"{name} must be true or false, got {text!r}")


def choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    value = os.environ.get(name, "").strip().upper() or default
    if value not in choices:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}, got {value!r}")
    return value


def url(name: str, default: str, schemes: tuple[str, ...]) -> str:
    value = os.environ.get(name) or default
    if is_sentinel_url(value) and SENTINEL_SCHEMES[0] in schemes:
        try:
            parse_sentinel_url(value)
        except BadRedisURL as error:
            raise ImproperlyConfigured(f"{name}: {error}") from None
        return value
    if urlsplit(value).scheme not in schemes:
        # The value may hold a password: only its scheme is safe to show.
        raise ImproperlyConfigured(
            f"{name} must be a URL that begins with {' or '.join(s + ':' for s in schemes)}, "
            f"got one that begins with {urlsplit(value).scheme + ':'!r}"
        )
    try:
        _ = urlsplit(value).port
    except ValueError:
        raise ImproperlyConfigured(
            f"{name} must have a port from 1 to 65535, or none, after the name of the host"
        ) from None
    return value


SECRET_KEY = required(
    "SECRET_KEY",
    "set it to 50 random characters in the environment or in .env "
    "(`make run` writes a .env with a fresh one)",
)
DEBUG = boolean("DEBUG", False)
ALLOWED_HOSTS = [
    host.strip()
    for host in os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",")
    if host.strip()
]

PORT = port("PORT", 5000)
REDIS_HOST = os.environ.get("REDIS_HOST") or "localhost"
REDIS_PORT = port("REDIS_PORT", 6379)
REDIS_URL = url(
    "REDIS_URL",
    f"redis://{REDIS_HOST}:{REDIS_PORT}/0",
    ("redis", "rediss", "unix", *SENTINEL_SCHEMES),
)
DATABASE_URL = url(
    "DATABASE_URL",
    f"sqlite:///{BASE_DIR / 'db.sqlite3'}",
    ("sqlite", "postgres", "postgresql"),
)
HISTORY_DATABASE_URL = url(
    "HISTORY_DATABASE_URL",
    # Several machines share what is in a server; a file is better off alone than with the master.
    f"sqlite:///{BASE_DIR / 'history.sqlite3'}"
    if DATABASE_URL.startswith("sqlite")
    else DATABASE_URL,
    ("sqlite", "postgres", "postgresql"),
)

# QUOTES_*, INSTRUMENTS_* and KAFKA_* reach the apps as the text that was set.
globals().update(
    {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("QUOTES_", "INSTRUMENTS_", "KAFKA_"))
    }
)

INSTALLED_APPS = [
    # As an app it makes runserver Daphne's; every other process would start in twice the time.
    *(["daphne"] if sys.argv[1:2] == ["runserver"] else []),
    # Before admin, whose templates it extends.
    "quotes.administration",
    "quotes.administration.admin_config.OperatorAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework_simplejwt.token_blacklist",
    "corsheaders",
    "axes",
    "instruments",
    "quotes",
    "quotes.history",
    "quotes.access",
    "quotes.kite",
    "quotes.screens",
]

MIDDLEWARE = [
    "quotes.metrics.http.count_requests",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "quotes.access.middleware.acting_request.record_acting_request",
    "axes.middleware.AxesMiddleware",
    # Last, so that all before it run in one thread.
    "config.threads.one_thread",
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {
    "default": env.db_url_config(DATABASE_URL),
    "history": {**env.db_url_config(HISTORY_DATABASE_URL), "TEST": {"DEPENDENCIES": []}},
}
DATABASE_ROUTERS = ["quotes.history.router.HistoryRouter"]
SQLITE_OPTIONS = {
    # The first has an effect in a new file only: pruning can then give space back.
    "init_command": "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; "
    "PRAGMA synchronous=NORMAL; PRAGMA journal_size_limit=67108864;",
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
}
for database in DATABASES.values():
    if database["ENGINE"].endswith("sqlite3"):
        database["OPTIONS"] = SQLITE_OPTIONS
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CHANNEL_LAYERS = {"default": {"BACKEND": "quotes.layer.QuotesChannelLayer"}}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# Cookies that only HTTPS carries, and HSTS. Whoever ends TLS in front redirects plain HTTP:
# programs on the private network, and this machine's own, go on to use it.
HTTPS = boolean("HTTPS", not DEBUG)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
# Origins of pages whose forms are accepted although the Host header is another, as behind a proxy
# that changes it.
CSRF_TRUSTED_ORIGINS = [
    origin.strip().rstrip("/")
    for origin in os.environ.get("CSRF_TRUSTED_ORIGINS", "").split(",")
    if origin.strip()
]
CSRF_FAILURE_VIEW = "config.errors.csrf_failure"
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SILENCED_SYSTEM_CHECKS = ["security.W008"]

# Failed log-ins, in admin and for tokens: django-axes counts them by user name and address.
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_CALLABLE = "quotes.access.middleware.lockout.locked_out"
AXES_CLIENT_IP_CALLABLE = "quotes.access.middleware.lockout.address_of"
AXES_VERBOSE = False

# Pages of other sites, for the API alone; `quotes/websocket/origins.py` decides on sockets, and on
# pages of this machine (QUOTES_LOCAL_ORIGINS).
CORS_URLS_REGEX = r"^/(api|openalgo|udf)/|^/widgets\.json$"
CORS_ALLOWED_ORIGINS = [
    origin.strip().rstrip("/")
    for origin in os.environ.get("QUOTES_ALLOWED_ORIGINS", "").split(",")
    if origin.strip()
]
CORS_ALLOW_HEADERS = [*default_headers, "idempotency-key"]
CORS_ALLOWED_ORIGIN_REGEXES = [r"^https?://(localhost|127\.0\.0\.1)(:\d+)?$"] if DEBUG else []

LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = "config.formats"
TIME_ZONE = "Asia/Kolkata"
USE_TZ = True

STATIC_URL = "static/"
# The client library, which the dashboard uses as any page would.
STATICFILES_DIRS = [("client", BASE_DIR / "clients" / "js" / "src")]
# Static files are found in the packages; set STATIC_ROOT to serve what `collectstatic` gathered.
STATIC_ROOT = os.environ.get("STATIC_ROOT") or None
WHITENOISE_USE_FINDERS = True

REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "config.openapi.OperationSchema",
    "DEFAULT_RENDERER_CLASSES": ["instruments.renderers.ExactJSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [
        "instruments.parsers.BoundedJSONParser",
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "EXCEPTION_HANDLER": "instruments.rest.answer_error",
    "COERCE_DECIMAL_TO_STRING": False,
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "quotes.access.rest.authentication.BearerAuthentication",
        "quotes.access.rest.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["quotes.access.rest.permissions.MayRead"],
    "DEFAULT_THROTTLE_CLASSES": ["quotes.access.rest.throttling.CallerThrottle"],
}
# Lifetimes, keys and algorithm are settings of `quotes/conf.py`, see quotes/access/credentials.
SIMPLE_JWT = {"ROTATE_REFRESH_TOKENS": True, "BLACKLIST_AFTER_ROTATION": True}
SPECTACULAR_SETTINGS = {
    "TITLE": "Live prices",
    "DESCRIPTION": "Latest prices, history and instruments of Indian markets. Prices as they "
    "change come over the WebSocket at /live-price; its messages are at /api/asyncapi.json.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "EXTERNAL_DOCS": {"description": "The documents of this server", "url": "/docs/"},
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "config.openapi.add_components",
    ],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "InstrumentType": "instruments.models.Instrument.Type",
        "MarketPhase": "instruments.sessions.STATUSES",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
DEFAULT_EXCEPTION_REPORTER = "quotes.runtime.error_reports.CleanExceptionReporter"
# All libraries write lines of one kind (quotes/runtime/log_lines.py): these have handlers of their
# own otherwise.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "quotes.runtime.log_lines.LogHandler"}},
    "loggers": {
        name: {"handlers": [], "propagate": True}
        for name in (
            *("django", "django.server", "uvicorn", "uvicorn.error"),
            # Without a handler of its own, its lines are switched off.
            *(["uvicorn.access"] if logging.getLogger("uvicorn.access").handlers else []),
        )
    },
    "root": {"handlers": ["console"], "level": choice("LOG_LEVEL", "INFO", LOG_LEVELS)},
}
