"""Records of imported rows: a tick, or a candle of one minute or one day; pure rules.

Other intervals are not imported but made of one-minute candles, so that all of them agree.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from instruments.errors import InstrumentsError
from instruments.keys import InstrumentKey
from instruments.prices import can_trade_at
from quotes.errors import BadHistoryFile, BadInterval, BadTick, QuotesError, quoted
from quotes.history.candles.bars import Bar
from quotes.history.candles.intervals import Interval
from quotes.history.candles.sessions import Calendar
from quotes.history.files.import_files import Cells
from quotes.history.formats.columns import iso_time
from quotes.history.queries.ranges import LEAST_MS, MOST_MS, parse_moment
from quotes.json_numbers import MAX_DIGITS
from quotes.runtime.clock import DAY_MS, date_of, midnight_of
from quotes.ticks import RESERVED_FIELDS, checked, decode_object, joined

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
# A price of a tick, whose exponent an export may have written out.
_MAX_LENGTH = 2 * MAX_DIGITS + 4
_WHOLE = re.compile(r"([0-9]{1,18})(?:\.0+)?", re.ASCII)
_SIGNED = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_FLAGS = {"true": True, "1": True, "false": False, "0": False, "": False}
_OWN_KEYS = RESERVED_FIELDS | {"symbol", "price", "timestamp", "segment"}
_MINUTE_AND_DAY = (Interval.MINUTE, Interval.DAY)


class TickRecord(NamedTuple):
    """A tick of a file; `position` is None if the file has none."""

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
    """A candle of a file."""

    key: InstrumentKey
    interval: Interval
    bar: Bar


@dataclass
class RowReader:
    """Parses rows into records; in the order of the file, since a tick may take the time before it.

    Attributes:
        resolve: returns the instrument of a name.
        calendars: segment -> its calendar; "" is for every other segment.
        name: the instrument of rows that name none.
        interval: of candles that name none.
        until_ms: rows from this time on are refused, because the recorder writes them.
    """

    resolve: Callable[[str], InstrumentKey]
    calendars: dict[str, Calendar]
    name: str = ""
    interval: str = ""
    until_ms: int = MOST_MS
    latest: int = 0  # time of the previous tick

    def tick(self, cells: Cells) -> TickRecord:
        """Return the tick of a row; raise BadHistoryFile if the row is not valid."""
        key = self._key(cells)
        timestamp = self._moment(cells)
        # Feeds write Unix time 0 for an unknown time: use that of the previous row.
        timestamp = timestamp or self.latest
        if timestamp < LEAST_MS:
            raise BadHistoryFile(f"time must be later than 1973, got {quoted(cells['time'])}")
        self.latest = timestamp
        position = cells.get("position", "")
        if position and not _SIGNED.fullmatch(position):
            raise BadHistoryFile(f"position must be a whole number, got {quoted(position)}")
        shown = cells.get("shown", "").lower()
        if shown not in _FLAGS:
            raise BadHistoryFile(f"shown must be true or false, got {quoted(shown)}")
        return TickRecord(
            key=key,
            timestamp=timestamp,
            price=_price(cells, "price"),
            volume=_whole(cells, "volume"),
            oi=_whole(cells, "oi"),
            position=int(position) if position else None,
            epoch=_whole(cells, "epoch") or 0,
            seq=_whole(cells, "seq") or 0,
            shown=_FLAGS[shown],
            rest=_parse_others(cells.get("others", "")),
        )

    def candle(self, cells: Cells) -> CandleRecord:
        """Return the candle of a row; raise BadHistoryFile if the row is not valid."""
        key = self._key(cells)
        try:
            interval = Interval.parse(cells.get("interval") or self.interval)
        except BadInterval as error:
            raise BadHistoryFile(str(error)) from error
        if interval not in _MINUTE_AND_DAY:
            raise BadHistoryFile(
                "only candles of 1m and 1d are imported (others are made of 1m), "
                f"got {interval.label}"
            )
        start, ends = self._span(key, interval, self._moment(cells))
        opened, high, low, close = (
            Decimal(_price(cells, name)) for name in ("open", "high", "low", "close")
        )
        if not low <= min(opened, close) <= max(opened, close) <= high:
            raise BadHistoryFile(
                "low must be the lowest price of a candle and high the highest, got "
                f"{quoted(' '.join(cells[name] for name in ('open', 'high', 'low', 'close')))}"
            )
        if not can_trade_at(key, low):
            raise BadHistoryFile(
                f"prices of {key} must be above 0 (0 is no trade), got {quoted(cells['low'])}"
            )
        bar = Bar(
            *(start, ends, opened, high, low, close),
            volume=_whole(cells, "volume"),
            oi=_whole(cells, "oi"),
            # At least one, so that a single late tick does not replace the candle.
            ticks=max(1, _whole(cells, "ticks") or 1),
            final=True,
        )
        return CandleRecord(key, interval, bar)

    def _span(self, key: InstrumentKey, interval: Interval, moment: int) -> tuple[int, int]:
        """Return start and end of the candle that starts at a moment."""
        calendar = self.calendars.get(key.segment) or self.calendars[""]
        if interval is Interval.DAY:
            midnight = midnight_of(date_of(moment))
            trading_day = calendar.day(moment)
            return midnight, trading_day.ends if trading_day else midnight + DAY_MS
        day = calendar.day_of(moment)
        if day is None:
            raise BadHistoryFile(f"{key} does not trade at that time, got {iso_time(moment)}")
        span = day.span(interval, moment)
        if span[0] != moment:
            raise BadHistoryFile(f"a 1m candle must start at a full minute, got {iso_time(moment)}")
        return span

    def _key(self, cells: Cells) -> InstrumentKey:
        if "" in cells and cells[""] == "length":
            raise BadHistoryFile("the row must have as many cells as the header")
        name = cells.get("instrument") or self.name
        if not name:
            raise BadHistoryFile(
                "the row names no instrument: add a column instrument, or set --instrument"
            )
        try:
            return self.resolve(name)
        except InstrumentsError as error:
            raise BadHistoryFile(str(error)) from error

    def _moment(self, cells: Cells) -> int:
        timestamp = _parse_moment(cells["time"].strip())
        if timestamp >= self.until_ms:
            raise BadHistoryFile(
                f"time must be before {iso_time(self.until_ms)}, got {quoted(cells['time'])}"
            )
        return timestamp


@lru_cache(maxsize=10_000)
def _parse_moment(text: str) -> int:
    try:
        return parse_moment("time", text)
    except QuotesError as error:
        raise BadHistoryFile(str(error)) from error


def _price(cells: Cells, name: str) -> str:
    """Return the text of a JSON number, with its digits."""
    text = cells[name].strip()
    if not _NUMBER.fullmatch(text):
        raise BadHistoryFile(f"{name} must be a decimal number, got {quoted(text)}")
    if len(text) > _MAX_LENGTH or abs(Decimal(text).adjusted()) > MAX_DIGITS:
        raise BadHistoryFile(f"{name} must have at most {MAX_DIGITS} digits, got {quoted(text)}")
    return text


def _whole(cells: Cells, name: str) -> int | None:
    text = cells.get(name, "").strip()
    if not text:
        return None
    match = _WHOLE.fullmatch(text)
    if match is None:
        raise BadHistoryFile(f"{name} must be a whole number from 0, got {quoted(text)}")
    return int(match[1])


def _parse_others(text: str) -> str | None:
    """Return the JSON object of a tick's other keys in the form of `models.Tick.rest`."""
    if not text:
        return None
    try:
        fields = {
            name: checked(name, value) for name, value in decode_object(text.encode()).items()
        }
    except (ValueError, BadTick) as error:
        raise BadHistoryFile(f"others must be a JSON object, got {quoted(text)}") from error
    if own := _OWN_KEYS & fields.keys():
        raise BadHistoryFile(
            f"others must not have the keys {', '.join(sorted(own))}, got {quoted(text)}"
        )
    return joined(fields).decode() or None
