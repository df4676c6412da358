"""Reads the server's JSON into values."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Generic, cast

from live_price.values import Candle, Depth, DepthEntry, MarketStatus, N, Tick

_PRICES = ("open", "high", "low", "prev_close", "change", "change_pct", "bid", "ask")
_KNOWN = frozenset(
    {*_PRICES, "symbol", "price", "timestamp", "segment", "volume", "oi", "depth", "epoch", "seq"}
)


class Reader(Generic[N]):
    """Makes values of JSON, with numbers of one type.

    Its methods raise ValueError if a frame is not as the protocol describes it.
    """

    def __init__(self, *, exact: bool) -> None:
        self._number = cast(type[N], Decimal if exact else float)
        self._parse_float = Decimal if exact else None

    def load(self, text: str | bytes) -> Any:
        """Return what JSON text holds; digits are kept if numbers are exact."""
        try:
            return json.loads(text, parse_float=self._parse_float)
        except RecursionError as error:
            raise ValueError(f"not a frame: {error}") from error

    def number(self, value: Any) -> N:
        """Return a number of a frame."""
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise ValueError(f"not a number, got {value!r:.75}")
        return self._number(value)

    def _optional(self, values: Mapping[str, Any], name: str) -> N | None:
        value = values.get(name)
        return None if value is None else self.number(value)

    def _quantity(self, values: Mapping[str, Any], name: str) -> N | int | None:
        value = values.get(name)
        return value if value is None or type(value) is int else self.number(value)

    def tick(
        self, values: Mapping[str, Any], name: str, key: str, *, past: bool = False
    ) -> Tick[N]:
        """Return the tick of a price frame."""
        try:
            depth = values.get("depth")
            return Tick(
                name,
                values["symbol"],
                key,
                self.number(values["price"]),
                values["timestamp"],
                values.get("segment", ""),
                self._quantity(values, "volume"),
                self._quantity(values, "oi"),
                self._optional(values, "open"),
                self._optional(values, "high"),
                self._optional(values, "low"),
                self._optional(values, "prev_close"),
                self._optional(values, "change"),
                self._optional(values, "change_pct"),
                self._optional(values, "bid"),
                self._optional(values, "ask"),
                self._depth(depth) if isinstance(depth, dict) else None,
                values.get("epoch", 0),
                values.get("seq", 0),
                past,
                {one: values[one] for one in values.keys() - _KNOWN},
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a price: {values!r:.200}") from error

    def _depth(self, values: Mapping[str, Any]) -> Depth[N]:
        def side(name: str) -> tuple[DepthEntry[N], ...]:
            return tuple(
                DepthEntry(
                    self.number(one["price"]),
                    self._quantity(one, "quantity") or 0,
                    one.get("orders"),
                )
                for one in values.get(name, ())
            )

        return Depth(side("buy"), side("sell"))

    def candle(
        self, values: Mapping[str, Any], name: str, key: str, interval: str, *, past: bool = False
    ) -> Candle[N]:
        """Return the candle of a `candle` frame, or one of a `candles` frame or of REST."""
        try:
            return Candle(
                name,
                key,
                interval,
                values["start"],
                values["ends"],
                self.number(values["open"]),
                self.number(values["high"]),
                self.number(values["low"]),
                self.number(values["close"]),
                self._quantity(values, "volume"),
                self._quantity(values, "oi"),
                bool(values["final"]),
                bool(values["revised"]),
                past,
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a candle: {values!r:.200}") from error


def key_of(values: Mapping[str, Any]) -> str:
    """Return the instrument key of a price frame."""
    symbol, segment = values.get("symbol"), values.get("segment")
    if not isinstance(symbol, str):
        raise ValueError(f"a price without a symbol: {values!r:.200}")
    return f"{segment}:{symbol}" if segment else symbol


def market_status(values: Mapping[str, Any]) -> MarketStatus:
    """Return the status of a `market_status` frame."""
    return MarketStatus(
        values["segment"],
        values["status"],
        values.get("name", ""),
        values.get("next_change"),
        values.get("next_status", ""),
    )
