"""The tables of history that the recorder, imports and rebuilding use, in plain SQL.

Bulk writes differ by database: each database has a subclass, and `opening.py` chooses one. All
statements run on the connection of the alias `history`, in the transaction that is open there.
"""

import abc
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.db import connections
from django.db.models import F, Sum

from instruments.keys import InstrumentKey
from instruments.prices import is_above_zero
from quotes.history.candles.bars import NO_VOLUME, Bar, Point
from quotes.history.candles.deriving import CandleChange, RemovedCandle
from quotes.history.candles.intervals import Interval
from quotes.history.models import Gap, LogPosition, Series
from quotes.history.router import ALIAS
from quotes.history.rows import TickValues
from quotes.history.series_names import series_names
from quotes.history.tables.log_positions import START, ReadPosition

_BAR_COLUMNS = (
    '"start", "ends", "open", "high", "low", "close", "volume", "oi", "ticks",'
    ' "day_volume", "fallen_from", "final", "revised"'
)
CANDLE_COLUMNS = f'"series_id", "interval", {_BAR_COLUMNS}'
_UPDATES = ", ".join(
    f"{column} = excluded.{column}" for column in _BAR_COLUMNS.replace(" ", "").split(",")[1:]
)
ON_CONFLICT = f'ON CONFLICT ("series_id", "interval", "start") DO UPDATE SET {_UPDATES}'

_SELECT_BARS = f'SELECT "interval", {_BAR_COLUMNS} FROM history_candle'
_POINTS = (
    'SELECT "timestamp", volume, position, price, oi FROM history_tick'
    ' WHERE series_id IN ({numbers}) AND "timestamp" >= %s AND "timestamp" < %s'
)
_COUNT = (
    "SELECT count(*) FROM history_tick WHERE series_id IN ({numbers})"
    ' AND "timestamp" >= %s AND "timestamp" < %s'
)
_BARS = _SELECT_BARS + (
    ' WHERE series_id = %s AND "interval" BETWEEN %s AND %s AND "start" >= %s AND "start" < %s'
    ' ORDER BY "start"'
)
_LAST_BAR = _SELECT_BARS + (
    ' WHERE series_id = %s AND "interval" = 1 AND "start" >= %s AND "start" < %s'
    ' ORDER BY "start" DESC LIMIT 1'
)
_LAST_DAYS = _SELECT_BARS + (
    ' WHERE series_id = %s AND "interval" = 1440 AND "start" <= %s ORDER BY "start" DESC LIMIT 2'
)
_FINALISE = (
    "UPDATE history_candle SET final = true WHERE NOT final AND ends <= %s"
    " AND series_id IN (SELECT id FROM history_series WHERE segment = %s)"
    f' RETURNING "series_id", "interval", {_BAR_COLUMNS}'
)
_DELETE = 'DELETE FROM history_candle WHERE series_id = %s AND "interval" = %s AND "start" = %s'
_ADVANCE = (
    "UPDATE history_logposition SET entry_id = %s, n = %s, base = %s, clocks = %s, part_of = %s"
    " WHERE shard = %s AND entry_id = %s AND n = %s"
)


