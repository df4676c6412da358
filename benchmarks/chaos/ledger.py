"""The ledger: each tick that was published, and what Redis said of it. Pure; no sockets.

Each tick carries its number among those of its symbol as the key `n`, so a client or the database
can show which tick it has, whatever numbers the server gives.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal


@dataclass(slots=True)
class Published:
    """One tick.

    Attributes:
        n: its number among the symbol's, from 1.
        timestamp: of the tick, Unix milliseconds: when it was published.
        is_own: whether this project's publisher put it into the inbox; else SET and PUBLISH.
        is_acknowledged: whether Redis said that it took it; without it, nobody knows.
        receivers: how many subscribers PUBLISH reached.
        order: its place among all ticks of the ledger.
    """

    symbol: str
    n: int
    price: Decimal
    timestamp: int
    volume: int
    is_own: bool
    order: int
    is_acknowledged: bool = False
    receivers: int = 0


class Ledger:
    """All ticks in the order in which they were published."""

    def __init__(self) -> None:
        self.ticks: list[Published] = []
        self._by_symbol: dict[str, list[Published]] = {}

    def add(
        self, symbol: str, price: Decimal, timestamp: int, volume: int, *, is_own: bool
    ) -> Published:
        """Enter a tick that is about to be published; return it."""
        rows = self._by_symbol.setdefault(symbol, [])
        tick = Published(
            symbol, len(rows) + 1, price, timestamp, volume, is_own, order=len(self.ticks)
        )
        rows.append(tick)
        self.ticks.append(tick)
        return tick

    def find(self, symbol: str, n: int) -> Published | None:
        rows = self._by_symbol.get(symbol, [])
        return rows[n - 1] if 0 < n <= len(rows) else None

    def symbols(self) -> list[str]:
        return list(self._by_symbol)

    def last_acknowledged(self, symbol: str) -> int:
        """Return the number of a symbol's last acknowledged tick; 0 if there is none."""
        for tick in reversed(self._by_symbol.get(symbol, [])):
            if tick.is_acknowledged:
                return tick.n
        return 0

    def between(self, symbol: str, after: int, before: int) -> Iterator[Published]:
        """Yield the ticks of a symbol between two numbers, both left out."""
        yield from self._by_symbol.get(symbol, [])[after : before - 1]


def outage_end(ticks: Sequence[Published], began: int) -> int:
    """Return the order of the first tick that a bridge which listens again has taken.

    A bridge that begins to listen raises the count of receivers; an unacknowledged tick reached
    nobody that is known. From the last rise on no tick may be missing.

    Args:
        ticks: those published since shortly before the fault, in order.
        began: when the fault was put in, Unix milliseconds.

    Returns:
        0 if the count never rose.
    """
    end = 0
    before: int | None = None
    for tick in ticks:
        if tick.is_own:
            continue
        receivers = tick.receivers if tick.is_acknowledged else 0
        if before is not None and receivers > before and tick.timestamp >= began:
            end = tick.order
        before = receivers
    return end
