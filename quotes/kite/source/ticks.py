"""From a packet of Kite's ticker to a tick of ours.

    last_price                               price
    exchange_timestamp                       timestamp
    volume_traded, last_traded_quantity      volume, last_qty
    average_traded_price                     avg_price
    total_buy_quantity, total_sell_quantity  buy_qty, sell_qty
    ohlc                                     open, high, low, prev_close
    last_trade_time, oi, depth               the same names
    oi_day_high, oi_day_low                  the same names

Kite writes 0 where it knows nothing: such prices, times and entries of the depth are left out.
"""

from functools import lru_cache

from instruments.keys import InstrumentKey
from instruments.market import DERIVATIVE_SEGMENTS
from instruments.prices import is_above_zero
from quotes.kite.packets import Entry, Packet, price_text
from quotes.ticks import LEAST_TIMESTAMP, Tick

_FULL = "full"
_QUOTE_PRICES = (("open", "open"), ("high", "high"), ("low", "low"), ("prev_close", "prev_close"))


# Number and low byte of a token -> text. The prices of a depth change little from tick to tick.
_text = lru_cache(maxsize=50_000)(price_text)


def tick_of(packet: Packet, key: InstrumentKey, *, now_ms: int, ahead_ms: int = 0) -> Tick | None:
    """Return the tick of a packet; None where Kite has no price of the instrument yet.

    Args:
        key: of the packet's instrument; the tick is published under it.
        now_ms: the time of arrival: that of the tick, if the packet has no time (modes ltp and
            quote) or one that cannot be.
        ahead_ms: how far the time may be after it.
    """
    price = packet.last_price
    if price == 0 or (price < 0 and is_above_zero(key)):
        return None
    timestamp = packet.exchange_time * 1000
    if not LEAST_TIMESTAMP <= timestamp <= now_ms + ahead_ms:
        timestamp = now_ms
    text = _text(price, packet.token & 255)
    return Tick(key.symbol, text, timestamp, key.segment, _others(packet, key).encode())


def _others(packet: Packet, key: InstrumentKey) -> str:
    """Return the other fields in the form of `Tick.others`."""
    if packet.mode == "ltp":
        return ""
    low_byte = packet.token & 255
    parts = []
    if not packet.is_index:
        parts += [f',"volume":{packet.volume}', f',"last_qty":{packet.last_qty}']
        if packet.avg_price:
            parts.append(f',"avg_price":{_text(packet.avg_price, low_byte)}')
        parts += [f',"buy_qty":{packet.buy_qty}', f',"sell_qty":{packet.sell_qty}']
    for name, attribute in _QUOTE_PRICES:
        if number := getattr(packet, attribute):
            parts.append(f',"{name}":{_text(number, low_byte)}')
    if packet.mode != _FULL or packet.is_index:
        return "".join(parts)
    if packet.last_trade_time:
        parts.append(f',"last_trade_time":{packet.last_trade_time * 1000}')
    if key.segment in DERIVATIVE_SEGMENTS:
        parts.append(f',"oi":{packet.oi}')
        parts.append(f',"oi_day_high":{packet.oi_high},"oi_day_low":{packet.oi_low}')
    buy, sell = _side(packet.buy, low_byte), _side(packet.sell, low_byte)
    if buy or sell:
        parts.append(f',"depth":{{"buy":[{buy}],"sell":[{sell}]}}')
    return "".join(parts)


def _side(entries: tuple[Entry, ...], low_byte: int) -> str:
    return ",".join(
        f'{{"price":{_text(one.price, low_byte)},"quantity":{one.quantity},"orders":{one.orders}}}'
        for one in entries
        if one.price or one.quantity
    )