class Tables(abc.ABC):
    """The tables over the connection of this thread; also a `deriving.CandleSource`.

    Methods raise `django.db.Error` when the database fails. For the thread that made it alone.

    Attributes:
        earlier: series number -> the series of its instrument's other names, if it has some, as
            `series` found them. Their ticks are read as its own.
    """

    def __init__(self) -> None:
        self.connection = connections[ALIAS]
        self._above_zero: dict[int, bool] = {}  # series -> whether a price of 0 is no trade
        self.earlier: dict[int, tuple[int, ...]] = {}

    @abc.abstractmethod
    def prepare(self) -> None:
        """Prepare bulk writes; not within a transaction."""

    def make_room(self, timestamps: Iterable[int]) -> bool:
        """Prepare for ticks of these times; return False if one transaction cannot hold them.

        Call it before the transaction that stores or reads them. Those of one day always fit.
        """
        return True

    @abc.abstractmethod
    def insert_ticks(self, rows: Sequence[TickValues]) -> None:
        """Store ticks; those that are stored already stay as they are."""

    @abc.abstractmethod
    def put_candles(self, changes: Sequence[CandleChange]) -> None:
        """Store candles, replacing stored ones; each candle may be there once."""

    def delete_candles(self, removed: Sequence[RemovedCandle]) -> None:
        """Delete candles; call it before `put_candles`."""
        if removed:
            with self.connection.cursor() as cursor:
                cursor.executemany(_DELETE, [(one[0], int(one[1]), one[2]) for one in removed])

    def _query(self, sql: str, values: Sequence[Any]) -> list[Any]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values)
            rows: list[Any] = cursor.fetchall()
            return rows

    # -- deriving.CandleSource --------------------------------------------------------------------

    def points(self, series: int, start: int, end: int) -> list[Point]:
        return self.trades_and_others(series, start, end)[0]

    def trades_and_others(
        self, series: int, start: int, end: int
    ) -> tuple[list[Point], list[Point]]:
        """Return the ticks of a range, and those of them that are no trades, for their price."""
        points = self.points_of((series, *self.earlier.get(series, ())), start, end)
        if all(point[3] > 0 for point in points) or not self.is_above_zero(series):
            return points, []
        return [one for one in points if one[3] > 0], [one for one in points if one[3] <= 0]

    def is_above_zero(self, series: int) -> bool:
        """Return whether a price of 0 is no trade of a series' instrument."""
        found = self._above_zero.get(series)
        if found is None:
            key = InstrumentKey.parse(Series.objects.values_list("key", flat=True).get(id=series))
            found = self._above_zero[series] = is_above_zero(key)
        return found

    def points_of(self, numbers: Sequence[int], start: int, end: int) -> list[Point]:
        """Return the ticks of several series in a range, in any order."""
        sql = _POINTS.format(numbers=", ".join(["%s"] * len(numbers)))
        return [
            (
                timestamp,
                NO_VOLUME if volume is None else volume,
                position,
                price if isinstance(price, Decimal) else Decimal(price),
                oi,
            )
            for timestamp, volume, position, price, oi in self._query(sql, (*numbers, start, end))
        ]

    def count_ticks(self, numbers: Sequence[int], start: int, end: int) -> int:
        """Return how many ticks several series have in a range."""
        sql = _COUNT.format(numbers=", ".join(["%s"] * len(numbers)))
        return int(self._query(sql, (*numbers, start, end))[0][0])

    def bars(
        self, series: int, intervals: Iterable[Interval], start: int, end: int
    ) -> list[tuple[Interval, Bar]]:
        # The intervals of one query are neighbours.
        wanted = sorted(intervals)
        rows = self._query(_BARS, (series, int(wanted[0]), int(wanted[-1]), start, end))
        return [(Interval(row[0]), _bar_of(row[1:])) for row in rows]

    def last_bar(self, series: int, start: int, end: int) -> Bar | None:
        rows = self._query(_LAST_BAR, (series, start, end))
        return _bar_of(rows[0][1:]) if rows else None

    # -- days, finals, series, positions and gaps -------------------------------------------------

    def last_days(self, series: int, moment: int) -> list[Bar]:
        """Return the last two day candles up to that of a moment, newest first."""
        return [_bar_of(row[1:]) for row in self._query(_LAST_DAYS, (series, moment))]

    def finalise(self, segment: str, passed: int) -> list[CandleChange]:
        """Mark the candles of a segment that ended by a moment as final; return those candles."""
        return [
            CandleChange(row[0], Interval(row[1]), _bar_of(row[2:]))
            for row in self._query(_FINALISE, (passed, segment))
        ]

    def series(self, keys: Collection[str]) -> dict[str, int]:
        """Return the series number of each instrument key; new instruments get one.

        The series of their other names are found, too.
        """
        found = dict(Series.objects.filter(key__in=keys).values_list("key", "id"))
        if missing := [key for key in keys if key not in found]:
            Series.objects.bulk_create(
                [Series(key=key, segment=InstrumentKey.parse(key).segment) for key in missing],
                ignore_conflicts=True,
            )
            rows = Series.objects.filter(key__in=missing).values_list("key", "id")
            found.update(rows)
        self.find_earlier(found)
        return found

    def find_earlier(self, numbers: Mapping[str, int]) -> None:
        """Find the series of other names of these instruments: key -> number of the own series."""
        owners = series_names.owners()
        for key, number in numbers.items():
            if earlier := tuple(one.number for one in owners.get(key, ())):
                self.earlier[number] = earlier
            else:
                self.earlier.pop(number, None)

    def position(self, shard: int) -> ReadPosition:
        """Return how far the log of a shard was read."""
        rows = LogPosition.objects.filter(shard=shard)
        row = rows.values_list("entry_id", "n", "base", "clocks", "part_of").first()
        return ReadPosition(*row) if row else START

    def advance(self, shard: int, old: ReadPosition, new: ReadPosition) -> bool:
        """Store how far a log was read; return False if another recorder stored a position since.

        The row stays locked until the transaction ends.
        """
        if old == START:
            first = LogPosition(shard=shard, entry_id=old.entry_id)
            LogPosition.objects.bulk_create([first], ignore_conflicts=True)
        with self.connection.cursor() as cursor:
            cursor.execute(_ADVANCE, (*new, shard, old.entry_id, old.n))
            return bool(cursor.rowcount == 1)

    def edits(self) -> int:
        """Return how often history was edited, as `note_edit` counts."""
        total: int | None = LogPosition.objects.aggregate(total=Sum("edits"))["total"]
        return total or 0

    def note_edit(self) -> None:
        """Count a change of ticks or candles by something else than a recorder.

        Call it in the transaction of the change, before it: recorders wait until that ends, and
        then drop what they have in memory.
        """
        LogPosition.objects.update(edits=F("edits") + 1)

    def add_gap(self, gap: Gap) -> None:
        gap.save(force_insert=True)

    def extend_gap(self, gap: Gap) -> bool:
        """Add the ticks of a gap to the stored one of the same time; return False if none is."""
        if gap.ticks is None:
            return False
        same = Gap.objects.filter(
            shard=gap.shard, reason=gap.reason, begins=gap.begins, ends=gap.ends
        )
        return bool(same.update(ticks=F("ticks") + gap.ticks))


def _bar_of(row: Sequence[Any]) -> Bar:
    """Return the candle of a row of _BAR_COLUMNS."""
    start, ends, *prices, volume, oi, ticks, day_volume, fallen_from, final, revised = row
    opened, high, low, close = (
        price if isinstance(price, Decimal) else Decimal(price) for price in prices
    )
    return Bar(
        *(start, ends, opened, high, low, close, volume, oi, ticks),
        volume_state=(day_volume, fallen_from),
        final=bool(final),
        revised=bool(revised),
    )


def candle_values(change: CandleChange) -> tuple[Any, ...]:
    """Return the values of CANDLE_COLUMNS of a candle, prices as text."""
    series, interval, bar = change
    return (
        *(series, int(interval), bar.start, bar.ends),
        *(str(bar.open), str(bar.high), str(bar.low), str(bar.close)),
        *(bar.volume, bar.oi, bar.ticks, *bar.volume_state, bar.final, bar.revised),
    )
