"""What history holds, read in plain SQL, and how it differs from what is expected."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import connections
from redis import Redis

from benchmarks.right_day.events import INTERVALS, LABELS, Candle, day_of, segment_of
from benchmarks.right_day.expected import Expected, Stored

_TICKS = (
    'SELECT t."timestamp", t.position, t.price, t.volume, t.oi, t.seq, t.shown, t.epoch'
    " FROM history_tick t WHERE t.series_id = %s"
    ' ORDER BY t."timestamp", t.position'
)
_CANDLES = (
    'SELECT "interval", "start", ends, "open", high, low, "close", volume, oi, ticks, final'
    " FROM history_candle WHERE series_id = %s"
)
_SHOWN_DIFFERENCES = 20

_TickRow = tuple[int, str, int | None, int | None, int, bool]


@dataclass
class Comparison:
    """Rows of history that were compared, and the differences.

    Attributes:
        ticks, days: how many ticks and records of day statistics were compared.
        candles: interval -> how many.
        fixed: how many of the candles cannot be computed again.
        differences: sentences; empty: none.
    """

    ticks: int = 0
    days: int = 0
    candles: Counter[int] = field(default_factory=Counter)
    fixed: int = 0
    differences: list[str] = field(default_factory=list)

    def add(self, sentence: str) -> None:
        self.differences.append(sentence)

    def lines(self) -> Iterator[str]:
        candles = ", ".join(
            f"{self.candles[interval]:,} {LABELS[interval]}" for interval in INTERVALS
        )
        yield (
            f"compared: {self.ticks:,} ticks; {self.candles.total():,} candles ({candles}), "
            f"{self.fixed:,} of them without their ticks; {self.days} records of the day"
        )
        yield from self.differences[:_SHOWN_DIFFERENCES]
        if len(self.differences) > _SHOWN_DIFFERENCES:
            yield f"... and {len(self.differences) - _SHOWN_DIFFERENCES:,} more"
        yield f"{len(self.differences):,} differences"


def stored_count() -> int:
    """Return how many ticks of the log the recorder has stored."""
    return int(_query("SELECT coalesce(sum(n), 0) FROM history_logposition")[0][0])


def compare(expected: Expected, statistics: Mapping[str, Mapping[str, object]]) -> Comparison:
    """Compare all tables, and the statistics of the day, with what is expected."""
    found = Comparison()
    numbers = dict(_query("SELECT key, id FROM history_series"))
    keys = {key for key, _ in expected.days}
    for key in sorted(keys | numbers.keys()):
        number = numbers.get(key, 0)
        _compare_ticks(found, expected, key, number)
        _compare_candles(found, expected, key, number)
        wanted = expected.statistics(key)
        if wanted is not None:
            found.days += 1
            if statistics.get(key) != wanted:
                found.add(f"{key} day: {statistics.get(key)}; expected: {wanted}")
    gaps = _query("SELECT reason, ticks FROM history_gap")
    if gaps:
        found.add(f"gaps: {gaps}")
    if stored_count() != expected.published:
        found.add(f"{stored_count():,} ticks of {expected.published:,} are stored")
    return found


def day_statistics(client: Redis) -> dict[str, dict[str, object]]:
    """Return the statistics of the day by instrument key."""
    rows: Any = client.hgetall("quotes:day")
    return {
        key.decode(): json.loads(text, parse_float=Decimal, parse_int=_number)
        for key, text in rows.items()
    }


def _number(text: str) -> Decimal:
    return Decimal(text)


def _compare_ticks(found: Comparison, expected: Expected, key: str, number: int) -> None:
    days = [day for (name, _), day in expected.days.items() if name == key]
    wanted = [_tick_row(tick) for day in days for tick in day.ticks]
    order = sorted(
        ((tick.time, tick.order), at)
        for at, tick in enumerate(tick for day in days for tick in day.ticks)
    )
    rows = _query(_TICKS, (number,))
    stored = [
        (time, str(price), volume, oi, seq, bool(shown))
        for time, _, price, volume, oi, seq, shown, _ in rows
    ]
    found.ticks += len(wanted)
    _explain(found, f"{key} ticks", stored, [wanted[at] for _, at in order])
    epochs = {epoch for *_, seq, shown, epoch in rows if seq or shown}
    if len(epochs) > 1:
        found.add(f"{key}: ticks of {len(epochs)} epochs")


def _tick_row(tick: Stored) -> _TickRow:
    return (tick.time, tick.price, tick.volume, tick.oi, tick.seq, tick.shown)


def _explain(found: Comparison, name: str, stored: list[_TickRow], wanted: list[_TickRow]) -> None:
    if stored == wanted:
        return
    at = next(
        (at for at, pair in enumerate(zip(stored, wanted, strict=False)) if pair[0] != pair[1]),
        min(len(stored), len(wanted)),
    )
    found.add(
        f"{name}: {len(stored):,} stored, {len(wanted):,} expected; the first that differs: "
        f"{stored[at : at + 1]}; expected: {wanted[at : at + 1]}"
    )


def _compare_candles(found: Comparison, expected: Expected, key: str, number: int) -> None:
    stored: dict[tuple[int, int], Candle] = {}
    final: dict[tuple[int, int], bool] = {}
    for interval, start, ends, *prices, volume, oi, ticks, is_final in _query(_CANDLES, (number,)):
        place = interval, start
        stored[place] = Candle(*(start, ends, *map(Decimal, prices), volume, oi, ticks))
        final[place] = bool(is_final)
    wanted: dict[tuple[int, int], Candle] = {}
    for name, day in list(expected.days):
        if name == key:
            wanted |= expected.candles(key, day)
            found.fixed += len(expected.days[key, day].fixed)
    found.candles.update(interval for interval, _ in wanted)
    passed = expected.newest.get(segment_of(key), 0) - expected.grace_ms - 60_000
    for place in sorted(stored.keys() | wanted.keys()):
        interval, start = place
        name = f"{key} {LABELS[interval]} at {start} ({day_of(start)})"
        is_, wanted_ = stored.get(place), wanted.get(place)
        if is_ != wanted_:
            found.add(f"{name}: {_text(is_)}; expected: {_text(wanted_)}")
        elif is_ is not None and is_.ends < passed and not final[place]:
            found.add(f"{name} is not final")


def _text(candle: Candle | None) -> str:
    return " ".join(map(str, candle[2:])) if candle else "no candle"


def _query(sql: str, values: tuple[int, ...] = ()) -> list[Any]:
    with connections["history"].cursor() as cursor:
        cursor.execute(sql, values)
        rows: list[Any] = cursor.fetchall()
        return rows
