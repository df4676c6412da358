"""Storing the history of an instrument in one series that was recorded under several names.

Readers see it as one before, too (`series_names.py`). Each day of a series is one transaction, so
that it can be interrupted, and run again. A recorder may be active: it waits for each transaction.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from django.db import transaction
from django.db.models import Min

from instruments.keys import InstrumentKey
from quotes.history.candles.intervals import Interval
from quotes.history.candles.sessions import Calendar
from quotes.history.models import Candle, LogPosition, Series, Tick
from quotes.history.router import ALIAS
from quotes.history.series_names import series_names
from quotes.history.tables.base import Tables
from quotes.history.tables.joined import JoinedDays
from quotes.history.tables.opening import open_tables
from quotes.runtime.clock import DAY_MS, date_of, day_number, midnight_of_day, now_ms

_BEGINNING = -(2**62)
_SAME_POSITIONS = (
    'SELECT a."timestamp", a.position,'
    " a.epoch = b.epoch AND a.seq = b.seq AND a.shown = b.shown AND a.price = b.price"
    ' FROM history_tick a JOIN history_tick b ON b."timestamp" = a."timestamp"'
    " AND b.position = a.position AND b.series_id = %s"
    ' WHERE a.series_id = %s AND a."timestamp" >= %s AND a."timestamp" < %s'
)
_MOVE_AWAY = (
    "UPDATE history_tick SET position = (SELECT max(position) + 1 FROM history_tick"
    ' WHERE series_id IN (%s, %s) AND "timestamp" = %s)'
    ' WHERE series_id = %s AND "timestamp" = %s AND position = %s'
)
_MOVE = (
    "UPDATE history_tick SET series_id = %s"
    ' WHERE series_id = %s AND "timestamp" >= %s AND "timestamp" < %s'
)


class SeriesToJoin(NamedTuple):
    """A series of another name, and the instrument that it belongs to."""

    number: int
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.old} -> {self.new}"


@dataclass
class JoinReport:
    """The counts of a run, or of what it would do.

    Attributes:
        series: whose rows were all moved.
        days: days of series whose rows were moved.
        candles: that the other series had; they are in those of the instrument.
        is_interrupted: there are more rows to move.
    """

    series: int = 0
    days: int = 0
    ticks: int = 0
    candles: int = 0
    is_interrupted: bool = False


def series_to_join(keys: Collection[str] = ()) -> list[SeriesToJoin]:
    """Return the series that were recorded under other names, by the names of the instruments.

    Args:
        keys: only those of these instruments or series; empty: all.
    """
    found = [
        SeriesToJoin(one.number, one.key, new)
        for new, some in sorted(series_names.owners().items())
        for one in reversed(some)
    ]
    stored = set(
        Series.objects.filter(pk__in=[one.number for one in found]).values_list("pk", flat=True)
    )
    return [
        one
        for one in found
        if one.number in stored and (not keys or one.old in keys or one.new in keys)
    ]


def size_of(one: SeriesToJoin) -> JoinReport:
    """Return what joining a series would move; reads all of its rows."""
    candles = Candle.objects.filter(series_id=one.number)
    return JoinReport(
        series=1,
        days=candles.filter(interval=Interval.DAY).count(),
        ticks=Tick.objects.filter(series_id=one.number).count(),
        candles=candles.count(),
    )


def join_series(
    *,
    series: Collection[SeriesToJoin],
    calendars: dict[str, Calendar],
    interrupt: Callable[[], bool] = lambda: False,
    on_day: Callable[[int, str], object] = lambda ticks, where: None,
) -> JoinReport:
    """Move the rows of series to those of their instruments, and make the candles of both.

    Args:
        interrupt: returns whether to stop; the day in hand is finished first.
        on_day: called after each day with its number of ticks, and where that was.
    """
    report = JoinReport()
    tables = open_tables()
    tables.prepare()
    for one in series:
        own = tables.series([one.new])[one.new]
        segment = InstrumentKey.parse(one.new).segment
        calendar = calendars.get(segment) or calendars[""]
        for midnight in _days_of(one.number):
            if interrupt():
                report.is_interrupted = True
                return report
            with transaction.atomic(using=ALIAS):
                # Recorders wait for this lock.
                list(LogPosition.objects.select_for_update().values_list("shard"))
                tables.note_edit()
                ticks, candles = _join_day(tables, one.number, own, calendar, midnight)
            report.days += 1
            report.ticks += ticks
            report.candles += candles
            on_day(ticks, f"{one} {date_of(midnight)}")
        with transaction.atomic(using=ALIAS):
            list(LogPosition.objects.select_for_update().values_list("shard"))
            if next(_days_of(one.number), None) is None:
                Series.objects.filter(pk=one.number).delete()
                report.series += 1
    return report


def _days_of(series: int) -> Iterator[int]:
    """Yield the midnights of the days of which a series has rows."""
    at = _BEGINNING
    while True:
        ticks = Tick.objects.filter(series_id=series, timestamp__gte=at)
        candles = Candle.objects.filter(series_id=series, start__gte=at)
        times = [
            ticks.aggregate(first=Min("timestamp"))["first"],
            candles.aggregate(first=Min("start"))["first"],
        ]
        found = [time for time in times if time is not None]
        if not found:
            return
        midnight = midnight_of_day(day_number(min(found)))
        yield midnight
        at = midnight + DAY_MS


def _join_day(
    tables: Tables, old: int, own: int, calendar: Calendar, midnight: int
) -> tuple[int, int]:
    """Move the rows of one day; return how many ticks and candles the old series had."""
    day = calendar.day(midnight)
    candles = Candle.objects.filter(series_id=old, start__gte=midnight, start__lt=midnight + DAY_MS)
    if day is not None:
        JoinedDays(tables).compute_day(own, day, passed=now_ms())
        count, _ = candles.delete()
    elif _has_its_ticks(tables, old, midnight):
        count, _ = candles.delete()  # the instrument does not trade on this day
    else:
        taken = Candle.objects.filter(
            series_id=own, start__gte=midnight, start__lt=midnight + DAY_MS
        ).values_list("interval", "start")
        kept = set(taken)
        count = 0
        for candle in list(candles):
            count += 1
            if (candle.interval, candle.start) in kept:
                candle.delete()
            else:
                Candle.objects.filter(pk=candle.pk).update(series_id=own)
    return _move_ticks(tables, old, own, midnight), count


def _has_its_ticks(tables: Tables, series: int, midnight: int) -> bool:
    """Return whether all ticks of a series' day are stored."""
    days = [bar for _, bar in tables.bars(series, (Interval.DAY,), midnight, midnight + 1)]
    stored = Tick.objects.filter(
        series_id=series, timestamp__gte=midnight, timestamp__lt=midnight + DAY_MS
    ).count()
    return all(bar.ticks <= stored for bar in days)


def _move_ticks(tables: Tables, old: int, own: int, midnight: int) -> int:
    """Move the ticks of a day, and return how many there were."""
    span = (midnight, midnight + DAY_MS)
    with tables.connection.cursor() as cursor:
        cursor.execute(_SAME_POSITIONS, (own, old, *span))
        for timestamp, position, is_same in cursor.fetchall():
            if is_same:  # an older copy of the log was recorded again
                Tick.objects.filter(
                    series_id=old, timestamp=timestamp, position=position
                )._raw_delete(ALIAS)
            else:
                cursor.execute(_MOVE_AWAY, (old, own, timestamp, old, timestamp, position))
        cursor.execute(_MOVE, (own, old, *span))
        return int(cursor.rowcount)
