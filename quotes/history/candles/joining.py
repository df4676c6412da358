"""Candles of a day that began under another name: those of the earlier series and the own ones.

Pure rules, no I/O. A series without a segment has other hours than its instrument: its candles are
aligned to midnight, and include ticks out of hours. So the one-minute candles alone are taken over,
and the longer ones are made of them, by the hours of the instrument.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace

from quotes.history.candles.bars import Bar, merge
from quotes.history.candles.intervals import STORED, Interval
from quotes.history.candles.sessions import TradingDay
from quotes.history.candles.volumes import MAX_VOLUME

BarsOfDay = dict[tuple[Interval, int], Bar]  # interval and start -> candle


def joined_minutes(day: TradingDay, earlier: Iterable[Bar], own: Iterable[Bar]) -> list[Bar]:
    """Return the one-minute candles of a session, in order of time.

    Args:
        earlier: those of the earlier series; any day's.
        own: those of the instrument's series, which come first where both have one.

    Returns:
        Candles whose volumes go on where the candles before them ended.
    """
    groups: dict[int, list[Bar]] = {}
    for bar in earlier:
        if day.begins <= bar.start < day.accepts_until:
            groups.setdefault(day.start_of(bar.start, Interval.MINUTE.step_ms), []).append(bar)
    for bar in own:
        if day.begins <= bar.start < day.ends:
            groups[bar.start] = [bar]
    found: list[Bar] = []
    level = 0
    for start, bars in sorted(groups.items()):
        _, ends = day.span(Interval.MINUTE, start)
        made = bars[0] if len(bars) == 1 and bars[0].ends == ends else _merged(bars, start, ends)
        reached, noise = bars[-1].volume_state
        if made.volume is None:
            reached = level
        elif reached < max(level, made.volume):  # its readings count from elsewhere
            reached = min(level + made.volume, MAX_VOLUME)
        traded = None if made.volume is None else reached - level
        if (traded, (reached, noise)) != (made.volume, made.volume_state):
            made = replace(made, volume=traded, volume_state=(reached, noise))
        found.append(made)
        level = reached
    return found


def all_intervals(day: TradingDay, minutes: Collection[Bar], *, final_until: int = 0) -> BarsOfDay:
    """Return the candles of all stored intervals that a session's one-minute candles make.

    Args:
        final_until: longer candles that end until then are final if all of their minutes are.
    """
    found: BarsOfDay = {(Interval.MINUTE, bar.start): bar for bar in minutes}
    for interval in STORED[1:]:
        groups: dict[tuple[int, int], list[Bar]] = {}
        for bar in minutes:
            groups.setdefault(day.span(interval, bar.start), []).append(bar)
        for (start, ends), members in groups.items():
            made = found[interval, start] = _merged(members, start, ends)
            made.final = made.final and ends <= final_until
    return found


def _merged(bars: Collection[Bar], start: int, ends: int) -> Bar:
    made = merge(bars, start, ends)
    made.final = all(bar.final for bar in bars)
    made.revised = any(bar.revised for bar in bars)
    return made
