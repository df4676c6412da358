"""Log in, and renew the token on the open connection."""

import asyncio

from live_price import PriceClient, RestClient

USER, PASSWORD = "asha", "correct horse battery staple"


async def main() -> None:
    rest = RestClient("http://localhost:5000")

    async def token() -> str:
        return (await rest.login(USER, PASSWORD))["access"]

    async with PriceClient("ws://localhost:5000/live-price", token=token) as prices:
        async for tick in prices.subscribe("RELIANCE"):
            print(tick.symbol, tick.price, flush=True)


asyncio.run(main())
