"""Storing batches of the tick logs: ticks, candles and places in the logs, all or nothing.

Reading the logs is not here but in `recorder.py`.
"""

import contextlib
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import msgspec
from django.db import Error, connections, transaction

from quotes.errors import HistoryDown
from quotes.history.candles.building import CandleBuilder
from quotes.history.candles.deriving import CandleChange
from quotes.history.candles.intervals import Interval
from quotes.history.candles.sessions import Calendar
from quotes.history.models import Gap, Series
from quotes.history.recording.batches import BatchMaker, Clock, Entry
from quotes.history.router import ALIAS
from quotes.history.tables.opening import open_tables
from quotes.runtime.clock import MINUTE_MS

decode_clocks = msgspec.json.Decoder(dict[str, Clock]).decode
encode_json = msgspec.json.Encoder().encode


class Fenced(Exception):
    """Another recorder has stored what this one was about to."""


class Stored(NamedTuple):
    """What one batch did.

    Attributes:
        changes: candles that are new, not what they were, or final now; each once.
        bad: ticks that could not be read.
    """

    ticks: int
    changes: list[CandleChange]
    gaps: list[Gap]
    bad: int


@contextlib.contextmanager
def database() -> Iterator[None]:
    """Turn what goes wrong with the database into HistoryDown."""
    try:
        yield
    except Error as error:
        raise HistoryDown(f"the database of history failed: {error}") from error


class HistoryWriter:
    """Stores batches, each from where the one before it ended.

    After any error it is of no more use: what it holds in memory may not be what is stored.

    Args:
        shards: the logs that are read.
        grace_ms: see `CandleBuilder`.

    Raises:
        HistoryDown: the database does not answer, or lacks migrations.
    """

    def __init__(
        self, *, shards: Collection[int], calendars: dict[str, Calendar], grace_ms: int
    ) -> None:
        with database():
            self.tables = open_tables()
            self.tables.prepare()
            self.places = {shard: self.tables.place(shard) for shard in shards}
        self.builder = CandleBuilder(self.tables, calendars, grace_ms=grace_ms)
        self.maker = BatchMaker(self.numbers, calendars, dict(self.places))
        self.keys: dict[int, str] = {}  # series -> instrument key
        self.clocks: dict[str, Clock] = {}
        for place in self.places.values():
            self.advance_clocks(decode_clocks(place.clocks))
        self.finalised: dict[str, int] = {}  # segment -> up to when its candles were made final

    def numbers(self, keys: Collection[str]) -> dict[str, int]:
        found = self.tables.series(keys)
        self.keys.update((number, key) for key, number in found.items())
        return found

    def recalendar(self, calendars: dict[str, Calendar]) -> None:
        """Go by other calendars from now on; candles that are there stay."""
        self.maker.recalendar(calendars)
        grace_ms = self.builder.grace_ms
        self.builder = CandleBuilder(self.tables, calendars, grace_ms=grace_ms)
        self.advance_clocks(self.clocks)
        self.builder.committed()

    def advance_clocks(self, clocks: dict[str, Clock]) -> None:
        for segment, clock in clocks.items():
            self.clocks[segment] = max(clock, self.clocks.get(segment, clock))
            self.advance_clock(segment, self.clocks[segment].event)

    def advance_clock(self, segment: str, event: int) -> None:
        """Let a segment's clock show a moment, unless it shows a later one."""
        self.builder.clocks[segment] = max(event, self.builder.clocks.get(segment, 0))

    def store(self, entries: Sequence[Entry], *, now_ms: int) -> Stored:
        """Store entries that follow those stored before.

        Raises:
            Fenced, HistoryDown: nothing is stored.
        """
        with database():
            batch = self.maker.make(entries)
            self.advance_clocks(batch.clocks)
            with transaction.atomic(using=ALIAS):
                for shard, place in batch.places.items():
                    # Behind this nobody else stores anything until the transaction ends.
                    new = place._replace(clocks=encode_json(self.clocks).decode())
                    if not self.tables.advance(shard, self.places[shard], new):
                        raise Fenced
                self.tables.insert_ticks(batch.rows)
                changes: dict[tuple[int, Interval, int], CandleChange] = {}
                for (segment, series), points in batch.points.items():
                    for change in self.builder.apply(segment, series, points):
                        changes[series, change.interval, change.bar.start] = change
                self.tables.put_candles(list(changes.values()))
                finals = self.finalise()
                gaps = [
                    Gap(shard=shard, found_at=now_ms, **missing._asdict())
                    for shard, missing in batch.gaps
                ]
                for gap in gaps:
                    self.tables.add_gap(gap)
        self.places.update(batch.places)
        self.committed()
        return Stored(len(batch.rows), [*changes.values(), *finals], gaps, batch.bad)

    def idle(self, *, now_ms: int, patience_ms: int) -> list[CandleChange]:
        """Let the clocks of segments that are silent go on, when all that was logged is stored.

        Args:
            patience_ms: how long a segment is silent before its clock goes on.

        Returns:
            The candles that are final by that.

        Raises:
            HistoryDown: nothing is stored.
        """
        for segment, clock in self.clocks.items():
            silence = now_ms - clock.arrived
            if silence > patience_ms:
                self.advance_clock(segment, clock.event + silence)
        with database(), transaction.atomic(using=ALIAS):
            finals = self.finalise()
        self.committed()
        return finals

    def finalise(self) -> list[CandleChange]:
        """Make final what ended so long ago that the clocks say so."""
        finals: list[CandleChange] = []
        for segment, event in self.builder.clocks.items():
            passed = event - self.builder.grace_ms
            # Candles end with a minute.
            minute = passed // MINUTE_MS
            if minute > self.finalised.get(segment, 0):
                self.finalised[segment] = minute
                finals += self.tables.finalise(segment, passed)
        return finals

    def committed(self) -> None:
        self.builder.committed()
        self.tables.committed()

    def key_of(self, series: int) -> str:
        """Return the instrument key of a series."""
        return self.keys.get(series) or self.all_keys()[series]

    def all_keys(self) -> dict[int, str]:
        """Return the instrument key of every series."""
        self.keys.update(Series.objects.values_list("id", "key"))
        return self.keys

    @staticmethod
    def hang_up() -> None:
        """Close the connection, so that the next use opens another."""
        connections[ALIAS].close()
