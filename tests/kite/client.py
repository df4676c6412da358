"""What Kite's clients read of a frame, written from their published sources alone.

It shares nothing with `quotes.kite.packets`: fields are cut out at fixed offsets and divided as the
clients do. Names are those of the official Python client, 5.2.2.
"""

from typing import Any

_DIVISORS = {3: 10_000_000.0, 6: 10_000.0}
_LTP, _INDEX_QUOTE, _INDEX_FULL, _QUOTE, _FULL = 8, 28, 32, 44, 184
LENGTHS = (_LTP, _INDEX_QUOTE, _INDEX_FULL, _QUOTE, _FULL)


def read_frame(payload: bytes) -> list[dict[str, Any]]:
    """Return the ticks of a binary frame; it must end with its last packet."""
    if len(payload) < 2:
        return []
    ticks = []
    at = 2
    for _ in range(int.from_bytes(payload[:2])):
        length = int.from_bytes(payload[at : at + 2])
        ticks.append(read_packet(payload[at + 2 : at + 2 + length]))
        at += 2 + length
    assert at == len(payload)
    return ticks


def read_packet(packet: bytes) -> dict[str, Any]:
    """Return the tick of a packet, whose length must be a legal one."""
    assert len(packet) in LENGTHS
    token = int.from_bytes(packet[:4])
    low_byte = token & 0xFF
    divisor = _DIVISORS.get(low_byte, 100.0)

    def number(at: int) -> int:
        return int.from_bytes(packet[at : at + 4], signed=True)

    def price(at: int) -> float:
        return number(at) / divisor

    def full(at_length: int) -> str:
        return "full" if len(packet) == at_length else "quote"

    tick: dict[str, Any] = {
        "tradable": low_byte != 9,
        "mode": "ltp",
        "instrument_token": token,
        "last_price": price(4),
    }
    if len(packet) == _LTP:
        return tick
    if len(packet) in (_INDEX_QUOTE, _INDEX_FULL):
        tick["mode"] = full(_INDEX_FULL)
        tick["ohlc"] = {"high": price(8), "low": price(12), "open": price(16), "close": price(20)}
        tick["net_change"] = price(24)  # the clients compute a percentage instead
        if len(packet) == _INDEX_FULL:
            tick["exchange_timestamp"] = number(28)
        return tick
    tick["mode"] = full(_FULL)
    tick["last_traded_quantity"] = number(8)
    tick["average_traded_price"] = price(12)
    tick["volume_traded"] = number(16)
    tick["total_buy_quantity"] = number(20)
    tick["total_sell_quantity"] = number(24)
    tick["ohlc"] = {"open": price(28), "high": price(32), "low": price(36), "close": price(40)}
    if len(packet) == _FULL:
        tick["last_trade_time"] = number(44)
        tick["oi"] = number(48)
        tick["oi_day_high"] = number(52)
        tick["oi_day_low"] = number(56)
        tick["exchange_timestamp"] = number(60)
        entries = [
            {
                "quantity": number(at),
                "price": price(at + 4),
                "orders": int.from_bytes(packet[at + 8 : at + 10]),
            }
            for at in range(64, 184, 12)
        ]
        tick["depth"] = {"buy": entries[:5], "sell": entries[5:]}
    return tick
