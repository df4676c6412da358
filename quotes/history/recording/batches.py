"""Batches: what was read from the tick logs, made ready to be stored in one transaction.

No table is touched here; the numbers of series come from whoever keeps them.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

import msgspec

from instruments.keys import InstrumentKey
from quotes.errors import BadTick
from quotes.history.candles.bars import NO_VOLUME, Point
from quotes.history.candles.sessions import Calendar
from quotes.history.rows import TickValues, contents_of
from quotes.history.tables.log_positions import LogPlace, Missing, follow, pass_over
from quotes.store.tick_log import LoggedTick, RawEntry, entry_rows

logger = logging.getLogger(__name__)

decode_ticks = msgspec.msgpack.Decoder(list[LoggedTick]).decode
NOWHERE = (0, 0)  # bounds that hold no moment


class Entry(NamedTuple):
    """One entry of a shard's log; no ticks and `readable` false for one that is none."""

    shard: int
    id: str
    n: int | None
    ticks: list[LoggedTick]
    readable: bool = True


class Clock(NamedTuple):
    """The newest event of a segment: its time, and when it arrived."""

    event: int = 0
    arrived: int = 0


def read_entry(raw: RawEntry) -> Entry:
    """Return the entry of what Redis sent; one that cannot be read is said to be so."""
    n: int | None = None
    try:
        n = raw.n
        return Entry(raw.shard, raw.id, n, ticks_of(raw.fields))
    except (KeyError, ValueError, msgspec.DecodeError) as error:
        logger.warning("entry %s of log %d cannot be read: %s", raw.id, raw.shard, error)
        return Entry(raw.shard, raw.id, n, [], readable=False)


def ticks_of(fields: Mapping[bytes, bytes]) -> list[LoggedTick]:
    """Return the ticks of an entry, as `ticklog.decode_entry` does, each looked at.

    Raises:
        msgspec.DecodeError: there is something else in it.
    """
    ticks: list[LoggedTick] = []
    for name, payload in fields.items():
        if name == b"n":
            continue
        try:
            ticks += decode_ticks(payload)
        except msgspec.ValidationError:
            # Other messages are among the ticks.
            rows = entry_rows({name: payload})
            ticks.extend([msgspec.convert(row, LoggedTick) for row in rows])
    return ticks


class Stream:
    """What a batch needs to know of one series.

    Attributes:
        bounds: event times from the one until before the other are in candles; of the day that
            was looked up last.
        points: the ticks of the batch that are in candles.
    """

    __slots__ = (
        *("bounds", "calendar", "newest", "newest_arrived"),
        *("number", "points", "segment"),
    )

    def __init__(self, number: int, segment: str, calendar: Calendar) -> None:
        self.number = number
        self.segment = segment
        self.calendar = calendar
        self.bounds = NOWHERE
        self.points: list[Point] = []
        self.newest = self.newest_arrived = 0  # the newest event, and its arrival

    def look_up(self, timestamp: int) -> bool:
        """Say whether a tick of that time is in a candle; know the day from now on."""
        day = self.calendar.day_of(timestamp)
        self.bounds = (day.begins, day.accepts_until) if day else NOWHERE
        return day is not None


@dataclass(slots=True)
class Batch:
    """What is stored at once.

    Attributes:
        points: segment and series -> its ticks that are in candles.
        places: shard -> how far its log is read with this batch.
        clocks: segment -> its newest event.
        bad: ticks that could not be read.
    """

    rows: list[TickValues] = field(default_factory=list)
    points: dict[tuple[str, int], list[Point]] = field(default_factory=dict)
    places: dict[int, LogPlace] = field(default_factory=dict)
    gaps: list[tuple[int, Missing]] = field(default_factory=list)
    clocks: dict[str, Clock] = field(default_factory=dict)
    bad: int = 0


class BatchMaker:
    """Makes batches of entries, each from where the one before it ended.

    Args:
        numbers: gives the numbers of series, new ones where there is none.
        calendars: segment -> its calendar; "" is that of everything else.
        places: shard -> how far its log is read.
    """

    def __init__(
        self,
        numbers: Callable[[Collection[str]], dict[str, int]],
        calendars: dict[str, Calendar],
        places: dict[int, LogPlace],
    ) -> None:
        self.numbers = numbers
        self.calendars = calendars
        self.places = places
        self.streams: dict[str, Stream] = {}

    def make(self, entries: Sequence[Entry]) -> Batch:
        """Return the batch of entries, those of one shard in their order."""
        batch = Batch()
        self.learn({tick.key for entry in entries for tick in entry.ticks} - self.streams.keys())
        touched: set[str] = set()
        for entry in entries:
            place = self.places[entry.shard]
            missing: Missing | None
            if entry.readable and entry.n is not None:
                place, missing = follow(place, entry.id, entry.n, len(entry.ticks))
                self.add(batch, entry.ticks, place.base + place.n - len(entry.ticks) + 1)
                touched.update([tick.key for tick in entry.ticks])
            else:
                place, missing = pass_over(place, entry.id, entry.n)
            if missing is not None:
                batch.gaps.append((entry.shard, missing))
            self.places[entry.shard] = batch.places[entry.shard] = place
        for key in touched:
            stream = self.streams[key]
            if stream.points:
                batch.points[stream.segment, stream.number] = stream.points
                stream.points = []
            batch.clocks[stream.segment] = max(
                batch.clocks.get(stream.segment, Clock()),
                Clock(stream.newest, stream.newest_arrived),
            )
        return batch

    def learn(self, keys: Collection[str]) -> None:
        if not keys:
            return
        for key, number in self.numbers(keys).items():
            segment = InstrumentKey.parse(key).segment
            calendar = self.calendars.get(segment) or self.calendars[""]
            self.streams[key] = Stream(number, segment, calendar)

    def recalendar(self, calendars: dict[str, Calendar]) -> None:
        """Go by other calendars from now on."""
        self.calendars = calendars
        for stream in self.streams.values():
            stream.calendar = calendars.get(stream.segment) or calendars[""]
            stream.bounds = NOWHERE

    def add(self, batch: Batch, ticks: Iterable[LoggedTick], first: int) -> None:
        """Add the ticks of an entry, the first at a position."""
        rows = batch.rows
        streams = self.streams
        for position, tick in enumerate(ticks, first):
            stream = streams[tick.key]
            try:
                price, volume, oi, rest = contents_of(tick.frame)
            except BadTick as error:
                batch.bad += 1
                logger.warning("a tick of the log cannot be read: %s", error)
                continue
            timestamp = tick.timestamp
            # Written out: unpacking shorter tuples would take as long as all the rest.
            row = (
                stream.number,
                timestamp,
                position,
                tick.epoch,
                tick.seq,
                tick.shown,
                price,
                volume,
                oi,
                rest,
            )
            rows.append(row)
            # A clock gone wrong does not take its segment's clock along.
            event = timestamp if timestamp < tick.received else tick.received
            if event > stream.newest:
                stream.newest, stream.newest_arrived = event, tick.received
            begins, until = stream.bounds
            if begins <= timestamp < until or stream.look_up(timestamp):
                reading = NO_VOLUME if volume is None else volume
                stream.points.append((timestamp, reading, position, Decimal(price), oi))
