"""Storing batches of the tick logs: ticks, candles and log positions in one transaction.

`recorder.py` reads the logs; `splitting.py` cuts batches that the database does not take.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from django.db import Error, connections, transaction

from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.errors import HistoryDown
from quotes.history.candles.bars import Point
from quotes.history.candles.building import CandleBuilder
from quotes.history.candles.deriving import CandleChange
from quotes.history.candles.intervals import Interval
from quotes.history.candles.sessions import Calendar
from quotes.history.models import Gap, Series, Tick
from quotes.history.recording.batches import BatchMaker, LogEntry, SegmentClock, StoredTick
from quotes.history.router import ALIAS
from quotes.history.series_names import series_names
from quotes.history.tables.failures import Cause, cause_of
from quotes.history.tables.joined import JoinedDays
from quotes.history.tables.log_positions import ReadPosition, after_refused_entry
from quotes.history.tables.opening import open_tables
from quotes.runtime.clock import MINUTE_MS

_decode_clocks = msgspec.json.Decoder(dict[str, SegmentClock]).decode
_MAX_TEXT = 200
# Days that go on under another name in one transaction, at some 10 ms each.
_MOST_DAYS = 50
_encode_json = msgspec.json.Encoder().encode


class Fenced(Exception):
    """Another recorder has stored these entries already."""


class BatchRefused(Exception):
    """The database does not take a batch for its contents or its size; its parts may be taken.

    Attributes:
        cause: DATA or SIZE.
    """

    def __init__(self, cause: Cause, text: str) -> None:
        super().__init__(text)
        self.cause = cause


class StoredBatch(NamedTuple):
    """The result of storing one batch.

    Attributes:
        ticks: how many were stored.
        changes: candles that are new, changed, or final now; each once.
        bad: how many ticks could not be parsed.
        refused: how many ticks the database refused.
        shown: series -> time of the last tick of it that clients were shown, of those in the batch.
    """

    ticks: int
    changes: list[CandleChange]
    gaps: list[Gap]
    bad: int
    refused: int = 0
    shown: Mapping[int, int] = MappingProxyType({})


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Raise BatchRefused for failures that a part of the batch may not have."""
    try:
        yield
    except Exception as error:
        cause = cause_of(error)
        if cause is Cause.OTHER:
            raise
        first_line = str(error).partition("\n")[0][:_MAX_TEXT]
        raise BatchRefused(cause, f"{type(error).__name__}: {first_line}") from error


@contextlib.contextmanager
def database_errors() -> Iterator[None]:
    """Raise HistoryDown for errors of the database."""
    try:
        yield
    except Error as error:
        raise HistoryDown(f"the history database failed: {error}") from error


