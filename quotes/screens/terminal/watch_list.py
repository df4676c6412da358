"""What is known of the watched symbols and of the connection; without a terminal."""

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from live_price import (
    Conflated,
    FeedChange,
    History,
    Recovered,
    StateChange,
    Subscribed,
    SymbolError,
    Tick,
)

# Prices of a sparkline, and the past ticks that it begins with.
POINTS = 40


@dataclass
class Row:
    """One symbol.

    Attributes:
        note: why it has no price, or what else its user should know.
    """

    name: str
    tick: Tick[Decimal] | None = None
    points: deque[Decimal] = field(default_factory=lambda: deque(maxlen=POINTS))
    note: str = ""

    @property
    def change(self) -> Decimal | None:
        """From the close of the last session before; None if either is not known."""
        tick = self.tick
        if tick is None or tick.prev_close is None:
            return None
        return tick.price - tick.prev_close

    def take(self, tick: Tick[Decimal]) -> None:
        self.tick = tick
        self.points.append(tick.price)


class WatchList:
    """The rows, and how the connection is."""

    def __init__(self, names: Iterable[str]) -> None:
        self.rows = {name: Row(name) for name in names}
        self.state = "connecting"
        self.retry_at: int | None = None
        self.problem = ""
        self.feed = ""
        self.skipped = 0
        self.missed = 0
        self.clock_offset_ms = 0.0

    def take(self, event: Any) -> None:
        """Take an event of the client or of its subscription."""
        match event:
            case Tick():
                self.rows[event.name].take(event)
            case History(name, _, ticks):
                for tick in ticks:
                    self.rows[name].take(tick)
            case Subscribed():
                self.rows[event.name].note = "" if event.known else _unknown(event.suggestions)
            case SymbolError():
                self.rows[event.symbol].note = f"{event.message} ({event.code})"
            case Recovered(_, key, recovered, _, reason) if not recovered:
                self.missed += 1
                self.problem = f"{key}: prices of the time without connection are missing: {reason}"
            case Conflated():
                self.skipped += event.skipped
            case FeedChange():
                self.feed = event.feed
            case StateChange():
                self.state, self.retry_at = event.state, event.retry_at
                self.problem = str(event.error) if event.error else ""

    @property
    def now_ms(self) -> float:
        """The server's clock."""
        return time.time() * 1000 + self.clock_offset_ms

    def status(self) -> str:
        """Return a sentence on the connection and the feed."""
        if self.state == "waiting":
            seconds = max(0.0, ((self.retry_at or 0) - time.time() * 1000) / 1000)
            return f"no connection: {self.problem}; next attempt in {seconds:.0f} s"
        if self.state == "closed":
            return f"closed: {self.problem}" if self.problem else "closed"
        if self.state == "connecting":
            return "connecting"
        feed = {
            "live": "live",
            "quiet": "connected, no symbol ticks now",
            "down": "connected, but no prices reach the server: it has lost its feed",
        }.get(self.feed, "connected")
        if self.skipped:
            feed += f", {self.skipped} prices left out because this terminal is slow"
        return feed


def _unknown(suggestions: Iterable[str]) -> str:
    text = "nobody has this name"
    meant = " or ".join(suggestions)
    return f"{text}; did you mean {meant}?" if meant else text
