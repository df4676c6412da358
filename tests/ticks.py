"""Ticks of instruments that people know."""

import json
from typing import Any

from redis import Redis

from quotes.runtime.clock import now_ms
from quotes.ticks import Tick, parse_tick

# 2024-04-05 15:45:00 UTC, the time of the first version's example.
MOMENT = 1_712_331_900_000


def message(
    symbol: str = "AAPL", price: str = "189.45", timestamp: int = MOMENT, **more: Any
) -> str:
    """Return a publisher's message, with the same digits of the price."""
    others = "".join(f",{json.dumps(key)}:{json.dumps(value)}" for key, value in more.items())
    return f'{{"symbol":{json.dumps(symbol)},"price":{price},"timestamp":{timestamp}{others}}}'


def tick(symbol: str = "AAPL", price: str = "189.45", timestamp: int = MOMENT, **more: Any) -> Tick:
    return parse_tick(message(symbol, price, timestamp, **more).encode(), now_ms=now_ms())


def publish(redis: Redis, symbol: str, text: str) -> None:
    """SET and PUBLISH as the first version's publishers do."""
    redis.set(f"stock:{symbol}", text)
    redis.publish(f"stock:{symbol}", text)
