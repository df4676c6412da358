"""What OpenAlgo's clients get of a price: the JSON texts of a quote and of the market's depth.

Each number has the digits that were published. What neither the publisher nor the day's statistics
have is 0, since OpenAlgo's clients compute with every field.
"""

from collections.abc import Mapping
from typing import NamedTuple

from quotes.depth import MAX_LEVELS, read_depth
from quotes.errors import BadTick
from quotes.ticks import Tick
from quotes.websocket.delivery.day_fields import DayFields, with_change

_ZERO = b"0"
_NUMBER_START = frozenset(b"-0123456789")

Fields = Mapping[str, bytes]


class Level(NamedTuple):
    """One price of the order book; the JSON texts of numbers."""

    price: bytes = _ZERO
    quantity: bytes = _ZERO
    orders: bytes = _ZERO


def fields_of(key: str, tick: Tick, days: DayFields | None) -> Fields:
    """Return the fields of a tick, with those of its day that the publisher did not send.

    Args:
        key: of the instrument.
        days: statistics of days; None for a tick that is sent late, for which those of now are not.
    """
    fields = tick.fields
    return with_change(tick, fields) if days is None else days.enriched(key, tick, fields)


def number(fields: Fields, name: str) -> bytes:
    """Return the text of a number, 0 if there is none."""
    text = fields.get(name, _ZERO)
    return text if text[0] in _NUMBER_START else _ZERO


def quote(tick: Tick, fields: Fields) -> dict[str, bytes]:
    """Return the values of mode 2 (Quote) as JSON texts."""
    return {
        "ltp": tick.price_text.encode(),
        "timestamp": b"%d" % tick.timestamp,
        "open": number(fields, "open"),
        "high": number(fields, "high"),
        "low": number(fields, "low"),
        "close": number(fields, "prev_close"),
        "change": number(fields, "change"),
        "change_percent": number(fields, "change_pct"),
        "volume": number(fields, "volume"),
        "oi": number(fields, "oi"),
        "last_trade_quantity": number(fields, "last_qty"),
        "avg_trade_price": number(fields, "avg_price"),
        "total_buy_quantity": number(fields, "buy_qty"),
        "total_sell_quantity": number(fields, "sell_qty"),
        **trade_time(fields),
    }


def last_price(tick: Tick, fields: Fields) -> dict[str, bytes]:
    """Return the values of mode 1 (LTP) as JSON texts."""
    return {
        "ltp": tick.price_text.encode(),
        "timestamp": b"%d" % tick.timestamp,
        **trade_time(fields),
    }


def trade_time(fields: Fields) -> dict[str, bytes]:
    """Return `ltt`, the time of the last trade in Unix milliseconds, if the publisher sent it."""
    text = number(fields, "last_trade_time")
    return {} if text == _ZERO else {"ltt": text}


def levels(fields: Fields) -> tuple[list[Level], list[Level]]:
    """Return five levels of the buyers' side and of the sellers', the best first.

    They come from the tick's `depth`, else from its bid and ask.
    """
    sides = _published_levels(fields.get("depth"))
    if sides is None:
        sides = (
            [Level(number(fields, "bid"), number(fields, "bid_qty"))],
            [Level(number(fields, "ask"), number(fields, "ask_qty"))],
        )
    buy, sell = (side + [Level()] * (MAX_LEVELS - len(side)) for side in sides)
    return buy, sell


def _published_levels(text: bytes | None) -> tuple[list[Level], list[Level]] | None:
    """Return both sides of a tick's depth; None if it has none."""
    if text is None:
        return None
    try:
        depth = read_depth(text)
    except BadTick:
        return None  # stored before depths had one form
    buy, sell = (
        [Level(one.price.encode(), one.quantity.encode(), one.orders.encode()) for one in side]
        for side in (depth.buy, depth.sell)
    )
    return (buy, sell) if buy or sell else None


def depth_text(fields: Fields) -> bytes:
    """Return the JSON text of `depth` of mode 3."""
    published = fields.get("depth", b"")
    if published.count(b'"price"') == 2 * MAX_LEVELS:
        return published  # has all levels, in the form that is sent
    buy, sell = (b",".join(map(_level_text, side)) for side in levels(fields))
    return b'{"buy":[%b],"sell":[%b]}' % (buy, sell)


def _level_text(level: Level) -> bytes:
    return b'{"price":%b,"quantity":%b,"orders":%b}' % level


def joined_object(values: Mapping[str, bytes]) -> bytes:
    """Return the JSON text of an object of these keys, which need no escapes."""
    return b"{%b}" % b",".join(
        [b'"%b":%b' % (name.encode(), text) for name, text in values.items()]
    )
