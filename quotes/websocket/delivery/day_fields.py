"""Days: what a quote says of an instrument's day where its publisher did not.

The recorder keeps the statistics of each day in Redis; here is what one process knows of them, of
the instruments of which somebody wants quotes. They are a second behind at most: what comes in
between is seen in the prices that pass.
"""

from dataclasses import dataclass
from datetime import date as Date
from decimal import Decimal

import msgspec

from quotes.runtime.clock import day_number, day_of_date
from quotes.ticks import Tick

EXTREMES = ("high", "low")


class StoredDay(msgspec.Struct, frozen=True):
    """A day as the recorder writes it."""

    date: str
    open: msgspec.Raw
    high: msgspec.Raw
    low: msgspec.Raw
    prev_close: msgspec.Raw
    volume: msgspec.Raw


decode_day = msgspec.json.Decoder(StoredDay).decode


@dataclass(slots=True)
class Day:
    """One instrument's day: its number since 1970-01-01, and the JSON texts of its fields."""

    number: int
    fields: dict[str, bytes]


class Days:
    """The days of the instruments whose quotes are wanted.

    Attributes:
        wanted: their keys.
    """

    def __init__(self) -> None:
        self.wanted: set[str] = set()
        self.known: dict[str, Day] = {}

    def take(self, key: str, record: bytes | None) -> None:
        """Take what the recorder has written of an instrument; None: nothing."""
        if record is None:
            self.known.pop(key, None)
            return
        stored = decode_day(record)
        fields = {
            name: text
            for name in ("open", *EXTREMES, "prev_close", "volume")
            if (text := bytes(getattr(stored, name))) != b"null"
        }
        number = day_of_date(msgspec.convert(stored.date, Date))
        self.known[key] = Day(number, fields)

    def keep(self, keys: set[str]) -> None:
        """Forget all but these."""
        self.wanted &= keys
        for key in self.known.keys() - self.wanted:
            del self.known[key]

    def enriched(self, key: str, tick: Tick, fields: dict[str, bytes]) -> dict[str, bytes]:
        """Return the fields of a quote with those that the publisher did not send.

        A tick of another day than the one known is not enriched.
        """
        self.wanted.add(key)
        day = self.known.get(key)
        if day is None or day_number(tick.timestamp) != day.number:
            return fields | change(tick, fields.get("prev_close"), fields)
        price = tick.price
        for name, beyond in zip(EXTREMES, (Decimal.__gt__, Decimal.__lt__), strict=True):
            if beyond(price, Decimal(day.fields[name].decode())):
                day.fields[name] = tick.price_text.encode()
        found = {name: text for name, text in day.fields.items() if name not in fields}
        prev_close = fields.get("prev_close") or day.fields.get("prev_close")
        return fields | found | change(tick, prev_close, fields)


def change(tick: Tick, prev_close: bytes | None, fields: dict[str, bytes]) -> dict[str, bytes]:
    """Return the change since the last close, in rupees and in per cent, where it is not given."""
    if prev_close is None or "change" in fields or "change_pct" in fields:
        return {}
    before = Decimal(prev_close.decode())
    found = {"change": text_of(tick.price - before)}
    if before:
        found["change_pct"] = text_of(round((tick.price - before) / before * 100, 2))
    return found


def text_of(number: Decimal) -> bytes:
    return format(number, "f").encode()


# What one process knows.
days = Days()
