"""Telling subscribers of candles what has changed, over the lanes of the channel layer."""

import time
from collections.abc import Callable, Iterable
from functools import lru_cache

import redis
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

from instruments.keys import InstrumentKey
from quotes.history.announcements import PendingCandles, candle_group, candle_messages
from quotes.history.deriving import Change
from quotes.lane_host import lane_channel
from quotes.lanes import Entry, by_lane, pack_entries
from quotes.layer import QuotesChannelLayer
from quotes.store import pool

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
        self.layer = get_channel_layer()

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
        if not isinstance(self.layer, QuotesChannelLayer):
            for group, message in entries:
                async_to_sync(self.layer.group_send)(group, message)
            return
        for lane, messages in by_lane(entries).items():
            host = self.layer.hosts[self.layer.host_index(lane)]
            client = redis.Redis(connection_pool=pool(host))
            client.publish(lane_channel(lane), pack_entries(messages))
