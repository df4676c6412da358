"""The tables that history must hold, computed from the events in their order.

Written from docs/history.md and docs/history-files.md alone, in plain Python over lists; it shares
no code with `quotes`. A day is computed as a whole, at the end or when its ticks are pruned.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from benchmarks.right_day.events import (
    BUILT_FROM,
    LABELS,
    MINUTE,
    TICKS,
    Candle,
    Edit,
    ImportCandles,
    ImportTicks,
    Prune,
    Session,
    Tick,
    day_of,
    midnight_of,
    minute_of,
    segment_of,
    session_of,
    sessions_before,
)

_IMPORTED, _RECORDED = 0, 1  # within a millisecond, imported ticks come first

Candles = dict[tuple[int, int], Candle]  # interval and start -> candle


class Stored(NamedTuple):
    """A tick in history; `order` is its place among those of its millisecond."""

    time: int
    order: tuple[int, int]
    price: str
    volume: int | None
    oi: int | None
    seq: int
    shown: bool


class Fixed(NamedTuple):
    """A candle that cannot be computed again.

    Attributes:
        counted: ticks of the one-minute candles within it that it contains already.
    """

    candle: Candle
    counted: int = 0


@dataclass
class Day:
    """One day of one instrument.

    Attributes:
        ticks: those that are stored.
        fixed: interval and start -> a candle that was imported, or whose ticks or shorter candles
            were pruned.
    """

    ticks: list[Stored] = field(default_factory=list)
    fixed: dict[tuple[int, int], Fixed] = field(default_factory=dict)


class Expected:
    """History after the events so far.

    Args:
        grace_ms: candles that ended this long before the newest tick of their segment are final.

    Attributes:
        published: how many ticks were published.
        newest: segment -> time of its newest published tick.
        days: instrument key and date -> that day.
    """

    def __init__(self, *, grace_ms: int = 3000) -> None:
        self.grace_ms = grace_ms
        self.published = 0
        self.newest: dict[str, int] = {}
        self.days: dict[tuple[str, date], Day] = {}
        self._imported = 0
        self._shown: dict[str, tuple[int, int]] = {}  # key -> time and number of the last one shown

    def day(self, key: str, day: date) -> Day:
        return self.days.setdefault((key, day), Day())

    # -- events -----------------------------------------------------------------------------------

    def publish(self, ticks: Iterable[Tick]) -> None:
        """Ticks came in this order."""
        for tick in ticks:
            self.published += 1
            segment = segment_of(tick.key)
            self.newest[segment] = max(tick.time, self.newest.get(segment, 0))
            newest, seq = self._shown.get(tick.key, (0, 0))
            shown = tick.time >= newest
            if shown:
                seq += 1
                self._shown[tick.key] = (tick.time, seq)
            self.day(tick.key, day_of(tick.time)).ticks.append(
                Stored(
                    tick.time,
                    (_RECORDED, self.published),
                    *(tick.price, tick.volume, tick.oi, seq, shown),
                )
            )

    def edit(self, edit: Edit | None) -> None:
        """History was edited."""
        if isinstance(edit, ImportTicks):
            self._import_ticks(edit.ticks)
        elif isinstance(edit, ImportCandles):
            self._import_candles(edit)
        elif isinstance(edit, Prune):
            for (key, day), held in self.days.items():
                kinds = (TICKS, *LABELS.values())
                segment = segment_of(key)
                _prune(key, day, held, {kind for kind in kinds if edit.drops(segment, kind, day)})

    def _import_ticks(self, ticks: Iterable[Tick]) -> None:
        """Add those ticks of a file of which fewer are stored, alike in time, price and volume."""
        files: dict[tuple[str, date], list[Tick]] = {}
        for tick in ticks:
            files.setdefault((tick.key, day_of(tick.time)), []).append(tick)
        for (key, date_), members in files.items():
            day = self.day(key, date_)
            stored = Counter((one.time, Decimal(one.price), one.volume) for one in day.ticks)
            seen: Counter[object] = Counter()
            for tick in members:
                content = (tick.time, Decimal(tick.price), tick.volume)
                seen[content] += 1
                if seen[content] <= stored[content]:
                    continue
                self._imported += 1
                order = (_IMPORTED, self._imported)
                day.ticks.append(
                    Stored(tick.time, order, tick.price, tick.volume, tick.oi, 0, False)
                )

    def _import_candles(self, edit: ImportCandles) -> None:
        """Add the candles that are not stored."""
        for candle in edit.candles:
            day = self.day(edit.key, day_of(candle.start))
            present = _stored_starts(edit.key, day, edit.interval)
            if candle.start not in present:
                day.fixed[edit.interval, candle.start] = Fixed(candle)

    # -- tables -----------------------------------------------------------------------------------

    def candles(self, key: str, day: date) -> Candles:
        """Return the candles of a day of an instrument, of all stored intervals."""
        return candles_of(key, day, self.days[key, day])

    def day_candle(self, key: str, day: date) -> Candle | None:
        """Return the candle of a whole day of an instrument."""
        held = self.days.get((key, day))
        return candles_of(key, day, held).get((1440, midnight_of(day))) if held else None

    def unproved(self) -> set[str]:
        """Return what `rebuild_candles --check` must say of the days that it cannot prove."""
        return {
            f"{key} on {day}: {len(held.fixed)} candles cannot be checked"
            for (key, day), held in self.days.items()
            if held.fixed
        }

    def statistics(self, key: str) -> dict[str, object] | None:
        """Return the statistics of an instrument's newest day; None if it has no candle.

        The previous close is that of the session before, and unknown if history lacks it.
        """
        for date_ in sorted((day for name, day in self.days if name == key), reverse=True):
            day = self.day_candle(key, date_)
            if day is not None:
                before = sessions_before(segment_of(key), date_)
                closes = (self.day_candle(key, one) for one in before)
                previous = next((candle for candle in closes if candle), None)
                return {
                    "date": date_.isoformat(),
                    "open": day.open,
                    "high": day.high,
                    "low": day.low,
                    "prev_close": previous.close if previous else None,
                    "volume": day.volume,
                }
        return None


def candles_of(key: str, date_: date, day: Day) -> Candles:
    """Return the candles of a day of an instrument."""
    spans: dict[int, list[Stored]] = {}
    for tick in sorted(day.ticks, key=_in_order):
        minute = _minute_of(key, tick)
        if minute is not None:
            spans.setdefault(minute, []).append(tick)
    starts = sorted({*spans, *(start for interval, start in day.fixed if interval == 1)})
    volumes = _volumes([None if (1, at) in day.fixed else spans[at] for at in starts], day, starts)
    found: Candles = {}
    for start, volume in zip(starts, volumes, strict=True):
        ticks = spans.get(start, [])
        fixed = day.fixed.get((1, start))
        if fixed is None:
            found[1, start] = _of_ticks(start, ticks, volume)
        else:
            prices = [Decimal(tick.price) for tick in ticks]
            found[1, start] = _widened(fixed.candle, prices, len(ticks))
    session = session_of(segment_of(key), date_)
    return found | _longer(session, date_, day, found) if session else found


def _minute_of(key: str, tick: Stored) -> int | None:
    """Return the minute of a tick; None: no candle has it, as a price of 0 is no trade."""
    if segment_of(key) and Decimal(tick.price) <= 0:
        return None
    return minute_of(key, tick.time)


def _longer(session: Session, date_: date, day: Day, minutes: Candles) -> Candles:
    """Return the candles longer than a minute."""
    found = dict(minutes)
    for interval, shorter in BUILT_FROM.items():
        groups: dict[int, list[Candle]] = {}
        for (length, start), candle in sorted(found.items()):
            if length == shorter:
                step = interval * MINUTE
                at = session.opens + (start - session.opens) // step * step
                at = midnight_of(date_) if interval == 1440 else at
                groups.setdefault(at, []).append(candle)
        fixed = {start: one for (length, start), one in day.fixed.items() if length == interval}
        for start in {*groups, *fixed}:
            ends = min(session.closes, start + interval * MINUTE)
            if start not in fixed:
                found[interval, start] = _of_candles(start, ends, groups[start])
                continue
            inside = [one for (_, at), one in minutes.items() if start <= at < ends]
            prices = [price for one in inside for price in (one.high, one.low)]
            added = sum(one.ticks for one in inside) - fixed[start].counted
            found[interval, start] = _widened(fixed[start].candle, prices, added)
    return {place: candle for place, candle in found.items() if place[0] != 1}


def _in_order(tick: Stored) -> tuple[int, int, tuple[int, int]]:
    """By time, then by the day's volume if present, then by arrival."""
    return tick.time, -1 if tick.volume is None else tick.volume, tick.order


