"""The tick log and the inbox: nothing acknowledged is lost, nothing is logged twice."""

from itertools import pairwise
from typing import Any, cast

import pytest
from redis import Redis

from quotes.errors import InboxFull
from quotes.history.recording.batches import read_entry
from quotes.layer.lanes import pack_entries
from quotes.publish import publishing
from quotes.publish.publishing import publish_ticks
from quotes.store.inbox import unread
from quotes.store.tick_log import LoggedTick, RawEntry, decode_entry
from tests.live import LiveServer
from tests.ports import free_port
from tests.ticks import MOMENT, message, tick
from tests.valkey import ValkeyProcess
from tests.waiting import eventually


def logged(redis: Redis, shard: int = 1) -> list[LoggedTick]:
    """Return all ticks of a shard's log."""
    entries: Any = redis.xrange(f"quotes:log:{shard}")
    return [one for _, fields in entries for one in decode_entry(fields)]


async def test_every_accepted_tick_is_logged(live: LiveServer, redis: Redis) -> None:
    """Shown ticks have their numbers, a stale one is there and marked, a bad one is not."""
    for price, at in (("1", 0), ("2", 5), ("3", 2), ("4", 5)):
        redis.publish("stock:A", message("A", price, MOMENT + at))
    redis.publish("stock:A", "{}")
    await eventually(lambda: len(logged(redis)) == 4)
    rows = logged(redis)
    assert [(row.seq, row.timestamp - MOMENT, row.shown) for row in rows] == [
        (1, 0, True),
        (2, 5, True),
        (2, 2, False),
        (3, 5, True),
    ]
    assert rows[2].frame == message("A", "3", MOMENT + 2).encode()
    assert len({row.epoch for row in rows}) == 1 and {row.key for row in rows} == {"A"}
    assert redis.get("quotes:log:1:n") == b"4"


async def test_what_is_published_while_no_bridge_works_is_logged_and_shown(
    live: LiveServer, redis: Redis
) -> None:
    """Ticks of our own publishers wait for the bridge: each is shown in order and logged once."""
    async with live.client() as client:
        await client.subscribe("A")
        await live.stop_bridges()
        publish_ticks([tick("A", str(n), MOMENT + n) for n in range(1, 1202)], client=redis)
        assert unread(redis) == 1201
        await live.start_bridge()
        prices = [(await client.price())["price"] for _ in range(1201)]
    assert prices == list(range(1, 1202))
    await eventually(lambda: unread(redis) == 0)
    assert [row.seq for row in logged(redis)] == list(range(1, 1202))
    await eventually(lambda: redis.xlen("quotes:inbox") <= 1)


async def test_no_tick_is_logged_twice_when_bridges_change(live: LiveServer, redis: Redis) -> None:
    """However often one bridge takes over from another, the log has each tick once, in order."""
    count = 0
    for _ in range(5):
        publish_ticks(
            [tick("A", str(n), MOMENT + n) for n in range(count, count + 700)], client=redis
        )
        count += 700
        bridge, task = live.bridges.pop()
        bridge.writer.link.abort()  # whatever was under way
        live.bridges.append((bridge, task))
        await eventually(lambda: unread(redis) == 0)
    prices = [row.timestamp - MOMENT for row in logged(redis)]
    assert prices == list(range(count))


async def test_a_subscriber_hurries_no_tick(live: LiveServer, redis: Redis) -> None:
    """A client that subscribes while ticks are on their way does not make the last come first."""
    async with live.client() as client:
        for number in range(1500):
            publish_ticks([tick("A", str(number), MOMENT + number)], client=redis)
        await client.send(action="subscribe", symbol="A")
        await eventually(lambda: unread(redis) == 0)
        await eventually(lambda: len(logged(redis)) == 1500)
        while (await client.price())["price"] != 1499:
            pass
    assert all(row.shown for row in logged(redis))
    assert live.bridges[0][0].market.counters.stale == 0


