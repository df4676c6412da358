"""The recorder: stores the tick logs in the tables of history.

One recorder is active, under a lease; others stand by. Each transaction is also fenced by the
position in the log, so a recorder that was paused for longer than its lease stores no tick twice.
The recorder reconnects to Redis and to the database after a failure.
"""

import contextlib
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
from quotes.history.recording.batches import LogEntry
from quotes.history.recording.day_statistics import DayStatistics
from quotes.history.recording.log_reader import BatchReader
from quotes.history.recording.splitting import store_in_parts
from quotes.history.recording.writer import Fenced, HistoryWriter, StoredBatch
from quotes.runtime.disk_space import DiskWatch
from quotes.runtime.histogram import Histogram
from quotes.runtime.interrupts import Interrupt
from quotes.runtime.progress import Progress
from quotes.runtime.redaction import scrub
from quotes.runtime.redis_link import reconnects
from quotes.runtime.warnings import RateLimitedWarnings
from quotes.store.lease import SyncLease
from quotes.store.names import own_key
from quotes.store.redis_clock import MACHINE, redis_clock
from quotes.store.shards import shard_count

logger = logging.getLogger(__name__)
_warn = RateLimitedWarnings(logger)

_FIRST_PAUSE_S = 0.1
_MAX_PAUSE_S = 2.0
_BLOCK_MS = 250
# The clock of a segment runs on by itself this long after its last tick.
_PATIENCE_MS = 30_000
# Catching up with more ticks than this shows progress.
_FAR_BEHIND = 50_000
_CHECK_EVERY_S = 2.0
# Readers of Kafka's backlogs wait for the recorder by its status.
_STATUS_EVERY_S = 0.25


@dataclass
class RecorderCounters:
    """Counts of a recorder since its start; `behind` and `commit_ms` are of the last batch.

    Attributes:
        refused: ticks that the database did not take for their contents.
    """

    recorded: int = 0
    candles: int = 0
    gaps: int = 0
    bad: int = 0
    refused: int = 0
    behind: int = 0
    commit_ms: int = 0

    def line(self) -> str:
        return " ".join(f"{name}={value}" for name, value in vars(self).items())


class _LeaseLost(Exception):
    """Another recorder holds the lease."""


