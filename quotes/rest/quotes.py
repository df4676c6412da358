"""Quotes: the latest prices of instruments, with the fields of their day.

What a socket sends in the mode `quote`, for requests: fields that the publisher did not send come
from the statistics of the day that the recorder keeps.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import redis
from redis.exceptions import RedisError

from instruments.keys import InstrumentKey
from quotes.errors import BadTick
from quotes.rest.prices import PricesUnavailable
from quotes.runtime.time_slices import chunks
from quotes.runtime.warnings import RateLimitedWarnings
from quotes.store.latest import LatestPrice, Wanted, latest_of_segment, read_snapshot
from quotes.store.names import own_key
from quotes.store.redis_clock import redis_clock
from quotes.store.request_clients import cause_of, request_client
from quotes.ticks import Tick, read_frame
from quotes.websocket.delivery.day_fields import DayFields

_warn = RateLimitedWarnings(logging.getLogger(__name__))

_CHUNK = 1000  # instruments whose days are read in one round trip


class Quote(NamedTuple):
    """The latest price of an instrument.

    Attributes:
        tick: price and time.
        fields: name -> JSON text: what the publisher sent, the day's open, high, low, prev_close
            and volume, and the change since that close.
    """

    key: InstrumentKey
    tick: Tick
    fields: dict[str, bytes]


def read_quotes(wanted: Sequence[Wanted], *, has_day: bool = True) -> dict[InstrumentKey, Quote]:
    """Return the quote of each instrument that has a price.

    Args:
        has_day: whether fields of the day are wanted; without, they are the publisher's alone.

    Raises:
        PricesUnavailable: Redis does not answer.
    """
    try:
        with request_client() as client:
            redis_clock.measure_if_due(client)
            snapshot = read_snapshot(wanted, client=client)
            keys = dict.fromkeys(one.key for one in wanted)
            latest = {key: found for key in keys if (found := snapshot.newest(key)) is not None}
            return _with_days(latest, client) if has_day else _quotes(latest, DayFields())
    except RedisError as error:
        raise _unavailable(error) from error


def segment_quotes(segment: str, *, limit: int, after: str = "") -> list[Quote]:
    """Return the quotes of a segment by symbol; of more than `limit`, the first.

    Args:
        segment: its code.
        after: only those whose symbols come after this one.

    Raises:
        PricesUnavailable: Redis does not answer in time.
    """
    try:
        latest = latest_of_segment(segment, limit=limit, after=after)
        quotes: list[Quote] = []
        for some in chunks(list(latest.items()), _CHUNK):
            with request_client() as client:
                quotes += _with_days(dict(some), client).values()
        return quotes
    except RedisError as error:
        raise _unavailable(error) from error


def _with_days(
    latest: dict[InstrumentKey, LatestPrice], client: redis.Redis
) -> dict[InstrumentKey, Quote]:
    """Return the quotes of prices with what the recorder wrote of their days."""
    return _quotes(latest, _read_days(latest, client)) if latest else {}


def _read_days(keys: Iterable[InstrumentKey], client: redis.Redis) -> DayFields:
    days = DayFields()
    names = list(map(str, keys))
    records: Any = client.hmget(own_key("day"), names)
    for name, record in zip(names, records, strict=True):
        try:
            days.take(name, record)
        except (msgspec.MsgspecError, ValueError) as error:  # the price is shown without its day
            _warn("day", f"cannot read the day of {name}: {error!r}")
    return days


def _quotes(
    latest: dict[InstrumentKey, LatestPrice], days: DayFields
) -> dict[InstrumentKey, Quote]:
    found = {}
    for key, price in latest.items():
        try:
            tick = read_frame(price.frame)
        except BadTick as error:  # another program than the bridge wrote it
            _warn("latest", f"passed over the latest price of {key}: {error}")
            continue
        found[key] = Quote(key, tick, days.enriched(str(key), tick, tick.fields))
    return found


def _unavailable(error: RedisError) -> PricesUnavailable:
    return PricesUnavailable(f"prices cannot be read at the moment, try again: {cause_of(error)}")
