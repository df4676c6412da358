"""Losses of connection: a server that is killed, frozen or cut off costs no tick."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from live_price import (
    Candle,
    ConnectionLost,
    PriceClient,
    Reconnect,
    Recovered,
    StateChange,
    Tick,
)
from redis import Redis

from benchmarks.chaos.client_account import Price
from benchmarks.chaos.ledger import Ledger
from benchmarks.chaos.proxy import Mode, Proxy
from benchmarks.client_losses.command import CLIENTS, run
from benchmarks.client_losses.driver import judge
from quotes.publish.publishing import publish_ticks
from quotes.websocket.feed.feed import current_feed
from quotes.websocket.feed.stream_history import UNREADABLE, MissedTicks
from tests.live import LiveServer
from tests.ticks import MOMENT, tick
from tests.waiting import DEADLINE_S, eventually

QUICK: dict[str, Any] = {"min_backoff_s": 0.01, "max_backoff_s": 0.05}


@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_accountant_finds_every_tick(tmp_path: Path) -> None:
    """Nothing lost, doubled or reordered: the short form of `benchmarks.client_losses`.

    The first kill takes the client from uvicorn to Daphne.
    """
    outcome = await run(CLIENTS["python"], tmp_path, losses=12, silence_s=1.0, pause_s=0.3)
    assert outcome.is_kept, str(outcome)
    assert outcome.losses >= 12 and outcome.recovered["missed ticks"] > 0
    assert set(outcome.kinds) == {"cut", "half-open", "kill", "freeze"}


@pytest.mark.parametrize(
    ("numbers", "kind"),
    [([1, 2, 4], "hole"), ([1, 2, 2, 3, 4], "doubled"), ([1, 3, 2, 3, 4], "reordered")],
)
def test_accountant_notices(numbers: list[int], kind: str) -> None:
    """A library that loses, doubles or reorders a tick does not pass."""
    ledger = Ledger()
    rows = [ledger.add("A", Decimal(n), MOMENT + n, 0, is_own=True) for n in range(1, 5)]
    for row in rows:
        row.is_acknowledged = True
    events = [Price("A", n, 1, n, Decimal(n), MOMENT + n) for n in numbers]
    assert kind in [str(one.kind) for one in judge(events, ledger).breaches]
    whole = [Price("A", n, 1, n, Decimal(n), MOMENT + n) for n in range(1, 5)]
    assert not judge(whole, ledger).breaches


def show(redis: Redis, *numbers: int, symbol: str = "A") -> None:
    publish_ticks([tick(symbol, str(n), MOMENT + n) for n in numbers], client=redis)


@pytest.fixture
async def door(live: LiveServer) -> AsyncIterator[Proxy]:
    proxy = Proxy(live.port)
    await proxy.start()
    yield proxy
    await proxy.close()


async def test_what_was_recovered_is_an_event(live: LiveServer, redis: Redis, door: Proxy) -> None:
    """It comes before the missed ticks; a quiet symbol recovers none; the next loss too."""
    async with PriceClient(f"127.0.0.1:{door.port}", **QUICK) as prices:
        subscription = prices.subscribe(["A", "B"], conflate=False)
        await subscription.ready()
        show(redis, 1)
        show(redis, 1, symbol="B")
        seen: list[Any] = []
        subscription.on(Tick, seen.append)
        subscription.on(Recovered, seen.append)
        await eventually(lambda: len(seen) == 2)
        door.set_mode(Mode.CUT)
        await eventually(lambda: prices.state == "waiting")
        show(redis, 2, 3)
        door.set_mode(Mode.PASS)
        await eventually(lambda: len(seen) == 6)
        show(redis, 4)
        await eventually(lambda: len(seen) == 7)
        recovered = {one.symbol: one for one in seen if isinstance(one, Recovered)}
        assert recovered["A"].recovered and recovered["A"].ticks == 2
        assert recovered["B"].recovered and recovered["B"].ticks == 0
        assert [one.price for one in seen if isinstance(one, Tick) and one.symbol == "A"] == [
            *(1, 2, 3, 4)
        ]
        assert seen.index(recovered["A"]) < next(
            at for at, one in enumerate(seen) if isinstance(one, Tick) and one.price == 2
        )


@pytest.mark.parametrize("is_closed", [False, True], ids=["obeys", "is closed before"])
async def test_server_that_stops_is_no_failure(
    live: LiveServer, redis: Redis, is_closed: bool
) -> None:
    """The client connects again at its time, without the pause of a loss, and resumes."""
    minute = 60.0
    async with PriceClient(live.url, min_backoff_s=minute, max_backoff_s=minute) as prices:
        states: list[str] = []
        told: list[Reconnect] = []
        prices.on(StateChange, lambda change: states.append(change.state))
        prices.on(Reconnect, told.append)
        subscription = prices.subscribe("A", conflate=False)
        await subscription.ready()
        seen: list[float] = []
        subscription.on(Tick, lambda one: seen.append(one.price))
        show(redis, 1)
        await eventually(lambda: seen == [1])
        for round in (1, 2):
            (session,) = (await current_feed()).listeners
            session.announce_restart(100)
            if is_closed:
                session.close_for_restart()
            await eventually(lambda: len(told) == round)  # noqa: B023
            await eventually(lambda: states[-2:] == ["connecting", "open"])
            show(redis, 2 * round, 2 * round + 1)
            await eventually(lambda: len(seen) == 2 * round + 1)  # noqa: B023
            states.clear()
        assert seen == [1, 2, 3, 4, 5] and told[0] == Reconnect(100)
        assert "waiting" not in states


async def test_loop_that_stops_for_long_loses_no_tick(
    live: LiveServer, redis: Redis, settings: Any
) -> None:
    """The client reads nothing meanwhile, the server closes the connection, and it resumes."""
    settings.QUOTES_WRITE_TIMEOUT_S = 1.0
    async with PriceClient(live.url, buffer=50, silence_s=1.0, **QUICK) as prices:
        subscription = prices.subscribe("A", conflate=False)
        await subscription.ready()
        show(redis, 1)
        await eventually(lambda: len(subscription._buffer) == 2)  # it can resume from now on
        pad = "x" * 4000
        ticks = [tick("A", str(n), MOMENT + n, pad=pad) for n in range(2, 801)]
        for begin in range(0, 800, 100):
            await asyncio.to_thread(publish_ticks, ticks[begin : begin + 100], client=redis)
        await eventually(lambda: subscription.is_full)
        await eventually(lambda: not live.server.server_state.connections)
        found: list[float] = []
        recovered: list[Recovered] = []
        async with asyncio.timeout(DEADLINE_S):
            async for event in subscription.events():
                if isinstance(event, Recovered):
                    recovered.append(event)
                elif isinstance(event, Tick):
                    found.append(event.price)
                    if event.price == 800:
                        break
    assert found == list(range(1, 801))
    assert all(one.recovered for one in recovered) and sum(one.ticks for one in recovered) > 100


async def test_what_cannot_be_recovered_has_a_reason(
    live: LiveServer, redis: Redis, door: Proxy
) -> None:
    """The numbering has started over: the reason, and then the latest price."""
    async with PriceClient(f"127.0.0.1:{door.port}", **QUICK) as prices:
        subscription = prices.subscribe("A")
        await subscription.ready()
        show(redis, 1)
        events = subscription.events()
        async with asyncio.timeout(DEADLINE_S):
            while not isinstance(await anext(events), Tick):
                pass
        [stream] = prices._registry._streams.values()
        stream.position.epoch -= 1
        door.set_mode(Mode.CUT)
        await eventually(lambda: prices.state == "waiting")
        show(redis, 2)
        door.set_mode(Mode.PASS)
        found: list[Any] = []
        async with asyncio.timeout(DEADLINE_S):
            while not found or not isinstance(found[-1], Tick):
                found.append(await anext(events))
        [recovered] = [one for one in found if isinstance(one, Recovered)]
        assert not recovered.recovered and recovered.reason
        assert found[-1].price == 2


async def test_server_that_cannot_read_its_log_is_asked_again(
    live: LiveServer, redis: Redis, door: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it cannot send just now comes on the next connection: nothing is lost."""
    async with PriceClient(f"127.0.0.1:{door.port}", **QUICK) as prices:
        subscription = prices.subscribe("A")
        seen: list[Any] = []
        subscription.on(Tick, seen.append)
        subscription.on(Recovered, seen.append)
        await subscription.ready()
        show(redis, 1)
        await eventually(lambda: len(seen) == 1)
        history = (await current_feed()).history
        missed_ticks = history.missed_ticks
        failures = [1, 2]

        async def failing(*arguments: Any, **options: Any) -> MissedTicks:
            if failures:
                failures.pop()
                return MissedTicks([], UNREADABLE, retry=True)
            return await missed_ticks(*arguments, **options)

        monkeypatch.setattr(history, "missed_ticks", failing)
        door.set_mode(Mode.CUT)
        await eventually(lambda: prices.state == "waiting")
        show(redis, 2, 3)
        door.set_mode(Mode.PASS)
        await eventually(lambda: len(seen) == 4)
    assert not failures and seen[1].recovered and seen[1].ticks == 2
    assert [one.price for one in seen if isinstance(one, Tick)] == [1, 2, 3]


