"""Past days of the simulated market: candles of one minute, the same whenever they are made.

Pure. A day's prices follow from the symbol and the date alone, so days join without a jump, and
making them again gives the same candles. `market.py` can begin where a day of the past ended.
"""

import math
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from random import Random
from typing import NamedTuple

from quotes.publish.simulation.instruments import (
    BANK_LEVEL,
    NIFTY_LEVEL,
    SHARES,
    SimulatedInstrument,
)
from quotes.publish.simulation.market import (
    BANK_WEIGHTS,
    CARRY_PER_YEAR,
    NIFTY_WEIGHTS,
    black,
    on_tick,
)

_MARKET = "market"
# A level is the mean of so many days' noise: it changes by about 0.9 % a day, and stays near 0.
_DAYS = 10
_LEVEL = 0.06
_MINUTE = 0.0005  # standard deviation of a minute's change, as a fraction of the price
_OVERNIGHT = 0.002
_OWN = 0.8  # how much of a share's moves is its own, besides those of the market
_INDICES = {
    "NIFTY 50": (NIFTY_LEVEL, NIFTY_WEIGHTS),
    "NIFTY BANK": (BANK_LEVEL, BANK_WEIGHTS),
}
_PRICES = {share.symbol: share.price for share in SHARES}


class PastCandle(NamedTuple):
    """One minute; prices in rupees, on the instrument's tick size."""

    start: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int | None
    oi: int | None


def past_candles(
    instrument: SimulatedInstrument, day: date, starts: Sequence[int]
) -> Iterator[PastCandle]:
    """Yield the candles of an instrument on a day.

    Args:
        starts: of the day's minutes, Unix milliseconds, in order.
    """
    count = len(starts)
    random = Random(f"{instrument.symbol} {day}")  # noqa: S311
    spots = _spots(instrument.underlying, day, count)
    prices = [_value(instrument, spot, day) for spot in spots]
    size, lot = instrument.tick_size, instrument.lot
    typical = max(1.0, instrument.volume / count / lot) if lot else 0.0
    oi = instrument.volume // 3 // lot * lot if lot and instrument.expiry else None
    for at, start in enumerate(starts):
        first, last = on_tick(prices[at], instrument), on_tick(prices[at + 1], instrument)
        swing = abs(random.gauss(0, _MINUTE)) * prices[at] / float(size)
        high = max(first, last) + round(swing)
        low = max(1, min(first, last) - round(swing * random.random()))
        volume = (1 + int(random.expovariate(1 / typical))) * lot if lot else None
        yield PastCandle(start, first * size, high * size, low * size, last * size, volume, oi)


def closing_moves(day: date) -> dict[str, float]:
    """Return how far each share was from its invented price at the end of a day: log of growth."""
    market = _level(_MARKET, day.toordinal())
    return {share.symbol: market + _OWN * _level(share.symbol, day.toordinal()) for share in SHARES}


def closing_price(instrument: SimulatedInstrument, day: date) -> int:
    """Return the close of a day's last candle, in tick sizes."""
    moves = closing_moves(day)
    name = instrument.underlying
    if name in _INDICES:
        level, weights = _INDICES[name]
        spot = level * sum(weight * math.exp(moves[share]) for share, weight in weights.items())
    else:
        spot = _PRICES[name] * math.exp(moves[name])
    return on_tick(_value(instrument, spot, day), instrument)


def _value(instrument: SimulatedInstrument, spot: float, day: date) -> float:
    """Return the fair price of an instrument at a price of its underlying."""
    if instrument.expiry is None:
        return spot
    years = max((instrument.expiry - day).days, 0.5) / 365
    forward = spot * math.exp(CARRY_PER_YEAR * years)
    if instrument.kind == "FUT":
        return forward
    return black(forward, instrument.strike, years, call=instrument.kind == "CE")


@lru_cache(maxsize=64)
def _spots(underlying: str, day: date, count: int) -> list[float]:
    """Return the prices of a share or index at the ends of a day's minutes, and the first."""
    if underlying not in _INDICES:
        price = _PRICES[underlying]
        return [price * math.exp(move) for move in _share_moves(underlying, day, count)]
    level, weights = _INDICES[underlying]
    moves = [(weight, _share_moves(symbol, day, count)) for symbol, weight in weights.items()]
    return [
        level * sum(weight * math.exp(path[at]) for weight, path in moves)
        for at in range(count + 1)
    ]


@lru_cache(maxsize=64)
def _share_moves(symbol: str, day: date, count: int) -> list[float]:
    market, own = _path(_MARKET, day, count), _path(symbol, day, count)
    return [each + _OWN * other for each, other in zip(market, own, strict=True)]


@lru_cache(maxsize=64)
def _path(name: str, day: date, count: int) -> list[float]:
    """Return the logarithms of growth at the ends of a day's minutes, and the first.

    A random walk between the level of the day before and that of the day.
    """
    random = Random(f"{name} path {day}")  # noqa: S311
    first = _level(name, day.toordinal() - 1) + random.gauss(0, _OVERNIGHT)
    last = _level(name, day.toordinal())
    walk = [0.0]
    for _ in range(count):
        walk.append(walk[-1] + random.gauss(0, _MINUTE))
    drift = (last - first - walk[-1]) / count
    return [first + step + at * drift for at, step in enumerate(walk)]


def _level(name: str, ordinal: int) -> float:
    noise = (Random(f"{name} level {ordinal - back}").gauss(0, 1) for back in range(_DAYS))  # noqa: S311
    return _LEVEL * sum(noise) / _DAYS
