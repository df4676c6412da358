"""Publishers' keys whose value has no timestamp: which of them hold a price that was not shown.

A key that is read again is no new tick. Its price has the time at which it was first seen
(`store/first_seen.py`), or that of the last tick shown if it is this price.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from instruments.errors import InstrumentsError
from quotes.bridge.tick_order import Stream
from quotes.errors import BadTick
from quotes.store.listings import UNNAMED, published_key
from quotes.store.redis_clock import redis_clock
from quotes.ticks import parse_tick


class UntimedKey(NamedTuple):
    """A publisher's key whose value has no timestamp.

    Attributes:
        name: under which its ticks are published.
        number: of the last tick that its stream had shown when the key was read.
    """

    key: bytes
    name: str
    value: bytes
    number: tuple[int, int] | None


def untimed_keys(
    values: Iterable[tuple[bytes, bytes | None]],
    streams: Mapping[str, Stream],
    *,
    prefix: str,
    is_ours: Callable[[bytes], bool],
) -> list[UntimedKey]:
    """Return the keys whose value has no timestamp and is not the last price shown.

    Args:
        values: pairs of a publisher's key and its value.
        streams: instrument key -> stream.
        prefix: of publishers' keys; the name follows.
        is_ours: returns whether a key's instrument is of this bridge's shard.
    """
    now, ahead = redis_clock.now_ms(), redis_clock.max_ahead_ms()
    found = []
    for key, value in values:
        if value is None or not is_ours(key):
            continue
        try:
            tick = parse_tick(value, now_ms=now, ahead_ms=ahead, symbol=UNNAMED)
            if tick.has_time:
                continue
            name = key[len(prefix.encode()) :].decode()
            stream = streams.get(str(published_key(name, tick)))
        except (BadTick, InstrumentsError, UnicodeDecodeError):
            continue  # a key may hold anything
        if stream is None:
            found.append(UntimedKey(key, name, value, None))
        elif stream.frame_at(tick, stream.timestamp) != stream.frame:
            found.append(UntimedKey(key, name, value, stream.number))
    return found
