"""From a latest price to the objects of Kite's quotes; what nobody knows is 0, as with Kite.

Prices keep the digits that were published. Kite's `ohlc.close` is the last session's close.
"""

from decimal import Decimal
from typing import Any

import msgspec

from quotes.depth import MAX_LEVELS, Depth, DepthEntry, read_depth
from quotes.errors import BadTick
from quotes.runtime.clock import india_time
from quotes.ticks import DEPTH_FIELD, Tick

_ZERO = msgspec.Raw(b"0")
_NO_ENTRY: dict[str, Any] = {"price": 0, "quantity": 0, "orders": 0}
_MAX_DIGITS = 20
_LAST_MS = 253_402_280_000_000  # of the year 9999

Fields = dict[str, bytes]  # field of a tick -> JSON text


def ltp_of(token: int, tick: Tick) -> dict[str, Any]:
    """Return what `/quote/ltp` has of an instrument."""
    return {"instrument_token": token, "last_price": msgspec.Raw(tick.price_text.encode())}


def ohlc_of(token: int, tick: Tick, fields: Fields) -> dict[str, Any]:
    """Return what `/quote/ohlc` has of an instrument.

    Args:
        fields: of the tick, with those of its day.
    """
    return ltp_of(token, tick) | {"ohlc": _ohlc(fields)}


def quote_of(token: int, tick: Tick, fields: Fields) -> dict[str, Any]:
    """Return what `/quote` has of an instrument; for the arguments see `ohlc_of`."""
    return {
        "instrument_token": token,
        "timestamp": _time_text(tick.timestamp),
        "last_trade_time": _time_text(_whole(fields, "last_trade_time")),
        "last_price": msgspec.Raw(tick.price_text.encode()),
        "last_quantity": _whole(fields, "last_qty"),
        "buy_quantity": _whole(fields, "buy_qty"),
        "sell_quantity": _whole(fields, "sell_qty"),
        "volume": _whole(fields, "volume"),
        "average_price": _price(fields, "avg_price"),
        "oi": _whole(fields, "oi"),
        "oi_day_high": _whole(fields, "oi_day_high"),
        "oi_day_low": _whole(fields, "oi_day_low"),
        "net_change": _net_change(tick, fields),
        "lower_circuit_limit": _price(fields, "lower_circuit_limit"),
        "upper_circuit_limit": _price(fields, "upper_circuit_limit"),
        "ohlc": _ohlc(fields),
        "depth": _depth(fields),
    }


def _ohlc(fields: Fields) -> dict[str, Any]:
    names = {"open": "open", "high": "high", "low": "low", "close": "prev_close"}
    return {name: _price(fields, field) for name, field in names.items()}


def _number(fields: Fields, name: str) -> Decimal | None:
    """Return a number of a tick; None for what is none, as others may write any field of theirs."""
    text = fields.get(name, b"")
    if not text or text[:1] not in b"-0123456789":
        return None
    number = Decimal(text.decode())
    return number if abs(number.adjusted()) < _MAX_DIGITS else None


def _price(fields: Fields, name: str) -> msgspec.Raw:
    return _ZERO if _number(fields, name) is None else msgspec.Raw(fields[name])


def _whole(fields: Fields, name: str) -> int:
    return int(_number(fields, name) or 0)


def _whole_of(text: str) -> int:
    return _whole({"": text.encode()}, "")


def _net_change(tick: Tick, fields: Fields) -> Decimal | int:
    """Return the change since the last session's close, in rupees."""
    before = _number(fields, "prev_close")
    return 0 if before is None else tick.price - before


def _depth(fields: Fields) -> dict[str, Any]:
    """Return both sides of the depth; without one, the best bid and ask that the tick has."""
    text = fields.get(DEPTH_FIELD)
    if text is None:
        sides = {"buy": _best(fields, "bid"), "sell": _best(fields, "ask")}
    else:
        try:
            depth = read_depth(text)
        except BadTick:  # a bridge of the release before lets any value pass
            depth = Depth()
        sides = {"buy": _side(depth.buy), "sell": _side(depth.sell)}
    return {name: side + [_NO_ENTRY] * (MAX_LEVELS - len(side)) for name, side in sides.items()}


def _best(fields: Fields, name: str) -> list[dict[str, Any]]:
    if not _number(fields, name):
        return []
    return [{"price": _price(fields, name), "quantity": _whole(fields, f"{name}_qty"), "orders": 0}]


def _side(entries: tuple[DepthEntry, ...]) -> list[dict[str, Any]]:
    return [
        {
            "price": msgspec.Raw(one.price.encode()),
            "quantity": _whole_of(one.quantity),
            "orders": _whole_of(one.orders),
        }
        for one in entries
    ]


def _time_text(timestamp: int) -> str | None:
    """Return Indian time to the second; None for 0, which stands for no time."""
    if not 0 < timestamp < _LAST_MS:
        return None
    return india_time(timestamp).strftime("%Y-%m-%d %H:%M:%S")
