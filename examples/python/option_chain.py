"""Print the options around the money, and follow it."""

import asyncio

from live_price import PriceClient


async def main() -> None:
    async with PriceClient("ws://localhost:5000/live-price") as prices:
        chain = prices.subscribe_option_chain("NIFTY", strikes_around=5, follow=True)
        async for tick in chain:
            print(tick.symbol, tick.price, flush=True)


asyncio.run(main())