def _of_ticks(start: int, ticks: Sequence[Stored], volume: int | None) -> Candle:
    prices = [Decimal(tick.price) for tick in ticks]
    interest = [tick.oi for tick in ticks if tick.oi is not None]
    return Candle(
        *(start, start + MINUTE, prices[0], max(prices), min(prices), prices[-1]),
        volume=volume,
        oi=interest[-1] if interest else None,
        ticks=len(ticks),
    )


def _of_candles(start: int, ends: int, parts: Sequence[Candle]) -> Candle:
    volumes = [part.volume for part in parts if part.volume is not None]
    interest = [part.oi for part in parts if part.oi is not None]
    return Candle(
        *(start, ends, parts[0].open),
        *(max(part.high for part in parts), min(part.low for part in parts)),
        parts[-1].close,
        volume=sum(volumes) if volumes else None,
        oi=interest[-1] if interest else None,
        ticks=sum(part.ticks for part in parts),
    )


def _widened(candle: Candle, prices: Sequence[Decimal], ticks: int) -> Candle:
    return candle._replace(
        high=max([candle.high, *prices]),
        low=min([candle.low, *prices]),
        ticks=candle.ticks + ticks,
    )


def _volumes(
    minutes: Sequence[Sequence[Stored] | None], day: Day, starts: Sequence[int]
) -> list[int | None]:
    """Return the volume of each minute of a session; of a fixed one (None) its own."""
    readings = [tick.volume for ticks in minutes for tick in ticks or () if tick.volume is not None]
    counting = iter(longest_rising([reading for reading in readings if reading]))
    found: list[int | None] = []
    level = 0
    for start, ticks in zip(starts, minutes, strict=True):
        if ticks is None:
            found.append(day.fixed[1, start].candle.volume)
            level += found[-1] or 0
            continue
        before = level
        own = [tick.volume for tick in ticks if tick.volume is not None]
        for reading in own:
            if reading and next(counting):
                level = max(level, reading)
        found.append(level - before if own else None)
    return found


