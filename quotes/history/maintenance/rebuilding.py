"""Rebuilding candles of past days from the stored ticks, to check or to repair them.

A day is built as a whole, without the incremental code of `candles/building.py`: the two share
only the rules of a candle. What its ticks do not prove stays as it is.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date

from django.db import transaction

from instruments.keys import InstrumentKey
from quotes.history.candles.bars import Bar, Point
from quotes.history.candles.deriving import CandleChange
from quotes.history.candles.intervals import STORED, Interval
from quotes.history.candles.recomputing import Bars, bars_of_day, is_made, unproved_bars
from quotes.history.candles.sessions import Calendar, TradingDay
from quotes.history.models import Candle, LogPosition, Series, Tick
from quotes.history.router import ALIAS
from quotes.history.tables.base import Tables
from quotes.history.tables.opening import open_tables
from quotes.runtime.clock import DAY_MS, date_of, midnight_of


@dataclass
class RebuildReport:
    """The counts of a run.

    Attributes:
        days: days of instruments that were checked.
        candles: candles that the ticks make.
        wrong: candles that differed from their ticks, were missing, or should not exist.
        incomplete: days some of whose ticks are not stored.
        unchecked: candles of these days that cannot be checked; they stay as they are.
    """

    days: int = 0
    candles: int = 0
    wrong: int = 0
    incomplete: int = 0
    unchecked: int = 0


def rebuild_candles(
    *,
    first: date,
    last: date,
    calendars: dict[str, Calendar],
    keys: Iterable[InstrumentKey] | None = None,
    repair: bool = True,
    report_line: Callable[[str], object] = lambda sentence: None,
) -> RebuildReport:
    """Compare stored candles with those that the stored ticks make, and repair the differences.

    Ticks that came under other names of an instrument count as its own. A recorder may be active:
    each day of an instrument is one transaction that recorders wait for.

    Args:
        first, last: Indian dates, both included.
        keys: only these instruments; None: all.
        repair: whether to replace wrong candles.
        report_line: called with a sentence for each wrong candle.
    """
    report = RebuildReport()
    tables = open_tables()
    tables.prepare()
    for series in _selected_series(keys):
        calendar = calendars.get(series.segment) or calendars[""]
        tables.find_earlier({series.key: series.id})
        for day in _days_with_history(series, first, last):
            with transaction.atomic(using=ALIAS):
                # Recorders wait for this lock.
                list(LogPosition.objects.select_for_update().values_list("shard"))
                _rebuild_day(
                    series, day, calendar, tables, report, repair=repair, report_line=report_line
                )
    return report


def _selected_series(keys: Iterable[InstrumentKey] | None) -> Iterator[Series]:
    rows = Series.objects.all()
    if keys is not None:
        rows = rows.filter(key__in=[str(key) for key in keys])
    yield from list(rows)


def _days_with_history(series: Series, first: date, last: date) -> Iterator[date]:
    """Yield the days of a range on which an instrument has ticks or candles."""
    at, end = midnight_of(first), midnight_of(last) + DAY_MS
    while True:
        ticks = Tick.objects.filter(series=series, timestamp__gte=at, timestamp__lt=end)
        days = Candle.objects.filter(
            series=series, interval=Interval.DAY, start__gte=at, start__lt=end
        )
        found = [
            *ticks.order_by("timestamp").values_list("timestamp", flat=True)[:1],
            *days.order_by("start").values_list("start", flat=True)[:1],
        ]
        if not found:
            return
        day = date_of(min(found))
        yield day
        at = midnight_of(day) + DAY_MS


def _rebuild_day(
    series: Series,
    date_: date,
    calendar: Calendar,
    tables: Tables,
    report: RebuildReport,
    *,
    repair: bool,
    report_line: Callable[[str], object],
) -> None:
    """Compare and repair one day of one instrument."""
    midnight = midnight_of(date_)
    day = calendar.day(midnight)
    stored: Bars = {
        (interval, bar.start): bar
        for interval, bar in tables.bars(series.id, STORED, midnight, midnight + DAY_MS)
    }
    points: list[Point] = []
    if day is not None:
        trades, others = tables.trades_and_others(series.id, day.begins, day.accepts_until)
        points = sorted(trades)
        if others:
            stored = _without(others, stored, day)
    if not stored and not points:
        return
    report.days += 1
    whole = stored.get((Interval.DAY, midnight))
    is_complete = whole is None or len(points) >= whole.ticks
    unproved: Bars = {}
    if not is_complete:
        ticks = tables.points(series.id, midnight, midnight + DAY_MS)
        unproved = unproved_bars([point[0] for point in ticks], stored, day)
    right = bars_of_day(points, unproved, day) if day is not None else {}
    if not is_complete:
        fixed = {at: bar for at, bar in unproved.items() if not is_made(bar, right.get(at))}
        right |= fixed
        report.incomplete += 1
        report.unchecked += len(fixed)
        report_line(
            f"{series.key} on {date_}: {len(fixed)} candles cannot be checked: their ticks were "
            "pruned, or they were imported"
        )
    report.candles += len(right)
    changes: list[CandleChange] = []
    for (interval, start), bar in right.items():
        old = stored.get((interval, start))
        if old is not None and _is_same(old, bar, interval):
            continue
        report.wrong += 1
        report_line(_difference(series, interval, old, bar))
        bar.final = old.final if old is not None else True
        bar.revised = old is not None
        changes.append(CandleChange(series.id, interval, bar))
    surplus = stored.keys() - right.keys()
    for interval, start in sorted(surplus):
        report.wrong += 1
        report_line(_difference(series, interval, stored[interval, start], None))
    if repair and (changes or surplus):
        tables.note_edit()
        if changes:
            tables.put_candles(changes)
        for interval, start in surplus:
            Candle.objects.filter(series=series, interval=interval, start=start).delete()


def _without(others: list[Point], stored: Bars, day: TradingDay) -> Bars:
    """Return the stored candles of a day without the ticks that are no trades.

    Release 0.1.0 made candles of these too. Their prices show, so that they differ from what the
    trades make; the numbers of ticks tell how many trades they have.
    """
    found = dict(stored)
    for timestamp, *_ in others:
        for interval in STORED:
            at = interval, day.span(interval, timestamp)[0]
            bar = found.get(at)
            if bar is not None and bar.low <= 0:
                found[at] = replace(bar, ticks=bar.ticks - 1)
    return found


def _is_same(old: Bar, new: Bar, interval: Interval) -> bool:
    """Return whether two candles are equal; equal prices may have different digits."""
    return (
        (old.open, old.high, old.low, old.close) == (new.open, new.high, new.low, new.close)
        and (old.volume, old.oi, old.ticks, old.ends) == (new.volume, new.oi, new.ticks, new.ends)
        and (interval is not Interval.MINUTE or old.volume_state == new.volume_state)
    )


def _difference(series: Series, interval: Interval, old: Bar | None, new: Bar | None) -> str:
    bar = old or new
    assert bar is not None
    was, is_ = (
        "no candle" if one is None else " ".join(map(str, one.values)) for one in (old, new)
    )
    return (
        f"{series.key} {interval.label} at {bar.start} ({date_of(bar.start)}): "
        f"stored: {was}; from ticks: {is_}"
    )
