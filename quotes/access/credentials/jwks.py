"""The public keys of an outside issuer, fetched from its JWKS URL and kept.

A fetch is for a thread, not for the event loop. An unknown key id leads to one fetch in a while,
however many tokens name one: who sends bad tokens cannot make this server ask again and again.
"""

import logging
import threading
import time
import urllib.request
from typing import Any

import jwt
import msgspec

from quotes.access.errors import AccessDown, BadCredentials
from quotes.conf import conf

logger = logging.getLogger(__name__)

REFETCH_S = 600.0
LEAST_PAUSE_S = 10.0
TIMEOUT_S = 5.0
MAX_BYTES = 262_144
ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}  # kind of key -> the one algorithm it is taken for
MIN_RSA_BITS = 2048


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Keys come from where the setting says, and from nowhere that it points to."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class KeySet:
    """The keys that an issuer has now, by their ids."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: dict[str, tuple[Any, str]] = {}  # key id -> public key, algorithm
        self.fetched_at = -REFETCH_S
        self.tried_at = -REFETCH_S
        self.lock = threading.Lock()

    def is_fresh(self, key_id: str) -> bool:
        """Say whether `key` needs no fetch for this id."""
        now = time.monotonic()
        known = key_id in self.keys and now - self.fetched_at < REFETCH_S
        return known or now - self.tried_at < LEAST_PAUSE_S

    def key(self, key_id: str) -> tuple[Any, str]:
        """Return a public key and the algorithm that it is for; may fetch, so not for the loop.

        Raises:
            BadCredentials: the issuer has no such key.
            AccessDown: no key could be fetched yet.
        """
        if not self.is_fresh(key_id):
            with self.lock:
                if not self.is_fresh(key_id):
                    self.fetch()
        if key_id in self.keys:
            return self.keys[key_id]
        if not self.keys:
            raise AccessDown
        raise BadCredentials("the token's issuer has no such key")

    def fetch(self) -> None:
        self.tried_at = time.monotonic()
        try:
            # The setting is https:, or http: to this machine (quotes.E002).
            opener = urllib.request.build_opener(NoRedirects)
            with opener.open(self.url, timeout=TIMEOUT_S) as answer:
                keys = parse_keys(answer.read(MAX_BYTES))
        except (OSError, ValueError, jwt.PyJWTError, msgspec.DecodeError) as error:
            logger.warning("the keys at QUOTES_JWKS_URL cannot be read: %s", error)
            return
        self.keys = keys
        self.fetched_at = time.monotonic()


def parse_keys(text: bytes) -> dict[str, tuple[Any, str]]:
    """Return the keys for signatures of a JWKS document; others are left out."""
    found = {}
    for values in msgspec.json.decode(text)["keys"]:
        algorithm = ALGORITHMS.get(values.get("kty"), "")
        if not algorithm or values.get("use", "sig") != "sig" or not values.get("kid"):
            continue
        if values.get("alg", algorithm) != algorithm:
            continue
        if algorithm == "ES256" and values.get("crv") != "P-256":
            continue
        key = jwt.PyJWK({**values, "alg": algorithm}).key
        if algorithm == "RS256" and key.key_size < MIN_RSA_BITS:
            continue
        found[str(values["kid"])] = (key, algorithm)
    return found


key_sets: dict[str, KeySet] = {}  # URL -> its keys


def current_key_set() -> KeySet:
    """Return the keys of QUOTES_JWKS_URL."""
    url = conf.jwks_url
    return key_sets.setdefault(url, KeySet(url))