class HistoryWriter:
    """Stores batches; each continues where the one before it ended.

    Each entry is stored exactly once: the rows and the log position are written in one transaction
    that fails if another recorder has moved the position. After an exception, make another writer
    or call `reload`: what is in memory may differ from what is stored. For one thread.

    Args:
        shards: whose logs are read.
        grace_ms: see `CandleBuilder`.
        refresh_names: reads the instrument master again if it has changed; called when the log
            has a key for the first time.

    Raises:
        HistoryDown: the database does not answer, or lacks migrations.
    """

    def __init__(
        self,
        *,
        shards: Collection[int],
        calendars: dict[str, Calendar],
        grace_ms: int,
        refresh_names: Callable[[], object] = lambda: None,
    ) -> None:
        self._refresh_names = refresh_names
        self._keys: dict[int, str] = {}  # series -> instrument key
        with database_errors():
            self.tables = open_tables()
            self.tables.prepare()
            self.positions = {shard: self.tables.position(shard) for shard in shards}
        self.days = JoinedDays(self.tables)
        self._continue(calendars, grace_ms)

    def _continue(self, calendars: dict[str, Calendar], grace_ms: int) -> None:
        """Continue from the positions, with nothing else in memory."""
        self._builder = CandleBuilder(self.tables, calendars, grace_ms=grace_ms)
        self.maker = BatchMaker(self._numbers, calendars, dict(self.positions))
        self._clocks: dict[str, SegmentClock] = {}
        for position in self.positions.values():
            self._advance_clocks(_decode_clocks(position.clocks))
        with database_errors():
            self._edits = self.tables.edits()
            self._find_names()
        self._is_edited = False
        self._finalised: dict[str, int] = {}  # segment -> up to when its candles were made final

    def reload(self) -> None:
        """Read positions and partitions again and forget all else, after a batch was refused.

        Raises:
            Fenced: another recorder has stored entries since.
            HistoryDown: the database does not answer.
        """
        with database_errors():
            self.tables.prepare()
            found = {shard: self.tables.position(shard) for shard in self.positions}
        if any(found[shard].place != old.place for shard, old in self.positions.items()):
            raise Fenced
        self.positions = found
        edits, was_edited = self._edits, self._is_edited
        self._continue(self.maker.calendars, self._builder.grace_ms)
        self._is_edited = was_edited or self._edits != edits
        if self._edits != edits:
            self.days.forget()
        self.days.rolled_back()

    def _numbers(self, keys: Collection[str]) -> dict[str, int]:
        found = self.tables.series(keys)
        self._keys.update((number, key) for key, number in found.items())
        return found

    def _find_names(self) -> None:
        """Find which series are of one instrument; each instrument of several has an own one."""
        self._names_version = index.version
        if owners := series_names.owners():
            self._numbers(list(owners))

    def follow_names(self) -> None:
        """Go on under the present names if the instrument master has changed.

        Raises:
            HistoryDown: the database does not answer.
        """
        if index.version == self._names_version:
            return
        self.maker.forget_names()
        self._builder.forget()
        self.days.forget()
        with database_errors():
            self._find_names()
        self._is_edited = True

    def calendar_of(self, series: int) -> Calendar:
        """Return the calendar of a series."""
        segment = InstrumentKey.parse(self.key_of(series)).segment
        return self.maker.calendars.get(segment) or self.maker.calendars[""]

    def set_calendars(self, calendars: dict[str, Calendar]) -> None:
        """Use other calendars from now on.

        Candles of a day that are stored already follow with the day's next tick.
        """
        self.maker.set_calendars(calendars)
        grace_ms = self._builder.grace_ms
        self._builder = CandleBuilder(self.tables, calendars, grace_ms=grace_ms)
        self._advance_clocks(self._clocks)
        self._builder.committed()

    def _advance_clocks(self, clocks: dict[str, SegmentClock]) -> None:
        for segment, clock in clocks.items():
            self._clocks[segment] = max(clock, self._clocks.get(segment, clock))
            self._advance_clock(segment, self._clocks[segment].event)

    def _advance_clock(self, segment: str, event: int) -> None:
        """Move the clock of a segment forward to a moment; never backward."""
        self._builder.clocks[segment] = max(event, self._builder.clocks.get(segment, 0))

    def store(
        self, entries: Sequence[LogEntry], *, now_ms: int, again: Sequence[LogEntry] = ()
    ) -> StoredBatch:
        """Store entries that follow the last stored ones.

        Args:
            again: those of them whose ticks may be stored already; such ticks are left out.

        Raises:
            BatchRefused: the database does not take them together; nothing is stored.
            Fenced: another recorder has stored entries since; nothing is stored.
            HistoryDown: the database failed; nothing is stored.
        """
        if self.maker.unknown_keys(entries):
            self._refresh_names()  # a bridge may know them already
        self.follow_names()
        with database_errors(), _refusals():
            batch = self.maker.make(
                entries, now_ms=now_ms, stored=self._stored(again) if again else ()
            )
            self._advance_clocks(batch.clocks)
            if not self.tables.make_room([row[1] for row in batch.rows]):
                raise BatchRefused(Cause.SIZE, "its ticks are of too many days")
            times = {
                series: [point[0] for point in points]
                for (_, series), points in batch.points.items()
                if series in self.tables.earlier
            }
            if self.days.count_new(times) > _MOST_DAYS:
                raise BatchRefused(Cause.SIZE, "too many of its days go on under another name")
            with transaction.atomic(using=ALIAS):
                self._advance(batch.positions)
                self._follow_edits()
                for (segment, series), points in batch.points.items():
                    self._continue_days(segment, series, points)
                self.tables.insert_ticks(batch.rows)
                changes: dict[tuple[int, Interval, int], CandleChange] = {}
                for (segment, series), points in batch.points.items():
                    for change in self._builder.apply(segment, series, points):
                        changes[series, change.interval, change.bar.start] = change
                self.tables.delete_candles(self._builder.take_removed())
                self.tables.put_candles(list(changes.values()))
                finals = self._finalise()
                gaps = [
                    Gap(shard=shard, found_at=now_ms, **missing._asdict())
                    for shard, missing in batch.gaps
                ]
                for gap in gaps:
                    self.tables.add_gap(gap)
        self.positions.update(batch.positions)
        self._committed()
        changed = [*changes.values(), *finals]
        return StoredBatch(len(batch.rows), changed, gaps, batch.bad, shown=batch.shown)

    def refuse(self, entry: LogEntry, *, now_ms: int) -> StoredBatch:
        """Move past the ticks of an entry without storing them, and record a gap.

        Raises:
            Fenced, HistoryDown: as by `store`.
        """
        old = self.positions[entry.shard]
        new, missing = after_refused_entry(old, entry.id, entry.n, more=entry.more)
        gap = Gap(shard=entry.shard, found_at=now_ms, **missing._asdict())
        with database_errors(), transaction.atomic(using=ALIAS):
            self._advance({entry.shard: new})
            # One gap for an entry, however many of its ticks are refused.
            added = not self.tables.extend_gap(gap)
            if added:
                self.tables.add_gap(gap)
        self.positions[entry.shard] = self.maker.positions[entry.shard] = new
        return StoredBatch(0, [], [gap] if added else [], 0, refused=len(entry.ticks))

    def _continue_days(self, segment: str, series: int, points: Sequence[Point]) -> None:
        """Go on with days that began under another name, before ticks of them are added."""
        if series not in self.tables.earlier:
            return
        passed = self._builder.clocks.get(segment, 0) - self._builder.grace_ms
        calendar = self.maker.calendars.get(segment) or self.maker.calendars[""]
        times = [point[0] for point in points]
        if self.days.continue_days(series, calendar, times, passed=passed):
            self._builder.forget(series)

    def _follow_edits(self) -> None:
        """Forget the candles in memory if an import or the like has changed history."""
        before, self._edits = self._edits, self.tables.edits()
        if self._edits != before:
            self._builder.forget()
            self.days.forget()
            self._is_edited = True

    def take_edited(self) -> bool:
        """Return whether history was edited since the last call, found by `store` or `idle`."""
        was_edited, self._is_edited = self._is_edited, False
        return was_edited

    def _advance(self, positions: dict[int, ReadPosition]) -> None:
        """Store positions in the open transaction, which locks them until it ends."""
        for shard, position in positions.items():
            new = position._replace(clocks=_encode_json(self._clocks).decode())
            if not self.tables.advance(shard, self.positions[shard], new):
                raise Fenced

    def _stored(self, entries: Sequence[LogEntry]) -> set[StoredTick]:
        """Return the stored ticks of the instruments and times of entries."""
        ticks = [tick for entry in entries for tick in entry.ticks]
        if not ticks:
            return set()
        numbers = self._numbers({str(index.current_key(tick.key)) for tick in ticks}).values()
        owners = {
            earlier: number for number in numbers for earlier in self.tables.earlier.get(number, ())
        }
        rows = Tick.objects.filter(
            series__in=[*numbers, *owners],
            timestamp__gte=min(tick.timestamp for tick in ticks),
            timestamp__lte=max(tick.timestamp for tick in ticks),
        )
        names = ("series_id", "timestamp", "epoch", "seq", "shown", "price", "volume", "oi", "rest")
        return {(owners.get(row[0], row[0]), *row[1:]) for row in rows.values_list(*names)}

    def idle(self, *, now_ms: int, patience_ms: int) -> list[CandleChange]:
        """Let the clocks of silent segments run on; call it when all logged ticks are stored.

        Args:
            patience_ms: how long a segment must be silent before its clock runs on.

        Returns:
            The candles that became final.

        Raises:
            HistoryDown: nothing is stored.
        """
        for segment, clock in self._clocks.items():
            silence = now_ms - clock.arrived
            if silence > patience_ms:
                self._advance_clock(segment, clock.event + silence)
        with database_errors(), transaction.atomic(using=ALIAS):
            self._follow_edits()
            finals = self._finalise()
        self._committed()
        return finals

    def _finalise(self) -> list[CandleChange]:
        """Mark candles as final that ended more than the grace period before their clock."""
        finals: list[CandleChange] = []
        for segment, event in self._builder.clocks.items():
            passed = event - self._builder.grace_ms
            # Candles end with a minute.
            minute = passed // MINUTE_MS
            if minute > self._finalised.get(segment, 0):
                self._finalised[segment] = minute
                finals += self.tables.finalise(segment, passed)
        return finals

    def _committed(self) -> None:
        self._builder.committed()
        self.days.committed()

    def key_of(self, series: int) -> str:
        """Return the instrument key of a series; KeyError for an unknown one."""
        return self._keys.get(series) or self.all_keys()[series]

    def all_keys(self) -> dict[int, str]:
        """Return the instrument key of every series."""
        self._keys.update(Series.objects.values_list("id", "key"))
        return self._keys

    @staticmethod
    def close_connection() -> None:
        """Close the connection of this thread; the next query opens another."""
        connections[ALIAS].close()
