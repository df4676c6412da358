"""Importing ticks: which of them are new, where they stand among others, and their candles."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from django.db import transaction

from quotes.conf import conf
from quotes.history.candles.bars import NO_VOLUME, Point
from quotes.history.candles.building import CandleBuilder
from quotes.history.candles.deriving import CandleChange
from quotes.history.candles.intervals import Interval
from quotes.history.candles.sessions import Calendar
from quotes.history.files.import_report import ImportReport
from quotes.history.files.import_rows import TickRecord
from quotes.history.models import Tick
from quotes.history.rows import TickValues
from quotes.history.tables.opening import open_tables
from quotes.runtime.clock import now_ms

# Recorded ticks have positions from 1; imported ones come before them within a millisecond.
FIRST_POSITION = -(2**40)
# Times so far behind a series' newest are forgotten: a row that comes again then is a repeated one.
FORGET_MS = 3_600_000
CHUNK = 500  # times in one query

# What makes two ticks of one time the same.
Content = tuple[Decimal, int | None]


@dataclass
class Moment:
    """The stored ticks of a series at one time."""

    contents: Counter[Content] = field(default_factory=Counter)
    positions: set[int] = field(default_factory=set)

    def free_position(self, wanted: int | None) -> int:
        if wanted is None or wanted in self.positions:
            taken = [position for position in self.positions if position < 0]
            wanted = max(taken, default=FIRST_POSITION - 1) + 1
        return wanted


class TickImport:
    """Stores ticks that are not there: of those alike at one time as many as the file has.

    So a file that was imported before, or recorded, adds nothing, and one that overlaps with what
    is there adds the rest.
    """

    def __init__(self, calendars: dict[str, Calendar], report: ImportReport) -> None:
        self.calendars = calendars
        self.report = report
        self.tables = open_tables()
        self.tables.prepare()
        self.builder = CandleBuilder(self.tables, calendars, grace_ms=conf.candle_grace_ms)
        now = now_ms()
        self.builder.clocks.update(dict.fromkeys(calendars, now))
        # series -> time -> how often the file had each tick
        self.seen: dict[int, dict[int, Counter[Content]]] = {}
        self.newest: dict[int, int] = {}

    def store(self, records: Sequence[TickRecord]) -> None:
        """Store what is new of the records, and the candles that it changes, in a transaction."""
        with transaction.atomic(using=self.tables.connection.alias):
            numbers = self.tables.series({str(record.key) for record in records})
            rows: list[TickValues] = []
            points: dict[tuple[str, int], list[Point]] = {}
            for number, record in self.fresh(records, numbers):
                rows.append(values_of(number, record))
                segment = record.key.segment
                calendar = self.calendars.get(segment) or self.calendars[""]
                if calendar.day_of(record.timestamp) is not None:
                    points.setdefault((segment, number), []).append(point_of(record))
            if rows:
                self.tables.insert_ticks(rows)
            changes: dict[tuple[int, Interval, int], CandleChange] = {}
            for (segment, number), new in points.items():
                for change in self.builder.apply(segment, number, new):
                    changes[number, change.interval, change.bar.start] = change
            if changes:
                self.tables.put_candles(list(changes.values()))
        self.builder.committed()
        self.tables.committed()
        self.report.added += len(rows)
        self.report.repeated += len(records) - len(rows)
        self.report.candles += len(changes)

    def fresh(
        self, records: Sequence[TickRecord], numbers: dict[str, int]
    ) -> Iterator[tuple[int, TickRecord]]:
        """Yield series and record of each tick that is not there, with a position of its own."""
        times: dict[int, set[int]] = {}
        for record in records:
            times.setdefault(numbers[str(record.key)], set()).add(record.timestamp)
        stored = {
            (number, at): moment
            for number, wanted in times.items()
            for at, moment in stored_moments(number, sorted(wanted)).items()
        }
        for record in records:
            number = numbers[str(record.key)]
            content = (Decimal(record.price), record.volume)
            occurrence = self.count(number, record.timestamp, content)
            moment = stored[number, record.timestamp]
            if occurrence <= moment.contents[content]:
                continue
            position = moment.free_position(record.position)
            moment.contents[content] += 1
            moment.positions.add(position)
            yield number, record._replace(position=position)
        self.forget()

    def count(self, number: int, at: int, content: Content) -> int:
        """Return how often the file had a tick, this time included."""
        counts = self.seen.setdefault(number, {}).setdefault(at, Counter())
        counts[content] += 1
        self.newest[number] = max(at, self.newest.get(number, at))
        return counts[content]

    def forget(self) -> None:
        for number, times in self.seen.items():
            horizon = self.newest[number] - FORGET_MS
            for at in [at for at in times if at < horizon]:
                del times[at]


def stored_moments(number: int, times: Sequence[int]) -> dict[int, Moment]:
    """Return what a series has at each of some times."""
    found = {at: Moment() for at in times}
    for begin in range(0, len(times), CHUNK):
        rows = Tick.objects.filter(series_id=number, timestamp__in=times[begin : begin + CHUNK])
        for at, position, price, volume in rows.order_by().values_list(
            "timestamp", "position", "price", "volume"
        ):
            found[at].contents[price, volume] += 1
            found[at].positions.add(position)
    return found


def values_of(number: int, record: TickRecord) -> TickValues:
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


def point_of(record: TickRecord) -> Point:
    reading = NO_VOLUME if record.volume is None else record.volume
    position = record.position or 0
    return (record.timestamp, reading, position, Decimal(record.price), record.oi)
