"""The recorder: from the tick logs to the tables of history.

One recorder works, under a lease; others stand by. What it stores is fenced by the place in the log
besides, in the same transaction: a recorder that was paused for longer than its lease stores
nothing that another has. It goes on after Redis or the database was away.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

import msgspec
import redis

from quotes.conf import conf
from quotes.errors import HistoryDown
from quotes.history.candles.calendars import Calendars
from quotes.history.candles.deriving import CandleChange
from quotes.history.candles.sessions import Calendar
from quotes.history.recording.announcements import Announcer
from quotes.history.recording.batches import Entry
from quotes.history.recording.day_statistics import DayStatistics
from quotes.history.recording.log_reader import BatchReader
from quotes.history.recording.writer import Fenced, HistoryWriter
from quotes.runtime.clock import now_ms
from quotes.runtime.interrupts import Interrupt
from quotes.runtime.progress import Progress
from quotes.store.lease import SyncLease
from quotes.store.names import own_key
from quotes.store.shards import shard_count

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 2.0
BLOCK_MS = 250
# How long after a segment's last tick its clock goes on by itself.
PATIENCE_MS = 30_000
# From how many ticks behind on catching up is worth a progress line.
FAR_BEHIND = 50_000
LOOK_EVERY_S = 2.0


@dataclass
class Counters:
    """What a recorder counts; `behind` and `commit_ms` are of the last commit."""

    recorded: int = 0
    candles: int = 0
    gaps: int = 0
    bad: int = 0
    behind: int = 0
    commit_ms: int = 0

    def line(self) -> str:
        return " ".join(f"{name}={value}" for name, value in vars(self).items())


class LeaseLost(Exception):
    """Another recorder works now."""


class Recorder:
    """Records until it is told to stop.

    Args:
        interrupt: whether it is told to stop.
        report: called with a line of counters every QUOTES_REPORT_INTERVAL_S, and at the end.
        stream: where progress of catching up is shown.
        once: end when all that is logged is stored.
        calendars: gives the calendars of all segments, the same object while nothing changed.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        interrupt: Interrupt,
        report: Callable[[str], object],
        stream: TextIO,
        once: bool = False,
        calendars: Callable[[], dict[str, Calendar]] | None = None,
    ) -> None:
        self.client = client
        self.interrupt = interrupt
        self.report = report
        self.stream = stream
        self.once = once
        self.done = False
        self.calendars = calendars or Calendars()
        self.lease = SyncLease(
            client,
            own_key("recorder:lease"),
            status_key=own_key("recorder:status"),
            ttl_ms=conf.recorder_lease_ms,
        )
        self.counters = Counters()
        self.reported_at = time.monotonic()
        self.looked_at = time.monotonic()
        self.catching_up: Progress | None = None

    def run(self) -> None:
        """Work, or stand by, until told to stop."""
        pause = FIRST_PAUSE_S
        while not (self.interrupt() or self.done):
            try:
                self.session()
                pause = FIRST_PAUSE_S
            except (redis.RedisError, HistoryDown) as error:
                logger.warning("%s, trying again", error or type(error).__name__)
                HistoryWriter.hang_up()
                self.interrupt.sleep_until(time.monotonic() + pause)
                pause = min(2 * pause, MAX_PAUSE_S)
            except (Fenced, LeaseLost):
                logger.warning("another recorder works now")
                HistoryWriter.hang_up()
        self.report(self.counters.line())

    def session(self) -> None:
        """Wait for the lease and work until it is lost, something fails, or told to stop."""
        if not self.take_lease():
            return
        writer = HistoryWriter(
            shards=range(1, shard_count(self.client) + 1),
            calendars=self.calendars(),
            grace_ms=conf.candle_grace_ms,
        )
        reader = BatchReader(
            self.client, {shard: place.entry_id for shard, place in writer.places.items()}
        )
        statistics = DayStatistics(writer, self.client)
        announcer = Announcer(writer.key_of)
        self.start_over(reader)
        self.see_how_far(writer, reader)
        statistics.refresh()
        logger.info("recording %d tick logs", len(writer.places))
        try:
            while not (self.interrupt() or self.done):
                self.keep_lease()
                read = self.step(writer, reader, statistics, announcer)
                self.done = self.once and not read
            self.behind(writer, reader)
            self.lease.release()
        finally:
            self.caught_up()
            HistoryWriter.hang_up()

    def step(
        self,
        writer: HistoryWriter,
        reader: BatchReader,
        statistics: DayStatistics,
        announcer: Announcer,
    ) -> bool:
        """Read once, store what was read, and tell what it changed; say whether there was any."""
        calendars = self.calendars()
        if calendars is not writer.maker.calendars:
            writer.recalendar(calendars)
        entries = reader.read_batch(1 if self.once else BLOCK_MS)
        began = time.monotonic()
        now = now_ms()
        if entries:
            changes = self.store(writer, entries, now)
            statistics.update(changes)
            announcer.add(changes, newest_only=reader.full(entries))
        elif not self.once:
            announcer.add(writer.idle(now_ms=now, patience_ms=PATIENCE_MS))
        announcer.send_due()
        if not reader.full(entries):
            self.look_around(writer, reader)
            if not self.once:
                took = time.monotonic() - began
                # At most half of the time is spent on storing little.
                self.interrupt.sleep_until(began + max(conf.record_every_ms / 1000, 2 * took))
        return bool(entries)

    def store(self, writer: HistoryWriter, entries: list[Entry], now: int) -> list[CandleChange]:
        began = time.monotonic()
        stored = writer.store(entries, now_ms=now)
        self.counters.commit_ms = round((time.monotonic() - began) * 1000)
        self.counters.recorded += stored.ticks
        self.counters.candles += len(stored.changes)
        self.counters.gaps += len(stored.gaps)
        self.counters.bad += stored.bad
        for gap in stored.gaps:
            logger.warning(
                "history has a gap, %s: %s ticks of log %d between %d and %d",
                gap.get_reason_display().lower(),
                "unknown" if gap.ticks is None else gap.ticks,
                gap.shard,
                gap.begins,
                gap.ends,
            )
        if self.catching_up is not None:
            self.catching_up.add(stored.ticks)
            if self.catching_up.is_complete:
                self.caught_up()
        self.report_regularly()
        return stored.changes

    def take_lease(self) -> bool:
        """Return True when the lease is held; False when told to stop."""
        told = False
        while not self.lease.acquire():
            if not told:
                logger.info("another recorder works, standing by")
                told = True
            if not self.interrupt.sleep_until(time.monotonic() + self.lease.ttl_ms / 4000):
                return False
        return True

    def keep_lease(self) -> None:
        if not self.lease.renew_if_due(msgspec.json.encode(vars(self.counters))):
            raise LeaseLost

    def look_around(self, writer: HistoryWriter, reader: BatchReader) -> None:
        """Now and then see how far behind history is, and whether the logs are still the same."""
        if time.monotonic() - self.looked_at < LOOK_EVERY_S:
            return
        self.looked_at = time.monotonic()
        self.start_over(reader)
        self.behind(writer, reader)
        self.report_regularly()
        if shard_count(self.client) != len(writer.places):
            raise HistoryDown("the number of shards has changed")

    def start_over(self, reader: BatchReader) -> None:
        for shard in reader.start_over():
            logger.warning("log %d is not the one that was read before", shard)

    def behind(self, writer: HistoryWriter, reader: BatchReader) -> int:
        """Return how many ticks are logged and not stored."""
        logged = reader.logged()
        self.counters.behind = sum(
            max(0, count - writer.places[shard].n) for shard, count in logged.items()
        )
        return self.counters.behind

    def see_how_far(self, writer: HistoryWriter, reader: BatchReader) -> None:
        left = self.behind(writer, reader)
        if left >= FAR_BEHIND:
            self.report(f"catching up with {left:,} ticks")
            self.catching_up = Progress(left, stream=self.stream)

    def caught_up(self) -> None:
        if self.catching_up is not None:
            self.catching_up.close()
            if self.catching_up.is_complete:
                self.report("caught up")
            self.catching_up = None

    def report_regularly(self) -> None:
        if time.monotonic() - self.reported_at >= conf.report_interval_s:
            self.reported_at = time.monotonic()
            self.report(self.counters.line())
