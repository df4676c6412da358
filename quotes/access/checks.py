"""System checks of access: a wrong setting stops the start with the cure."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.checks import Error, register
from django.core.exceptions import ImproperlyConfigured

from quotes.access.credentials.tokens import list_of, private_key, public_key
from quotes.access.entitlements import parse_grants
from quotes.access.middleware.proxy_headers import networks
from quotes.conf import conf

_MIN_SECRET_BYTES = 32
_KINDS = {"RS256": "RSA", "ES256": "Elliptic"}


@register()
def check_access(**kwargs: Any) -> list[Error]:
    """quotes.E002: a setting of tokens, segments or proxies cannot work."""
    try:
        return [Error(problem, id="quotes.E002") for problem in _problems()]
    except ImproperlyConfigured:
        return []  # quotes.E001 reports it


def _problems() -> Iterator[str]:
    for name, text, parse in (
        ("QUOTES_ANONYMOUS_SEGMENTS", conf.anonymous_segments, parse_grants),
        ("QUOTES_TRUSTED_PROXIES", conf.trusted_proxies, networks),
    ):
        try:
            parse(text)
        except ValueError as error:
            yield f"{name}: {error}"
    yield from _key_problems()
    if conf.jwks_url:
        url = urlsplit(conf.jwks_url)
        if url.scheme != "https" and url.hostname not in ("localhost", "127.0.0.1"):
            yield "QUOTES_JWKS_URL must begin with https://"
        if not conf.jwks_issuer or not conf.jwks_audience:
            yield "set QUOTES_JWKS_ISSUER and QUOTES_JWKS_AUDIENCE: QUOTES_JWKS_URL needs them"
        elif conf.jwks_issuer == conf.jwt_issuer:
            yield "QUOTES_JWKS_ISSUER must differ from QUOTES_JWT_ISSUER"


def _key_problems() -> Iterator[str]:
    """Yield texts about keys that cannot work; they never hold a key."""
    if conf.jwt_algorithm == "HS256":
        for name, secrets in (
            ("QUOTES_JWT_KEY", [conf.jwt_key] if conf.jwt_key else []),
            ("QUOTES_JWT_OLD_KEYS", list_of(conf.jwt_old_keys)),
        ):
            if any(len(secret.encode()) < _MIN_SECRET_BYTES for secret in secrets):
                yield f"{name}: a secret must have at least {_MIN_SECRET_BYTES} bytes"
        return
    if not conf.jwt_private_key_file:
        yield f"set QUOTES_JWT_PRIVATE_KEY_FILE: QUOTES_JWT_ALGORITHM={conf.jwt_algorithm} needs it"
    files = [("QUOTES_JWT_PRIVATE_KEY_FILE", conf.jwt_private_key_file, private_key)]
    files += [
        ("QUOTES_JWT_PUBLIC_KEY_FILES", path, public_key)
        for path in list_of(conf.jwt_public_key_files)
    ]
    for name, path, load in files:
        if not path:
            continue
        try:
            kind = type(load(path)).__name__
        except (OSError, ValueError, TypeError):
            yield f"{name}: {Path(path).name} must be a readable PEM file without a password"
            continue
        if not kind.startswith(
            (_KINDS[conf.jwt_algorithm], "EC" if "ES" in conf.jwt_algorithm else "RSA")
        ):
            yield f"{name}: {Path(path).name} must hold a key for {conf.jwt_algorithm}"
