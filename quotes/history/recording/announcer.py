"""Telling subscribers of candles what has changed, over the lanes of the channel layer."""

import time
from collections.abc import Callable, Iterable
from functools import lru_cache

import redis
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

from instruments.keys import InstrumentKey
from quotes.history.candles.deriving import Change
from quotes.history.recording.announcements import PendingCandles, candle_group, candle_messages
from quotes.layer.any_layer import adapted
from quotes.layer.lanes import Entry
from quotes.store.names import pool

EVERY_S = 1.0

group_of = lru_cache(maxsize=100_000)(lambda key: candle_group(InstrumentKey.parse(key)))


class Announcer:
    """Sends changed candles to their groups, at most once a second for each instrument.

    At most once: what is not sent when the recorder ends comes with the next change.

    Args:
        key_of: gives the instrument key of a series.
    """

    def __init__(self, key_of: Callable[[int], str]) -> None:
        self.key_of = key_of
        self.pending = PendingCandles(every_s=EVERY_S)
        self.layer = adapted(get_channel_layer())

    def add(self, changes: Iterable[Change], *, newest_only: bool = False) -> None:
        self.pending.add(changes, newest_only=newest_only)

    def send_due(self) -> None:
        """Send what is due; raise redis.RedisError."""
        entries: list[Entry] = []
        for series, changes in self.pending.take_due(time.monotonic()).items():
            key = self.key_of(series)
            group = group_of(key)
            entries.extend([(group, message) for message in candle_messages(key, changes)])
        if not entries:
            return
        if not self.layer.is_direct:
            async_to_sync(self.layer.group_send_many)(entries)
            return
        for host, channel, payload in self.layer.lane_messages(entries):
            redis.Redis(connection_pool=pool(host)).publish(channel, payload)
