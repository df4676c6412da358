"""The pure rules: entitlements, addresses, and what is hidden from logs."""

import logging
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.keys import InstrumentKey
from quotes.access.credentials.presented import Credentials, credentials_of
from quotes.access.entitlements import CODES, EVERY, OTHER, Grant, entitlements_of, parse_grants
from quotes.access.errors import BadCredentials
from quotes.access.middleware.proxy_headers import ProxyHeaders, address_group, client_address
from quotes.runtime.redaction import CleanRecord, scrub
from quotes.websocket.origins import admitted, is_allowed, is_local_page

DAY = date(2026, 8, 14)
DAYS = st.none() | st.dates(DAY - timedelta(days=2), DAY + timedelta(days=2))
GRANTS = st.lists(
    st.builds(Grant, st.sampled_from((EVERY, *CODES)), st.integers(0, 30), DAYS, DAYS), max_size=6
)


@given(GRANTS, st.sampled_from(CODES))
def test_of_several_grants_the_soonest_of_the_day_counts(grants: list[Grant], code: str) -> None:
    """A segment is seen if a grant of that day says so, as soon as the best of them says."""
    key = InstrumentKey("" if code == OTHER else code, "X")
    good = [
        one.delay_minutes
        for one in grants
        if one.segment in (code, EVERY)
        and (one.valid_from is None or one.valid_from <= DAY)
        and (one.valid_until is None or one.valid_until >= DAY)
    ]
    found = entitlements_of(grants, today=DAY)
    assert found.delay_of(key) == min(good, default=None)
    assert (code in found.segments) == bool(good)


@given(GRANTS, GRANTS)
def test_more_grants_never_show_less(some: list[Grant], more: list[Grant]) -> None:
    """Adding a grant takes nothing away and makes nothing later."""
    few, many = (entitlements_of(one, today=DAY) for one in (some, some + more))
    assert set(few.segments) <= set(many.segments)
    assert all(many.delays[code] <= few.delays[code] for code in few.segments)


def test_setting_of_grants_is_read() -> None:
    """Segments with or without minutes, or all of them."""
    assert parse_grants(" NSE_EQ, NFO@15,") == [Grant("NSE_EQ"), Grant("NFO", 15)]
    assert entitlements_of(parse_grants("*"), today=DAY).segments == list(CODES)
    assert parse_grants("") == []


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # whoever says so is not trusted
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.9.9.9", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, nonsense, 10.9.9.9", "10.9.9.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        ("10.0.0.1", "198.51.100.1:55123", "198.51.100.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("", "198.51.100.1", ""),
    ],
)
def test_forwarded_address_is_believed_of_trusted_proxies_only(
    settings: Any, peer: str, forwarded: str, address: str
) -> None:
    """The chain is read from its end for as long as who wrote it is trusted."""
    settings.QUOTES_TRUSTED_PROXIES = "10.0.0.0/8"
    assert client_address(peer, forwarded) == address


def test_addresses_of_one_network_of_ipv6_count_as_one() -> None:
    """Who has a network of 64 bits has no more connections than who has one address."""
    assert address_group("2001:db8::1") == address_group("2001:db8::ffff:2")
    assert address_group("192.0.2.1") != address_group("192.0.2.2")


@pytest.mark.parametrize(
    ("peer", "scheme", "host"), [("10.0.0.1", "https", "198.51.100.1"), ("9.9.9.9", "http", "")]
)
async def test_scope_has_what_a_trusted_proxy_says(
    settings: Any, peer: str, scheme: str, host: str
) -> None:
    """The address and the scheme go into the scope, so that everything behind sees them."""
    settings.QUOTES_TRUSTED_PROXIES = "10.0.0.0/8"
    seen: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    headers = [(b"x-forwarded-for", b"198.51.100.1"), (b"x-forwarded-proto", b"https")]
    scope = {"type": "http", "client": (peer, 1), "scheme": "http", "headers": headers}
    await ProxyHeaders(application)(scope, None, None)
    assert (seen[0]["scheme"], seen[0]["client"][0]) == (scheme, host or peer)


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        ({}, None),
        ({"query_string": b"ticket=abc"}, Credentials(True, "abc")),
        ({"headers": [(b"authorization", b"bearer  abc")]}, Credentials(False, "abc")),
        ({"headers": [(b"authorization", b"Basic abc")]}, None),
        ({"subprotocols": ["live-price", "bearer.abc"]}, Credentials(False, "abc")),
        ({"query_string": b"token=abc"}, BadCredentials),
        ({"query_string": b"&".join([b"a=b"] * 50)}, None),
        ({"query_string": b"ticket="}, Credentials(True, "")),
        ({"query_string": b"ticket=abc&ticket=def"}, BadCredentials),
        ({"query_string": b"token=abc&token=abc"}, BadCredentials),
    ],
)
def test_credentials_are_found_where_they_may_be(scope: Any, found: Any) -> None:
    """In the order of the document; other kinds of authorization are no business of ours."""
    if found is BadCredentials:
        with pytest.raises(BadCredentials):
            credentials_of(scope)
    else:
        assert credentials_of(scope) == found
        assert "abc" not in repr(found)


TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoiNyJ9.c2lnbmF0dXJl"
KEY = "lp_0123456789ab_" + "k" * 43


