"""What a row of an imported file means: a tick, or a candle of one minute or one day; pure rules.

Other intervals are not imported: they are made of one-minute candles, so that all agree.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from instruments.errors import InstrumentsError
from instruments.keys import InstrumentKey
from quotes.errors import BadHistoryFile, BadInterval, BadTick, QuotesError, quoted
from quotes.history.candles.bars import Bar
from quotes.history.candles.intervals import Interval
from quotes.history.candles.sessions import Calendar
from quotes.history.files.import_files import Cells
from quotes.history.formats.columns import iso_time
from quotes.history.queries.ranges import LEAST_MS, MOST_MS, parse_moment
from quotes.runtime.clock import DAY_MS, date_of, midnight_of
from quotes.ticks import RESERVED_FIELDS, checked, decode_object, joined

NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,12})?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)
WHOLE = re.compile(r"([0-9]{1,18})(?:\.0+)?", re.ASCII)
SIGNED = re.compile(r"-?[0-9]{1,18}", re.ASCII)
SWITCHES = {"true": True, "1": True, "false": False, "0": False, "": False}
OWN_KEYS = RESERVED_FIELDS | {"symbol", "price", "timestamp", "segment"}
MINUTE_AND_DAY = (Interval.MINUTE, Interval.DAY)


class TickRecord(NamedTuple):
    """A tick of a file; `position` is None where the file does not say."""

    key: InstrumentKey
    timestamp: int
    price: str
    volume: int | None
    oi: int | None
    position: int | None
    epoch: int
    seq: int
    shown: bool
    rest: str | None


class CandleRecord(NamedTuple):
    key: InstrumentKey
    interval: Interval
    bar: Bar


@dataclass
class RowReader:
    """Makes records of rows.

    Attributes:
        resolve: gives the instrument that a name means.
        calendars: segment -> its calendar; "" is that of everything else.
        name: of the instrument of rows that name none.
        interval: of candles that name none.
        until_ms: rows from this time on are refused: the recorder is at work on them.
    """

    resolve: Callable[[str], InstrumentKey]
    calendars: dict[str, Calendar]
    name: str = ""
    interval: str = ""
    until_ms: int = MOST_MS
    latest: int = 0  # the time of the tick before

    def tick(self, cells: Cells) -> TickRecord:
        """Return the tick of a row; raise BadHistoryFile for one that holds none."""
        key = self.key(cells)
        timestamp = self.moment(cells)
        # Feeds write Unix time 0 when they do not know: then the time is that of the row before.
        timestamp = timestamp or self.latest
        if timestamp < LEAST_MS:
            raise BadHistoryFile(f"time must be later than 1973, was {quoted(cells['time'])}")
        self.latest = timestamp
        position = cells.get("position", "")
        if position and not SIGNED.fullmatch(position):
            raise BadHistoryFile(f"position must be a whole number, was {quoted(position)}")
        shown = cells.get("shown", "").lower()
        if shown not in SWITCHES:
            raise BadHistoryFile(f"shown must be true or false, was {quoted(shown)}")
        return TickRecord(
            key=key,
            timestamp=timestamp,
            price=price(cells, "price"),
            volume=whole(cells, "volume"),
            oi=whole(cells, "oi"),
            position=int(position) if position else None,
            epoch=whole(cells, "epoch") or 0,
            seq=whole(cells, "seq") or 0,
            shown=SWITCHES[shown],
            rest=rest_of(cells.get("others", "")),
        )

    def candle(self, cells: Cells) -> CandleRecord:
        """Return the candle of a row; raise BadHistoryFile for one that holds none."""
        key = self.key(cells)
        try:
            interval = Interval.parse(cells.get("interval") or self.interval)
        except BadInterval as error:
            raise BadHistoryFile(str(error)) from error
        if interval not in MINUTE_AND_DAY:
            raise BadHistoryFile(
                f"candles of 1m and 1d are imported, others are made of 1m, was {interval.label}"
            )
        start, ends = self.span(key, interval, self.moment(cells))
        opened, high, low, close = (
            Decimal(price(cells, name)) for name in ("open", "high", "low", "close")
        )
        if not low <= min(opened, close) <= max(opened, close) <= high:
            raise BadHistoryFile(
                "low must be the lowest price of a candle and high the highest, was "
                f"{quoted(' '.join(cells[name] for name in ('open', 'high', 'low', 'close')))}"
            )
        bar = Bar(
            *(start, ends, opened, high, low, close),
            volume=whole(cells, "volume"),
            oi=whole(cells, "oi"),
            # At least one: no single late tick takes the place of the candle.
            ticks=max(1, whole(cells, "ticks") or 1),
            final=True,
        )
        return CandleRecord(key, interval, bar)

    def span(self, key: InstrumentKey, interval: Interval, moment: int) -> tuple[int, int]:
        """Return start and end of the candle that is said to start at a moment."""
        calendar = self.calendars.get(key.segment) or self.calendars[""]
        if interval is Interval.DAY:
            midnight = midnight_of(date_of(moment))
            known = calendar.day(moment)
            return midnight, known.ends if known else midnight + DAY_MS
        day = calendar.day_of(moment)
        if day is None:
            raise BadHistoryFile(f"{key} is not traded at that time, was {iso_time(moment)}")
        span = day.span(interval, moment)
        if span[0] != moment:
            raise BadHistoryFile(f"a 1m candle starts with a minute, was {iso_time(moment)}")
        return span

    def key(self, cells: Cells) -> InstrumentKey:
        if "" in cells and cells[""] == "length":
            raise BadHistoryFile("the row has not as many cells as the header")
        name = cells.get("instrument") or self.name
        if not name:
            raise BadHistoryFile("no instrument is named: neither in the row nor by --instrument")
        try:
            return self.resolve(name)
        except InstrumentsError as error:
            raise BadHistoryFile(str(error)) from error

    def moment(self, cells: Cells) -> int:
        timestamp = moment_of(cells["time"].strip())
        if timestamp >= self.until_ms:
            raise BadHistoryFile(f"time must be before today, was {quoted(cells['time'])}")
        return timestamp


@lru_cache(maxsize=10_000)
def moment_of(text: str) -> int:
    try:
        return parse_moment("time", text)
    except QuotesError as error:
        raise BadHistoryFile(str(error)) from error


def price(cells: Cells, name: str) -> str:
    """Return the text of a JSON number, digits as they are."""
    text = cells[name].strip()
    if not NUMBER.fullmatch(text):
        raise BadHistoryFile(f"{name} must be a decimal number, was {quoted(text)}")
    return text


def whole(cells: Cells, name: str) -> int | None:
    text = cells.get(name, "").strip()
    if not text:
        return None
    match = WHOLE.fullmatch(text)
    if match is None:
        raise BadHistoryFile(f"{name} must be a whole number from 0, was {quoted(text)}")
    return int(match[1])


def rest_of(text: str) -> str | None:
    """Return a tick's other keys as `models.Tick.rest` has them, given their JSON object."""
    if not text:
        return None
    try:
        fields = {
            name: checked(name, value) for name, value in decode_object(text.encode()).items()
        }
    except (ValueError, BadTick) as error:
        raise BadHistoryFile(f"others must be a JSON object, was {quoted(text)}") from error
    if own := OWN_KEYS & fields.keys():
        raise BadHistoryFile(f"others must not hold {', '.join(sorted(own))}, was {quoted(text)}")
    return joined(fields).decode() or None
