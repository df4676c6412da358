"""One request to the REST API, by the standard library alone, and its answer."""

import contextlib
import json
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from live_price.addresses import authorization, http_url
from live_price.errors import LOST, ConnectionLost, PriceError, SymbolError, error_of

_MAX_ANSWER_BYTES = 256 << 20
_CHUNK_BYTES = 1 << 20
_TRIES = 4
_MAX_WAIT_S = 30.0

Parameters = Mapping[str, "str | int | None"]


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The token is for one server: it is not sent wherever an answer points to."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


class HttpApi:
    """The addresses below `/api/` of one server.

    Args:
        url: `http://host:5000`; the WebSocket's address works too.
        timeout_s: for each answer to begin, and for each part of it.
    """

    def __init__(self, url: str, *, timeout_s: float, parse_float: Any) -> None:
        self.url = http_url(url)
        self._timeout_s = timeout_s
        self._parse_float = parse_float
        self._opener = urllib.request.build_opener(_NoRedirects())

    def get(self, path: str, parameters: Parameters, token: str | None) -> Any:
        """Return the JSON of an address; tries again where the server asks for it (429, 503).

        Raises:
            PriceError: the answer is an error, or there is none (ConnectionLost).
        """
        wanted = {name: str(value) for name, value in parameters.items() if value not in (None, "")}
        query = f"?{urlencode(wanted)}" if wanted else ""
        path = path if path.startswith("/") else f"/api/{path}"
        for attempt in range(_TRIES):
            try:
                return self._send("GET", f"{path}{query}", None, token)
            except _Busy as busy:
                if attempt == _TRIES - 1:
                    raise busy.error from busy
                time.sleep(min(busy.wait_s, _MAX_WAIT_S))
        raise AssertionError

    def post(self, path: str, body: Any, token: str | None) -> Any:
        """Return the JSON that answers a body of JSON."""
        try:
            return self._send("POST", f"/api/{path}", json.dumps(body).encode(), token)
        except _Busy as busy:
            raise busy.error from busy

    def _send(self, method: str, address: str, body: bytes | None, token: str | None) -> Any:
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if token:
            headers["Authorization"] = authorization(token)
        request = urllib.request.Request(  # noqa: S310 - http and https alone, see `http_url`
            f"{self.url}{address}", data=body, headers=headers, method=method
        )
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                text = _read(answer, answer.headers.get("Content-Encoding", ""))
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from error
        except (OSError, EOFError, zlib.error, urllib.error.URLError) as error:
            reason = getattr(error, "reason", error)
            raise ConnectionLost(f"no answer from {self.url}: {reason}", LOST) from error
        try:
            return json.loads(text, parse_float=self._parse_float) if text else None
        except (ValueError, RecursionError) as error:
            raise PriceError(f"{self.url}{address} answered no JSON", 502) from error

    def _refusal(self, error: urllib.error.HTTPError) -> Exception:
        values: Any = {}
        with contextlib.suppress(OSError, EOFError, ValueError, RecursionError, zlib.error):
            values = json.loads(_read(error, error.headers.get("Content-Encoding", "")))
        if not isinstance(values, dict):
            values = {}
        message = str(values.get("message") or error.reason)[:500]
        if error.code in (429, 503):
            seconds = error.headers.get("Retry-After", "1")
            wait_s = float(seconds) if seconds.isdigit() else 1.0
            return _Busy(error_of(message, error.code), wait_s)
        if "suggestions" in values:
            symbol = urlsplit(error.url or "").path.rstrip("/").rpartition("/")[2]
            return SymbolError(message, error.code, symbol, values["suggestions"])
        return error_of(message, error.code)


class _Busy(Exception):
    """The server asks to come back later."""

    def __init__(self, error: PriceError, wait_s: float) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait_s = wait_s


def _read(answer: IO[bytes], encoding: str) -> bytes:
    """Return a body of bounded size."""
    unpack = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    found = bytearray()
    while data := answer.read(_CHUNK_BYTES):
        found += unpack.decompress(data, _MAX_ANSWER_BYTES) if unpack else data
        if len(found) >= _MAX_ANSWER_BYTES:
            raise OSError(f"the answer has more than {_MAX_ANSWER_BYTES} bytes")
    if unpack:
        found += unpack.flush()
    return bytes(found)


def cursor_of(next_page: str | None) -> str | None:
    """Return the cursor in the address of the next page."""
    return dict(parse_qsl(urlsplit(next_page or "").query)).get("cursor")
