"""The source as a whole: connections to Kite, the publisher, and what operators are told.

A connection has up to 3,000 instruments, and there are up to three, as Kite allows. Which ones are
wanted is read again every few seconds: instruments keep their connection, new ones go to the one
with the most room.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from django.db import DatabaseError
from redis.exceptions import RedisError

from instruments.errors import InstrumentsError
from instruments.index import index
from instruments.sessions import OPEN
from quotes.conf import conf
from quotes.kite.packets import Packet
from quotes.kite.source.access_token import AccessToken
from quotes.kite.source.connection import KiteConnection, Modes
from quotes.kite.source.pending import PendingTicks
from quotes.kite.source.selection import BadSelection, Selection, Source
from quotes.kite.source.ticks import tick_of
from quotes.runtime.background import BackgroundTasks
from quotes.runtime.warnings import RateLimitedWarnings
from quotes.store.redis_clock import redis_clock
from quotes.ticks import Tick

logger = logging.getLogger(__name__)

PER_CONNECTION = 3000
MAX_CONNECTIONS = 3
READ_EVERY_S = 5.0
SILENT_AFTER_S = 300.0
_NAMED = 3  # of the silent instruments
_POLL_S = 0.1


class Ingestion:
    """Takes prices from Kite until it is stopped; for one event loop.

    At most once: what comes while a connection is down is not fetched later. The order of an
    instrument's ticks is kept. While Redis does not answer, ticks wait in bounded memory, and then
    only the newest of each instrument (`PendingTicks`).

    Args:
        source: which instruments, read again every few seconds.
        publish: publishes a batch and returns how many were taken; blocks, and retries.
        report: called with a line of counters every QUOTES_REPORT_INTERVAL_S.
        tell: called with a sentence when something happens.
        stopped: returns whether to end.
        silent_after_s: how long an instrument may have no tick in market hours.
    """

    def __init__(
        self,
        source: Source,
        *,
        url: str,
        api_key: str,
        token: AccessToken,
        publish: Callable[[Sequence[Tick]], int],
        report: Callable[[str], object],
        tell: Callable[[str], object],
        stopped: Callable[[], bool],
        silent_after_s: float = SILENT_AFTER_S,
        per_connection: int = PER_CONNECTION,
        new_connection: Callable[..., KiteConnection] = KiteConnection,
    ) -> None:
        self.selection = Selection()
        self.connections: list[KiteConnection] = []
        self.pending = PendingTicks()
        self.published = self.untraded = self.not_wanted = 0
        self._error: RedisError | None = None
        self._source = source
        self._connection_options = {"url": url, "api_key": api_key, "token": token}
        self._publish = publish
        self._report = report
        self._tell = tell
        self._stopped = stopped
        self._silent_after_s = silent_after_s
        self._per_connection = per_connection
        self._new_connection = new_connection
        self._tasks = BackgroundTasks(logger)
        self._readers: list[asyncio.Task[None]] = []
        self._warn = RateLimitedWarnings(logger)
        self._seen_at: dict[int, float] = {}  # instrument token -> when its last packet came
        self._open_since: dict[str, float] = {}  # segment -> when it was first seen to be open
        self._told: set[str] = set()
        self._reported = 0, time.monotonic()

    async def run(self) -> str:
        """Take prices until `stopped()`; return a line about all of it.

        Raises:
            BadSelection: there is nothing to take from Kite.
            redis.RedisError: Redis refuses ticks for a reason that does not go away by waiting.
        """
        await self._select(await asyncio.to_thread(self._source.read))
        if not self.selection.modes:
            raise BadSelection("no instrument to take from Kite")
        publishing = self._tasks.complete("publishing", self._publish_on)
        self._readers.append(self._tasks.keep("reading what is wanted from Kite", self._follow))
        try:
            report_at = time.monotonic() + conf.report_interval_s
            while not self._stopped() and self._error is None:
                await asyncio.sleep(_POLL_S)
                if time.monotonic() >= report_at:
                    report_at += conf.report_interval_s
                    self._report(self.line())
        finally:
            await self._tasks.end(self._readers)
            # Nothing more comes; what waits is published, if Redis takes it.
            self.pending.close()
            await asyncio.wait([publishing])
            await self._tasks.close()
        if self._error is not None:
            raise self._error
        return self.summary()

    # -- instruments ------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Read again and again which instruments are wanted."""
        while True:
            await asyncio.sleep(READ_EVERY_S)
            try:
                selection = await asyncio.to_thread(self._source.read)
            except (BadSelection, InstrumentsError, DatabaseError) as error:
                self._warn("instruments", f"what is wanted stays as it was: {error}")
                continue
            await self._select(selection)

    async def _select(self, selection: Selection) -> None:
        """Have connections subscribe to what is selected now."""
        most = MAX_CONNECTIONS * self._per_connection
        if len(selection.modes) > most:
            selection.report(
                f"{len(selection.modes):,} instruments are wanted, Kite gives {most:,}: "
                "the rest is left out"
            )
            selection.modes = dict(list(selection.modes.items())[:most])
        for problem in selection.problems:
            if problem not in self._told:
                self._tell(problem)
        self._told = set(selection.problems)
        self.selection = selection
        self._seen_at = {t: at for t, at in self._seen_at.items() if t in selection.modes}
        now = time.monotonic()
        for token in selection.modes:
            self._seen_at.setdefault(token, now)
        parts = self._placed(selection.modes)
        while len(self.connections) < len(parts):
            self._connect(parts[len(self.connections)])
        for connection, modes in zip(self.connections, parts, strict=True):
            await connection.want(modes)

    def _placed(self, modes: Modes) -> list[Modes]:
        """Return what each connection is to have."""
        parts: list[Modes] = [
            {token: modes[token] for token in one.modes if token in modes}
            for one in self.connections
        ]
        placed = {token for part in parts for token in part}
        for token, mode in modes.items():
            if token in placed:
                continue
            part = min(parts, key=len, default=None)
            if part is None or len(part) >= self._per_connection:
                parts.append(part := {})
            part[token] = mode
        return parts

    def _connect(self, modes: Modes) -> None:
        name = f"Kite {len(self.connections) + 1}"
        connection = self._new_connection(
            name, take=self.take, tell=self._tell, **self._connection_options
        )
        connection.modes = modes
        self.connections.append(connection)
        self._readers.append(self._tasks.keep(name, connection.run))

    # -- ticks ------------------------------------------------------------------------------------

    def take(self, packets: list[Packet]) -> None:
        """Take the packets of a frame."""
        keys = self.selection.keys
        now, ahead = redis_clock.now_ms(), redis_clock.max_ahead_ms()
        moment = time.monotonic()
        ticks = []
        for packet in packets:
            key = keys.get(packet.token)
            if key is None:
                # It was unsubscribed a moment ago, or Kite sends what nobody wants.
                self.not_wanted += 1
                continue
            self._seen_at[packet.token] = moment
            tick = tick_of(packet, key, now_ms=now, ahead_ms=ahead)
            if tick is None:
                self.untraded += 1
            else:
                ticks.append(tick)
        self.pending.add(ticks)

    async def _publish_on(self) -> None:
        """Publish what comes until it is closed, or Redis refuses for good."""
        while self._error is None and await self.pending.wait():
            try:
                self.published += await asyncio.to_thread(self._publish, self.pending.take())
            except RedisError as error:
                self._error = error

    # -- for operators ----------------------------------------------------------------------------

    def line(self) -> str:
        """Return the state and the counters in a line."""
        now = time.monotonic()
        before, at = self._reported
        self._reported = self.published, now
        rate = (self.published - before) / max(now - at, 0.001)
        up = sum(one.is_up for one in self.connections)
        parts = [
            f"{up} of {len(self.connections)} connections up",
            f"{len(self.selection.modes):,} instruments",
            f"{self.published:,} ticks published, {rate:,.0f}/s",
            *self._problems(),
        ]
        if silent := self._silent(now):
            names = ", ".join(silent[:_NAMED]) + (", ..." if len(silent) > _NAMED else "")
            parts.append(
                f"{len(silent):,} without a tick for {self._silent_after_s:g} s "
                f"in market hours: {names}"
            )
        parts += [f"{one.name}: {one.state}" for one in self.connections if not one.is_up]
        return "; ".join(parts)

    def summary(self) -> str:
        """Return what was done, in a line."""
        return "; ".join(
            [
                f"published {self.published:,} ticks of {len(self.selection.modes):,} instruments",
                *self._problems(),
            ]
        )

    def _problems(self) -> list[str]:
        """Return the counters of what went wrong, those above 0."""
        counters = [one.counters for one in self.connections]
        counts = {
            "losses of a connection": sum(one.losses for one in counters),
            "bad frames": sum(one.bad_frames for one in counters),
            "bad packets": sum(one.bad_packets for one in counters),
            "packets without a price": self.untraded,
            "packets of other instruments": self.not_wanted,
            "ticks conflated while Redis did not answer": self.pending.conflated,
        }
        return [f"{count:,} {name}" for name, count in counts.items() if count]

    def _silent(self, now: float) -> list[str]:
        """Return the instruments without a tick for too long although their market is open."""
        moment = datetime.now(UTC)
        segments = {key.segment for key in self.selection.keys.values()}
        for segment in segments:
            if index.market_status(segment, moment).status == OPEN:
                self._open_since.setdefault(segment, now)
            else:
                self._open_since.pop(segment, None)
        silent = []
        for token, key in self.selection.keys.items():
            since = max(self._seen_at.get(token, now), self._open_since.get(key.segment, now))
            if token in self.selection.modes and now - since > self._silent_after_s:
                silent.append(str(key))
        return silent
