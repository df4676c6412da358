"""Sending changed candles to their subscribers, over the lanes of the channel layer.

    {"type": "quote.candles", "key": "NSE_EQ:RELIANCE", "candles": {"1m": TEXT, "5m": TEXT}}

Each text is the JSON object of a candle (`rows.candle_json`). If two candles of one interval have
changed, the earlier candle is in the earlier message.
"""

import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import redis
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

from instruments.keys import InstrumentKey
from quotes.history.candles.deriving import CandleChange
from quotes.history.rows import candle_json
from quotes.layer.any_layer import adapted
from quotes.layer.lanes import Entry
from quotes.store.clients import pool
from quotes.store.group_names import candle_group

# At most this many changes of one instrument wait to be sent: the oldest candles are dropped.
MAX_PENDING = 64
_EVERY_S = 1.0


def candle_messages(key: str, changes: Iterable[CandleChange]) -> list[dict[str, Any]]:
    """Return the messages of an instrument's changed candles, each interval's by time."""
    messages: list[dict[str, Any]] = []
    counts: dict[str, int] = {}  # interval -> how many messages have it
    for _, interval, bar in sorted(changes, key=lambda one: (one.bar.start, one.interval)):
        at = counts.get(interval.label, 0)
        counts[interval.label] = at + 1
        if at == len(messages):
            messages.append({"type": "quote.candles", "key": key, "candles": {}})
        messages[at]["candles"][interval.label] = candle_json(bar).decode()
    return messages


class PendingCandles:
    """Changed candles that wait to be sent.

    Args:
        every_s: the least time between two messages about one instrument.
    """

    def __init__(self, *, every_s: float) -> None:
        self._every_s = every_s
        self._pending: dict[int, dict[tuple[int, int], CandleChange]] = {}
        self._sent_at: dict[int, float] = {}

    def add(self, changes: Iterable[CandleChange], *, newest_only: bool = False) -> None:
        """Add changes to send.

        Args:
            newest_only: keep only the newest candle of each interval, as while catching up.
        """
        for change in changes:
            waiting = self._pending.setdefault(change.series, {})
            waiting[change.interval, change.bar.start] = change
            if newest_only:
                for at in [at for at in waiting if at[0] == change.interval]:
                    if at[1] < max(one[1] for one in waiting if one[0] == change.interval):
                        del waiting[at]
            elif len(waiting) > MAX_PENDING:
                del waiting[min(waiting, key=lambda at: at[1])]

    def take_due(self, now_s: float) -> dict[int, list[CandleChange]]:
        """Return and remove the changes of the instruments that are due."""
        due = [
            series
            for series in self._pending
            if now_s - self._sent_at.get(series, float("-inf")) >= self._every_s
        ]
        for series in due:
            self._sent_at[series] = now_s
        return {series: list(self._pending.pop(series).values()) for series in due}


_group_of = lru_cache(maxsize=100_000)(lambda key: candle_group(InstrumentKey.parse(key)))


class Announcer:
    """Sends changed candles to their groups, at most once a second for each instrument.

    Delivery is at most once. Changes that wait when the recorder ends are not sent: the next change
    of the candle has them. For one thread without an event loop.

    Args:
        key_of: returns the instrument key of a series.
    """

    def __init__(self, key_of: Callable[[int], str]) -> None:
        self._key_of = key_of
        self._pending = PendingCandles(every_s=_EVERY_S)
        self._layer = adapted(get_channel_layer())

    def add(self, changes: Iterable[CandleChange], *, newest_only: bool = False) -> None:
        self._pending.add(changes, newest_only=newest_only)

    def send_due(self) -> None:
        """Send the changes that are due; raise redis.RedisError when Redis does not answer."""
        entries: list[Entry] = []
        for series, changes in self._pending.take_due(time.monotonic()).items():
            key = self._key_of(series)
            group = _group_of(key)
            entries.extend([(group, message) for message in candle_messages(key, changes)])
        if not entries:
            return
        if not self._layer.is_direct:
            async_to_sync(self._layer.group_send_many)(entries)
            return
        for host, channel, payload in self._layer.lane_messages(entries):
            redis.Redis(connection_pool=pool(host)).publish(channel, payload)
