"""Entries of the tick log that a later release wrote: skipped and counted, and never a crash."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from redis import Redis

from quotes.history.models import Gap, Tick
from quotes.layer.lanes import pack_entries
from quotes.publish.publishing import publish_ticks
from quotes.store.latest import decode_latest, encode_latest
from quotes.store.names import own_key
from quotes.store.tick_log import count_key, log_key
from tests.history.conftest import HistoryDatabase
from tests.history.logs import OPENING, log, log_row, record
from tests.live import LiveServer
from tests.ticks import MOMENT, tick

ROW = list(log_row(price="2", timestamp=OPENING + 1))
Fields = dict[bytes | str, bytes]
# What an entry of one tick may be in a later release: fields beside its count.
NEWER: dict[str, Fields] = {
    "a row with another column": {b"0": pack_entries([(*ROW, "more")])},
    "a row with fewer columns": {b"0": pack_entries([tuple(ROW[:3])])},
    "another packing": {b"0": b"\xc1\x00"},
    "rows as maps": {b"0": msgspec.msgpack.encode([{"key": "A"}])},
    "a version beside the rows": {b"v": b"2", b"0": pack_entries([tuple(ROW)])},
    "nothing": {},
}
newer = pytest.mark.parametrize("fields", NEWER.values(), ids=NEWER)


def add(redis: Redis, fields: Fields) -> None:
    count: Any = redis.incr(count_key(1))
    entry: Any = {b"n": count, **fields}
    redis.xadd(log_key(1), entry)


@newer
def test_recorder_counts_what_it_cannot_read(
    redis: Redis, history: HistoryDatabase, fields: Fields
) -> None:
    """The ticks around it are stored, and a gap says that one is missing."""
    log(redis, [log_row(price="1")])
    add(redis, fields)
    log(redis, [log_row(price="3", timestamp=OPENING + 2)])
    record(redis)
    prices = [str(one.price) for one in Tick.objects.order_by("position")]
    assert prices[0] == "1" and prices[-1] == "3"
    # Columns after those that it knows are passed over.
    assert len(prices) + sum(gap.ticks or 0 for gap in Gap.objects.all()) == 3
    assert record(redis).recorded == 0


@newer
async def test_client_that_resumes_is_told(live: LiveServer, redis: Redis, fields: Fields) -> None:
    """It gets the missed ticks or a reason, and then live prices."""
    publish_ticks([tick("A", "1")], client=redis)
    async with live.client() as client:
        await client.subscribe("A", seq=True)
        first = await client.price()
    add(redis, fields)
    publish_ticks([tick("A", "2", MOMENT + 1)], client=redis)
    async with live.client() as client:
        since = {"epoch": first["epoch"], "seq": first["seq"]}
        await client.subscribe("A", seq=True, since=since)
        assert (await client.receive())["type"] == "resumed"
        assert (await client.price())["price"] == 2
        publish_ticks([tick("A", "3", MOMENT + 2)], client=redis)
        assert (await client.price())["price"] == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record + b" more",
        lambda record: b"v2 " + record,
        lambda record: b"\x81\xa1a\x01",
    ],
)
async def test_latest_price_of_a_later_release_is_passed_over(
    live: LiveServer, redis: Redis, change: Callable[[bytes], bytes]
) -> None:
    """A bridge begins beside it, and the next tick replaces it."""
    publish_ticks([tick("A", "1")], client=redis)
    async with live.client() as client:
        await client.subscribe("A")
        await client.price()
    await live.stop_bridges()
    found = redis.hget(own_key("latest"), "A")
    assert isinstance(found, bytes) and encode_latest(decode_latest(found)) == found
    redis.hset(own_key("latest"), "A", change(found))
    await live.start_bridge()
    async with live.client() as client:
        await client.subscribe("A")
        publish_ticks([tick("A", "9", MOMENT + 9)], client=redis)
        while (await client.price())["price"] != 9:
            pass
