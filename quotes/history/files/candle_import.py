"""Importing candles of one minute, with the longer ones made of them, and of days without minutes.

A candle that is there stays, so that what was recorded is not replaced by what a vendor made of it.
"""

from collections.abc import Iterable, Sequence

from django.db import transaction

from quotes.history.candles.bars import Bar
from quotes.history.candles.deriving import CandleChange, LongerCandles
from quotes.history.candles.intervals import Interval
from quotes.history.candles.sessions import Calendar
from quotes.history.files.import_report import ImportReport
from quotes.history.files.import_rows import CandleRecord
from quotes.history.models import Candle
from quotes.history.tables.opening import open_tables

CHUNK = 500  # candles in one query

Prices = tuple[object, ...]


class CandleImport:
    """Stores candles that are not there."""

    def __init__(self, calendars: dict[str, Calendar], report: ImportReport) -> None:
        self.calendars = calendars
        self.report = report
        self.tables = open_tables()
        self.tables.prepare()

    def store(self, records: Sequence[CandleRecord]) -> None:
        """Store what is new of the records, and what is made of it, in a transaction."""
        counts = {"added": 0, "repeated": 0, "kept": 0}
        with transaction.atomic(using=self.tables.connection.alias):
            numbers = self.tables.series({str(record.key) for record in records})
            groups: dict[tuple[str, Interval], list[CandleRecord]] = {}
            # Minutes come before days: a day that has minutes is made of them.
            for record in sorted(records, key=lambda record: record.interval):
                groups.setdefault((str(record.key), record.interval), []).append(record)
            changed = 0
            for (key, interval), members in groups.items():
                number = numbers[key]
                new = fresh(number, interval, members, counts)
                changes = self.changes(members[0].key.segment, number, interval, new)
                if changes:
                    self.tables.put_candles(changes)
                    changed += len(changes)
        self.tables.committed()
        self.report.added += counts["added"]
        self.report.repeated += counts["repeated"]
        self.report.kept += counts["kept"]
        self.report.candles += changed

    def changes(
        self, segment: str, number: int, interval: Interval, bars: list[Bar]
    ) -> list[CandleChange]:
        """Return the candles to store, given new ones of a series."""
        if interval is Interval.DAY:
            return [CandleChange(number, interval, bar) for bar in bars]
        calendar = self.calendars.get(segment) or self.calendars[""]
        longer = LongerCandles(number, calendar, self.tables, lambda ends: True)
        made: dict[tuple[Interval, int], CandleChange] = {}
        for change in longer.derive(bars):
            change.bar.final = True
            made[change.interval, change.bar.start] = change
        return list(made.values())


def fresh(
    number: int, interval: Interval, records: Iterable[CandleRecord], counts: dict[str, int]
) -> list[Bar]:
    """Return the candles that are not stored, by time; count what becomes of all."""
    bars = [record.bar for record in records]
    stored = stored_prices(number, interval, [bar.start for bar in bars])
    new: dict[int, Bar] = {}
    for bar in bars:
        known = stored.get(bar.start)
        if known is None:
            stored[bar.start] = prices_of(bar)
            new[bar.start] = bar
            counts["added"] += 1
        else:
            counts["repeated" if known == prices_of(bar) else "kept"] += 1
    return [bar for _, bar in sorted(new.items())]


def stored_prices(number: int, interval: Interval, starts: Sequence[int]) -> dict[int, Prices]:
    found: dict[int, Prices] = {}
    for begin in range(0, len(starts), CHUNK):
        rows = Candle.objects.filter(
            series_id=number, interval=interval, start__in=starts[begin : begin + CHUNK]
        )
        for start, *prices in rows.order_by().values_list(
            "start", "open", "high", "low", "close", "volume"
        ):
            found[start] = tuple(prices)
    return found


def prices_of(bar: Bar) -> Prices:
    return (bar.open, bar.high, bar.low, bar.close, bar.volume)