@pytest.mark.parametrize(
    "text",
    [
        f"GET /live-price?token={TOKEN} HTTP/1.1",
        "GET /live-price?a=1&ticket=secret-ticket&b=2",
        f"GET /kite?api_key=asha&access_token={TOKEN}&uid=1 HTTP/1.1",
        f'"WebSocket /kite?api_key=asha&access_token={KEY}" 403',
        "GET /kite?api_key=asha&access_token=!$(secret-ticket)",
        f"authorization: Bearer {TOKEN}",
        "Authorization: Bearer opaque.secret-ticket",
        f"sec-websocket-protocol: live-price, bearer.{TOKEN}",
        f"{{'action': 'authenticate', 'token': '{TOKEN}'}}",
        f'{{"refresh":"{TOKEN}"}}',
        f"Api-Key {KEY}",
        f"found {KEY} in a text",
        f"GET /api/prices.csv?symbols=TCS&key={KEY} HTTP/1.1",
        f"GET /udf/key/{KEY}/history?symbol=TCS",
        f"GET /udf/config?a={KEY.replace('_', '%5F')}",
        "GET /api/prices.csv?key=secret-ticket&columns=price",
        "POST /socket.io/?EIO=4&transport=polling&sid=secret-ticket",
    ],
)
def test_credentials_are_hidden_wherever_they_are(text: str) -> None:
    """In messages, in arguments and in tracebacks."""
    for secret in (TOKEN, KEY, "secret-ticket", "c2lnbmF0dXJl"):
        assert secret not in scrub(text)
        record = CleanRecord("x", logging.INFO, "f", 1, "%s and %r", (text, [text]), None)
        assert secret not in record.getMessage()
        try:
            raise ValueError(text)
        except ValueError as error:
            info = (type(error), error, error.__traceback__)
            record = CleanRecord("x", logging.INFO, "f", 1, "failed", (), info)
        assert secret not in logging.Formatter().format(record)


def test_what_is_no_credential_stays_in_the_log() -> None:
    """Records of access logs keep their arguments, and texts their words."""
    arguments = ("127.0.0.1:1", "GET", "/api/prices/?symbols=TCS", "1.1", 200)
    record = CleanRecord("uvicorn.access", logging.INFO, "f", 1, "%s %s %s %s %d", arguments, None)
    assert record.args == arguments
    text = "token by token, as in NSE_EQ:RELIANCE?symbols=TCS"
    assert scrub(text) == text


@pytest.mark.parametrize(
    ("debug", "origin", "allowed"),
    [
        (False, "", True),
        (False, "https://prices.example.com", True),
        (False, "https://app.example.com", True),
        (False, "https://evil.example.net", False),
        (False, "http://localhost:3000", False),
        (True, "http://localhost:3000", True),
        (False, "null", False),
    ],
)
def test_origins(settings: Any, debug: bool, origin: str, allowed: bool) -> None:
    """No Origin, the server's own and those of the setting; any port of this machine in DEBUG."""
    settings.DEBUG = debug
    settings.ALLOWED_HOSTS = ["prices.example.com"]
    settings.QUOTES_ALLOWED_ORIGINS = "https://app.example.com"
    assert is_allowed(origin, "prices.example.com") is allowed


@pytest.mark.parametrize(
    ("origin", "host", "address", "allowed"),
    [
        ("null", "localhost:5000", "127.0.0.1", True),
        ("file://", "localhost:5000", "127.0.0.1", True),
        ("http://localhost:5173", "localhost:5000", "127.0.0.1", True),
        ("https://127.0.0.1:8443", "127.0.0.1:5000", "127.0.0.1", True),
        ("http://[::1]:3000", "[::1]:5000", "::1", True),
        ("http://LOCALHOST:3000", "LocalHost", "127.0.0.9", True),
        # A site whose name has the address of this machine.
        ("null", "evil.example:5000", "127.0.0.1", False),
        ("http://localhost:5173", "evil.example:5000", "127.0.0.1", False),
        # A caller on another machine, or behind a proxy.
        ("null", "localhost:5000", "192.0.2.7", False),
        ("null", "localhost:5000", "", False),
        ("http://localhost:5173", "192.0.2.1:5000", "192.0.2.7", False),
        # A page of another site.
        ("https://evil.example", "localhost:5000", "127.0.0.1", False),
        ("http://localhost.evil.example", "localhost:5000", "127.0.0.1", False),
        ("http://evil.example#localhost", "localhost:5000", "127.0.0.1", False),
        ("http://localhost@evil.example", "localhost:5000", "127.0.0.1", False),
        ("chrome-extension://localhost", "localhost:5000", "127.0.0.1", False),
        ("http://localhost:x", "localhost:5000", "127.0.0.1", False),
        ("http://[", "localhost:5000", "127.0.0.1", False),
        ("null", "[", "127.0.0.1", False),
        ("null", "", "127.0.0.1", False),
        ("", "localhost:5000", "127.0.0.1", False),
    ],
)
def test_local_pages(settings: Any, origin: str, host: str, address: str, allowed: bool) -> None:
    """A file and other ports of localhost, by a name of this machine; without the setting none."""
    assert not is_local_page(origin, host, address)
    settings.QUOTES_LOCAL_ORIGINS = True
    assert is_local_page(origin, host, address) is allowed


@pytest.mark.parametrize(
    ("origin", "keeps"), [("http://localhost:5000", True), ("http://localhost:5173", False)]
)
def test_local_pages_bring_no_cookies(settings: Any, origin: str, keeps: bool) -> None:
    """Only the server's own pages act as the user who is logged in."""
    settings.QUOTES_LOCAL_ORIGINS = True
    settings.ALLOWED_HOSTS = ["localhost"]
    headers = {b"host": b"localhost:5000", b"origin": origin.encode(), b"cookie": b"sessionid=1"}
    scope: dict[str, Any] = {"headers": list(headers.items()), "client": ("127.0.0.1", 1)}
    seen = admitted(scope)
    assert seen is not None
    assert (b"cookie" in dict(seen["headers"])) is keeps
    assert dict(scope["headers"])[b"cookie"]
