"""The public keys of an outside issuer, fetched from its JWKS URL and cached.

A fetch blocks, so it belongs in a thread. Unknown key ids cause one fetch in ten seconds at most,
however many tokens name them: bad tokens cannot make this server fetch again and again.
"""

import logging
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any

import jwt
import msgspec

from quotes.access.errors import AccessDown, BadCredentials
from quotes.conf import conf

logger = logging.getLogger(__name__)

# Fetches for event loops, which hold up nothing else: one at a time is under way.
key_fetches = ThreadPoolExecutor(2, "jwks")

_REFETCH_S = 600.0
_LEAST_PAUSE_S = 10.0
_TIMEOUT_S = 5.0
_MAX_BYTES = 262_144
_ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}  # kind of key -> the one algorithm it is used with
_MIN_RSA_BITS = 2048


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: keys come from the URL of the setting alone."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class KeySet:
    """The keys of an issuer by their ids, fetched again after ten minutes. Thread-safe."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, tuple[Any, str]] = {}  # key id -> public key, algorithm
        self._fetched_at = -_REFETCH_S
        self._tried_at = -_REFETCH_S
        self._lock = threading.Lock()

    def is_fresh(self, key_id: str) -> bool:
        """Tell whether `key` needs no fetch for this id."""
        now = time.monotonic()
        fresh = key_id in self._keys and now - self._fetched_at < _REFETCH_S
        return fresh or now - self._tried_at < _LEAST_PAUSE_S

    def key(self, key_id: str) -> tuple[Any, str]:
        """Return a public key and its algorithm; may block to fetch.

        Raises:
            BadCredentials: the issuer has no such key.
            AccessDown: no key could be fetched yet.
        """
        if not self.is_fresh(key_id):
            with self._lock:
                if not self.is_fresh(key_id):
                    self._fetch()
        if key_id in self._keys:
            return self._keys[key_id]
        if not self._keys:
            raise AccessDown
        raise BadCredentials("the token's issuer has no such key")

    def _fetch(self) -> None:
        self._tried_at = time.monotonic()
        try:
            # The setting is https:, or http: to this machine (quotes.E002).
            opener = urllib.request.build_opener(_NoRedirects)
            with opener.open(self._url, timeout=_TIMEOUT_S) as answer:
                keys = _parse_keys(_read_within(answer, time.monotonic() + _TIMEOUT_S))
        except (
            *(OSError, ValueError, jwt.PyJWTError, msgspec.DecodeError, RecursionError),
            *(HTTPException, AttributeError, KeyError, TypeError),
        ) as error:
            logger.warning("keys cannot be read from QUOTES_JWKS_URL: %s", error)
            return
        self._keys = keys
        self._fetched_at = time.monotonic()


def _read_within(answer: Any, deadline: float) -> bytes:
    """Return the body of an answer; raise TimeoutError if it is not whole at the deadline."""
    found = bytearray()
    # `read1` returns what one read of the socket gave: an answer of single bytes is counted.
    while piece := answer.read1(_MAX_BYTES - len(found)):
        found += piece
        if time.monotonic() > deadline:
            raise TimeoutError(f"the answer took more than {_TIMEOUT_S:g} s")
        if len(found) >= _MAX_BYTES:
            break
    return bytes(found)


def _parse_keys(text: bytes) -> dict[str, tuple[Any, str]]:
    """Return the signing keys of a JWKS document; others are left out."""
    found = {}
    for values in msgspec.json.decode(text)["keys"]:
        algorithm = _ALGORITHMS.get(values.get("kty"), "")
        if not algorithm or values.get("use", "sig") != "sig" or not values.get("kid"):
            continue
        if values.get("alg", algorithm) != algorithm:
            continue
        if algorithm == "ES256" and values.get("crv") != "P-256":
            continue
        key = jwt.PyJWK({**values, "alg": algorithm}).key
        if algorithm == "RS256" and key.key_size < _MIN_RSA_BITS:
            continue
        found[str(values["kid"])] = (key, algorithm)
    return found


key_sets: dict[str, KeySet] = {}  # URL -> its keys


def current_key_set() -> KeySet:
    """Return the keys of QUOTES_JWKS_URL."""
    url = conf.jwks_url
    return key_sets.setdefault(url, KeySet(url))
