"""Print candles as they form, with the last twenty first."""

import asyncio

from live_price import PriceClient


async def main() -> None:
    async with PriceClient("ws://localhost:5000/live-price") as prices:
        async for candle in prices.subscribe("RELIANCE", candles="1m", history=20):
            print(candle.start, candle.close, "final" if candle.final else "", flush=True)


asyncio.run(main())
