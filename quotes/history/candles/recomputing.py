"""What of a session can be computed again from its stored ticks; pure rules, no I/O."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from quotes.history.candles.bars import Bar, Point, fold
from quotes.history.candles.intervals import Interval
from quotes.history.candles.sessions import TradingDay
from quotes.history.candles.volumes import (
    SESSION_START,
    CandleVolume,
    FixedVolume,
    day_volumes,
)


def session_minutes(day: TradingDay, points: Sequence[Point], stored: Iterable[Bar]) -> list[Bar]:
    """Return the one-minute candles of a session, in order of time.

    Args:
        points: all stored ticks of the session, sorted.
        stored: one-minute candles, of which those with more ticks than are stored are used as they
            are: their ticks were pruned, or they were imported.
    """
    spans: dict[tuple[int, int], list[Point]] = {}
    for point in points:
        spans.setdefault(day.span(Interval.MINUTE, point[0]), []).append(point)
    minutes = {
        start: fold(members, start, ends, SESSION_START) for (start, ends), members in spans.items()
    }
    for old in stored:
        if day.begins <= old.start < day.ends:
            made = minutes.get(old.start)
            if made is None or made.ticks < old.ticks:
                minutes[old.start] = old
    return with_volumes(day, [bar for _, bar in sorted(minutes.items())], points)


def with_volumes(day: TradingDay, bars: Collection[Bar], points: Iterable[Point]) -> list[Bar]:
    """Return the one-minute candles of a session with the volumes that its readings make.

    Args:
        bars: all of the session's, in order of time; those that stay as they are are returned.
        points: all stored ticks of the session. A candle with as many ticks as are stored is
            computed from them; the volume of any other is fixed.
    """
    counts = dict.fromkeys((bar.start for bar in bars), 0)
    readings: dict[int, list[int]] = {start: [] for start in counts}
    for point in sorted(points):
        start = day.start_of(point[0], Interval.MINUTE.step_ms)
        if start in counts:
            counts[start] += 1
            if point[1] >= 0:
                readings[start].append(point[1])
    fixed = {bar.start for bar in bars if counts[bar.start] != bar.ticks}
    found = day_volumes(
        [FixedVolume(bar.volume) if bar.start in fixed else readings[bar.start] for bar in bars]
    )
    return [
        bar
        if _is_same(bar, volume, is_fixed=bar.start in fixed)
        else replace(bar, volume=volume.traded, volume_state=volume.state)
        for bar, volume in zip(bars, found, strict=True)
    ]


def _is_same(bar: Bar, volume: CandleVolume, *, is_fixed: bool) -> bool:
    """Return whether a candle has this volume; noise of ticks that are not stored is no matter."""
    level, noise = volume.state
    state = level, bar.volume_state[1] if is_fixed else noise
    return (bar.volume, bar.volume_state) == (volume.traded, state)
