"""Sums over all clients of a web process, for metrics: added up in the background, a few at a time.

What changes with each write, as the bytes of a client, is counted by the client alone; adding that
up for thousands of clients takes milliseconds, which no scrape may cost them.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import NamedTuple, Protocol

from quotes.runtime.time_slices import Steps, TimeSlices, chunks

_EVERY_S = 2.0
# Clients that one step takes: well under a millisecond.
_STEP = 100


class ClientHoldings(NamedTuple):
    """What one client has.

    Attributes:
        subscriptions: how many instruments' prices and candles it gets.
        unsent: bytes that are due to it.
        written: bytes that were written to it.
        is_slow: whether more is due to it than the high-water mark.
    """

    subscriptions: int
    unsent: int
    written: int
    is_slow: bool


class CountedClient(Protocol):
    """A client's session, as far as it is counted."""

    @property
    def held(self) -> ClientHoldings:
        """What the client has now."""


class ClientTotals:
    """The sums, as they were some seconds ago; read from any thread.

    Args:
        clients: all connected clients.
        ended_bytes: returns how many bytes were written to clients that are no more.
        streams: returns how many different instruments clients get.

    Attributes:
        subscriptions: instruments that clients get, summed over all clients.
        unsent: bytes that are due to clients.
        sent_bytes: bytes written to clients since the start; it never falls.
        slow: clients that are slow.
        streams: different instruments that clients get.
    """

    def __init__(
        self,
        clients: Callable[[], Collection[CountedClient]],
        ended_bytes: Callable[[], int],
        streams: Callable[[], int],
        *,
        slices: TimeSlices,
    ) -> None:
        self._clients = clients
        self._ended_bytes = ended_bytes
        self._streams = streams
        self._slices = slices
        self.streams = 0
        self.subscriptions = self.unsent = self.sent_bytes = self.slow = 0

    async def keep_counting(self) -> None:
        """Add up every few seconds, until cancelled."""
        while True:
            await self._slices.run(self._count())
            await asyncio.sleep(_EVERY_S)

    def _count(self) -> Steps[None]:
        subscriptions = unsent = written = slow = 0
        for chunk in chunks(list(self._clients()), _STEP):
            for client in chunk:
                held = client.held
                subscriptions += held.subscriptions
                unsent += held.unsent
                written += held.written
                slow += held.is_slow
            yield
        self.subscriptions, self.unsent, self.slow = subscriptions, unsent, slow
        self.streams = self._streams()
        # A client that ended meanwhile is in both.
        self.sent_bytes = max(self.sent_bytes, written + self._ended_bytes())
