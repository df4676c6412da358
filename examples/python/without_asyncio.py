"""Print prices as they change, without asyncio."""

from live_price.sync import PriceClient

with PriceClient("ws://localhost:5000/live-price") as prices:
    for tick in prices.subscribe(["RELIANCE", "NIFTY 50"]):
        print(tick.symbol, tick.price, flush=True)
