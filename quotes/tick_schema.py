"""The JSON Schema of prices, from the fields of a tick: for the documents of REST and of sockets.

JSON Schema 2020-12, which OpenAPI 3.1 and AsyncAPI 3 both read. Schemas refer to each other by
name, as components of the document that they are in.
"""

from typing import Any

from instruments.keys import MAX_SYMBOL_LENGTH
from quotes.depth import MAX_LEVELS
from quotes.ticks import LEAST_TIMESTAMP, PRICE_FIELDS, QUANTITY_FIELDS, TIME_FIELDS

Schema = dict[str, Any]

_MEANINGS = {
    "open": "The day's first price.",
    "high": "The day's highest price.",
    "low": "The day's lowest price.",
    "prev_close": "The close of the session before.",
    "bid": "The best price to buy.",
    "ask": "The best price to sell.",
    "avg_price": "The day's average price.",
    "volume": "The quantity traded today.",
    "bid_qty": "The quantity at the best price to buy.",
    "ask_qty": "The quantity at the best price to sell.",
    "last_qty": "The quantity of the last trade.",
    "buy_qty": "The quantity that waits to be bought, of all orders.",
    "sell_qty": "The quantity that waits to be sold, of all orders.",
    "oi": "Open interest.",
    "last_trade_time": "When the last trade was, Unix milliseconds.",
}


def reference(name: str) -> Schema:
    """Return a reference to a component of the same document."""
    return {"$ref": f"#/components/schemas/{name}"}


def timestamp(description: str = "Unix milliseconds, UTC.") -> Schema:
    """Return the schema of a moment."""
    return {"type": "integer", "minimum": LEAST_TIMESTAMP, "description": description}


_SYMBOL = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_SYMBOL_LENGTH,
    "description": "As the exchange writes it: RELIANCE, M&M, NIFTY 50.",
    "examples": ["RELIANCE"],
}
_PRICE = {
    "type": "number",
    "description": "The last traded price in rupees, with the digits that were published.",
    "examples": [2950.5],
}
_SEGMENT = {
    "type": "string",
    "description": "The segment of an instrument that is in the master.",
    "examples": ["NSE_EQ"],
}
# What the market has in whole numbers too: publishers may send fractions.
_FIELDS: Schema = {
    **{
        name: {"type": "number", "description": _MEANINGS[name]}
        for name in (*PRICE_FIELDS, *QUANTITY_FIELDS, *TIME_FIELDS)
    },
    "depth": reference("Depth"),
}
PRICE: Schema = {
    "type": "object",
    "description": "The latest price of an instrument. Further keys pass through as published.",
    "properties": {
        "symbol": _SYMBOL,
        "price": _PRICE,
        "timestamp": timestamp(),
        "segment": _SEGMENT,
        **_FIELDS,
    },
    "required": ["symbol", "price", "timestamp"],
    "additionalProperties": True,
}
TICK: Schema = {
    **PRICE,
    "description": "A tick to publish. Further keys pass through to clients.",
    "properties": {
        **PRICE["properties"],
        "timestamp": timestamp("Unix milliseconds, UTC. Default: the time of arrival."),
        "segment": {**_SEGMENT, "description": "Narrows the symbol: NSE_EQ."},
    },
    "required": ["symbol", "price"],
}
DEPTH_ENTRY: Schema = {
    "type": "object",
    "description": "One price of a side of the depth.",
    "properties": {
        "price": {"type": "number"},
        "quantity": {"type": "number"},
        "orders": {"type": "number"},
    },
    "required": ["price", "quantity"],
}
DEPTH: Schema = {
    "type": "object",
    "description": f"Up to {MAX_LEVELS} entries a side, the best price first.",
    "properties": {
        side: {
            "type": "array",
            "items": reference("DepthEntry"),
            "maxItems": MAX_LEVELS,
        }
        for side in ("buy", "sell")
    },
}
# Name -> schema, of what both documents need.
SCHEMAS: dict[str, Schema] = {"Price": PRICE, "Depth": DEPTH, "DepthEntry": DEPTH_ENTRY}
