"""The Python client against the server: what a subscription gives, and what it says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, cast

import pytest
from live_price import (
    Candle,
    ChainMoved,
    ClientError,
    Conflated,
    FeedChange,
    Frame,
    History,
    MarketStatus,
    PriceClient,
    PriceError,
    Recovered,
    StateChange,
    Subscribed,
    Subscription,
    SymbolError,
    Tick,
)
from redis import Redis

from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.publish.publishing import publish_ticks
from quotes.store.group_names import candle_group
from tests.instruments.factories import m_and_m, nifty50_index, reliance, snapshot_of
from tests.live import LiveServer
from tests.ticks import MOMENT, message, publish, tick
from tests.waiting import DEADLINE_S, eventually
from tests.websocket.test_option_chains import option


@pytest.fixture(autouse=True)
def master(monkeypatch: pytest.MonkeyPatch) -> None:
    options = [option("NFO", "NIFTY", str(each), "CE") for each in range(23000, 25000, 500)]
    rows = [m_and_m(), reliance(), nifty50_index(), *options]
    monkeypatch.setattr(index, "_snapshot", snapshot_of(*rows))
    monkeypatch.setattr("quotes.websocket.feed.chain_prices._EVERY_S", 0.05)


@pytest.fixture
async def prices(live: LiveServer) -> AsyncIterator[PriceClient[float]]:
    async with PriceClient(live.url) as client:
        yield client


async def some(subscription: Subscription[Any], count: int) -> list[Any]:
    """Return the next prices."""
    found: list[Any] = []
    async with asyncio.timeout(DEADLINE_S):
        async for one in subscription:
            found.append(one)
            if len(found) == count:
                break
    return found


async def event(subscription: Subscription[Any], kind: type) -> Any:
    """Return the next event of a type."""
    async with asyncio.timeout(DEADLINE_S):
        async for one in subscription.events():
            if isinstance(one, kind):
                return one


async def until_listed(prices: PriceClient[float], *symbols: str) -> None:
    """Return when the server has just these symbols of the client."""
    async with asyncio.timeout(DEADLINE_S):
        while sorted((await prices.request({"action": "list"}))["symbols"]) != list(symbols):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def show(redis: Redis, *numbers: int, symbol: str = "RELIANCE") -> None:
    publish_ticks([tick(symbol, str(n), MOMENT + n) for n in numbers], client=redis)


async def test_latest_price_and_then_every_newer_one(
    prices: PriceClient[float], redis: Redis
) -> None:
    """A tick has the name, the key, the numbers and what else was published."""
    publish(redis, "M&M", message("M&M", "2031.50", volume=7, bid="2031.4", lot="x"))
    subscription = prices.subscribe(["NSE:M&M"])
    [first] = await some(subscription, 1)
    assert (first.name, first.symbol, first.key) == ("NSE:M&M", "M&M", "NSE_EQ:M&M")
    assert (first.price, first.timestamp, first.volume) == (2031.5, MOMENT, 7)
    assert first.extra == {"lot": "x"} and first.epoch and not first.past
    publish(redis, "M&M", message("M&M", "2032", MOMENT + 1))
    [second] = await some(subscription, 1)
    assert second.price == 2032 and isinstance(second.price, float)
    assert (second.epoch, second.seq) == (first.epoch, first.seq + 1)


async def test_exact_numbers_keep_their_digits(live: LiveServer, redis: Redis) -> None:
    """A price is a Decimal with the zeros that were published."""
    publish(redis, "A", message("A", "189.450", depth={"buy": [{"price": 1, "quantity": 2}]}))
    async with PriceClient(live.url, exact=True) as client:
        [one] = await some(client.subscribe("A"), 1)
    assert repr(one.price) == repr(Decimal("189.450"))
    assert one.depth.buy[0].price == Decimal(1) and one.depth.sell == ()


async def test_history_comes_first(prices: PriceClient[float], redis: Redis) -> None:
    """Past ticks, marked as such, and live ones without a gap or a repeat."""
    show(redis, 1, 2, 3)
    await eventually(lambda: int(redis.get("quotes:log:1:n") or 0) >= 3)
    subscription = prices.subscribe("RELIANCE", history=2)
    found = await some(subscription, 1)
    show(redis, 4)
    found += await some(subscription, 2)
    assert [(one.price, one.past) for one in found] == [(2, True), (3, True), (4, False)]


async def test_history_is_an_event_too(prices: PriceClient[float], redis: Redis) -> None:
    """With all of its ticks."""
    subscription = prices.subscribe("AAPL", history=2)
    assert await event(subscription, History) == History("AAPL", "AAPL")


async def test_names_that_nobody_has_get_suggestions(prices: PriceClient[float]) -> None:
    """They are subscribed to all the same."""
    subscription = prices.subscribe("RELIANC")
    one = await event(subscription, Subscribed)
    assert one == Subscribed("RELIANC", "RELIANC", False, ("NSE_EQ:RELIANCE",))
    await subscription.ready()


async def test_refused_names_are_events(prices: PriceClient[float], redis: Redis) -> None:
    """The others go on; a subscription without any raises the reason in its loop."""
    show(redis, 1)
    subscription = prices.subscribe(["RELIANCE", "*"])
    refused: list[SymbolError] = []
    subscription.on(SymbolError, refused.append)
    assert (await some(subscription, 1))[0].price == 1
    assert refused[0].symbol == "*" and refused[0].code == 400
    assert list(subscription.rejected) == ["*"]
    wrong = prices.subscribe("*")
    with pytest.raises(SymbolError):
        await wrong.ready()
    with pytest.raises(SymbolError, match=r"\*: .* \(400\)"):
        await some(wrong, 1)


async def test_two_names_of_one_instrument(prices: PriceClient[float], redis: Redis) -> None:
    """Each gets every price, under its own name, until the last of them is removed."""
    show(redis, 1)
    one = prices.subscribe(["RELIANCE", "NSE:RELIANCE"])
    other = prices.subscribe("NSE_EQ:RELIANCE")
    await other.ready()
    show(redis, 2)
    names = {(each.name, each.price) for each in await some(one, 4)}
    assert names == {(name, n) for name in ("RELIANCE", "NSE:RELIANCE") for n in (1, 2)}
    assert [each.price for each in await some(other, 2)] == [1, 2]
    one.remove("RELIANCE")
    one.close()
    show(redis, 3)
    assert (await some(other, 1))[0].price == 3
    other.close()
    await until_listed(prices)


async def test_subscriptions_with_other_options_get_the_richer(
    prices: PriceClient[float], redis: Redis
) -> None:
    """The server has an instrument once: with all fields, and every tick, if one wants them."""
    publish(redis, "RELIANCE", message("RELIANCE", "1", MOMENT + 1, bid=5))
    brief = prices.subscribe("RELIANCE", mode="ltp")
    assert (await some(brief, 1))[0].bid is None
    whole = prices.subscribe("NSE:RELIANCE", conflate=False)
    await whole.ready()
    for number in (2, 3):
        text = message("RELIANCE", str(number), MOMENT + number, bid=6)
        publish(redis, "RELIANCE", text)
    found = await some(whole, 3)
    assert [one.price for one in found] == [1, 2, 3] and found[2].bid == 6
    assert [one.price for one in await some(brief, 2)] == [2, 3]
    brief.close()
    publish(redis, "RELIANCE", message("RELIANCE", "4", MOMENT + 4))
    assert (await some(whole, 1))[0].price == 4


@pytest.mark.parametrize("name", ["RELIANCE", "NSE:RELIANCE"])
@pytest.mark.parametrize("resume", [True, False])
async def test_richer_mode_begins_with_the_price_that_is_there(
    prices: PriceClient[float], redis: Redis, name: str, resume: bool
) -> None:
    """The later subscription gets every field at once, and each price once; so does the first."""
    brief = prices.subscribe("RELIANCE", mode="ltp", resume=resume, conflate=False)
    await brief.ready()
    publish(redis, "RELIANCE", message("RELIANCE", "1", MOMENT + 1, bid=5))
    assert (await some(brief, 1))[0].bid is None
    recovered: list[Recovered] = []
    whole = prices.subscribe(name, mode="full", resume=resume)
    for subscription in (brief, whole):
        subscription.on(Recovered, recovered.append)
    [first] = await some(whole, 1)
    assert (first.name, first.price, first.bid) == (name, 1, 5)
    late = prices.subscribe("RELIANCE")
    assert (await some(late, 1))[0].bid == 5
    publish(redis, "RELIANCE", message("RELIANCE", "2", MOMENT + 2, bid=6))
    for subscription in (brief, whole, late):
        [price] = await some(subscription, 1)
        assert (price.price, price.bid) == (2, 6)
    assert not recovered


async def test_names_are_added_and_removed(prices: PriceClient[float], redis: Redis) -> None:
    """Changes go out together, and one that is taken back leaves nothing behind."""
    subscription = prices.subscribe("A")
    await subscription.ready()
    subscription.add(["B", "C"])
    subscription.remove("C")
    subscription.remove(["A", "nobody"])
    subscription.add("D")
    subscription.add("D")
    assert subscription.names == ["B", "D"]
    await subscription.ready()
    await until_listed(prices, "B", "D")
    show(redis, 1, symbol="B")
    assert (await some(subscription, 1))[0].name == "B"


async def test_loop_ends_when_it_is_closed(prices: PriceClient[float], redis: Redis) -> None:
    """Prices that are in the buffer come first; more cannot be added."""
    show(redis, 1)
    subscription = prices.subscribe("RELIANCE")
    await event(subscription, Subscribed)
    await eventually(lambda: len(subscription._buffer))
    subscription.close()
    assert [one.price async for one in subscription] == [1]
    with pytest.raises(RuntimeError, match="closed"):
        subscription.add("A")
    open_one = prices.subscribe("B")
    await prices.close()
    assert [one async for one in open_one] == []
    with pytest.raises(PriceError):
        prices.subscribe("C")


@pytest.mark.django_db(transaction=True, databases=["default", "history"])
async def test_candles(prices: PriceClient[float], live: LiveServer) -> None:
    """They come as they change, by the name that was subscribed."""
    subscription = prices.subscribe("RELIANCE", candles="1m")
    await subscription.ready()
    text = (
        '{"start":60000,"ends":120000,"open":1,"high":2.50,"low":1,"close":2,"volume":null,'
        '"oi":null,"ticks":2,"final":false,"revised":false}'
    )
    key = InstrumentKey("NSE_EQ", "RELIANCE")
    for candle in (text, text, text.replace("false", "true", 1)):
        event = {"type": "quote.candles", "key": str(key), "candles": {"1m": candle}}
        await live.layer.group_send(candle_group(key), event)
    first, last = await some(subscription, 2)
    assert isinstance(first, Candle)
    assert (first.name, first.interval, first.high) == ("RELIANCE", "1m", 2.5)
    assert (first.final, last.final, first.volume) == (False, True, None)


async def test_option_chain_follows_the_money(prices: PriceClient[float], redis: Redis) -> None:
    """Its options come and go; what it left is not subscribed any more."""
    publish(redis, "NSE_INDEX:NIFTY 50", message("NIFTY 50", "23510"))
    chain = prices.subscribe_option_chain("NIFTY", strikes_around=0, follow=True)
    await chain.ready()
    [key] = chain.names
    assert key.endswith("23500CE")
    show(redis, 1, symbol=key)
    assert (await some(chain, 1))[0].name == key
    moved: list[ChainMoved] = []
    chain.on(ChainMoved, moved.append)
    publish(redis, "NSE_INDEX:NIFTY 50", message("NIFTY 50", "24010", MOMENT + 1))
    await eventually(lambda: moved)
    assert moved[0].removed == (key,) and chain.names == list(moved[0].added)
    with pytest.raises(ValueError, match="option chain"):
        chain.add("A")
    chain.close()
    await until_listed(prices)


async def test_requests(prices: PriceClient[float]) -> None:
    """Ping, market status, settings, and errors of the server as exceptions."""
    assert await prices.ping() == prices.latency_ms
    assert prices.feed in ("live", "quiet") and prices.last_frame_at
    assert abs(prices.clock_offset_ms or 0) < 60_000
    [status] = await prices.market_status("NSE_EQ")
    assert isinstance(status, MarketStatus) and status.segment == "NSE_EQ"
    assert len(await prices.market_status()) > 5
    await prices.configure(mode="ltp", batch=True, interval_ms=20)
    with pytest.raises(PriceError, match="interval_ms") as refused:
        await prices.configure(interval_ms=-1)
    assert refused.value.code == 400
    with pytest.raises(PriceError) as unknown:
        await prices.request({"action": "fly"})
    assert unknown.value.code == 410


async def test_batches_are_single_prices(prices: PriceClient[float], redis: Redis) -> None:
    """A loop does not notice that prices come in arrays."""
    await prices.configure(batch=True, mode="ltp")
    subscription = prices.subscribe("RELIANCE", conflate=False)
    await subscription.ready()
    show(redis, *range(1, 101))
    assert [one.price for one in await some(subscription, 100)] == list(range(1, 101))


async def test_slow_loop_gets_the_newest_and_a_count(live: LiveServer, redis: Redis) -> None:
    """The buffer does not grow, and an event counts what was left out."""
    async with PriceClient(live.url, buffer=10) as prices:
        subscription = prices.subscribe(["A", "B"])
        left_out: list[Conflated] = []
        subscription.on(Conflated, left_out.append)
        await subscription.ready()
        for begin in range(1, 1001, 100):
            show(redis, *range(begin, begin + 100), symbol="A")
        show(redis, 1, symbol="B")
        await eventually(lambda: sum(one.skipped for one in left_out) > 900)
        assert len(subscription._buffer) <= 10
        found: dict[str, float] = {}
        count = 0
        skipped = 0
        async with asyncio.timeout(DEADLINE_S):
            async for one in subscription.events():
                if isinstance(one, Conflated):
                    skipped += one.skipped
                elif isinstance(one, Tick):
                    found[one.symbol] = one.price
                    count += 1
                if found.get("A") == 1000 and found.get("B") == 1:
                    break
    assert skipped > 900 and count + skipped == 1001 and all(one.by == "client" for one in left_out)


async def test_slow_loop_over_every_tick_loses_none(live: LiveServer, redis: Redis) -> None:
    """The client stops reading while its buffer is full, and goes on where it was."""
    async with PriceClient(live.url, buffer=20) as prices:
        subscription = prices.subscribe("A", conflate=False)
        await subscription.ready()
        for begin in range(1, 2001, 100):
            show(redis, *range(begin, begin + 100), symbol="A")
        await eventually(lambda: subscription.is_full)
        most = 0
        found = []
        async with asyncio.timeout(DEADLINE_S):
            async for one in subscription:
                found.append(one.price)
                most = max(most, len(subscription._buffer))
                if len(found) % 50 == 0:
                    await asyncio.sleep(0)
                if one.price == 2000:
                    break
    assert found == list(range(1, 2001)) and most < 2000


async def test_break_loses_nothing(prices: PriceClient[float], redis: Redis) -> None:
    """The next loop over a subscription goes on with the next price."""
    subscription = prices.subscribe("A", conflate=False)
    await subscription.ready()
    show(redis, *range(1, 31), symbol="A")
    found = [(await some(subscription, 1))[0].price for _ in range(30)]
    assert found == list(range(1, 31))


async def test_handlers_instead_of_a_loop(prices: PriceClient[float], redis: Redis) -> None:
    """Nothing is kept for a loop then; a handler that raises disturbs nobody; each can be ended."""
    subscription = prices.subscribe("A")
    found: list[Tick[float]] = []
    frames: list[Frame] = []

    def broken(one: object) -> None:
        raise RuntimeError("a mistake")

    subscription.on(Tick, broken)
    end = subscription.on(Tick, found.append)
    prices.on(Frame, frames.append)
    await subscription.ready()
    show(redis, 1, symbol="A")
    await eventually(lambda: found)
    assert not [one for _, one in subscription._buffer._items if isinstance(one, Tick)]
    end()
    show(redis, 2, symbol="A")
    await prices.ping()
    assert [one.price for one in found] == [1]
    assert {one.values["type"] for one in frames} >= {"subscribed", "pong"}


async def test_frames_that_cannot_be_read_are_errors(prices: PriceClient[float]) -> None:
    """They end nothing."""
    await prices.ready()
    errors: list[ClientError] = []
    prices.on(ClientError, errors.append)
    wrong: list[str | bytes] = [
        *("{", "7", "null", "[1]", '{"type":"candle"}', '{"type":"subscribed","rejected":7}'),
        *('{"price":1}', "[" * 100_000, b"\xff", '{"type":7}'),
    ]
    for text in wrong:
        prices.received(text)
    assert len(errors) >= 8
    assert await prices.ping() > 0


async def test_states_are_events(live: LiveServer) -> None:
    """From connecting to closed, with the feed."""
    client = PriceClient(live.url.replace("ws://", "").removesuffix("/live-price"))
    seen: list[Any] = []

    async def watch() -> None:
        seen.extend([one async for one in client.events()])

    task = asyncio.create_task(watch())
    await asyncio.sleep(0)
    async with client as prices:
        await prices.ready()
        await prices.ping()
    await task
    states = [one.state for one in seen if isinstance(one, StateChange)]
    assert states == ["connecting", "open", "closed"]
    assert any(isinstance(one, FeedChange) for one in seen)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda client: client.subscribe([]), ValueError),
        (lambda client: client.subscribe([7]), TypeError),
        (lambda client: client.subscribe(""), ValueError),
        (lambda client: client.subscribe("x" * 201), ValueError),
        (lambda client: client.subscribe("A", history=-1), ValueError),
        (lambda client: client.subscribe("A", history=1001), ValueError),
        (lambda client: client.subscribe("A", mode="all"), ValueError),
        (lambda client: client.on(Tick, 7), TypeError),
        (lambda client: PriceClient("ftp://host"), ValueError),
        (lambda client: PriceClient(""), ValueError),
        (lambda client: PriceClient("x", silence_s=0), ValueError),
        (lambda client: PriceClient("x", min_backoff_s=3, max_backoff_s=2), ValueError),
        (lambda client: PriceClient("x", token=cast(Any, 7)), TypeError),
    ],
)
async def test_mistakes_are_errors_at_once(wrong: Any, error: type[Exception]) -> None:
    """Where they are made, not later in a task."""
    client = PriceClient("localhost:1")
    with pytest.raises(error):
        wrong(client)
    with contextlib.suppress(PriceError):
        await client.close()


async def test_many_symbols_go_in_few_messages(prices: PriceClient[float]) -> None:
    """Three thousand long names are split so that each message is small enough."""
    names = [f"SYMBOL{number}{'X' * 50}" for number in range(2000)]
    subscription = prices.subscribe(names)
    await subscription.ready()
    assert not subscription.rejected and len(subscription.names) == 2000
