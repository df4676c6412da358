"""From a price to a packet: what a tick and its instrument's day say, in Kite's fields.

A value comes from the tick if its publisher sends it, else from the recorder's statistics of the
day, else it is 0.
"""

from collections.abc import Mapping
from decimal import Decimal

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
from quotes.ticks import DEPTH_FIELD, LEAST_TIMESTAMP, read_frame
from quotes.websocket.delivery.day_fields import day_fields
from quotes.websocket.delivery.price_message import DELAYED, PriceMessage

_MOST_DIGITS = 18  # of a time

_Fields = Mapping[str, bytes]  # name -> JSON text


def packet_of(message: PriceMessage, mode: str, token: int) -> Packet:
    """Return the packet of a price in a mode, under its instrument's token.

    In the modes quote and full the instrument's day is wanted from now on (`DayFields`).
    """
    tick = read_frame(message.frame)
    digits = scale(token)
    last_price = scaled(tick.price_text, digits)
    if mode == "ltp":
        return Packet(token=token, mode=mode, last_price=last_price)
    fields: _Fields = tick.fields
    if message.kind != DELAYED:  # the day's fields of now are not for a late tick
        fields = day_fields.enriched(message.key, tick, dict(fields))

    def price(name: str) -> int:
        return scaled(_number(fields, name), digits)

    def amount(name: str) -> int:
        return quantity(_number(fields, name))

    prev_close = price("prev_close")
    buy, sell = _depth(fields, digits) if mode == "full" and not is_index(token) else ((), ())
    return Packet(
        token=token,
        mode=mode,
        last_price=last_price,
        last_qty=amount("last_qty"),
        avg_price=price("avg_price"),
        volume=amount("volume"),
        buy_qty=amount("buy_qty"),
        sell_qty=amount("sell_qty"),
        open=price("open"),
        high=price("high"),
        low=price("low"),
        prev_close=prev_close,
        change=max(MIN_PRICE, min(MAX_NUMBER, last_price - prev_close)) if prev_close else 0,
        last_trade_time=_moment(_number(fields, "last_trade_time")),
        oi=amount("oi"),
        oi_high=amount("oi_day_high"),
        oi_low=amount("oi_day_low"),
        exchange_time=seconds(tick.timestamp),
        buy=buy,
        sell=sell,
    )


def _number(fields: _Fields, name: str) -> str:
    """Return the text of a field's number; "0" if there is none."""
    text = fields.get(name, b"0")
    # Keys that are no field of a tick here may hold anything.
    return text.decode() if text[:1].isdigit() or text[:1] == b"-" else "0"


def _moment(text: str) -> int:
    """Return Unix seconds of milliseconds; 0 for a time that cannot be in milliseconds."""
    moment = Decimal(text)
    if moment < LEAST_TIMESTAMP or moment.adjusted() > _MOST_DIGITS:
        return 0
    return seconds(int(moment))


def _depth(fields: _Fields, digits: int) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """Return both sides of the depth; without one, the best bid and ask that the tick has."""
    text = fields.get(DEPTH_FIELD)
    if text is not None:
        try:
            depth = read_depth(text)
        except BadTick:
            return (), ()  # of a bridge of the release before, which let any value pass
        return _side(depth.buy, digits), _side(depth.sell, digits)
    bid, ask = (
        (DepthEntry(_number(fields, name), _number(fields, f"{name}_qty")),)
        for name in ("bid", "ask")
    )
    return _side(bid, digits), _side(ask, digits)


def _side(entries: tuple[DepthEntry, ...], digits: int) -> tuple[Entry, ...]:
    return tuple(
        Entry(
            quantity(one.quantity), scaled(one.price, digits), min(quantity(one.orders), MAX_ORDERS)
        )
        for one in entries
    )
