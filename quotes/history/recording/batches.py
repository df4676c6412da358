"""Batches: entries of the tick logs as rows and points, to be stored in one transaction.

No table is used here; the caller supplies the numbers of series.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from instruments.index import index
from instruments.keys import InstrumentKey
from instruments.prices import is_above_zero
from quotes.errors import BadTick
from quotes.history.candles.bars import NO_VOLUME, Point
from quotes.history.candles.sessions import Calendar
from quotes.history.rows import TickValues, contents_of
from quotes.history.tables.log_positions import (
    MissingTicks,
    ReadPosition,
    after_entry,
    after_unreadable_entry,
    arrived_at,
)
from quotes.runtime.warnings import RateLimitedWarnings
from quotes.store.tick_log import LoggedTick, RawEntry, entry_rows

logger = logging.getLogger(__name__)
_warn = RateLimitedWarnings(logger)

_decode_ticks = msgspec.msgpack.Decoder(list[LoggedTick]).decode
_NO_HOURS = (0, 0)  # bounds without a moment between them


class LogEntry(NamedTuple):
    """One entry of a shard's log.

    Attributes:
        n: the log's count of ticks at this entry; None: unknown.
        readable: False: the entry could not be decoded, and has no ticks.
        more: these are only the next ticks of the entry, and `n` is the count at the last of them.
    """

    shard: int
    id: str
    n: int | None
    ticks: list[LoggedTick]
    readable: bool = True
    more: bool = False


# A tick's values in the database, without its position and with a Decimal price.
StoredTick = tuple[Any, ...]


class SegmentClock(NamedTuple):
    """The newest event of a segment: its time and its arrival, Unix milliseconds."""

    event: int = 0
    arrived: int = 0


def read_entry(raw: RawEntry) -> LogEntry:
    """Return the entry that Redis sent; log an entry that cannot be decoded."""
    n: int | None = None
    try:
        n = raw.n
        return LogEntry(raw.shard, raw.id, n, _ticks_of(raw.fields))
    except (KeyError, ValueError, msgspec.DecodeError) as error:
        _warn("cannot decode an entry", f"{raw.id} of tick log {raw.shard}: {error}")
        return LogEntry(raw.shard, raw.id, n, [], readable=False)


def _ticks_of(fields: Mapping[bytes, bytes]) -> list[LoggedTick]:
    """Return the ticks of an entry as `tick_log.decode_entry` does, and check their types.

    Raises:
        msgspec.DecodeError: the entry holds something else.
    """
    ticks: list[LoggedTick] = []
    for name, payload in fields.items():
        if name == b"n":
            continue
        try:
            ticks += _decode_ticks(payload)
        except msgspec.ValidationError:
            # Other messages are among the ticks.
            rows = entry_rows({name: payload})
            ticks.extend([msgspec.convert(row, LoggedTick) for row in rows])
    return ticks


class _RecordedSeries:
    """A series while it is recorded.

    Attributes:
        above_zero: whether a price of 0 or below is no trade, and in no candle.
        bounds: event times in [begin, end) are in candles, for the day that was looked up last.
        points: those ticks of the present batch that are in candles.
        newest, newest_arrived: event time and arrival of the newest event.
        epoch, shown: of the newest tick, and the time of the newest one of it that was shown; 0: of
            none yet.
    """

    __slots__ = (
        *("above_zero", "bounds", "calendar", "epoch", "newest", "newest_arrived"),
        *("number", "points", "segment", "shown"),
    )

    def __init__(self, number: int, key: InstrumentKey, calendar: Calendar) -> None:
        self.number = number
        self.segment = key.segment
        self.above_zero = is_above_zero(key)
        self.calendar = calendar
        self.bounds = _NO_HOURS
        self.points: list[Point] = []
        self.newest = self.newest_arrived = 0
        self.epoch = self.shown = 0

    def find_hours(self, timestamp: int) -> bool:
        """Set the bounds to the day of a tick; return whether candles include the tick."""
        day = self.calendar.day_of(timestamp)
        self.bounds = (day.begins, day.accepts_until) if day else _NO_HOURS
        return day is not None


@dataclass(slots=True)
class TickBatch:
    """The rows of one transaction.

    Attributes:
        points: segment and series -> ticks that are in candles.
        positions: shard -> how far its log is read after this batch.
        gaps: shard and the ticks missing from its log.
        clocks: segment -> its newest event.
        shown: series -> time of its last tick that was shown, if the batch has ticks of it.
        bad: how many ticks could not be parsed.
    """

    rows: list[TickValues] = field(default_factory=list)
    points: dict[tuple[str, int], list[Point]] = field(default_factory=dict)
    positions: dict[int, ReadPosition] = field(default_factory=dict)
    gaps: list[tuple[int, MissingTicks]] = field(default_factory=list)
    clocks: dict[str, SegmentClock] = field(default_factory=dict)
    shown: dict[int, int] = field(default_factory=dict)
    bad: int = 0


def _ended(gap: MissingTicks, shard: int, entries: Sequence[LogEntry], now_ms: int) -> MissingTicks:
    """Return a gap that does not end before it begins.

    Where a log went back, its next entry is older than what is missing: the gap ends at the first
    entry that is newer, or now if there is none yet.
    """
    if gap.ends >= gap.begins:
        return gap
    arrivals = (arrived_at(entry.id) for entry in entries if entry.shard == shard)
    ends = next((arrived for arrived in arrivals if arrived > gap.begins), None)
    return gap._replace(ends=max(gap.begins, now_ms) if ends is None else ends)


class BatchMaker:
    """Makes batches of entries; each continues where the one before it ended.

    Args:
        numbers: returns the series number of each key, and numbers new series.
        calendars: segment -> its calendar; "" is for every other segment.
        positions: shard -> how far its log was read.
    """

    def __init__(
        self,
        numbers: Callable[[Collection[str]], dict[str, int]],
        calendars: dict[str, Calendar],
        positions: dict[int, ReadPosition],
    ) -> None:
        self._numbers = numbers
        self.calendars = calendars
        self.positions = positions
        self._series: dict[str, _RecordedSeries] = {}  # key of the log -> its instrument's series

    def make(
        self, entries: Sequence[LogEntry], *, now_ms: int, stored: Collection[StoredTick] = ()
    ) -> TickBatch:
        """Return the batch of entries; those of one shard must be in order.

        Args:
            now_ms: when the entries were read.
            stored: ticks to leave out, which a restored copy of a log holds again.
        """
        batch = TickBatch()
        self._add_series(self.unknown_keys(entries))
        touched: set[str] = set()
        for entry in entries:
            position = self.positions[entry.shard]
            gap: MissingTicks | None
            if entry.readable and entry.n is not None:
                position, gap = after_entry(
                    position, entry.id, entry.n, len(entry.ticks), more=entry.more
                )
                first = position.base + position.n - len(entry.ticks) + 1
                self._add(batch, entry.ticks, first, stored)
                touched.update([tick.key for tick in entry.ticks])
            else:
                position, gap = after_unreadable_entry(position, entry.id, entry.n)
            if gap is not None:
                batch.gaps.append((entry.shard, _ended(gap, entry.shard, entries, now_ms)))
            self.positions[entry.shard] = batch.positions[entry.shard] = position
        for key in touched:
            series = self._series[key]
            if series.points:
                batch.points[series.segment, series.number] = series.points
                series.points = []
            if series.shown:
                batch.shown[series.number] = series.shown
            batch.clocks[series.segment] = max(
                batch.clocks.get(series.segment, SegmentClock()),
                SegmentClock(series.newest, series.newest_arrived),
            )
        return batch

    def _add_series(self, keys: Collection[str]) -> None:
        if not keys:
            return
        # What was published under another name of an instrument is recorded as the instrument's.
        current = {key: index.current_key(key) for key in keys}
        numbers = self._numbers({str(key) for key in current.values()})
        present = {series.number: series for series in self._series.values()}
        for key, owner in current.items():
            number = numbers[str(owner)]
            series = present.get(number)
            if series is None:
                calendar = self.calendars.get(owner.segment) or self.calendars[""]
                series = present[number] = _RecordedSeries(number, owner, calendar)
            self._series[key] = series

    def unknown_keys(self, entries: Iterable[LogEntry]) -> set[str]:
        """Return the keys of entries whose series were not looked up yet."""
        return {tick.key for entry in entries for tick in entry.ticks} - self._series.keys()

    def forget_names(self) -> None:
        """Look up the series of all keys again: names mean other instruments."""
        self._series.clear()

    def set_calendars(self, calendars: dict[str, Calendar]) -> None:
        """Use other calendars from now on."""
        self.calendars = calendars
        for series in self._series.values():
            series.calendar = calendars.get(series.segment) or calendars[""]
            series.bounds = _NO_HOURS

    def _add(
        self,
        batch: TickBatch,
        ticks: Iterable[LoggedTick],
        first: int,
        stored: Collection[StoredTick],
    ) -> None:
        """Add the ticks of an entry; `first` is the position of the first one."""
        rows = batch.rows
        all_series = self._series
        for position, tick in enumerate(ticks, first):
            series = all_series[tick.key]
            try:
                price, volume, oi, rest = contents_of(tick.frame)
            except BadTick as error:
                batch.bad += 1
                _warn("skipped a tick of the log that cannot be parsed", str(error))
                continue
            timestamp = tick.timestamp
            # Written out: unpacking shorter tuples would take as long as all the rest.
            row = (
                series.number,
                timestamp,
                position,
                tick.epoch,
                tick.seq,
                tick.shown,
                price,
                volume,
                oi,
                rest,
            )
            if stored and (*row[:2], *row[3:6], Decimal(price), *row[7:]) in stored:
                continue
            rows.append(row)
            if tick.epoch != series.epoch:
                series.epoch, series.shown = tick.epoch, 0
            if timestamp > series.shown and tick.shown:
                series.shown = timestamp
            # A tick from the future does not move the clock of its segment ahead.
            event = timestamp if timestamp < tick.received else tick.received
            if event > series.newest:
                series.newest, series.newest_arrived = event, tick.received
            # The text of a number from 1 up begins with a greater digit.
            if price < "1" and series.above_zero and Decimal(price) <= 0:
                continue
            begins, until = series.bounds
            if begins <= timestamp < until or series.find_hours(timestamp):
                reading = NO_VOLUME if volume is None else volume
                series.points.append((timestamp, reading, position, Decimal(price), oi))
