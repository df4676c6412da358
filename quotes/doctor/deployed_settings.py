"""Settings: what stops a process, what Django finds, and what would be unsafe on a network."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks

from quotes.conf import conf
from quotes.doctor.deployment import Deployment
from quotes.doctor.findings import Finding, error, summed_up, warning

_LOCAL = frozenset(("localhost", "127.0.0.1", "[::1]", "::1", ".localhost", "testserver"))
_LEAST_SECRET = 50
_LEAST_CHARACTERS = 5
# What is said below in this server's own words: HSTS, cookies, DEBUG, hosts, the key.
_SAID_HERE = frozenset(f"security.W{number:03}" for number in (4, 5, 8, 9, 12, 16, 18, 20, 21, 25))


def check_settings(deployment: Deployment) -> Iterator[Finding]:
    """Check DEBUG, the key, hosts, origins, authentication, and what Django's checks say."""
    hosts = ", ".join(settings.ALLOWED_HOSTS) or "none"
    reader = "callers must authenticate"
    if conf.auth == "optional":
        segments = {"": "no segment", "*": "all segments"}.get(
            conf.anonymous_segments.strip(), conf.anonymous_segments
        )
        reader = f"everybody reads {segments} without an account"
    yield from summed_up(_problems(), f"hosts {hosts}; {reader}")


def is_public() -> bool:
    """Return whether names of other machines' clients are admitted."""
    return any(host not in _LOCAL for host in settings.ALLOWED_HOSTS)


def _problems() -> Iterator[Finding]:
    yield from _of_django()
    if settings.DEBUG:
        level = error if is_public() else warning
        yield level("DEBUG is on: errors show code and settings to everybody", "set DEBUG=false")
    if settings.SECRET_KEY.startswith("django-insecure-") or (
        len(settings.SECRET_KEY) < _LEAST_SECRET
        or len(set(settings.SECRET_KEY)) < _LEAST_CHARACTERS
    ):
        yield error(
            f"SECRET_KEY can be guessed: it is short (under {_LEAST_SECRET} characters) or simple",
            "set it to 50 random characters; all users log in again",
            "a-leaked-token",
        )
    if "*" in settings.ALLOWED_HOSTS:
        yield warning(
            "ALLOWED_HOSTS admits every name",
            "set ALLOWED_HOSTS to the names that browsers show",
        )
    if is_public() and not settings.HTTPS and not settings.DEBUG:
        yield warning(
            "HTTPS is off: passwords and cookies of admin cross the network in clear",
            "set HTTPS=true, with a proxy that ends TLS in front",
        )
    yield from _origins()
    if conf.local_origins and is_public():
        yield warning(
            "QUOTES_LOCAL_ORIGINS is on, on a server that others reach",
            "set QUOTES_LOCAL_ORIGINS=false: it is for development",
        )
    if conf.query_token:
        yield warning(
            "QUOTES_QUERY_TOKEN is on: tokens in URLs end up in the logs of proxies",
            "set QUOTES_QUERY_TOKEN=false, and let clients use tickets",
            "a-leaked-token",
        )
    if settings.HTTPS and is_public() and not conf.trusted_proxies:
        yield warning(
            "HTTPS is on and QUOTES_TRUSTED_PROXIES is empty: all clients have the proxy's "
            "address, and its limits",
            "set QUOTES_TRUSTED_PROXIES to the address of the proxy",
        )


def _of_django() -> Iterator[Finding]:
    """Yield what the system checks find, those of `check --deploy` on security included."""
    found = checks.run_checks()
    found += checks.run_checks(tags=[checks.Tags.security], include_deployment_checks=True)
    for one in {(one.id, one.msg): one for one in found}.values():
        if one.is_silenced() or one.id in _SAID_HERE or one.level < checks.WARNING:
            continue
        level = error if one.level >= checks.ERROR else warning
        yield level(f"{one.msg} ({one.id})", one.hint or "correct the setting")


def _origins() -> Iterator[Finding]:
    for text in (one.strip() for one in conf.allowed_origins.split(",")):
        if not text:
            continue
        try:
            parts = urlsplit(text)
            is_origin = bool(parts.hostname) and parts.path in ("", "/") and not parts.query
            _ = parts.port
        except ValueError:
            is_origin = False
        if not is_origin or "*" in text or parts.scheme not in ("http", "https"):
            yield warning(
                f"QUOTES_ALLOWED_ORIGINS has {text[:75]!r}, which is no origin",
                "write it as https://app.example.com, without a path",
            )
