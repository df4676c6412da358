"""Importing ticks: finding the new ones, giving them positions, and updating candles."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from django.db import transaction

from instruments.prices import can_trade_at
from quotes.conf import conf
from quotes.history.candles.bars import NO_VOLUME, Point
from quotes.history.candles.building import CandleBuilder
from quotes.history.candles.deriving import CandleChange
from quotes.history.candles.intervals import Interval
from quotes.history.candles.sessions import Calendar
from quotes.history.files.import_report import HistoryImportReport
from quotes.history.files.import_rows import TickRecord
from quotes.history.models import Tick
from quotes.history.rows import TickValues
from quotes.history.tables.joined import JoinedDays
from quotes.history.tables.opening import open_tables
from quotes.runtime.clock import now_ms

# Recorded ticks have positions from 1; imported ones come before them within a millisecond.
_FIRST_POSITION = -(2**40)
# Ticks this much older than the newest of a series are forgotten; the same row later on counts as
# repeated.
_FORGET_MS = 3_600_000
_CHUNK = 500  # times in one query

# Two ticks of one time with the same price and volume are alike.
_Content = tuple[Decimal, int | None]


@dataclass
class _StoredTicks:
    """The stored ticks of a series at one time."""

    contents: Counter[_Content] = field(default_factory=Counter)
    positions: set[int] = field(default_factory=set)

    def free_position(self, wanted: int | None) -> int:
        if wanted is None or wanted in self.positions:
            taken = [position for position in self.positions if position < 0]
            wanted = max(taken, default=_FIRST_POSITION - 1) + 1
        return wanted


class TickImport:
    """Stores ticks that are not stored yet; for one thread.

    Of ticks that are alike at one time, history then has at least as many as the file. So a file
    that was imported or recorded before adds nothing, and one that overlaps adds the rest.
    """

    def __init__(self, calendars: dict[str, Calendar], report: HistoryImportReport) -> None:
        self._calendars = calendars
        self._report = report
        self._tables = open_tables()
        self._tables.prepare()
        self._builder = CandleBuilder(self._tables, calendars, grace_ms=conf.candle_grace_ms)
        self._days = JoinedDays(self._tables)
        now = now_ms()
        self._builder.clocks.update(dict.fromkeys(calendars, now))
        # series -> time -> how often each tick came in the file
        self._seen: dict[int, dict[int, Counter[_Content]]] = {}
        self._newest: dict[int, int] = {}

    def store(self, records: Sequence[TickRecord]) -> None:
        """Store the new ticks, and the candles that they change.

        In one transaction, unless their days need too many locks.
        """
        room = self._tables.make_room([record.timestamp for record in records])
        if not room and len(records) > 1:
            half = len(records) // 2
            self.store(records[:half])
            self.store(records[half:])
            return
        with transaction.atomic(using=self._tables.connection.alias):
            self._tables.note_edit()
            numbers = self._tables.series({str(record.key) for record in records})
            rows: list[TickValues] = []
            points: dict[tuple[str, int], list[Point]] = {}
            for number, record in self._new_ticks(records, numbers):
                rows.append(_values_of(number, record))
                segment = record.key.segment
                calendar = self._calendars.get(segment) or self._calendars[""]
                point = _point_of(record)
                if calendar.day_of(point[0]) is not None and can_trade_at(record.key, point[3]):
                    points.setdefault((segment, number), []).append(point)
            for (segment, number), new in points.items():
                calendar = self._calendars.get(segment) or self._calendars[""]
                times = [point[0] for point in new]
                if self._days.continue_days(number, calendar, times, passed=now_ms()):
                    self._builder.forget(number)
            if rows:
                self._tables.insert_ticks(rows)
            changes: dict[tuple[int, Interval, int], CandleChange] = {}
            for (segment, number), new in points.items():
                for change in self._builder.apply(segment, number, new):
                    changes[number, change.interval, change.bar.start] = change
            self._tables.delete_candles(self._builder.take_removed())
            if changes:
                self._tables.put_candles(list(changes.values()))
        self._builder.committed()
        self._report.added += len(rows)
        self._report.repeated += len(records) - len(rows)
        self._report.candles += len(changes)

    def _new_ticks(
        self, records: Sequence[TickRecord], numbers: dict[str, int]
    ) -> Iterator[tuple[int, TickRecord]]:
        """Yield series and record of each new tick, with a position of its own."""
        times: dict[int, set[int]] = {}
        for record in records:
            times.setdefault(numbers[str(record.key)], set()).add(record.timestamp)
        stored = {
            (number, at): moment
            for number, wanted in times.items()
            for at, moment in _stored_ticks(
                (number, *self._tables.earlier.get(number, ())), sorted(wanted)
            ).items()
        }
        for record in records:
            number = numbers[str(record.key)]
            content = (Decimal(record.price), record.volume)
            occurrence = self._count(number, record.timestamp, content)
            moment = stored[number, record.timestamp]
            if occurrence <= moment.contents[content]:
                continue
            position = moment.free_position(record.position)
            moment.contents[content] += 1
            moment.positions.add(position)
            yield number, record._replace(position=position)
        self._forget()

    def _count(self, number: int, at: int, content: _Content) -> int:
        """Count a tick of the file, and return how often it came up to now."""
        counts = self._seen.setdefault(number, {}).setdefault(at, Counter())
        counts[content] += 1
        self._newest[number] = max(at, self._newest.get(number, at))
        return counts[content]

    def _forget(self) -> None:
        for number, times in self._seen.items():
            horizon = self._newest[number] - _FORGET_MS
            for at in [at for at in times if at < horizon]:
                del times[at]


def _stored_ticks(series: Sequence[int], times: Sequence[int]) -> dict[int, _StoredTicks]:
    """Return the stored ticks of an instrument's series at each of some times."""
    found = {at: _StoredTicks() for at in times}
    for begin in range(0, len(times), _CHUNK):
        rows = Tick.objects.filter(
            series_id__in=series, timestamp__in=times[begin : begin + _CHUNK]
        )
        for at, position, price, volume in rows.order_by().values_list(
            "timestamp", "position", "price", "volume"
        ):
            found[at].contents[price, volume] += 1
            found[at].positions.add(position)
    return found


def _values_of(number: int, record: TickRecord) -> TickValues:
    return (
        number,
        record.timestamp,
        record.position or 0,
        record.epoch,
        record.seq,
        record.shown,
        record.price,
        record.volume,
        record.oi,
        record.rest,
    )


def _point_of(record: TickRecord) -> Point:
    reading = NO_VOLUME if record.volume is None else record.volume
    position = record.position or 0
    return (record.timestamp, reading, position, Decimal(record.price), record.oi)
