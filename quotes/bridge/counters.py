"""Counters of a bridge, for operators: a line in its output, a status in Redis."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from quotes.conf import conf
from quotes.runtime.histogram import Histogram


@dataclass
class TickCounters:
    """How many messages came since the start, and how each was decided.

    Attributes:
        unknown: fields without a number that were dropped from good ticks.
        last_tick: when the last good message came, Unix milliseconds.
    """

    received: int = 0
    shown: int = 0
    stale: int = 0
    bad: int = 0
    repeated: int = 0
    history: int = 0
    unknown: int = 0
    last_tick: int | None = None


class BridgeCounters:
    """The counters of one bridge.

    Attributes:
        sent: how many ticks for clients Redis has taken.
        lag_ms: how long the slowest write to Redis took since the last report.
        writes: how long writes took, in seconds.
        intake: how long the bridge's own messages took from their publish to its reading.
    """

    def __init__(self, ticks: TickCounters) -> None:
        self.sent = 0
        self.lag_ms = 0.0
        self.writes = Histogram()
        self.intake = Histogram()
        self._ticks = ticks

    def wrote(self, count: int, seconds: float) -> None:
        """Count the ticks for clients of a write that has succeeded."""
        self.sent += count
        self.lag_ms = max(self.lag_ms, seconds * 1000)
        self.writes.add(seconds)

    def line(self) -> str:
        """Return the line for the bridge's output."""
        return " ".join(f"{name}={value}" for name, value in self._values().items())

    def status(self, **more: Any) -> bytes:
        """Return the JSON that web processes and `/readyz` read."""
        return msgspec.json.encode({"last_tick": self._ticks.last_tick, **self._values(), **more})

    async def report_regularly(self, report: Callable[[str], None]) -> None:
        """Call `report` with a line every QUOTES_REPORT_INTERVAL_S until it is cancelled."""
        while True:
            await asyncio.sleep(conf.report_interval_s)
            report(self.line())
            self.lag_ms = 0.0

    def _values(self) -> dict[str, int]:
        return {
            "received": self._ticks.received,
            "sent": self.sent,
            "stale": self._ticks.stale,
            "bad": self._ticks.bad,
            "repeated": self._ticks.repeated,
            "unknown_fields": self._ticks.unknown,
            "lag_ms": round(self.lag_ms),
        }
