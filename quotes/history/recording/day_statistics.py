"""Day statistics: what a quote says of the day besides the price, in the Redis hash `day`.

    quotes:day  hash  instrument key -> {"date":"2021-04-16","open":..,"high":..,"low":..,
                      "prev_close":..,"volume":..}

Numbers have their digits. `prev_close` is the close of the session before, null when it is not
known; `volume` is what was traded within the session, null when no tick said.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import redis

from quotes.history.candles.bars import Bar
from quotes.history.candles.deriving import CandleChange
from quotes.history.candles.intervals import Interval
from quotes.history.recording.writer import HistoryWriter, database
from quotes.history.rows import number_text
from quotes.runtime.clock import date_of
from quotes.store.names import own_key

ALWAYS = 2**62
CHUNK = 500


def statistics(day: Bar, prev_close: Decimal | None) -> bytes:
    """Return the JSON object of a day."""
    return b'{"date":"%b","open":%b,"high":%b,"low":%b,"prev_close":%b,"volume":%b}' % (
        date_of(day.start).isoformat().encode(),
        number_text(day.open),
        number_text(day.high),
        number_text(day.low),
        b"null" if prev_close is None else number_text(prev_close),
        b"null" if day.volume is None else b"%d" % day.volume,
    )


class DayStatistics:
    """Keeps the hash up to date with the day candles of a writer."""

    def __init__(self, writer: HistoryWriter, client: redis.Redis) -> None:
        self.writer = writer
        self.client = client
        self.days: dict[int, tuple[int, Decimal | None]] = {}  # series -> newest day, prev_close

    def refresh(self) -> None:
        """Write what the tables say of all series: the last commit may not have been told."""
        with database():
            numbers = sorted(self.writer.all_keys())
        for at in range(0, len(numbers), CHUNK):
            self.write({number: self.read(number) for number in numbers[at : at + CHUNK]})

    def update(self, changes: Iterable[CandleChange]) -> None:
        """Write what changes of day candles change."""
        newest: dict[int, Bar] = {}
        for series, interval, bar in changes:
            known = newest.get(series)
            if interval is Interval.DAY and (known is None or bar.start >= known.start):
                newest[series] = bar
        found: dict[int, bytes | None] = {}
        for series, bar in newest.items():
            day, prev_close = self.days.get(series, (None, None))
            same = day == bar.start
            found[series] = statistics(bar, prev_close) if same else self.read(series)
        self.write(found)

    def read(self, series: int) -> bytes | None:
        """Return the statistics of a series' newest day; None when it has none."""
        with database():
            days: Sequence[Bar] = self.writer.tables.last_days(series, ALWAYS)
        if not days:
            return None
        prev_close = days[1].close if len(days) > 1 else None
        self.days[series] = (days[0].start, prev_close)
        return statistics(days[0], prev_close)

    def write(self, found: dict[int, bytes | None]) -> None:
        fields: Any = {
            self.writer.key_of(series): text for series, text in found.items() if text is not None
        }
        if fields:
            self.client.hset(own_key("day"), mapping=fields)
