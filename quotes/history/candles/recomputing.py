"""What of a session can be computed again from its stored ticks; pure rules, no I/O."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from quotes.history.candles.bars import Bar, Point, fold, merge
from quotes.history.candles.deriving import (
    MADE_OF,
    CandleChange,
    CandleSource,
    LongerCandles,
    OtherHours,
    RemovedCandle,
)
from quotes.history.candles.intervals import STORED, Interval
from quotes.history.candles.sessions import TradingDay
from quotes.history.candles.volumes import SESSION_START, CandleVolume, FixedVolume, day_volumes
from quotes.runtime.clock import DAY_MS, MINUTE_MS, day_number

Bars = dict[tuple[Interval, int], Bar]  # interval and start -> candle


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


def bars_of_day(
    points: Sequence[Point], unproved: Mapping[tuple[Interval, int], Bar], day: TradingDay
) -> Bars:
    """Return all candles of the sorted ticks of a day, and of the stored candles without ticks.

    Args:
        unproved: stored candles whose ticks are not stored. Those are used as they are that shorter
            candles do not make either.
    """
    fixed = [bar for (interval, _), bar in unproved.items() if interval is Interval.MINUTE]
    bars = session_minutes(day, points, fixed)
    found: Bars = {(Interval.MINUTE, bar.start): bar for bar in bars}
    for interval, shorter in (MADE_OF | {Interval.DAY: Interval.HOUR}).items():
        groups: dict[tuple[int, int], list[Bar]] = {}
        for (kind, start), bar in sorted(found.items()):
            if kind is shorter:
                groups.setdefault(day.span(interval, start), []).append(bar)
        level = {start: merge(members, start, ends) for (start, ends), members in groups.items()}
        for (kind, start), old in unproved.items():
            if kind is interval and not is_made(old, level.get(start)):
                level[start] = old  # longer ones are made of it
        found |= {(interval, start): bar for start, bar in level.items()}
    return found


def is_made(bar: Bar, made: Bar | None) -> bool:
    """Return whether a candle whose ticks are not stored is made of shorter ones all the same."""
    return made is not None and made is not bar and made.ticks >= bar.ticks


def unproved_bars(
    times: Iterable[int], stored: Mapping[tuple[Interval, int], Bar], day: TradingDay | None
) -> Bars:
    """Return the stored candles of a day whose ticks are not all stored.

    Those of a longer candle are if they are in one-minute candles.

    Args:
        times: of all stored ticks of the day that may be in the stored candles.
        day: by the present hours; stored candles may be of others. None: nothing trades.
    """
    ordered = sorted(times)
    # Ticks out of hours are in no longer candle, or in a one-minute candle too.
    within = [at for at in ordered if day is not None and day.begins <= at < day.accepts_until]
    in_minutes = [(start, bar.ticks) for (interval, start), bar in stored.items() if interval == 1]
    found: Bars = {}
    last = dict(sorted(stored))  # interval -> start of its last candle
    for (interval, start), bar in stored.items():
        # The last candle has the ticks of the minute after the close too.
        until = bar.ends + MINUTE_MS if start == last[interval] else bar.ends
        counted = ordered if interval is Interval.MINUTE else within
        count = bisect_left(counted, until) - bisect_left(counted, start)
        if interval is not Interval.MINUTE and count < bar.ticks:
            count = max(count, sum(ticks for at, ticks in in_minutes if start <= at < bar.ends))
        if count < bar.ticks:
            found[interval, start] = bar
    return found


@dataclass
class DerivedCandles:
    """How the candles of a series change with its one-minute candles.

    Attributes:
        removed: stored candles to delete, before the changes are stored.
        made_again: whether whole days were made again, one-minute candles included.
    """

    changes: list[CandleChange] = field(default_factory=list)
    removed: list[RemovedCandle] = field(default_factory=list)
    made_again: bool = False


def derive_candles(
    longer: LongerCandles,
    minutes: list[Bar],
    *,
    series: int,
    source: CandleSource,
    is_final: Callable[[int], bool],
    new_times: Collection[int] = (),
) -> DerivedCandles:
    """Return every candle that changes with one-minute candles, whatever the hours were before.

    Days whose stored candles are of other hours are made again as a whole, if their ticks and
    one-minute candles are stored. Else they stay as they are.

    Args:
        longer, source, is_final: of the series.
        new_times: event times of the ticks that no stored candle has.
    """
    days: dict[int, list[Bar]] = {}
    for bar in minutes:
        days.setdefault(day_number(bar.start), []).append(bar)
    derived = DerivedCandles()
    for _, inside in sorted(days.items()):
        try:
            derived.changes += longer.derive(inside)
            continue
        except OtherHours as found:
            day = found.day
        longer.forget()
        again = _made_again(
            day, inside, series=series, source=source, is_final=is_final, new_times=new_times
        )
        if again is None:
            longer.accept(day)
            derived.changes += longer.derive(inside)
        else:
            derived.changes += again.changes
            derived.removed += again.removed
            derived.made_again = True
    return derived


def _made_again(
    day: TradingDay,
    minutes: Iterable[Bar],
    *,
    series: int,
    source: CandleSource,
    is_final: Callable[[int], bool],
    new_times: Collection[int],
) -> DerivedCandles | None:
    """Return how candles change if all of a day are made again; None if some cannot be."""
    bars = source.bars(series, STORED, day.midnight, day.midnight + DAY_MS)
    stored: Bars = {(interval, bar.start): bar for interval, bar in bars}
    ticks = source.points(series, day.midnight, day.midnight + DAY_MS)
    times = Counter(point[0] for point in ticks) - Counter(new_times)
    unproved = unproved_bars(times.elements(), stored, day)
    if any(interval is not Interval.MINUTE for interval, _ in unproved):
        return None
    for bar in minutes:
        at = Interval.MINUTE, bar.start
        if at in unproved or at not in stored:
            unproved[at] = bar
    points = sorted(point for point in ticks if day.begins <= point[0] < day.accepts_until)
    made = bars_of_day(points, unproved, day)
    changes = []
    for (interval, start), bar in (unproved | made).items():
        old = stored.get((interval, start))
        if old is None:
            changes.append(CandleChange(series, interval, replace(bar, final=False)))
        elif (old.values, old.ends, old.volume_state) != (bar.values, bar.ends, bar.volume_state):
            was_final = old.final or is_final(old.ends)
            revised = old.revised or was_final
            bar = replace(bar, final=was_final, revised=revised)
            changes.append(CandleChange(series, interval, bar))
    removed = stored.keys() - unproved.keys() - made.keys()
    return DerivedCandles(changes, [RemovedCandle(series, *at) for at in sorted(removed)])