async def test_without_resume_the_latest_price_comes(
    live: LiveServer, redis: Redis, door: Proxy
) -> None:
    """Nothing in between, and the one that was given is not given again."""
    async with PriceClient(f"127.0.0.1:{door.port}", **QUICK) as prices:
        subscription = prices.subscribe(["A", "B"], resume=False)
        found: list[tuple[str, float]] = []
        subscription.on(Tick, lambda one: found.append((one.symbol, one.price)))
        await subscription.ready()
        show(redis, 1)
        show(redis, 1, symbol="B")
        await eventually(lambda: len(found) == 2)
        door.set_mode(Mode.CUT)
        await eventually(lambda: prices.state == "waiting")
        show(redis, 2, 3, 4)
        door.set_mode(Mode.PASS)
        await eventually(lambda: ("A", 4) in found)
        await prices.ping()
    assert found == [("A", 1), ("B", 1), ("A", 4)]


async def test_silence_is_a_loss_and_quiet_symbols_are_not(
    live: LiveServer, redis: Redis, door: Proxy
) -> None:
    """The client pings a quiet server; one that answers nothing is left."""
    async with PriceClient(f"127.0.0.1:{door.port}", silence_s=0.6, **QUICK) as prices:
        states: list[StateChange] = []
        subscription = prices.subscribe("A")
        await subscription.ready()
        prices.on(StateChange, states.append)
        before = prices.last_frame_at
        await eventually(lambda: (prices.last_frame_at or 0) > (before or 0) + 1500)
        assert not states  # no price for much longer than the silence
        door.set_mode(Mode.HALF_OPEN)
        await eventually(lambda: states)
        assert "nothing came for 0.6 s" in str(states[0].error)
        door.set_mode(Mode.PASS)
        await eventually(lambda: prices.state == "open")
        show(redis, 1)
        async with asyncio.timeout(DEADLINE_S):
            async for one in subscription:
                assert one.price == 1
                break


