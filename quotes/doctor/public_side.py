"""The public side, as a client elsewhere sees it: TLS, health, a WebSocket, and a price.

It needs neither Redis nor the database: run it on any machine with `--only url --url URL`.
"""

import contextlib
import email.utils
import http.client
import json
import ssl
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import SplitResult, urlsplit

import redis
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from quotes.doctor.certificates import end_of_certificate, finding_of_end
from quotes.doctor.deployment import Deployment
from quotes.doctor.findings import Finding, error, ok, warning
from quotes.runtime import clock
from quotes.store.names import own_key

_TIMEOUT_S = 3.0
_PRICE_WITHIN_S = 3.0
_NOTABLE_MS = 3000  # the Date header has whole seconds
_MAX_ANSWER_BYTES = 1_000_000
# Symbols that are tried where Redis names none.
_LIKELY = ("NIFTY 50", "RELIANCE", "AAPL")
_TRIED = 10


class BadAddress(ValueError):
    """An address is not one of a server."""


def check_public_side(deployment: Deployment) -> Iterator[Finding]:
    """Check `--url`; without one there is nothing to check."""
    if not deployment.url:
        yield ok("not checked: give --url https://...")
        return
    parts = parse_url(deployment.url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        try:
            end = end_of_certificate(host, parts.port or 443, timeout_s=_TIMEOUT_S)
        except OSError as problem:
            yield error(
                f"no TLS at {parts.netloc}: {problem}", "check the name, the firewall, the proxy"
            )
            return
        yield finding_of_end("the certificate of the public address", end)
    elif not _is_own(host):
        yield warning(
            "prices and tokens cross the network in clear", "put a proxy with TLS in front"
        )
    try:
        yield from _health(parts)
    except ssl.SSLCertVerificationError as problem:
        yield error(
            f"clients refuse the certificate: {problem.verify_message}",
            "show the whole chain of certificates, for this name",
        )
        return
    except (OSError, http.client.HTTPException) as problem:
        yield error(
            f"{parts.netloc} does not answer ({problem})",
            "check the proxy and the web servers",
            "prices-stopped",
        )
        return
    yield from _socket(parts, deployment)


def parse_url(text: str) -> SplitResult:
    """Return the parts of a public address; raise BadAddress with the cure."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadAddress("--url must look like https://prices.example.com")
    if parts.username or parts.password:
        raise BadAddress("--url must have no password: use --token-file")
    return parts


def _is_own(host: str) -> bool:
    return host in ("localhost", "127.0.0.1", "::1")


def _get(parts: SplitResult, path: str) -> tuple[int, Any, bytes]:
    """Return status, headers and body of an answer; raise OSError or HTTPException."""
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", parts.path.rstrip("/") + path)
        response = connection.getresponse()
        return response.status, response.headers, response.read(_MAX_ANSWER_BYTES)
    finally:
        connection.close()


def _health(parts: SplitResult) -> Iterator[Finding]:
    begun = time.monotonic()
    status, headers, _ = _get(parts, "/healthz")
    took_ms = (time.monotonic() - begun) * 1000
    if status == 400:
        yield error(
            f"the server refuses the name {parts.hostname}", "add it to ALLOWED_HOSTS, and restart"
        )
        return
    if status in (301, 302, 307, 308):
        yield error(
            f"{parts.netloc} redirects to {str(headers.get('Location', ''))[:200]}",
            "give that address to --url, and to clients",
        )
        return
    if status != 200:
        yield error(
            f"/healthz answers {status}", "check the proxy and its upstreams", "prices-stopped"
        )
        return
    yield ok(f"/healthz answers in {took_ms:.0f} ms")
    sent = email.utils.parsedate_tz(str(headers.get("Date", "")))
    if sent:
        ahead_ms = clock.now_ms() - email.utils.mktime_tz(sent) * 1000
        if abs(ahead_ms - 500) > _NOTABLE_MS:
            yield warning(
                f"this machine's clock and the server's are {abs(ahead_ms) / 1000:.0f} s apart",
                "set the clocks of both by NTP",
                "clock-skew",
            )
    status, _, body = _get(parts, "/readyz")
    if status != 200:
        yield error(
            f"/readyz answers {status}: {_parts_that_fail(body)}",
            "run `manage.py doctor` on the server",
            "prices-stopped",
        )


def _parts_that_fail(body: bytes) -> str:
    try:
        answer = json.loads(body)
        wrong = [f"{name}: {answer[name]}" for name in ("redis", "bridge", "lanes")]
    except (ValueError, LookupError, TypeError):
        return "not ready"
    return "; ".join(one for one in wrong if not one.endswith(": ok")) or "not ready"


def _socket(parts: SplitResult, deployment: Deployment) -> Iterator[Finding]:
    scheme = "wss" if parts.scheme == "https" else "ws"
    url = f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}/live-price"
    headers = {}
    if deployment.token:
        kind = "Api-Key" if deployment.token.startswith("lp_") else "Bearer"
        headers["Authorization"] = f"{kind} {deployment.token}"
    try:
        with connect(
            url,
            additional_headers=headers,
            open_timeout=_TIMEOUT_S,
            close_timeout=0.5,
            compression=None,
            proxy=None,
        ) as connection:
            yield ok("the WebSocket opens")
            yield from _price(connection, deployment)
    except InvalidStatus as problem:
        status = problem.response.status_code
        cures = {
            401: "give a valid token or API key with --token-file",
            403: "check the Origin and the limits of connections",
            404: "check that the proxy passes the whole path",
            426: "let the proxy pass Upgrade and Connection",
            429: "set QUOTES_TRUSTED_PROXIES, or raise the limit of connections",
        }
        yield error(
            f"the WebSocket is refused with HTTP {status}",
            cures.get(status, "let the proxy pass Upgrade and Connection (docs/operations.md)"),
            "a-client-complains",
        )
    except (WebSocketException, OSError) as problem:
        yield error(
            f"the WebSocket fails ({type(problem).__name__}: {problem})",
            "let the proxy pass WebSockets (docs/operations.md)",
            "a-client-complains",
        )


def _price(connection: ClientConnection, deployment: Deployment) -> Iterator[Finding]:
    """Subscribe, and report the first price."""
    symbols = [deployment.symbol] if deployment.symbol else _symbols(deployment)
    connection.send(json.dumps({"action": "subscribe", "symbols": symbols}))
    until = time.monotonic() + _PRICE_WITHIN_S
    feed = ""
    with contextlib.suppress(TimeoutError):
        while (wait_s := until - time.monotonic()) > 0:
            frame = json.loads(connection.recv(timeout=wait_s))
            if "type" not in frame:
                age_s = (clock.now_ms() - int(frame["timestamp"])) / 1000
                yield ok(f"the price of {frame['symbol']} came, {max(0.0, age_s):,.1f} s old")
                return
            feed = frame.get("feed", feed)
            refusal = (
                frame if frame["type"] == "error" else next(iter(frame.get("rejected", [])), None)
            )
            if refusal and (frame["type"] == "error" or not frame["symbols"]):
                yield error(
                    f"the server refuses {', '.join(symbols)}: {refusal.get('message')} "
                    f"({refusal.get('code')})",
                    "give a token or API key that may read it with --token-file, or --symbol",
                    "a-client-complains",
                )
                return
    state = f', the feed is "{feed}"' if feed else ""
    yield error(
        f"no price of {', '.join(symbols)} came within {_PRICE_WITHIN_S:g} s{state}",
        "name a symbol that has a price with --symbol; if it has, read the run-book",
        "prices-stopped",
    )


def _symbols(deployment: Deployment) -> list[str]:
    """Return symbols that have a price, as far as Redis says."""
    try:
        found: Any = deployment.redis.hrandfield(own_key("latest"), _TRIED)
    except redis.RedisError:
        found = None
    return [one.decode(errors="replace") for one in found or ()] or list(_LIKELY)
