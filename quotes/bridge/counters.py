"""What a bridge counts, and how it tells operators: a line in its output, a status in Redis."""

import asyncio
from collections.abc import Callable

import msgspec

from quotes.bridge.market import Counters
from quotes.conf import conf


class BridgeCounters:
    """The counters of one bridge.

    Attributes:
        sent: ticks that Redis has taken for the clients.
        lag_ms: the longest that a write to Redis took since the last report.
    """

    def __init__(self, market: Counters, last_tick: Callable[[], int | None]) -> None:
        self.market = market
        self.last_tick = last_tick
        self.sent = 0
        self.lag_ms = 0.0

    def wrote(self, count: int, seconds: float) -> None:
        self.sent += count
        self.lag_ms = max(self.lag_ms, seconds * 1000)

    def values(self) -> dict[str, int]:
        return {
            "received": self.market.received,
            "sent": self.sent,
            "stale": self.market.stale,
            "bad": self.market.bad,
            "repeated": self.market.repeated,
            "lag_ms": round(self.lag_ms),
        }

    def line(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.values().items())

    def status(self) -> bytes:
        """Return the JSON that web processes and `/readyz` read."""
        return msgspec.json.encode({"last_tick": self.last_tick(), **self.values()})

    async def report_regularly(self, report: Callable[[str], None]) -> None:
        while True:
            await asyncio.sleep(conf.report_interval_s)
            report(self.line())
            self.lag_ms = 0.0