def longest_rising(readings: Sequence[int]) -> list[bool]:
    """Return which readings form a longest sequence that does not fall, the earliest ones."""
    if all(one <= other for one, other in pairwise(readings)):
        return [True] * len(readings)
    ranks = {reading: rank for rank, reading in enumerate(sorted(set(readings), reverse=True), 1)}
    # A Fenwick tree: rank -> the longest sequence found that begins with at least that reading.
    tree = [0] * (len(ranks) + 1)
    lengths = [0] * len(readings)
    for at in range(len(readings) - 1, -1, -1):
        rank = node = ranks[readings[at]]
        longest = 0
        while node:
            longest = max(longest, tree[node])
            node &= node - 1
        lengths[at] = longest + 1
        while rank <= len(ranks):
            tree[rank] = max(tree[rank], longest + 1)
            rank += rank & -rank
    wanted, last = max(lengths), 0
    counting = [False] * len(readings)
    for at, reading in enumerate(readings):
        if wanted and lengths[at] == wanted and reading >= last:
            counting[at] = True
            wanted, last = wanted - 1, reading
    return counting


def _stored_starts(key: str, day: Day, interval: int) -> set[int]:
    """Return the starts of the stored candles of one minute or of the day."""
    minutes = {start for length, start in day.fixed if length == 1}
    minutes |= {minute for tick in day.ticks if (minute := _minute_of(key, tick)) is not None}
    if interval == 1:
        return minutes
    return {midnight_of(day_of(start)) for start in (*minutes, *(at for _, at in day.fixed))}


def _prune(key: str, date_: date, day: Day, pruned: set[str]) -> None:
    """Drop what is pruned; the candles that remain stay as they are now."""
    if TICKS not in pruned:
        assert not pruned, "candles are not pruned before their ticks"
        return
    left = {
        (interval, start): candle
        for (interval, start), candle in candles_of(key, date_, day).items()
        if LABELS[interval] not in pruned
    }
    day.ticks.clear()
    minutes = [candle for (interval, _), candle in left.items() if interval == 1]
    fixed = {}
    for place, candle in left.items():
        interval, start = place
        is_fixed = interval == 1 or place in day.fixed
        if is_fixed or LABELS[BUILT_FROM[interval]] in pruned:
            inside = [one for one in minutes if start <= one.start < candle.ends]
            fixed[place] = Fixed(candle, sum(one.ticks for one in inside) if interval > 1 else 0)
    day.fixed = fixed
