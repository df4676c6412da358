"""The public keys of an outside issuer, fetched from its JWKS URL and cached.

A fetch (`jwks_fetch.py`) runs in a thread of its own, one at a time for all callers, and nobody
holds a lock meanwhile. Keys that are known are used without waiting, also when the issuer does not
answer, for an hour. Tokens that name unknown keys wait for the fetch under way, and cause one at
most every ten seconds, however many there are.
"""

import asyncio
import logging
import threading
import time
from concurrent.futures import Future
from typing import Any, NamedTuple

import jwt
import msgspec

from quotes.access.credentials.jwks_fetch import fetch
from quotes.access.errors import AccessDown, AccessError, BadCredentials
from quotes.conf import conf

logger = logging.getLogger(__name__)

# Seconds that a caller waits for a fetch; the fetch has as long, from the look-up of the host on.
_FETCH_TIMEOUT_S = 5.0
_REFETCH_S = 600.0
# How long keys are used after they were fetched, while they cannot be fetched again.
_KEEP_S = 3600.0
_LEAST_PAUSE_S = 10.0  # from the end of a fetch to the next
# Key ids that the issuer did not have cause no fetch for a while; the oldest make room.
_MISSING_S = 30.0
_MAX_MISSING = 1000
_MAX_KEY_ID_LENGTH = 256
_ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}  # kind of key -> the one algorithm it is used with
_MIN_RSA_BITS = 2048
_NO_SUCH_KEY = "the token's issuer has no such key"


class Key(NamedTuple):
    """A public key, and the algorithm that it is used with."""

    key: Any
    algorithm: str


class KeySet:
    """The keys of an issuer by their ids. Thread-safe; no method but `key` waits."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()  # of all that follows; never held during a fetch
        self._keys: dict[str, Key] = {}
        self._fetched_at = float("-inf")
        self._failed = False  # the last fetch
        self._next_at = float("-inf")  # when the next may begin
        self._missing: dict[str, float] = {}  # key id -> until when it causes no fetch
        self._under_way: Future[None] | None = None

    def find(self, key_id: str) -> Key | Future[None]:
        """Return a key, or the fetch that may bring it, behind which `known` has the answer.

        Raises:
            BadCredentials: the issuer has no such key.
            AccessDown: that cannot be found out at the moment.
        """
        if len(key_id) > _MAX_KEY_ID_LENGTH:
            raise BadCredentials(_NO_SUCH_KEY)
        with self._lock:
            now = time.monotonic()
            key = self._usable(key_id, now)
            if key is not None:
                if now - self._fetched_at >= _REFETCH_S:
                    self._begin(now)  # nobody waits for it
                return key
            if self._missing.get(key_id, now) <= now:
                fetch = self._begin(now)
                if fetch is not None:
                    return fetch
            raise self._refusal(now)

    def known(self, key_id: str) -> Key:
        """Return a key after the fetch that `find` returned; raise as `find`."""
        with self._lock:
            now = time.monotonic()
            key = self._usable(key_id, now)
            if key is not None:
                return key
            refusal = self._refusal(now)
            if isinstance(refusal, BadCredentials):
                self._missing.pop(key_id, None)
                self._missing[key_id] = now + _MISSING_S
                if len(self._missing) > _MAX_MISSING:
                    del self._missing[next(iter(self._missing))]
            raise refusal

    def key(self, key_id: str) -> Key:
        """Return a key, once it was fetched; for threads. Raises as `find`."""
        found = self.find(key_id)
        if isinstance(found, Key):
            return found
        try:
            found.result(_FETCH_TIMEOUT_S)
        except TimeoutError as error:
            raise AccessDown from error
        return self.known(key_id)

    def _refusal(self, now: float) -> AccessError:
        """Return why there is no such key, as far as the last fetch can tell."""
        if self._failed or now - self._fetched_at >= _KEEP_S:
            return AccessDown()
        return BadCredentials(_NO_SUCH_KEY)

    def _usable(self, key_id: str, now: float) -> Key | None:
        return self._keys.get(key_id) if now - self._fetched_at < _KEEP_S else None

    def _begin(self, now: float) -> Future[None] | None:
        """Return the fetch under way, or a new one; None if it is too early for that."""
        if self._under_way is None and now >= self._next_at:
            try:
                # Not in a pool, which a process would wait for when it ends.
                threading.Thread(target=self._fetch, name="jwks", daemon=True).start()
            except RuntimeError as error:
                logger.warning("keys cannot be fetched from QUOTES_JWKS_URL: %s", error)
                self._failed, self._next_at = True, now + _LEAST_PAUSE_S
                return None
            self._under_way = Future()
            self._under_way.set_running_or_notify_cancel()  # no waiter can cancel it for others
        return self._under_way

    def _fetch(self) -> None:
        keys: dict[str, Key] | None = None
        try:
            keys = parse_keys(fetch(self._url, _FETCH_TIMEOUT_S))
        except Exception as error:
            # The issuer may answer with anything.
            logger.warning("keys cannot be read from QUOTES_JWKS_URL: %s", error)
        with self._lock:
            now = time.monotonic()
            if keys is not None:
                self._keys, self._fetched_at = keys, now
            self._failed = keys is None
            self._next_at = now + _LEAST_PAUSE_S
            done, self._under_way = self._under_way, None
        assert done is not None
        done.set_result(None)


async def fetched(fetch: Future[None]) -> None:
    """Wait until a fetch that `KeySet.find` returned is over; raise AccessDown if it takes long."""
    try:
        async with asyncio.timeout(_FETCH_TIMEOUT_S):
            await asyncio.wrap_future(fetch)
    except TimeoutError as error:
        raise AccessDown from error


def parse_keys(text: bytes) -> dict[str, Key]:
    """Return the signing keys of a JWKS document, other keys left out.

    Raises ValueError if there are none, and whatever comes of a document of another kind.
    """
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
        found[str(values["kid"])] = Key(key, algorithm)
    if not found:
        raise ValueError("the document has no key for RS256 or ES256")
    return found


key_sets: dict[str, KeySet] = {}  # URL -> its keys


def current_key_set() -> KeySet:
    """Return the keys of QUOTES_JWKS_URL."""
    url = conf.jwks_url
    return key_sets.setdefault(url, KeySet(url))
