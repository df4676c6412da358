"""The latest prices of instruments, read from another app.

This app has instruments but no prices. INSTRUMENTS_LATEST_PRICES names the function that returns
them; it is imported at the first call. If that fails, or the store of prices does not answer, admin
and REST show instruments without prices.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any, Protocol

from django.utils.module_loading import import_string
from redis.exceptions import RedisError

from instruments.conf import conf
from instruments.keys import InstrumentKey

logger = logging.getLogger(__name__)

# A store that does not answer may take seconds to fail: it is not called again for this time.
REST_S = 5.0


class PublishedPrice(Protocol):
    """The newest price of an instrument; it may have the day's `volume` as well."""

    @property
    def price(self) -> Decimal:
        """In rupees, with the digits that were published."""

    @property
    def timestamp(self) -> int:
        """Unix milliseconds, UTC."""


Guard = Callable[[Any, Iterable[InstrumentKey]], Collection[InstrumentKey]]
Source = Callable[[Iterable[InstrumentKey]], Mapping[InstrumentKey, PublishedPrice]]


class LatestPrices:
    """Returns latest prices; after a failure it returns none for some seconds."""

    def __init__(self) -> None:
        self.rests_until = 0.0

    def __call__(self, keys: Iterable[InstrumentKey]) -> Mapping[InstrumentKey, PublishedPrice]:
        """Return the latest price of each instrument that has one; {} if they cannot be read."""
        wanted = list(keys)
        if not wanted or time.monotonic() < self.rests_until:
            return {}
        try:
            source: Source = import_string(conf.latest_prices)
            return source(wanted)
        except (ImportError, RedisError, OSError) as error:
            self.rests_until = time.monotonic() + REST_S
            logger.warning("latest prices cannot be shown: %s", error)
            return {}


latest_prices = LatestPrices()


def visible_prices(
    request: Any, keys: Iterable[InstrumentKey]
) -> Mapping[InstrumentKey, PublishedPrice]:
    """Return the latest prices that the caller of a request may see.

    INSTRUMENTS_PRICE_GUARD names the function that selects these instruments.
    """
    return latest_prices(permitted(request, keys))


def permitted(request: Any, keys: Iterable[InstrumentKey]) -> Collection[InstrumentKey]:
    """Return those of the instruments whose latest prices the caller may see."""
    wanted = list(keys)
    if not conf.price_guard:
        return wanted
    guard: Guard = import_string(conf.price_guard)
    allowed = guard(request, wanted)
    return [key for key in wanted if key in allowed]


def age_text(seconds: float) -> str:
    """Return how long ago something was as people say it: `3 s`, `2 min`, `5 h`, `12 d`."""
    for unit, size, most in (("s", 1, 100), ("min", 60, 100), ("h", 3600, 48)):
        if seconds < size * most:
            return f"{max(seconds, 0) // size:.0f} {unit}"
    return f"{seconds // 86400:.0f} d"
