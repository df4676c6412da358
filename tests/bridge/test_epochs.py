"""When numbers continue and when they start over."""

import pytest
from redis import Redis

from quotes.bridge.epochs import has_lost_numbers, records_of
from quotes.bridge.market import Market
from quotes.store.latest import LatestPrice
from quotes.store.redis_clock import redis_clock
from tests.live import LiveServer
from tests.ticks import MOMENT, message, publish
from tests.waiting import eventually


def market() -> Market:
    return Market(prefix="stock:", warn=lambda kind, text: None)


def take(market: Market, symbol: str, price: str, timestamp: int, *, live: bool = True) -> None:
    payload = message(symbol, price, timestamp).encode()
    market.take([(f"stock:{symbol}".encode(), payload)], live=live)


def test_a_forgotten_name_never_begins_in_an_epoch_that_it_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not within the same millisecond, and not when the clock has gone back."""
    now = MOMENT + 10_000
    monkeypatch.setattr(redis_clock, "now_ms", lambda: now)
    one, epochs = market(), []
    for step in (0, 0, -5_000):
        now += step
        take(one, "A", "1", MOMENT)
        epochs.append(one.streams["A"].epoch)
        one.forget(["A"])
    assert epochs == sorted(set(epochs))


def test_a_restart_begins_above_every_epoch_there_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of names that were forgotten count too."""
    now = MOMENT + 10_000
    monkeypatch.setattr(redis_clock, "now_ms", lambda: now)
    one = market()
    take(one, "A", "1", MOMENT)
    take(one, "B", "1", MOMENT)
    before = one.streams["B"].epoch
    one.forget(["B"])
    now -= 5_000
    one.restart([])
    take(one, "B", "2", MOMENT)
    assert min(stream.epoch for stream in one.streams.values()) > before


def test_names_with_history_alone_lose_no_numbers() -> None:
    """Nothing of theirs was shown or is in Redis: complete data is not taken for older data."""
    one = market()
    take(one, "A", "1", MOMENT)
    take(one, "B", "1", MOMENT, live=False)
    records = {"A": one.streams["A"].latest}
    assert set(one.streams) == {"A", "B"} and not has_lost_numbers(records, one.streams)
    older = LatestPrice(records["A"].epoch, 0, MOMENT - 1, b"{}")
    assert has_lost_numbers({"A": older}, one.streams)
    assert has_lost_numbers({"C": older}, one.streams)


def test_no_price_is_written_for_a_name_without_one() -> None:
    """A record has a frame: an empty one would reach clients as their first price."""
    one = market()
    take(one, "A", "1", MOMENT)
    take(one, "B", "1", MOMENT, live=False)
    assert set(records_of(one.streams)) == {"A"}


@pytest.mark.parametrize(
    ("stored", "continues"),
    [
        ({}, True),
        ({"master": None}, True),  # release 0.1.0 wrote last
        ({"master": "another:1"}, True),  # it worked with another master before
        ({"master": "{run}:another"}, False),
        ({"run": "another", "master": None}, False),
        ({"run": "another", "master": "{run}:1"}, False),
        ({"run": None, "master": None}, True),
    ],
)
async def test_numbers_continue_at_the_same_master(
    live: LiveServer, redis: Redis, stored: dict[str, str | None], continues: bool
) -> None:
    """Whichever release wrote last. A promotion in between makes it another master."""

    async def publish_one(price: str) -> tuple[int, int]:
        publish(redis, "A", message("A", price, MOMENT + int(price)))
        bridge, _ = live.bridges[0]
        await eventually(lambda: bridge.market.counters.shown)
        stream = bridge.market.streams["A"]
        return stream.epoch, stream.seq

    epoch, _ = await publish_one("1")
    await live.stop_bridges()
    run = str(redis.info("server")["run_id"])
    for name, value in stored.items():
        key = f"quotes:{name}:1"
        redis.set(key, value.format(run=run)) if value is not None else redis.delete(key)
    await live.start_bridge()
    now = await publish_one("2")
    assert (now == (epoch, 2)) is continues and (now[0] > epoch) is not continues
