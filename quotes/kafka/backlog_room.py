"""Whether a backlog may go on: it waits for the bridge and the recorder, and live prices do not."""

import time
from typing import Any

import msgspec
import redis

from quotes.conf import conf
from quotes.store.inbox import unread
from quotes.store.names import own_key
from quotes.store.shards import shard_count
from quotes.store.tick_log import count_key

# Ticks that may wait for the bridge: few, since live prices wait behind them in the inbox.
MAX_UNREAD_TICKS = 1000
# Ticks that may wait for the recorder: candles of live prices wait behind them.
MAX_UNSTORED_TICKS = 20_000
# A recorder without a status for this long does not work; a long transaction takes less.
RECORDER_GONE_S = 30.0
# The share of the tick log that may be filled while no recorder works.
UNRECORDED_SHARE = 0.25


class _RecorderStatus(msgspec.Struct):
    behind: int = 0


class BacklogRoom:
    """Watches for one reader of backlogs how far bridge and recorder are.

    A recorder that is slower than the reader, or away, would lose what leaves the tick log.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._unrecorded = 0  # ticks taken while no recorder worked
        self._status: bytes = b""  # the recorder's last
        self._status_at = float("-inf")  # monotonic time at which it was new
        self._behind = 0  # how far the recorder was behind then
        self._logged = 0  # how many ticks the logs had taken then

    def taken(self, ticks: int) -> None:
        """Count ticks that were put into the inbox."""
        self._unrecorded += ticks

    def problem(self) -> str:
        """Return what must be waited for, "" if there is room; raise redis.RedisError."""
        behind = unread(self._client)
        if behind > MAX_UNREAD_TICKS:
            return f"{behind} ticks wait for a bridge: start `manage.py bridge_prices`"
        counts = [count_key(shard) for shard in range(1, shard_count(self._client) + 1)]
        found: Any = self._client.mget(own_key("recorder:status"), *counts)
        status, *numbers = found
        logged = sum(int(number or 0) for number in numbers)
        now = time.monotonic()
        if status is not None and status != self._status:
            self._status, self._status_at = status, now
            self._behind, self._logged = _behind(status), logged
        if now - self._status_at > RECORDER_GONE_S and status is None:
            if self._unrecorded > UNRECORDED_SHARE * conf.log_max_ticks:
                return "no recorder works: start `manage.py record_prices`"
            return ""
        self._unrecorded = 0
        # A status is some time old; what was logged since waits, too.
        if (behind := self._behind + max(0, logged - self._logged)) > MAX_UNSTORED_TICKS:
            return f"up to {behind} ticks wait for the recorder: check `recorder` in /readyz"
        return ""


def _behind(status: bytes) -> int:
    try:
        return msgspec.json.decode(status, type=_RecorderStatus).behind
    except msgspec.MsgspecError:
        return 0  # `/readyz` names it
