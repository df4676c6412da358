"""The past of an instrument's stream: what a client missed, and the last ticks there were.

The newest ticks are in the tick log (`recent_ticks.py`), older ones in the history database, which
is asked in a thread.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from django.db import DatabaseError, connections
from redis.exceptions import RedisError

from instruments.keys import InstrumentKey
from quotes.conf import conf
from quotes.history.candles.intervals import Interval
from quotes.history.queries.selectors import last_candles, last_ticks, ticks_after
from quotes.history.router import ALIAS
from quotes.history.rows import CandleRow, TickRow
from quotes.store.positions import StreamPosition
from quotes.store.tick_log import LogRow
from quotes.websocket.feed.recent_ticks import RecentTicks
from quotes.websocket.protocol import Since

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Missed(NamedTuple):
    """The ticks behind a number.

    Attributes:
        rows: every one of them, in order; none when a reason says why they cannot be had.
    """

    rows: list[LogRow]
    reason: str = ""


class Past:
    """Reads of the past for one event loop."""

    def __init__(self, recent: RecentTicks) -> None:
        self.recent = recent

    async def refresh(self) -> bool:
        """Read what the log holds by now; say whether Redis could be asked."""
        try:
            await self.recent.refresh()
        except (RedisError, OSError):
            return False
        return True

    async def missed(
        self, key: InstrumentKey, since: Since, newest: StreamPosition | None
    ) -> Missed:
        """Return every tick behind a number, up to the newest and beyond; refresh first."""
        if newest is None:
            return Missed([], "no price of it is known")
        if since.epoch != newest[0]:
            return Missed([], "its numbering has started over")
        if since.seq > newest[1]:
            return Missed([], "the number is ahead of the stream")
        if newest[1] - since.seq > conf.resume_max_ticks:
            return Missed([], f"more than {conf.resume_max_ticks} ticks were missed")
        found = [row for row in self.rows(key) if row[1] == since.epoch and row[2] > since.seq]
        first = found[0][2] if found else newest[1] + 1
        if first > since.seq + 1:
            older = await self.stored(key, since)
            found = [row for row in older if row[2] < first] + found
        numbers = [row[2] for row in found]
        if numbers != list(range(since.seq + 1, since.seq + 1 + len(found))) or (
            since.seq + len(found) < newest[1]
        ):
            return Missed([], "the ticks that were missed are no longer kept")
        return Missed(found)

    async def last(
        self, key: InstrumentKey, count: int, newest: StreamPosition | None
    ) -> list[LogRow]:
        """Return the last ticks that were shown, up to the newest, in order; refresh first."""
        if newest is None:
            return []
        found = [row for row in self.rows(key) if row[1:3] <= newest]
        if len(found) < count:
            nothing: list[TickRow] = []
            rows = await self.ask(lambda: last_ticks(key=key, count=count), nothing)
            end = found[0][1:3] if found else (newest[0], newest[1] + 1)
            found = [row for row in map(row_of, rows) if row[1:3] < end] + found
        return found[-count:]

    async def candles(self, key: InstrumentKey, interval: Interval, count: int) -> list[bytes]:
        """Return the JSON objects of the last candles, in order."""
        nothing: list[CandleRow] = []
        rows = await self.ask(
            lambda: last_candles(key=key, interval=interval, count=count), nothing
        )
        return [row.json for row in rows]

    def rows(self, key: InstrumentKey) -> list[LogRow]:
        return [tuple(row) for row in self.recent.of(str(key))]

    async def stored(self, key: InstrumentKey, since: Since) -> list[LogRow]:
        """Return the ticks behind a number that the database has."""
        most = conf.resume_max_ticks
        nothing: tuple[list[TickRow], bool] = ([], False)
        rows, _ = await self.ask(
            lambda: ticks_after(key=key, epoch=since.epoch, seq=since.seq, limit=most),
            nothing,
        )
        return [row_of(row) for row in rows]

    async def ask(self, question: Callable[[], T], nothing: T) -> T:
        """Put a question to the database in a thread; without one, or if it fails: nothing."""

        def answer() -> T:
            try:
                return question()
            except DatabaseError as error:
                logger.warning("the history could not be asked: %s", error)
                return nothing
            finally:
                connections[ALIAS].close_if_unusable_or_obsolete()

        return await asyncio.to_thread(answer)


def row_of(tick: TickRow) -> LogRow:
    """Return a stored tick as the log had it, but for the time at which it came."""
    return str(tick.key), tick.epoch, tick.seq, tick.timestamp, tick.frame, tick.shown, 0
