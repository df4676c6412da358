"""Tokens: signing those of this server, and verifying signature and claims of any.

Whether the user of a token may still connect is checked by `Accounts.check`. Each key is used with
one algorithm, that of the settings, never with the one that a token names.
"""

import time
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from django.utils.crypto import salted_hmac

from quotes.access.accounts import Identity
from quotes.access.credentials.jwks import Key, current_key_set
from quotes.access.errors import BadCredentials
from quotes.conf import conf

_MAX_TOKEN_LENGTH = 8192
_LEEWAY_S = 5
# What a token that is none raises: its parts may be JSON of any kind and depth.
_MALFORMED = (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError)
_REQUIRED = ["exp", "iat", "iss", "aud"]


def list_of(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _signing_key() -> Any:
    """Return the key that this server signs with."""
    if conf.jwt_algorithm == "HS256":
        return own_secret()
    return private_key(conf.jwt_private_key_file)


def _verifying_keys() -> list[Any]:
    """Return the keys that this server has signed with, the newest first."""
    if conf.jwt_algorithm == "HS256":
        return [own_secret(), *list_of(conf.jwt_old_keys)]
    keys = [public_key(path) for path in list_of(conf.jwt_public_key_files)]
    if conf.jwt_private_key_file:
        keys.insert(0, private_key(conf.jwt_private_key_file).public_key())
    return keys


def own_secret() -> str:
    # Not SECRET_KEY itself: the key that signs sessions signs nothing else. The salt is not a
    # module's name: another one would invalidate all tokens in use.
    return conf.jwt_key or salted_hmac("quotes.access.tokens", "", algorithm="sha256").hexdigest()


@lru_cache(maxsize=16)
def private_key(path: str) -> Any:
    return load_pem_private_key(Path(path).read_bytes(), password=None)


@lru_cache(maxsize=16)
def public_key(path: str) -> Any:
    return load_pem_public_key(Path(path).read_bytes())


def sign(claims: dict[str, Any]) -> str:
    """Return a signed token with the claims, and the issuer and audience of this server."""
    claims = {**claims, "iss": conf.jwt_issuer, "aud": conf.jwt_audience}
    return jwt.encode(claims, _signing_key(), algorithm=conf.jwt_algorithm)


def verify(token: str, *, leeway_s: float = _LEEWAY_S, may_wait: bool = True) -> Identity:
    """Return the identity of an access token.

    Args:
        may_wait: whether to wait until the key of an outside issuer is fetched. An event loop waits
            for `key_fetch` first.

    Raises:
        BadCredentials: it is not a token, or is not valid here and now.
        AccessDown: the keys of the outside issuer cannot be fetched.
    """
    if _is_foreign(token):
        claims = _foreign_claims(token, leeway_s, may_wait=may_wait)
        name = claims.get(conf.jwks_user_claim)
        if not isinstance(name, str) or not name:
            raise BadCredentials(f"the token has no claim {conf.jwks_user_claim}")
        login = str(claims.get("sid", ""))[:64]
        return Identity(name, login and f"out:{login}"[:64], "", float(claims["exp"]))
    return identity_of(own_claims(token, kind="access", leeway_s=leeway_s))


def identity_of(claims: dict[str, Any]) -> Identity:
    """Return the identity in the claims of a token of this server; raise BadCredentials."""
    try:
        return Identity(
            int(claims["user_id"]), str(claims["sid"]), str(claims["stamp"]), float(claims["exp"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadCredentials("the token names no user") from error


def own_claims(token: str, *, kind: str = "", leeway_s: float = _LEEWAY_S) -> dict[str, Any]:
    """Return the claims of a token that this server signed; raise BadCredentials.

    Args:
        kind: "access" or "refresh": the type that the token must have; "" for either.
    """
    failure: Exception | None = None
    for key in _verifying_keys():
        try:
            claims = _decode(
                token, key, conf.jwt_algorithm, conf.jwt_issuer, conf.jwt_audience, leeway_s
            )
        except jwt.InvalidSignatureError as error:
            failure = error
            continue
        if kind and claims.get("token_type") != kind:
            raise BadCredentials(
                f"not an {kind} token" if kind == "access" else f"not a {kind} token"
            )
        return claims
    raise BadCredentials("the token's signature is wrong") from failure


def _foreign_claims(token: str, leeway_s: float, *, may_wait: bool) -> dict[str, Any]:
    keys, key_id = current_key_set(), _key_id_of(token)
    key, algorithm = keys.key(key_id) if may_wait else keys.known(key_id)
    try:
        return _decode(token, key, algorithm, conf.jwks_issuer, conf.jwks_audience, leeway_s)
    except jwt.InvalidSignatureError as error:
        raise BadCredentials("the token's signature is wrong") from error


def _decode(
    token: str, key: Any, algorithm: str, issuer: str, audience: str, leeway_s: float
) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = jwt.decode(
            _check_length(token),
            key,
            algorithms=[algorithm],
            issuer=issuer,
            audience=audience,
            leeway=leeway_s,
            options={"require": _REQUIRED, "verify_sub": False},
        )
    except jwt.InvalidSignatureError:
        raise
    except jwt.ExpiredSignatureError as error:
        raise BadCredentials("the token has expired") from error
    except jwt.InvalidAudienceError as error:
        raise BadCredentials("the token is for another audience") from error
    except jwt.InvalidIssuerError as error:
        raise BadCredentials("the token is from another issuer") from error
    except _MALFORMED as error:
        raise BadCredentials("not a valid token") from error
    return claims


def _is_foreign(token: str) -> bool:
    """Tell whether a token claims to be from the outside issuer; nothing is verified."""
    if not conf.jwks_url:
        return False
    try:
        claims = jwt.decode(_check_length(token), options={"verify_signature": False})
    except _MALFORMED as error:
        raise BadCredentials("not a valid token") from error
    return claims.get("iss") == conf.jwks_issuer


def key_fetch(token: str) -> Future[None] | None:
    """Return the fetch of keys for which `verify` would wait, None if it would not.

    Raises:
        BadCredentials: it is not a token, or its issuer has no such key.
        AccessDown: the keys of the outside issuer cannot be fetched.
    """
    if not _is_foreign(token):
        return None
    found = current_key_set().find(_key_id_of(token))
    return None if isinstance(found, Key) else found


def _key_id_of(token: str) -> str:
    try:
        key_id = jwt.get_unverified_header(_check_length(token)).get("kid")
    except _MALFORMED as error:
        raise BadCredentials("not a valid token") from error
    if not isinstance(key_id, str):
        raise BadCredentials("the token's header names no key (kid)")
    return key_id


def _check_length(token: str) -> str:
    if not token or len(token) > _MAX_TOKEN_LENGTH or not token.isascii():
        raise BadCredentials("not a valid token")
    return token


def expires_in_s(identity: Identity) -> float:
    """Return in how many seconds an identity ends, by this machine's clock."""
    return identity.expires - time.time()
