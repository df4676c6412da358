"""Bodies and tokens that are none: each is refused, and none is an error of the server."""

import base64
from typing import Any

import jwt
import pytest
from django.test import Client
from redis import Redis

from quotes.access.credentials import tokens
from quotes.access.credentials.tokens import own_secret, verify
from quotes.access.errors import BadCredentials
from tests.access.people import access_token, publisher

DEEP = "[" * 200_000
BODIES = [
    DEEP,
    DEEP + "]" * 200_000,
    '{"username":' * 50_000,
    '{"username":' + DEEP + "]" * 200_000 + "}",
    '{"token":1e999999}',
    "1" * 50_000,
    '"\\ud800"',
    "null",
    "\x00",
]
ADDRESSES = [
    *("/api/token/", "/api/token/refresh/", "/api/token/verify/", "/api/logout/"),
    *("/api/ws-ticket/", "/api/prices/"),
]


@pytest.mark.django_db
@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize("address", ADDRESSES)
def test_odd_body_is_no_error_of_the_server(
    redis: Redis, settings: Any, address: str, body: str
) -> None:
    """At every address that takes JSON; those that cannot be read are 400."""
    settings.QUOTES_LOGIN_PER_MINUTE = 1000
    user = publisher()
    headers = {"Authorization": f"Bearer {access_token(user)}"}
    client = Client(headers=headers, raise_request_exception=False)
    answer = client.post(address, body, content_type="application/json")
    assert answer.status_code < 500
    if body.startswith(DEEP) and address != "/api/ws-ticket/":  # which needs no body
        assert answer.status_code == 400
    if answer.status_code >= 400:
        assert set(answer.json()) == {"code", "message"}


def deep_part(length: int) -> str:
    return base64.urlsafe_b64encode(b"[" * length).decode().rstrip("=")


@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize("length", [900, 2000, 5700])
def test_deep_token_is_no_token(settings: Any, outside: bool, length: int) -> None:
    """Nested in its header, or in its claims."""
    if outside:
        settings.QUOTES_JWKS_URL = "http://127.0.0.1:9/keys"
        settings.QUOTES_JWKS_ISSUER = "https://issuer.example.com/"
    head = jwt.encode({}, own_secret(), algorithm="HS256").partition(".")[0]
    for token in (f"{deep_part(length)}.e30.c2ln", f"{head}.{deep_part(length)}.c2ln"):
        with pytest.raises(BadCredentials):
            tokens.key_fetch(token)
            verify(token)


def test_claims_that_are_deep_are_no_claims() -> None:
    """Even with a good signature."""
    part = deep_part(2000)
    head = jwt.encode({}, own_secret(), algorithm="HS256").partition(".")[0]
    key = jwt.get_algorithm_by_name("HS256")
    signature = key.sign(f"{head}.{part}".encode(), key.prepare_key(own_secret()))
    text = base64.urlsafe_b64encode(signature).decode().rstrip("=")
    with pytest.raises(BadCredentials, match="not a valid token"):
        verify(f"{head}.{part}.{text}")
