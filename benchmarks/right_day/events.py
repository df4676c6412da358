"""The events of a run, in plain values: ticks, candles, edits of history, and steps of a plan.

Times are Unix milliseconds, UTC. Nothing here or in `expected.py` uses code of `quotes`.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

MINUTE = 60_000
DAY = 86_400_000
_INDIA = 19_800_000  # 5 h 30 ahead of UTC, all year

OPENS = 9 * 60 + 15  # minutes of the Indian day
CLOSES = 15 * 60 + 30

TODAY = date(2021, 4, 16)  # the recorded day
# The sessions before it; 14 April 2021 was a holiday.
PAST = (date(2021, 4, 12), date(2021, 4, 13), date(2021, 4, 15))
HOLIDAY = date(2021, 4, 14)

# The stored intervals in minutes, and the shorter one that each is built from.
BUILT_FROM = {3: 1, 5: 1, 10: 5, 15: 5, 30: 15, 60: 30, 1440: 60}
INTERVALS = (1, *BUILT_FROM)
TICKS = "ticks"
LABELS = {interval: f"{interval}m" for interval in INTERVALS} | {1440: "1d"}


class Tick(NamedTuple):
    """A tick as it is published or imported; the price keeps its digits."""

    key: str
    time: int
    price: str
    volume: int | None = None
    oi: int | None = None


class Candle(NamedTuple):
    """A candle."""

    start: int
    ends: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int | None
    oi: int | None
    ticks: int


@dataclass(frozen=True)
class ImportTicks:
    """`import_history` of a file of ticks."""

    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class ImportCandles:
    """`import_history` of candles of one instrument, of one minute or of days."""

    key: str
    interval: int
    candles: tuple[Candle, ...]


@dataclass(frozen=True)
class Prune:
    """`prune_history`.

    Attributes:
        first_kept: segment ("": any without a rule of its own) and kind ("ticks", "1m", ...) -> the
            first day that is kept.
    """

    first_kept: dict[tuple[str, str], date]

    def drops(self, segment: str, kind: str, day: date) -> bool:
        """Return whether it drops the rows of a kind of a day."""
        first = self.first_kept.get((segment, kind), self.first_kept.get(("", kind)))
        return first is not None and day < first


@dataclass(frozen=True)
class Rebuild:
    """`rebuild_candles`, which must find nothing to repair."""

    first: date
    last: date


Edit = ImportTicks | ImportCandles | Prune | Rebuild


@dataclass
class Step:
    """Ticks, and an edit of history beside which more ticks come.

    Attributes:
        before: published, and stored before the edit begins.
        beside: published while the edit is under way; the result does not depend on which of these
            are stored first.
        kills: whether the recorder is killed during the step, and started again.
    """

    before: list[Tick] = field(default_factory=list)
    edit: Edit | None = None
    beside: list[Tick] = field(default_factory=list)
    kills: bool = False


def segment_of(key: str) -> str:
    return key.rpartition(":")[0]


def midnight_of(day: date) -> int:
    """Return when a day begins in India."""
    return (day - date(1970, 1, 1)).days * DAY - _INDIA


def day_of(time: int) -> date:
    """Return the Indian date of a moment."""
    return date(1970, 1, 1) + timedelta(days=(time + _INDIA) // DAY)


def indian_time(text: str) -> int:
    """Return the moment of an Indian time such as 2021-04-16 09:15:01."""
    return round((datetime.fromisoformat(text) - datetime(1970, 1, 1)).total_seconds()) * 1000 - (
        _INDIA
    )


class Session(NamedTuple):
    """A trading day of a segment: opening, close, and until when ticks are in candles."""

    opens: int
    closes: int
    until: int


def session_of(segment: str, day: date) -> Session | None:
    """Return the session of a day; None: the segment is closed. Names without one never close."""
    midnight = midnight_of(day)
    if not segment:
        return Session(midnight, midnight + DAY, midnight + DAY)
    if day.weekday() > 4 or day == HOLIDAY:
        return None
    closes = midnight + CLOSES * MINUTE
    return Session(midnight + OPENS * MINUTE, closes, closes + MINUTE)


def sessions_before(segment: str, day: date) -> list[date]:
    """Return the days whose close can be the one before a day, the last one first.

    That is the session before; of names without a segment the day before, and on Saturdays to
    Mondays the days back to Friday.
    """
    back = {5: 1, 6: 2, 0: 3}.get(day.weekday(), 1)
    days = [day - timedelta(days=number) for number in range(1, 15)]
    return [one for one in days if session_of(segment, one)][: 1 if segment else back]


def hours_of(day: date) -> tuple[int, int]:
    """Return opening and close of a day of the exchanges."""
    midnight = midnight_of(day)
    return midnight + OPENS * MINUTE, midnight + CLOSES * MINUTE


def minute_of(key: str, time: int) -> int | None:
    """Return the start of the one-minute candle of a tick; None: it is in no candle."""
    session = session_of(segment_of(key), day_of(time))
    if session is None or not session.opens <= time < session.until:
        return None
    return min(time, session.closes - 1) // MINUTE * MINUTE