async def test_history_is_logged_and_not_shown(live: LiveServer, redis: Redis) -> None:
    """A backlog that is published as history changes no price and reaches the log, marked."""
    publish_ticks([tick("A", "5", MOMENT + 5)], client=redis)
    await eventually(lambda: redis.hexists("quotes:latest", "A"))
    publish_ticks([tick("A", "9", MOMENT + 9)], client=redis, live=False)
    await eventually(lambda: len(logged(redis)) == 2)
    assert [row.shown for row in logged(redis)] == [True, False]
    latest: Any = redis.hget("quotes:latest", "A")
    assert b'"price":5' in latest and b'"price":5' in redis.get("stock:A")  # type: ignore[operator]


def test_full_inbox_refuses_and_loses_nothing(
    redis: Redis, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a bridge the inbox holds so much and no more; what is refused was not set."""
    settings.QUOTES_INBOX_MAX_TICKS = 10
    publish_ticks([tick("A", str(n)) for n in range(10)], client=redis)
    with pytest.raises(InboxFull, match="bridge_prices"):
        publish_ticks([tick("B", "1")], client=redis)
    assert unread(redis) == 10 and not redis.exists("stock:B")
    monkeypatch.setattr(publishing, "MAX_ENTRY", 3)
    settings.QUOTES_INBOX_MAX_TICKS = 12
    with pytest.raises(InboxFull):
        publish_ticks([tick("C", str(n)) for n in range(3)], client=redis)


async def test_log_is_bounded_by_count_and_age(
    live: LiveServer, redis: Redis, settings: Any
) -> None:
    """Old entries leave the log; the count of all ticks that it has taken stays."""
    settings.QUOTES_LOG_MAX_TICKS = 100
    for at in range(0, 1000, 50):
        ticks = [tick("A", str(n), MOMENT + n) for n in range(at, at + 50)]
        publish_ticks(ticks, client=redis)
        await eventually(lambda: unread(redis) == 0)
    await eventually(lambda: len(logged(redis)) <= 100)
    assert logged(redis)[-1].timestamp == MOMENT + 999
    last: Any = redis.xrevrange("quotes:log:1", count=1)
    assert last[0][1][b"n"] == b"1000"
    settings.QUOTES_LOG_MAX_AGE_S = 1.0
    await eventually(lambda: not logged(redis))


def test_acknowledged_ticks_outlive_a_crash_of_redis() -> None:
    """With an append-only file, what was acknowledged is in the log after SIGKILL and a restart.

    With `everysec` Redis puts off writing for up to 2 s while its disk is busy.
    """
    server = ValkeyProcess(free_port(), "--appendonly", "yes", "--appendfsync", "always")
    with server:
        client = Redis.from_url(server.url)
        acknowledged = 0
        for at in range(0, 20_000, 500):
            ticks = [tick("A", str(n), MOMENT + n) for n in range(at, at + 500)]
            acknowledged += publish_ticks(ticks, client=client)
            if at in (5_000, 12_000):
                server.kill()
                server.start()
        entries: Any = client.xrange("quotes:inbox")
        numbers = [int(fields[b"n"]) for _, fields in entries]
        client.close()
    assert numbers[-1] == acknowledged == 20_000
    assert all(after - before == 500 for before, after in pairwise(numbers))


@pytest.mark.parametrize("names", [("3", "17"), ("quotes:lane:3", "quotes:lane:17"), ("0", "x")])
def test_names_of_an_entrys_messages_say_nothing(redis: Redis, names: tuple[str, str]) -> None:
    """Messages are read under the number of their lane, as once written, and under its channel."""
    rows = [
        ("A", MOMENT, 1, MOMENT, b"{}", True, MOMENT),
        ("B", MOMENT, 1, MOMENT, b"{}", False, 0),
    ]
    messages = [pack_entries([row]) for row in rows]
    redis.xadd("quotes:log:1", {"n": 2, names[0]: messages[0], names[1]: messages[1]})
    assert logged(redis) == [LoggedTick(*row) for row in rows]
    ((id, fields),) = cast(Any, redis.xrange("quotes:log:1"))
    entry = read_entry(RawEntry(1, id.decode(), fields))
    assert entry.n == 2 and entry.ticks == [LoggedTick(*row) for row in rows]
