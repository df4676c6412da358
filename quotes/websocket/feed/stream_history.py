"""Reads the history of an instrument's stream: the ticks that a client missed, and the last ticks.

The newest ticks are in the tick log (`recent_ticks.py`), older ones in the history database, which
is read in a thread.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from redis.exceptions import RedisError

from instruments.keys import InstrumentKey
from quotes.conf import conf
from quotes.history.candles.intervals import Interval
from quotes.history.queries.selectors import last_candles, last_ticks, ticks_after
from quotes.history.router import ALIAS
from quotes.history.rows import CandleRow, TickRow
from quotes.runtime.warnings import RateLimitedWarnings
from quotes.store.positions import StreamPosition
from quotes.store.tick_log import EPOCH, FRAME, KEY, SEQ, SHOWN, LogRow
from quotes.ticks import Tick, encode_tick, read_frame
from quotes.websocket.feed.recent_ticks import RecentTicks
from quotes.websocket.protocol import Since

logger = logging.getLogger(__name__)
_warn = RateLimitedWarnings(logger)

T = TypeVar("T")

# Why past ticks are not sent while Redis does not answer.
UNREADABLE = "the tick log cannot be read at the moment, try again later"
# Why those before the tick log are not sent while the database fails.
DATABASE_UNREADABLE = "the history database cannot be read at the moment, try again later"
# A client waits for the history database no longer than this.
_QUERY_TIMEOUT_S = 10.0


class MissedTicks(NamedTuple):
    """The ticks after a position.

    Attributes:
        rows: every one of them, in order; empty if a reason says why they cannot be sent.
        retry: they could not be read just now; the same position may be resumed from later.
    """

    rows: list[LogRow]
    reason: str = ""
    retry: bool = False


class StreamHistory:
    """Reads the ticks and candles before what is live, for the clients of one event loop.

    Reads of missed ticks are complete or give a reason. For others, a database that fails is logged
    and counts as empty. All reads may be cancelled.
    """

    def __init__(self, recent: RecentTicks) -> None:
        self.recent = recent
        # No handshake waits in this pool, nor do these reads wait for one.
        self._reads = ThreadPoolExecutor(4, "history")
        self._connections: set[BaseDatabaseWrapper] = set()  # those of the pool's threads

    async def close(self) -> None:
        """End the reads, and the connections of their threads; nothing is read afterwards."""
        self.recent.clear()
        await asyncio.to_thread(self._end_reads)

    def _end_reads(self) -> None:
        self._reads.shutdown(cancel_futures=True)
        for one in self._connections:
            one.inc_thread_sharing()  # its own thread has ended
            one.close()

    async def refresh(self) -> bool:
        """Read the end of the tick log; return whether Redis answered."""
        try:
            await self.recent.refresh()
        except (RedisError, OSError):
            return False
        return True

    async def missed_ticks(
        self,
        key: InstrumentKey,
        since: Since,
        newest: StreamPosition | None,
        *,
        is_current: bool = True,
    ) -> MissedTicks:
        """Return every tick after a position, up to the newest and beyond; call `refresh` first.

        Args:
            newest: the position of the newest tick that is known of the instrument.
            is_current: whether Redis could be read for it, and for `refresh`.
        """
        rows = [_renamed(row, key) for row in self._recent_rows(key)]
        if rows:
            # The log may be ahead of what this process has heard, and so may the client be.
            newest = max(newest or StreamPosition(0, 0), StreamPosition(*_position(rows[-1])))
        if newest is None:
            return MissedTicks([], "it has no price yet") if is_current else _not_now(UNREADABLE)
        if not is_current and StreamPosition(since.epoch, since.seq) > newest:
            return _not_now(UNREADABLE)  # the client has heard more than this process
        if since.epoch != newest.epoch:
            return MissedTicks([], "its numbering has started over")
        if since.seq > newest.seq:
            return MissedTicks([], "seq is ahead of the stream")
        if newest.seq - since.seq > conf.resume_max_ticks:
            return MissedTicks([], f"more than {conf.resume_max_ticks} ticks were missed")
        found = [row for row in rows if row[EPOCH] == since.epoch and row[SEQ] > since.seq]
        first = found[0][SEQ] if found else newest.seq + 1
        if first > since.seq + 1:
            older = await self._stored_after(key, since)
            if older is None:
                return _not_now(DATABASE_UNREADABLE)
            found = [row for row in older if row[SEQ] < first] + found
        numbers = [row[SEQ] for row in found]
        if numbers != list(range(since.seq + 1, since.seq + 1 + len(found))) or (
            since.seq + len(found) < newest.seq
        ):
            if not is_current:
                return _not_now(UNREADABLE)
            return MissedTicks([], "the missed ticks are no longer kept")
        return MissedTicks(found)

    async def last_ticks(
        self, key: InstrumentKey, count: int, newest: StreamPosition | None
    ) -> list[LogRow]:
        """Return the last ticks that were shown, up to the newest, in order; `refresh` first."""
        recent = self._recent_rows(key)
        end = (2**62, 0)
        others_only = newest is None or not newest.epoch
        if newest is not None and newest.epoch:
            found = [row for row in recent if _position(row) <= newest]
            end = (newest.epoch, newest.seq + 1)
        else:  # no numbered tick has come under the name that the instrument has now
            found = [row for row in recent if row[KEY] != str(key)]
        # A name without a segment is the only one of its instrument.
        if len(found) < count and (key.segment or not others_only):
            nothing: list[TickRow] = []
            rows = await self._query(
                lambda: last_ticks(key=key, count=count, other_names_only=others_only), nothing
            )
            end = _position(found[0]) if found else end
            found = [row for row in map(_log_row, rows) if _position(row) < end] + found
        return [_renamed(row, key) for row in found[-count:]]

    async def last_candles(self, key: InstrumentKey, interval: Interval, count: int) -> list[bytes]:
        """Return the JSON objects of the last candles, in order."""
        nothing: list[CandleRow] = []
        rows = await self._query(
            lambda: last_candles(key=key, interval=interval, count=count), nothing
        )
        return [row.json for row in rows]

    def _recent_rows(self, key: InstrumentKey) -> list[LogRow]:
        return [tuple(row) for row in self.recent.rows_of(str(key))]

    async def _stored_after(self, key: InstrumentKey, since: Since) -> list[LogRow] | None:
        """Return the ticks after a position that the database has; None if it cannot be read."""
        most = conf.resume_max_ticks
        nothing: tuple[list[TickRow], bool] | None = None
        found = await self._query(
            lambda: ticks_after(key=key, epoch=since.epoch, seq=since.seq, limit=most), nothing
        )
        return None if found is None else [_log_row(row) for row in found[0]]

    async def _query(self, read: Callable[[], T], nothing: T) -> T:
        """Read from the database in a thread; return `nothing` if that fails or takes too long."""

        def run() -> T:
            self._connections.add(connections[ALIAS])
            try:
                return read()
            except DatabaseError as error:
                _warn("cannot read the history database, clients get no older ticks", str(error))
                return nothing
            finally:
                connections[ALIAS].close_if_unusable_or_obsolete()

        try:
            async with asyncio.timeout(_QUERY_TIMEOUT_S):
                return await asyncio.get_running_loop().run_in_executor(self._reads, run)
        except TimeoutError:
            logger.warning(
                "the history database did not answer within %g s, a client gets no older ticks",
                _QUERY_TIMEOUT_S,
            )
            return nothing


def _not_now(reason: str) -> MissedTicks:
    return MissedTicks([], reason, retry=True)


def _position(row: LogRow) -> tuple[int, int]:
    return row[EPOCH], row[SEQ]


def _renamed(row: LogRow, key: InstrumentKey) -> LogRow:
    """Return a tick that came under another name of an instrument under the instrument's."""
    if row[KEY] == str(key):
        return row
    tick = read_frame(row[FRAME])
    frame = encode_tick(Tick(key.symbol, tick.price_text, tick.timestamp, key.segment, tick.others))
    return (str(key), *row[EPOCH:FRAME], frame, *row[SHOWN:])


def _log_row(tick: TickRow) -> LogRow:
    """Return a stored tick as the log has it, but for the time at which the bridge took it."""
    return str(tick.key), tick.epoch, tick.seq, tick.timestamp, tick.frame, tick.shown, 0
