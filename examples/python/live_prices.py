"""Print prices as they change."""

import asyncio

from live_price import PriceClient


async def main() -> None:
    async with PriceClient("ws://localhost:5000/live-price") as prices:
        async for tick in prices.subscribe(["RELIANCE", "NIFTY 50"]):
            print(tick.symbol, tick.price, flush=True)


asyncio.run(main())