async def test_requests_fail_with_the_connection(live: LiveServer, door: Proxy) -> None:
    """A request that waits for its answer does not wait for ever."""
    async with PriceClient(f"127.0.0.1:{door.port}", **QUICK) as prices:
        await prices.ready()
        door.set_mode(Mode.STALL)
        waiting = asyncio.create_task(prices.ping())
        await eventually(lambda: prices._answers)
        door.set_mode(Mode.CUT)
        with pytest.raises(ConnectionLost):
            await waiting
        await eventually(lambda: prices.state == "waiting")
        waiting = asyncio.create_task(prices.ping())
        door.set_mode(Mode.PASS)
        assert await waiting > 0


async def test_candles_that_changed_meanwhile_come(
    live: LiveServer, door: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a loss the client asks for as many candles as have begun, and gives what is new."""
    asked: list[int] = []

    def candle(start: int, close: float) -> str:
        return (
            f'{{"start":{start},"ends":{start + 60000},"open":1,"high":9,"low":1,"close":{close},'
            '"volume":1,"oi":null,"ticks":1,"final":false,"revised":false}'
        )

    stored = [candle(60_000, 2)]

    async def last_candles(key: Any, interval: Any, count: int) -> list[str]:
        asked.append(count)
        return stored[-count:]

    async with PriceClient(f"127.0.0.1:{door.port}", **QUICK) as prices:
        await prices.ping()
        history = (await current_feed()).history
        monkeypatch.setattr(history, "last_candles", last_candles)
        subscription = prices.subscribe("A", candles="1m")
        found: list[tuple[int, float]] = []
        recovered: list[Recovered] = []
        task = asyncio.create_task(_collect(subscription, found))
        subscription.on(Recovered, recovered.append)
        await eventually(lambda: found == [(60_000, 2)])
        stored[:] = [candle(60_000, 3), candle(120_000, 4)]
        door.set_mode(Mode.CUT)
        await eventually(lambda: prices.state == "waiting")
        door.set_mode(Mode.PASS)
        await eventually(lambda: len(found) == 3)
        task.cancel()
    assert found == [(60_000, 2), (60_000, 3), (120_000, 4)]
    assert asked == [1, 1000] and recovered[0].recovered and recovered[0].ticks == 2


async def _collect(subscription: Any, found: list[tuple[int, float]]) -> None:
    async for one in subscription:
        assert isinstance(one, Candle)
        found.append((one.start, one.close))
