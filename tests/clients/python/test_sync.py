"""The client without asyncio: loops in threads that can be stopped."""

import asyncio
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from live_price import ConnectionLost, StateChange, SymbolError, Tick
from live_price.sync import PriceClient
from redis import Redis

from quotes.publish.publishing import publish_ticks
from tests.live import LiveServer
from tests.ticks import MOMENT, message, publish, tick
from tests.waiting import DEADLINE_S, eventually, wait_until


async def in_thread(work: Callable[[], Any]) -> Any:
    """Do blocking work while the server runs in this loop."""
    async with asyncio.timeout(DEADLINE_S):
        return await asyncio.to_thread(work)


def show(redis: Redis, *numbers: int) -> None:
    publish_ticks([tick("A", str(n), MOMENT + n) for n in numbers], client=redis)


async def test_loop_yields_every_tick(live: LiveServer, redis: Redis) -> None:
    """In order, with the latest price first; events too; exact on request."""
    publish(redis, "A", message("A", "1.50"))

    def read() -> list[Any]:
        with PriceClient(live.url, exact=True) as prices:
            subscription = prices.subscribe("A", conflate=False)
            subscription.ready(DEADLINE_S)
            show(redis, *range(2, 1001))
            found = []
            for one in subscription:
                found.append(one.price)
                if one.price == 1000:
                    break
            assert prices.ping() > 0 and prices.state == "open"
            assert prices.market_status("NSE_EQ")
            return found

    assert await in_thread(read) == [Decimal("1.50"), *range(2, 1001)]


async def test_waiting_ends_with_time_or_close(live: LiveServer, redis: Redis) -> None:
    """`get` has a timeout that loses no price; `close` in another thread ends a loop."""

    def read() -> None:
        prices = PriceClient(live.url)
        prices.connect()
        subscription = prices.subscribe(["A"])
        for _ in range(3):
            with pytest.raises(TimeoutError):
                subscription.get(timeout_s=0.02)
        show(redis, 1)
        assert subscription.get(timeout_s=DEADLINE_S).price == 1
        subscription.add("B")
        subscription.remove("B")
        assert subscription.names == ["A"] and not subscription.rejected
        threading.Timer(0.1, prices.close).start()
        assert list(subscription) == []
        with pytest.raises(ConnectionLost, match="closed"):
            subscription.get()
        prices.close()
        subscription.close()
        with pytest.raises(RuntimeError, match="closed"):
            prices.ping()

    await in_thread(read)


async def test_handlers_and_errors(live: LiveServer, redis: Redis) -> None:
    """Handlers run in the client's thread, where nothing can be waited for."""
    found: list[Tick[float]] = []
    states: list[str] = []
    failures: list[BaseException] = []

    def read() -> None:
        with PriceClient(live.url) as prices:
            prices.on(StateChange, lambda change: states.append(change.state))
            with prices.subscribe("A") as subscription:
                subscription.on(Tick, found.append)

                def wait(one: Tick[float]) -> None:
                    try:
                        prices.ping()
                    except RuntimeError as error:
                        failures.append(error)

                subscription.on(Tick, wait)
                subscription.ready(DEADLINE_S)
                show(redis, 1)
                wait_until(lambda: failures)
            with pytest.raises(SymbolError):
                next(iter(prices.subscribe("*")))

    await in_thread(read)
    await eventually(lambda: states and states[-1] == "closed")
    assert [one.price for one in found] == [1] and "another thread" in str(failures[0])


def test_mistakes_leave_no_thread() -> None:
    """A wrong address is an error at once."""
    before = threading.active_count()
    with pytest.raises(ValueError, match="url must be like"):
        PriceClient("ftp://host")
    assert threading.active_count() == before
