"""Fields of an instrument's day for quotes whose publisher did not send them.

The recorder keeps the statistics of each day in Redis. This holds what the process has read of
them (`feed/day_reader.py`), for the instruments that some client gets in the mode `quote`. They are
a second behind at most: what comes in between is seen in the prices that pass.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date as Date
from decimal import Decimal, InvalidOperation

import msgspec

from instruments.keys import InstrumentKey
from instruments.prices import can_trade_at
from quotes.runtime.clock import day_number, day_of_date
from quotes.ticks import Tick

_EXTREMES = ("high", "low")
_NO_FIELDS: Mapping[str, bytes] = {}


class _StoredDay(msgspec.Struct, frozen=True):
    """A day as the recorder writes it."""

    date: str
    open: msgspec.Raw
    high: msgspec.Raw
    low: msgspec.Raw
    prev_close: msgspec.Raw
    volume: msgspec.Raw


_decode_day = msgspec.json.Decoder(_StoredDay).decode


@dataclass(slots=True)
class _Day:
    """One instrument's day: its number since 1970-01-01, and the JSON texts of its fields."""

    number: int
    fields: dict[str, bytes]


class DayFields:
    """The days of the instruments whose quotes are wanted.

    Attributes:
        wanted: their keys.
        days: instrument key -> the day that was read.
    """

    def __init__(self) -> None:
        self.wanted: set[str] = set()
        self.days: dict[str, _Day] = {}

    def take(self, key: str, record: bytes | None) -> None:
        """Take the recorder's record of an instrument's day; None if it has none."""
        if record is None:
            self.days.pop(key, None)
            return
        stored = _decode_day(record)
        fields = {
            name: text
            for name in ("open", *_EXTREMES, "prev_close", "volume")
            if (text := bytes(getattr(stored, name))) != b"null"
        }
        number = day_of_date(msgspec.convert(stored.date, Date))
        self.days[key] = _Day(number, fields)

    def keep(self, keys: set[str]) -> None:
        """Forget all but these."""
        self.wanted &= keys
        for key in self.days.keys() - self.wanted:
            del self.days[key]

    def enriched(self, key: str, tick: Tick, fields: dict[str, bytes]) -> dict[str, bytes]:
        """Return the fields of a quote with those that the publisher did not send.

        See `of_tick`.
        """
        day = self.of_tick(key, tick)
        if not day:
            return with_change(tick, fields)
        found = {name: text for name, text in day.items() if name not in fields}
        prev_close = fields.get("prev_close") or day.get("prev_close")
        return fields | found | _change(tick, prev_close, fields)

    def of_tick(self, key: str, tick: Tick) -> Mapping[str, bytes]:
        """Return the fields of a tick's day, with the tick itself; empty if they are not here.

        From now on the instrument is wanted. A tick of another day than the one that was read gets
        no field of that day.
        """
        self.wanted.add(key)
        day = self.days.get(key)
        if day is None or day_number(tick.timestamp) != day.number:
            return _NO_FIELDS
        price = tick.price
        for name, beyond in zip(_EXTREMES, (Decimal.__gt__, Decimal.__lt__), strict=True):
            if beyond(price, Decimal(day.fields[name].decode())) and can_trade_at(
                InstrumentKey.parse(key), price
            ):
                day.fields[name] = tick.price_text.encode()
        return day.fields


def with_change(tick: Tick, fields: dict[str, bytes]) -> dict[str, bytes]:
    """Return the fields of a quote with the change, if the publisher sent the close before."""
    return fields | _change(tick, fields.get("prev_close"), fields)


def _change(tick: Tick, prev_close: bytes | None, fields: dict[str, bytes]) -> dict[str, bytes]:
    """Return the change since the last close, in rupees and in per cent, if neither was sent."""
    if prev_close is None or "change" in fields or "change_pct" in fields:
        return {}
    before = Decimal(prev_close.decode())
    found = {"change": _text_of(tick.price - before)}
    if before:
        with contextlib.suppress(InvalidOperation):  # more digits than a decimal can have here
            found["change_pct"] = _text_of(round((tick.price - before) / before * 100, 2))
    return found


def _text_of(number: Decimal) -> bytes:
    return format(number, "f").encode()


# Those of this process: payloads are made once for all of its event loops.
day_fields = DayFields()
