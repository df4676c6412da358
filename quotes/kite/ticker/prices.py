"""From a price to a packet: what a tick and its instrument's day say, in Kite's fields.

A value comes from the tick if its publisher sends it, else from the recorder's statistics of the
day, else it is 0.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from quotes.depth import DepthEntry, read_depth
from quotes.errors import BadTick
from quotes.kite.packets import (
    MAX_NUMBER,
    MAX_ORDERS,
    MIN_PRICE,
    Entry,
    Packet,
    is_index,
    quantity,
    scale,
    scaled,
    seconds,
)
from quotes.ticks import DEPTH_FIELD, LEAST_TIMESTAMP, Tick, decode_object
from quotes.websocket.delivery.day_fields import day_fields
from quotes.websocket.delivery.price_message import DELAYED, PriceMessage

_MOST_DIGITS = 18  # of a time
_NUMBER_START = frozenset("-0123456789")

# The beginning of a price frame as `encode_tick` writes it, up to the price.
_PRICE = re.compile(rb'\{"symbol":"(?:[^"\\]|\\.)*","price":([^,}]+)')

# field of a tick -> that of a packet
_PRICES = {name: name for name in ("open", "high", "low", "prev_close", "avg_price")}
_QUANTITIES = {
    **{name: name for name in ("last_qty", "volume", "buy_qty", "sell_qty", "oi")},
    **{"oi_day_high": "oi_high", "oi_day_low": "oi_low"},
}

_Sides = tuple[tuple[Entry, ...], tuple[Entry, ...]]


def packet_of(message: PriceMessage, mode: str, token: int) -> Packet:
    """Return the packet of a price in a mode, under its instrument's token.

    In the modes quote and full the instrument's day is wanted from now on (`DayFields`).
    """
    digits = scale(token)
    frame = message.frame
    if mode == "ltp" and (match := _PRICE.match(frame)) is not None:
        return Packet(token=token, mode=mode, last_price=scaled(match[1].decode(), digits))
    fields = {name: bytes(text).decode() for name, text in decode_object(frame).items()}
    price_text, timestamp = fields["price"], int(fields["timestamp"])
    last_price = scaled(price_text, digits)
    if mode == "ltp":
        return Packet(token=token, mode=mode, last_price=last_price)
    if message.kind != DELAYED:  # the day's fields of now are not for a late tick
        for name, text in day_fields.of_tick(message.key, Tick("", price_text, timestamp)).items():
            fields.setdefault(name, text.decode())
    values = _values(fields, digits)
    if is_index(token) and (before := values.get("prev_close")):
        values["change"] = max(MIN_PRICE, min(MAX_NUMBER, last_price - before))
    exchange_time = seconds(timestamp)
    if mode == "quote" or is_index(token):
        return Packet(
            token=token, mode=mode, last_price=last_price, exchange_time=exchange_time, **values
        )
    buy, sell = _depth(fields, digits)
    return Packet(
        token=token,
        mode=mode,
        last_price=last_price,
        last_trade_time=_moment(fields.get("last_trade_time", "")),
        exchange_time=exchange_time,
        buy=buy,
        sell=sell,
        **values,
    )


def _values(fields: Mapping[str, str], digits: int) -> dict[str, Any]:
    """Return the numbers of a packet that the fields of a tick have, by their names there."""
    values = {}
    for name, text in fields.items():
        if (own := _PRICES.get(name)) is not None:
            values[own] = scaled(text, digits)
        elif (own := _QUANTITIES.get(name)) is not None and text[0] in _NUMBER_START:
            # Of these some are no fields of a tick here, and may hold anything.
            values[own] = quantity(text)
    return values


def _moment(text: str) -> int:
    """Return Unix seconds of milliseconds; 0 for a time that cannot be in milliseconds."""
    moment = Decimal(text or 0)
    if moment < LEAST_TIMESTAMP or moment.adjusted() > _MOST_DIGITS:
        return 0
    return seconds(int(moment))


def _depth(fields: Mapping[str, str], digits: int) -> _Sides:
    """Return both sides of the depth; without one, the best bid and ask that the tick has."""
    text = fields.get(DEPTH_FIELD)
    if text is not None:
        try:
            depth = read_depth(text.encode())
        except BadTick:
            return (), ()  # of a bridge of the release before, which let any value pass
        return _side(depth.buy, digits), _side(depth.sell, digits)
    bid, ask = (
        (DepthEntry(price, fields.get(f"{name}_qty", "0")),) if price is not None else ()
        for name, price in (("bid", fields.get("bid")), ("ask", fields.get("ask")))
    )
    return _side(bid, digits), _side(ask, digits)


def _side(entries: tuple[DepthEntry, ...], digits: int) -> tuple[Entry, ...]:
    return tuple(
        [
            Entry(
                quantity(one.quantity),
                scaled(one.price, digits),
                min(quantity(one.orders), MAX_ORDERS),
            )
            for one in entries
        ]
    )
