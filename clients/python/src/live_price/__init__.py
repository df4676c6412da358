"""Live prices of Indian markets over a WebSocket, and their history over REST.

    from live_price import PriceClient

    async with PriceClient("ws://localhost:5000/live-price") as prices:
        async for tick in prices.subscribe(["RELIANCE"]):
            print(tick.symbol, tick.price)

`live_price.sync` has the same without asyncio, `RestClient` reads history.
"""

from live_price.client import PriceClient
from live_price.errors import AuthenticationError, ConnectionLost, PriceError, SymbolError
from live_price.history_pages import LatestPrices
from live_price.rest import RestClient
from live_price.rows import Rows
from live_price.subscription import Subscription
from live_price.values import (
    Authenticated,
    Candle,
    ChainMoved,
    ClientError,
    Conflated,
    Depth,
    DepthEntry,
    Entitlements,
    FeedChange,
    Frame,
    History,
    MarketStatus,
    Reconnect,
    Recovered,
    StateChange,
    Subscribed,
    Tick,
)

__version__ = "0.1.0"

__all__ = [
    "Authenticated",
    "AuthenticationError",
    "Candle",
    "ChainMoved",
    "ClientError",
    "Conflated",
    "ConnectionLost",
    "Depth",
    "DepthEntry",
    "Entitlements",
    "FeedChange",
    "Frame",
    "History",
    "LatestPrices",
    "MarketStatus",
    "PriceClient",
    "PriceError",
    "Reconnect",
    "Recovered",
    "RestClient",
    "Rows",
    "StateChange",
    "Subscribed",
    "Subscription",
    "SymbolError",
    "Tick",
    "__version__",
]
