"""Importing one-minute candles, with the longer ones made of them, and days without minutes.

A stored candle stays as it is: the candles of a vendor do not replace recorded ones.
"""

from collections.abc import Iterable, Sequence

from django.db import transaction

from quotes.history.candles.bars import Bar
from quotes.history.candles.deriving import CandleChange, LongerCandles
from quotes.history.candles.intervals import Interval
from quotes.history.candles.recomputing import derive_candles, with_volumes
from quotes.history.candles.sessions import Calendar, TradingDay
from quotes.history.files.import_report import HistoryImportReport
from quotes.history.files.import_rows import CandleRecord
from quotes.history.models import Candle
from quotes.history.tables.joined import JoinedDays
from quotes.history.tables.opening import open_tables
from quotes.runtime.clock import now_ms

_CHUNK = 500  # candles in one query

_Prices = tuple[object, ...]


class CandleImport:
    """Stores candles that are not stored yet; for one thread."""

    def __init__(self, calendars: dict[str, Calendar], report: HistoryImportReport) -> None:
        self._calendars = calendars
        self._report = report
        self._tables = open_tables()
        self._tables.prepare()
        self._days = JoinedDays(self._tables)

    def store(self, records: Sequence[CandleRecord]) -> None:
        """Store the new candles, and the longer ones made of them, in one transaction."""
        counts = {"added": 0, "repeated": 0, "kept": 0}
        with transaction.atomic(using=self._tables.connection.alias):
            self._tables.note_edit()
            numbers = self._tables.series({str(record.key) for record in records})
            groups: dict[tuple[str, Interval], list[CandleRecord]] = {}
            # Minutes come before days: a day with minutes is made of them.
            for record in sorted(records, key=lambda record: record.interval):
                groups.setdefault((str(record.key), record.interval), []).append(record)
            changed = 0
            for (key, interval), members in groups.items():
                number = numbers[key]
                calendar = self._calendars.get(members[0].key.segment) or self._calendars[""]
                starts = [record.bar.start for record in members]
                self._days.continue_days(number, calendar, starts, passed=now_ms())
                new = _new_bars(number, interval, members, counts)
                changes = self._changes(members[0].key.segment, number, interval, new)
                if changes:
                    self._tables.put_candles(changes)
                    changed += len(changes)
        self._report.added += counts["added"]
        self._report.repeated += counts["repeated"]
        self._report.kept += counts["kept"]
        self._report.candles += changed

    def _changes(
        self, segment: str, number: int, interval: Interval, bars: list[Bar]
    ) -> list[CandleChange]:
        """Return the candles to store for new candles of one series."""
        if interval is Interval.DAY:
            return [CandleChange(number, interval, bar) for bar in bars]
        calendar = self._calendars.get(segment) or self._calendars[""]
        longer = LongerCandles(number, calendar, self._tables, lambda ends: True)
        derived = derive_candles(
            longer,
            self._with_recorded(number, calendar, bars),
            series=number,
            source=self._tables,
            is_final=lambda ends: True,
        )
        self._tables.delete_candles(derived.removed)
        made: dict[tuple[Interval, int], CandleChange] = {}
        for change in derived.changes:
            change.bar.final = True
            made[change.interval, change.bar.start] = change
        return list(made.values())

    def _with_recorded(self, number: int, calendar: Calendar, bars: list[Bar]) -> list[Bar]:
        """Return new one-minute candles, and recorded ones whose volume changes with them."""
        days: dict[TradingDay, dict[int, Bar]] = {}
        for bar in bars:
            day = calendar.day(bar.start)
            assert day is not None, f"a candle out of hours, at {bar.start}"
            days.setdefault(day, {})[bar.start] = bar
        changed = []
        for day, new in days.items():
            stored = self._tables.bars(number, (Interval.MINUTE,), day.begins, day.ends)
            before = dict(sorted([*((bar.start, bar) for _, bar in stored), *new.items()]))
            points = self._tables.points(number, day.begins, day.accepts_until)
            changed += [
                bar
                for bar in with_volumes(day, before.values(), points)
                if bar.start in new or bar is not before[bar.start]
            ]
        return changed


def _new_bars(
    number: int, interval: Interval, records: Iterable[CandleRecord], counts: dict[str, int]
) -> list[Bar]:
    """Return the candles that are not stored, by time; add all of them to the counts."""
    bars = [record.bar for record in records]
    stored = _stored_prices(number, interval, [bar.start for bar in bars])
    new: dict[int, Bar] = {}
    for bar in bars:
        prices = stored.get(bar.start)
        if prices is None:
            stored[bar.start] = _prices_of(bar)
            new[bar.start] = bar
            counts["added"] += 1
        else:
            counts["repeated" if prices == _prices_of(bar) else "kept"] += 1
    return [bar for _, bar in sorted(new.items())]


def _stored_prices(number: int, interval: Interval, starts: Sequence[int]) -> dict[int, _Prices]:
    found: dict[int, _Prices] = {}
    for begin in range(0, len(starts), _CHUNK):
        rows = Candle.objects.filter(
            series_id=number, interval=interval, start__in=starts[begin : begin + _CHUNK]
        )
        for start, *values in rows.order_by().values_list(
            "start", "open", "high", "low", "close", "volume"
        ):
            found[start] = tuple(values)
    return found


def _prices_of(bar: Bar) -> _Prices:
    return (bar.open, bar.high, bar.low, bar.close, bar.volume)