class Recorder:
    """Records until it is interrupted; each tick of the log is stored exactly once.

    Args:
        interrupt: returns whether to stop; the batch in hand is stored first.
        report: called with a line of counters every QUOTES_REPORT_INTERVAL_S, and at the end.
        stream: shows progress while catching up.
        once: stop when every logged tick is stored.
        calendars: returns the calendars of all segments, the same object while nothing changed.
        refresh_names: reads the instrument master again if it has changed.

    Attributes:
        revised: changes of candles that were final.
        commits: how long it took to store a batch, in seconds.
        is_recording: whether this recorder works, rather than stands by.
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
        refresh_names: Callable[[], object] = lambda: None,
    ) -> None:
        self._client = client
        self.interrupt = interrupt
        self._report = report
        self._stream = stream
        self._once = once
        self._done = False
        self._calendars = calendars or Calendars()
        self._refresh_names = refresh_names
        self._names_at = float("-inf")
        self._lease = SyncLease(
            client,
            own_key("recorder:lease"),
            status_key=own_key("recorder:status"),
            ttl_ms=conf.recorder_lease_ms,
        )
        self.counters = RecorderCounters()
        self.commits = Histogram()
        self.revised = 0
        self.is_recording = False
        self._committed = 0  # when the last batch was stored, by Redis's clock
        self._position: dict[int, str] = {}  # of the last entry stored, for each shard
        self._error = ""  # why nothing is stored now
        self._refused = ""  # the last tick that was refused, and why
        self._refused_at = 0
        self._reported_at = time.monotonic()
        self._checked_at = time.monotonic()
        self._progress: Progress | None = None
        self._disks = DiskWatch()

    @property
    def committed_ms(self) -> int:
        """When the last batch was stored, by Redis's clock; 0: none was."""
        return self._committed

    @property
    def positions(self) -> dict[int, str]:
        """Shard -> the id of its last entry that was stored."""
        return dict(self._position)

    @property
    def is_failing(self) -> bool:
        """Whether nothing can be stored now."""
        return bool(self._error)

    def run(self) -> None:
        """Record, or stand by, until interrupted."""
        pause = _FIRST_PAUSE_S
        while not (self.interrupt() or self._done):
            try:
                self._record()
                pause = _FIRST_PAUSE_S
            except (redis.RedisError, HistoryDown) as error:
                logger.warning("%s; trying again", error or type(error).__name__)
                self._note_failure(error)
                reconnects.count += isinstance(error, redis.RedisError)
                HistoryWriter.close_connection()
                self.interrupt.sleep_until(time.monotonic() + pause)
                pause = min(2 * pause, _MAX_PAUSE_S)
            except (Fenced, _LeaseLost):
                logger.warning("another recorder took over; standing by")
                HistoryWriter.close_connection()
            except Exception as error:
                self._note_failure(error)  # for as long as the lease lasts: this process ends
                raise
        self._report(self.counters.line())

    def _record(self) -> None:
        """Wait for the lease, then record until it is lost, something fails, or an interrupt."""
        self._refresh_names()  # before the lease, which a large master may outlast
        if not self._acquire_lease():
            return
        writer = HistoryWriter(
            shards=range(1, shard_count(self._client) + 1),
            calendars=self._calendars(),
            grace_ms=conf.candle_grace_ms,
            refresh_names=self._refresh_names,
        )
        reader = BatchReader(
            self._client, {shard: position.entry_id for shard, position in writer.positions.items()}
        )
        day_statistics = DayStatistics(writer, self._client)
        announcer = Announcer(writer.key_of)
        reader.rewind_replaced()
        self._start_progress(writer, reader)
        day_statistics.refresh()
        logger.info("recording %d tick logs", len(writer.positions))
        self.is_recording = True
        try:
            while not (self.interrupt() or self._done):
                self._renew_lease()
                read = self._step(writer, reader, day_statistics, announcer)
                self._done = self._once and not read
            self._count_behind(writer, reader)
            self._lease.release()
        finally:
            self.is_recording = False
            self._end_progress()
            HistoryWriter.close_connection()

    def _step(
        self,
        writer: HistoryWriter,
        reader: BatchReader,
        day_statistics: DayStatistics,
        announcer: Announcer,
    ) -> bool:
        """Read, store and announce one batch; return whether there were any entries."""
        calendars = self._calendars()
        if calendars is not writer.maker.calendars:
            writer.set_calendars(calendars)
            day_statistics.forget()
        self._follow_names(writer)
        entries = reader.read_batch(1 if self._once else _BLOCK_MS)
        began = time.monotonic()
        now = redis_clock.now_ms()  # bridges mark by it when a tick came
        if entries:
            changes, shown = self._store(writer, entries, now, again=reader.read_again(entries))
            day_statistics.update(changes, shown)
            announcer.add(changes, newest_only=reader.has_more(entries))
        elif not self._once:
            announcer.add(writer.idle(now_ms=now, patience_ms=_PATIENCE_MS))
        if writer.take_edited():
            day_statistics.refresh()
        announcer.send_due()
        if reader.has_more(entries):
            self._count_behind(writer, reader)
        else:
            self._check_logs(writer, reader)
            if not self._once:
                took = time.monotonic() - began
                # Small batches take at most half of the time.
                self.interrupt.sleep_until(began + max(conf.record_every_ms / 1000, 2 * took))
        return bool(entries)

    def _follow_names(self, writer: HistoryWriter) -> None:
        """Every few seconds go on under the present names, if the instrument master has changed."""
        if time.monotonic() - self._names_at >= _CHECK_EVERY_S:
            self._refresh_names()
            self._names_at = time.monotonic()
            writer.follow_names()

    def _store(
        self, writer: HistoryWriter, entries: list[LogEntry], now: int, *, again: list[LogEntry]
    ) -> tuple[list[CandleChange], dict[int, int]]:
        """Store entries; return changed candles, and the times of the last ticks shown."""
        began = time.monotonic()
        changes: list[CandleChange] = []
        shown: dict[int, int] = {}
        for part in store_in_parts(writer, entries, now_ms=now, again=again):
            changes += part.stored.changes
            shown.update(part.stored.shown)
            self._count(part.stored)
            if part.refused:
                self._refused, self._refused_at = part.refused, redis_clock.now_ms()
            # Many parts take longer than the lease, and than the patience of whoever stops this.
            self._renew_lease()
            if self.interrupt():
                break
        else:
            self._position.update({entry.shard: entry.id for entry in entries})
        took_s = time.monotonic() - began
        self.counters.commit_ms = round(took_s * 1000)
        self.commits.add(took_s)
        self._report_regularly()
        return changes, shown

    def _count(self, stored: StoredBatch) -> None:
        """Count what was committed."""
        self._committed, self._error = redis_clock.now_ms(), ""
        self.counters.recorded += stored.ticks
        self.counters.candles += len(stored.changes)
        self.counters.gaps += len(stored.gaps)
        self.counters.bad += stored.bad
        self.counters.refused += stored.refused
        self.revised += sum(change.bar.revised for change in stored.changes)
        for gap in stored.gaps:
            _warn(
                "gap in history",
                f"{gap.get_reason_display().lower()}: "
                f"{'unknown' if gap.ticks is None else gap.ticks} ticks of log {gap.shard} "
                f"are missing between {gap.begins} and {gap.ends}",
            )
        if self._progress is not None:
            self._progress.add(stored.ticks)
            if self._progress.is_complete:
                self._end_progress()

    def _acquire_lease(self) -> bool:
        """Wait for the lease; return False if interrupted."""
        announced = False
        while not self._lease.acquire():
            if not announced:
                logger.info("another recorder is active; standing by")
                announced = True
            if not self.interrupt.sleep_until(time.monotonic() + self._lease.ttl_ms / 4000):
                return False
        return True

    def _renew_lease(self) -> None:
        redis_clock.measure_if_due(self._client)
        if not self._lease.renew_if_due(self._status(), every_s=_STATUS_EVERY_S):
            raise _LeaseLost

    def _status(self) -> bytes:
        """Return the JSON that `/readyz` reads."""
        return msgspec.json.encode(
            {
                **vars(self.counters),
                "position": self._position,
                "committed": self._committed,
                "error": self._error,
                "last_refused": self._refused,
                "last_refused_at": self._refused_at,
                "machine": MACHINE,
                "clock_ms": redis_clock.difference_ms,
            }
        )

    def _note_failure(self, error: Exception) -> None:
        """Let operators read why nothing is stored, if this recorder holds the lease."""
        self._error = scrub(str(error) or type(error).__name__)[:300]
        with contextlib.suppress(redis.RedisError):
            self._lease.renew(self._status())

    def _check_logs(self, writer: HistoryWriter, reader: BatchReader) -> None:
        """Every few seconds count the ticks behind, and look for replaced logs."""
        if time.monotonic() - self._checked_at < _CHECK_EVERY_S:
            return
        self._checked_at = time.monotonic()
        reader.rewind_replaced()
        self._count_behind(writer, reader)
        self._report_regularly()
        if shard_count(self._client) != len(writer.positions):
            raise HistoryDown("the number of shards has changed")

    def _count_behind(self, writer: HistoryWriter, reader: BatchReader) -> int:
        """Return how many logged ticks are not stored yet."""
        logged = reader.logged()
        self.counters.behind = sum(
            max(0, count - writer.positions[shard].n) for shard, count in logged.items()
        )
        return self.counters.behind

    def _start_progress(self, writer: HistoryWriter, reader: BatchReader) -> None:
        left = self._count_behind(writer, reader)
        if left >= _FAR_BEHIND:
            self._report(f"catching up with {left:,} ticks")
            self._progress = Progress(left, stream=self._stream)

    def _end_progress(self) -> None:
        if self._progress is not None:
            self._progress.close()
            if self._progress.is_complete:
                self._report("caught up")
            self._progress = None

    def _report_regularly(self) -> None:
        if time.monotonic() - self._reported_at >= conf.report_interval_s:
            self._reported_at = time.monotonic()
            self._report(self.counters.line())
            self._disks.check()
