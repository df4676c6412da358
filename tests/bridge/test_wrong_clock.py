"""A bridge on a machine with a wrong clock: prices go on, and nothing is deleted too early."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis

from instruments.index import index
from quotes.bridge.market import Market
from quotes.runtime.clock import DAY_MS, now_ms, today_in_india
from quotes.store.latest import decode_latest
from quotes.store.names import own_key, status_keys
from quotes.store.redis_clock import redis_clock
from quotes.store.tick_log import log_key
from tests.instruments.factories import nifty_option, snapshot_of
from tests.live import LiveServer
from tests.ticks import message, publish
from tests.waiting import eventually

SetClock = Callable[[float], None]

TWO_DAYS = 172_800
HOUR = 3600


def right_ms() -> int:
    """Return the present by the right clock, Redis's."""
    return time.time_ns() // 1_000_000


@pytest.mark.parametrize("ahead_s", [TWO_DAYS, -HOUR, -TWO_DAYS])
async def test_prices_go_on(
    set_clock: SetClock, live: LiveServer, redis: Redis, ahead_s: int
) -> None:
    """Ticks with a time and without are shown, whenever the clock was set, and the log stays."""
    async with live.client() as client:
        publish(redis, "A", message("A", "1", right_ms()))
        await client.subscribe("A")
        assert (await client.price())["price"] == 1
        set_clock(ahead_s)
        for restart in (False, True):
            if restart:
                await live.stop_bridges()
                redis_clock.reset()
                await live.start_bridge()
            begins = right_ms() + 2000 * restart
            publish(redis, "A", message("A", "2", begins))
            publish(redis, "A", '{"symbol":"A","price":3}')
            publish(redis, "A", message("A", "4", begins + 1000))
            publish(redis, "A", '{"symbol":"A","price":5}')
            times = [right_ms()]
            for price in (2, 3, 4, 5):
                frame = await client.price()
                assert frame["price"] == price
                times.append(frame["timestamp"])
            assert all(abs(one - right_ms()) < 10_000 for one in times)
    assert redis.xlen(log_key(1)) >= 3
    record: Any = redis.hget(own_key("latest"), "A")
    assert decode_latest(record).seq == 9


async def test_times_too_far_ahead_are_refused_while_the_clock_is_behind(
    set_clock: SetClock, live: LiveServer, redis: Redis
) -> None:
    """The limit is that after Redis's clock."""
    set_clock(-HOUR)
    redis.publish("stock:A", message("A", "1", right_ms() + 600_000))
    redis.publish("stock:A", message("A", "2", right_ms() + 60_000))
    counters = live.bridges[0][0].market.counters
    await eventually(lambda: counters.shown == 1)
    assert counters.bad == 1


async def test_status_has_redis_time_and_the_difference(
    set_clock: SetClock, live: LiveServer, redis: Redis, settings: Any
) -> None:
    """So every web process finds the feed live, and `/readyz` can name the machine."""
    settings.QUOTES_HEARTBEAT_S = 0.1
    set_clock(-HOUR)
    async with live.client() as client:
        publish(redis, "A", message("A", "1", right_ms()))
        beat = await client.heartbeat("live")
        assert abs(beat["last_tick"] - right_ms()) < 10_000
        assert abs(beat["timestamp"] - right_ms()) < 10_000
    status = live.bridges[0][0]._status()
    assert b'"clock_ms":-3' in status and b'"machine":"' in status
    assert redis.get(status_keys(1)[0])


@pytest.mark.parametrize(("redis_s", "own_s"), [(0, 40 * 86_400), (40 * 86_400, 0)])
def test_names_in_use_are_not_forgotten(
    set_clock: SetClock, monkeypatch: pytest.MonkeyPatch, redis_s: int, own_s: int
) -> None:
    """Not by a clock that is days ahead, whichever of the two is right."""
    set_clock(own_s)
    at = time.time() + redis_s
    redis_clock.take((int(at), 0), time.monotonic())
    expiry = today_in_india() + timedelta(days=3)
    call = nifty_option("NIFTYCALL", expiry, "18000")
    monkeypatch.setattr(index, "_snapshot", snapshot_of(call))
    one = Market(prefix="stock:", warn=lambda kind, text: None, max_streams=3)
    for name in ("A", "B", f"NFO:{call.symbol}", "C"):
        symbol = name.rpartition(":")[2]
        one.take([(f"stock:{name}".encode(), message(symbol, "1", right_ms()).encode())])
    assert set(one.streams) == {"A", "B", f"NFO:{call.symbol}"} and one.let_go == 0


def test_right_ticks_are_shown_while_the_clock_of_redis_is_behind(set_clock: SetClock) -> None:
    """Its machine may be the one that is wrong."""
    set_clock(0)
    redis_clock.take((int(time.time()) - TWO_DAYS, 0), time.monotonic())
    one = Market(prefix="stock:", warn=lambda kind, text: None)
    one.take([(b"stock:A", message("A", "1", now_ms()).encode())])
    one.take([(b"stock:A", b'{"symbol":"A","price":2}')])
    assert one.counters.shown == 2 and one.counters.bad == one.counters.stale == 0
    one.take([(b"stock:A", message("A", "3", now_ms() + DAY_MS).encode())])
    assert one.counters.bad == 1


@pytest.mark.parametrize("ahead_s", [TWO_DAYS, -TWO_DAYS])
async def test_log_keeps_its_ticks(
    set_clock: SetClock, live: LiveServer, redis: Redis, ahead_s: int
) -> None:
    """Whether the clock is set while a bridge works or before one starts."""
    publish(redis, "A", message("A", "1", right_ms()))
    await eventually(lambda: redis.xlen(log_key(1)) == 1)
    set_clock(ahead_s)
    publish(redis, "A", message("A", "2", right_ms()))
    await eventually(lambda: redis.xlen(log_key(1)) == 2)
    await live.stop_bridges()
    redis_clock.reset()
    await live.start_bridge()
    assert redis.xlen(log_key(1)) == 2
