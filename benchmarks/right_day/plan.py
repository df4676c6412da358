"""A plan of a run: the day's ticks with faults put in, and edits of history at random moments.

What history holds in the end depends on the order of some events. A plan has these in order: ticks
that an edit meets are stored before it begins, or published after it ended. All others come beside
it, and may be stored in any order.
"""

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal

from benchmarks.right_day.events import (
    DAY,
    HOLIDAY,
    INTERVALS,
    LABELS,
    MINUTE,
    PAST,
    TICKS,
    TODAY,
    Candle,
    Edit,
    ImportCandles,
    ImportTicks,
    Prune,
    Rebuild,
    Step,
    Tick,
    day_of,
    hours_of,
    midnight_of,
    minute_of,
    segment_of,
    session_of,
)

_CENT = Decimal("0.05")
_LARGE = 10**9  # a reading that no day has
_MOST_IMPORTED = 3_000
_LONG_AGO = date(2000, 1, 1)


class Plan:
    """The steps of a run; the same seed and ticks make the same plan.

    Args:
        live: the ticks of a day in the order of arrival.
        steps: how many edits there are.

    Attributes:
        counts: how many ticks of each kind were added, and how many edits of each kind.
    """

    def __init__(self, live: Sequence[Tick], *, seed: int, steps: int) -> None:
        self._live = live
        self._count = steps
        self._random = random.Random(f"plan {seed}")
        self._history: dict[str, list[Tick]] = {}  # the rising ticks of each instrument
        self._times: dict[str, list[int]] = {}
        for tick in live:
            rows = self._history.setdefault(tick.key, [])
            if not rows or tick.time >= rows[-1].time:
                rows.append(tick)
        self._times = {key: [one.time for one in rows] for key, rows in self._history.items()}
        self._keys = sorted(self._history)
        self._segments = sorted({segment_of(key) for key in self._keys})
        self.counts: Counter[str] = Counter()

    def steps(self) -> Iterator[Step]:
        """Yield the steps in order."""
        size = -(-len(self._live) // self._count)
        deferred: list[Tick] = []
        for at in range(0, len(self._live), size):
            ticks = [*deferred, *self._with_faults(self._live[at : at + size])]
            split = len(deferred) + round((len(ticks) - len(deferred)) * self._random.random())
            newest = self._live[min(at + size, len(self._live)) - 1].time
            # A recording may end with some ticks of the next session.
            edit = self._edit(now=min(newest, hours_of(TODAY)[1]))
            meets = _meetings(edit)
            deferred = [tick for tick in ticks[split:] if meets(tick)]
            self.counts[type(edit).__name__] += 1
            kills = self._random.random() < 0.25
            self.counts["kills"] += kills
            yield Step(
                before=ticks[:split],
                edit=edit,
                beside=[tick for tick in ticks[split:] if not meets(tick)],
                kills=kills,
            )
        yield Step(before=deferred)

    # -- ticks ------------------------------------------------------------------------------------

    def _with_faults(self, ticks: Sequence[Tick]) -> Iterator[Tick]:
        """Yield ticks with late, repeated and wrong ones among them."""
        kinds: tuple[tuple[str, float, Callable[[Tick], Tick]], ...] = (
            ("repeated", 0.002, lambda tick: tick),
            ("late by seconds", 0.002, lambda tick: self._late(tick, self._random.randrange(200))),
            ("late by minutes", 0.002, lambda tick: self._late(tick, self._random.randrange(9000))),
            ("late by days", 0.003, self._of_past_day),
            ("low reading", 0.0006, lambda tick: self._noise(tick, self._random.randrange(500))),
            ("high reading", 0.0002, lambda tick: self._noise(tick, self._high())),
        )
        # As often in a short run that each kind is there.
        scale = max(1.0, 20_000 / len(self._live))
        waiting: list[Tick] = []
        for tick in ticks:
            yield tick
            for name, chance, make in kinds:
                if self._random.random() < chance * scale:
                    self.counts[name] += 1
                    waiting.append(make(tick))
            if waiting and self._random.random() < 0.1:
                yield from waiting
                waiting.clear()
        yield from waiting

    def _high(self) -> int:
        return self._random.choice((_LARGE, self._random.randrange(_LARGE)))

    def _late(self, tick: Tick, seconds: int) -> Tick:
        """Return a tick of the same instrument some time before another."""
        opens, _ = hours_of(TODAY)
        return self._near(tick.key, max(opens - 5 * MINUTE, tick.time - seconds * 1000))

    def _of_past_day(self, tick: Tick) -> Tick:
        # Some are of a holiday or a Saturday, in no candle.
        day = self._random.choice((*PAST, *PAST, HOLIDAY, TODAY - timedelta(days=6)))
        return self._at(tick.key, day, self._random.randrange(-3, 380))

    def _noise(self, tick: Tick, reading: int) -> Tick:
        late = self._random.choice((0, 0, 600))
        return self._late(tick, late)._replace(volume=reading)

    def _at(self, key: str, day: date, minute: int) -> Tick:
        """Return a tick of some minute after the opening of a day."""
        opens, _ = hours_of(TODAY)
        moment = opens + minute * MINUTE + self._random.randrange(MINUTE)
        back = (TODAY - day).days * DAY
        tick = self._near(key, moment)
        return tick._replace(time=tick.time - back)

    def _near(self, key: str, moment: int) -> Tick:
        """Return a tick that is about what the day had at that moment."""
        rows = self._history[key]
        tick = rows[max(0, bisect_right(self._times[key], moment) - 1)]
        price = Decimal(tick.price) + _CENT * self._random.randrange(-40, 41)
        reading = self._random.choice((tick.volume, tick.volume, None))
        return Tick(key, moment, str(max(_CENT, price)), reading)

    # -- edits ------------------------------------------------------------------------------------

    def _edit(self, now: int) -> Edit:
        kinds: tuple[tuple[int, Callable[[int], Edit]], ...] = (
            (5, self._past_ticks),
            (3, self._ticks_of_today),
            (5, self._minutes),
            (2, self._days),
            (4, self._prune),
            (2, self._rebuild),
        )
        weights, makers = zip(*kinds, strict=True)
        maker: Callable[[int], Edit] = self._random.choices(makers, weights)[0]
        return maker(now)

    def _past_ticks(self, now: int) -> Edit:
        """A part of the day, taken for one of a past day; parts overlap."""
        ticks: list[Tick] = []
        for key in self._some_keys():
            rows = self._history[key]
            begin = self._random.randrange(len(rows))
            part = rows[begin : begin + self._random.choice((10, 300, _MOST_IMPORTED))]
            back = (TODAY - self._random.choice(PAST)).days * DAY
            ticks += [
                tick._replace(time=tick.time - back) for tick in part[:: len(part) // 500 + 1]
            ]
        return ImportTicks(tuple(ticks))

    def _ticks_of_today(self, now: int) -> Edit:
        """Ticks that came in already, in part, and others of the day up to now."""
        opens, _ = hours_of(TODAY)
        ticks: list[Tick] = []
        for key in self._some_keys():
            until = bisect_right(self._times[key], now)
            begin = self._random.randrange(max(1, until))
            ticks += self._history[key][begin : min(until, begin + 100)]
            since = max(0, now - opens)
            ticks += [self._near(key, opens + self._random.randrange(since + 1)) for _ in range(20)]
        return ImportTicks(tuple(ticks))

    def _minutes(self, now: int) -> Edit:
        """One-minute candles of a vendor, of a past day or of today, some of them ahead of now."""
        key = self._random.choice(self._keys)
        day = self._random.choice((*PAST, TODAY, TODAY))
        opens, closes = hours_of(day)
        count = self._random.choice((1, 5, 30, 200))
        first = self._random.randrange(375)
        if day == TODAY:
            first = (now - opens) // MINUTE - self._random.randrange(-20, 60)
        starts = [opens + minute * MINUTE for minute in range(first, first + count)]
        starts = [start for start in starts if opens <= start < closes] or [opens]
        return ImportCandles(key, 1, tuple(self._candle(key, at, at + MINUTE) for at in starts))

    def _days(self, now: int) -> Edit:
        key = self._random.choice(self._keys)
        days = (PAST[0] - timedelta(days=3), *PAST)
        sessions = [(day, session_of(segment_of(key), day)) for day in days]
        candles = [
            self._candle(key, midnight_of(day), session.closes)
            for day, session in sessions
            if session
        ]
        return ImportCandles(key, 1440, tuple(candles))

    def _candle(self, key: str, start: int, ends: int) -> Candle:
        minute = (start - midnight_of(TODAY)) % DAY // MINUTE
        rows = [self._near(key, midnight_of(TODAY) + minute * MINUTE) for _ in range(4)]
        opened, closed, *others = (Decimal(tick.price) for tick in rows)
        return Candle(
            *(start, ends, opened, max(opened, closed, *others), min(opened, closed, *others)),
            closed,
            volume=self._random.choice((None, 0, self._random.randrange(50_000))),
            oi=self._random.choice((None, None, 7)),
            ticks=self._random.choice((1, 1, 50)),
        )

    def _prune(self, now: int) -> Edit:
        """Ticks, and perhaps candles; the shorter an interval the more of it goes."""
        first_kept: dict[tuple[str, str], date] = {}
        named = [segment for segment in self._segments if segment]
        segments = self._random.sample(named, self._random.choice((1, 1, 2)))
        spared = self._random.choice(segments)
        if self._random.random() < 0.3:
            segments = [""]
        for segment in segments:
            days = (*PAST, TODAY, TODAY + timedelta(days=1))
            cutoff = self._random.choice(days)
            for kind in (TICKS, *(LABELS[interval] for interval in INTERVALS)):
                first_kept[segment, kind] = cutoff
                if not segment:
                    first_kept[spared, kind] = _LONG_AGO
                if self._random.random() < 0.3:
                    break
                # Of today, the ticks alone.
                cutoff = self._random.choice([day for day in days[:-1] if day <= cutoff])
        return Prune(first_kept)

    def _rebuild(self, now: int) -> Edit:
        first = self._random.choice((*PAST, TODAY))
        return Rebuild(first, TODAY)

    def _some_keys(self) -> list[str]:
        return self._random.sample(self._keys, min(len(self._keys), self._random.choice((1, 2, 5))))


def _meetings(edit: Edit | None) -> Callable[[Tick], bool]:
    """Return whether it matters if a tick is stored before or after an edit."""
    if isinstance(edit, ImportTicks):
        contents = {(one.key, one.time, Decimal(one.price), one.volume) for one in edit.ticks}
        return lambda tick: (tick.key, tick.time, Decimal(tick.price), tick.volume) in contents
    if isinstance(edit, ImportCandles):
        starts = {one.start for one in edit.candles}
        if edit.interval == 1:
            return lambda tick: tick.key == edit.key and minute_of(tick.key, tick.time) in starts
        return lambda tick: tick.key == edit.key and midnight_of(day_of(tick.time)) in starts
    if isinstance(edit, Prune):
        return lambda tick: edit.drops(segment_of(tick.key), TICKS, day_of(tick.time))
    return lambda tick: False
