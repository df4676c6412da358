"""A backlog: live prices start at once, history has all of it, each message once."""

import asyncio
import os
import random
import re
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from django.test import Client
from redis import Redis

from quotes.kafka.backlog_ranges import BacklogRange, read_ranges
from quotes.kafka.backlog_room import BacklogRoom
from quotes.kafka.status import backlog_warnings
from quotes.kafka.stored_offsets import forget_recreated_topic, positions_key, read_positions
from quotes.runtime.clock import now_ms
from tests.kafka.broker import Broker
from tests.kafka.consumers import RunningConsumer, logged, logged_count
from tests.kafka.mock_cluster import MockCluster
from tests.kafka.test_failures import killable_consumers, produce
from tests.live import LiveServer
from tests.ticks import MOMENT, message
from tests.waiting import DEADLINE_S, eventually, wait_until

NUMBER = re.compile(rb'"n":([0-9]+)')
HOUR_MS = 3_600_000
NO_ROOM = -1


def ticks(symbol: str, numbers: range) -> list[bytes]:
    return [message(symbol, "1", MOMENT + n, n=n).encode() for n in numbers]


def produce_old(broker: Broker, topic: str, symbol: str, numbers: range) -> None:
    broker.produce(topic, *ticks(symbol, numbers), key=symbol.encode(), at=now_ms() - HOUR_MS)


def produce_new(broker: Broker, topic: str, symbol: str, numbers: range) -> None:
    broker.produce(topic, *ticks(symbol, numbers), key=symbol.encode())


def numbers_logged(redis: Redis) -> list[int]:
    return [int(NUMBER.findall(row.frame)[0]) for row in logged(redis)]


def has_logged(redis: Redis, count: int) -> bool:
    return logged_count(redis) >= count


def no_backlog(redis: Redis, topic: str) -> bool:
    return not read_ranges(group=f"group.of.{topic}", client=redis)


def ranges_of(redis: Redis, topic: str) -> list[tuple[int, int]]:
    found = read_ranges(group=f"group.of.{topic}", client=redis)
    return [(one.first, one.end) for ranges in found.values() for one in ranges]


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the reader of backlogs take messages, or none."""

    def room(unread: int) -> None:
        monkeypatch.setattr("quotes.kafka.backlog_room.MAX_UNREAD_TICKS", unread)

    room(NO_ROOM)
    return room


async def test_live_prices_start_beside_a_backlog(
    live: LiveServer, redis: Redis, broker: Broker, topic: str, room: Callable[[int], None]
) -> None:
    """A client gets the first live price while the backlog waits; history has all, once."""
    produce_old(broker, topic, "A", range(20_000))
    produce_new(broker, topic, "A", range(20_000, 20_010))
    async with live.client() as client:
        await client.subscribe("A")
        with RunningConsumer(redis) as running:
            status = running.consumer.reports.status
            assert '"n":200' in await client.receive_text()
            await eventually(lambda: status.backlog > 10_000)
            assert logged_count(redis) < 10_000
            room(1000)
            await eventually(lambda: no_backlog(redis, topic))
            await eventually(lambda: has_logged(redis, 20_010))
            await eventually(lambda: "history=20000 bad=0 lag=0 " in status.line)
            assert "backlog" not in status.line
    assert sorted(numbers_logged(redis)) == list(range(20_010))
    shown = [row.timestamp - MOMENT for row in logged(redis) if row.shown]
    assert shown == list(range(20_000, 20_010))
    late = [row.timestamp - MOMENT for row in logged(redis) if not row.shown]
    assert late == list(range(20_000))  # in order, too


async def test_backlog_that_grows_while_it_is_read(
    live: LiveServer, redis: Redis, broker: Broker, topic: str, room: Callable[[int], None]
) -> None:
    """Each time live prices fall behind they pass what waits; several ranges are read in order."""
    for part in range(3):
        produce_old(broker, topic, "A", range(part * 4000, part * 4000 + 3990))
        produce_new(broker, topic, "A", range(part * 4000 + 3990, part * 4000 + 4000))
        with RunningConsumer(redis):
            await eventually(
                lambda part=part: (
                    f'"n":{part * 4000 + 3999}'.encode()  # type: ignore[misc]
                    in b"".join(row.frame for row in logged(redis)[-20:])
                )
            )
            assert len(ranges_of(redis, topic)) == part + 1
    room(1000)
    with RunningConsumer(redis):
        await eventually(lambda: has_logged(redis, 12_000))
        await eventually(lambda: no_backlog(redis, topic))
    assert sorted(numbers_logged(redis)) == list(range(12_000))
    late = [row.timestamp - MOMENT for row in logged(redis) if not row.shown]
    assert len(late) == 3 * 3990
    passed = [n for n in late if n % 4000 > 1500]
    assert passed == sorted(passed)


async def test_small_backlog_is_read_in_order(
    live: LiveServer, redis: Redis, broker: Broker, topic: str
) -> None:
    """What takes no time to read is not passed."""
    produce_old(broker, topic, "A", range(900))
    produce_new(broker, topic, "A", range(900, 910))
    with RunningConsumer(redis):
        await eventually(lambda: has_logged(redis, 910))
    assert numbers_logged(redis) == list(range(910))


async def test_backlog_without_anything_newer(
    live: LiveServer, redis: Redis, broker: Broker, topic: str, room: Callable[[int], None]
) -> None:
    """Where all waiting messages are old, the next new one is shown before them."""
    produce_old(broker, topic, "A", range(5000))
    async with live.client() as client:
        await client.subscribe("A")
        with RunningConsumer(redis):
            await eventually(lambda: ranges_of(redis, topic))
            produce_new(broker, topic, "A", range(5000, 5001))
            assert '"n":5000' in await client.receive_text()
            assert not has_logged(redis, 5001)
            room(1000)
            await eventually(lambda: has_logged(redis, 5001))
    assert sorted(numbers_logged(redis)) == list(range(5001))


@pytest.fixture(
    params=[pytest.param(1, id="broker"), pytest.param(6, id="mock", marks=pytest.mark.slow)]
)
def kills(request: pytest.FixtureRequest, topic: str, settings: Any) -> Iterator[int]:
    """How often to kill: less with the broker, whose group waits a second for each of the dead."""
    if request.param == 1:
        yield request.param
        return
    with MockCluster() as cluster:
        cluster.topic(topic, 2)
        settings.KAFKA_BOOTSTRAP_SERVERS = cluster.servers
        settings.KAFKA_GROUP_PROTOCOL = "consumer"
        yield request.param


async def test_killed_readers_of_a_backlog_lose_and_repeat_nothing(
    live: LiveServer, redis: Redis, topic: str, kills: int, settings: Any
) -> None:
    """Consumers killed while they read a backlog: all of it is in history, once."""
    old = now_ms() - HOUR_MS
    producer = Producer({"bootstrap.servers": settings.KAFKA_BOOTSTRAP_SERVERS})
    for symbol, numbers in (("A", range(20_000)), ("D", range(20_000, 40_000))):
        for text in ticks(symbol, numbers):
            producer.produce(topic, text, symbol, partition=ord(symbol) % 2, timestamp=old)
    assert producer.flush(DEADLINE_S) == 0
    dice = random.Random(21)

    def taken() -> int:
        return int(redis.get("quotes:inbox:n") or 0)

    with killable_consumers() as nursery:
        assert nursery.stdin and nursery.stdout
        for _ in range(kills):
            before = taken()
            nursery.stdin.write(b"start\n")
            nursery.stdin.flush()
            pid = int(await asyncio.to_thread(nursery.stdout.readline))
            aim = before + dice.randrange(2000, 5000)
            await eventually(lambda aim=aim: taken() >= aim)  # type: ignore[misc]
            os.kill(pid, signal.SIGKILL)
        assert ranges_of(redis, topic)
        nursery.stdin.write(b"start\n")
        nursery.stdin.flush()
        await eventually(lambda: no_backlog(redis, topic))
        await eventually(lambda: has_logged(redis, 40_000))
    assert sorted(numbers_logged(redis)) == list(range(40_000))
    assert not any(row.shown for row in logged(redis))


async def test_backlog_moves_with_its_partition(
    live: LiveServer, redis: Redis, broker: Broker, topic: str, room: Callable[[int], None]
) -> None:
    """A consumer that joins, and one that leaves, in the middle of a backlog: each message once."""
    produce_old(broker, topic, "A", range(15_000))
    produce_old(broker, topic, "D", range(15_000, 30_000))
    with RunningConsumer(redis) as first:
        await eventually(lambda: len(ranges_of(redis, topic)) == 2)
        room(1000)
        await eventually(lambda: first.consumer.backlog.history > 2000)
        room(NO_ROOM)
        assert len(ranges_of(redis, topic)) == 2
        with RunningConsumer(redis) as second:
            await eventually(lambda: second.consumer.backlog.progress()[1] > 1000)
            room(1000)
            await eventually(lambda: second.consumer.backlog.history > 1000)
            room(NO_ROOM)
        room(1000)
        await eventually(lambda: no_backlog(redis, topic))
        await eventually(lambda: has_logged(redis, 30_000))
    assert sorted(numbers_logged(redis)) == list(range(30_000))


async def test_backlog_survives_an_outage_of_redis(
    *,
    live: LiveServer,
    redis: Redis,
    redis_server: Any,
    broker: Broker,
    topic: str,
    room: Callable[[int], None],
) -> None:
    """A Redis that stops in the middle is waited for; each message is taken once."""
    produce_old(broker, topic, "A", range(20_000))
    with RunningConsumer(redis) as running:
        await eventually(lambda: ranges_of(redis, topic))
        room(1000)
        await eventually(lambda: running.consumer.backlog.history > 2000)
        redis_server.pause()
        await eventually(lambda: running.consumer.backlog.problem)
        redis_server.resume()
        await eventually(lambda: has_logged(redis, 20_000))
    assert sorted(numbers_logged(redis)) == list(range(20_000))


def test_backlog_waits_for_the_recorder(redis: Redis, settings: Any) -> None:
    """A recorder that is behind, or away for long, is waited for: the log must not overflow."""
    settings.QUOTES_LOG_MAX_TICKS = 4000
    waiting = BacklogRoom(redis)
    assert waiting.problem() == ""
    waiting.taken(1001)
    assert "start `manage.py record_prices`" in waiting.problem()
    redis.set("quotes:recorder:status", b'{"behind":20001}')
    assert "20001 ticks wait for the recorder" in waiting.problem()
    for status in (b'{"behind":10}', b'{"behind":[]}', b"{}"):
        redis.set("quotes:recorder:status", status)
        assert waiting.problem() == ""
    redis.set("quotes:log:1:n", 20_002)  # since that status
    redis.delete("quotes:recorder:status")
    assert "20002 ticks wait for the recorder" in waiting.problem()


async def test_poison_in_a_backlog_becomes_dead_letters(
    *,
    live: LiveServer,
    redis: Redis,
    broker: Broker,
    topic: str,
    settings: Any,
    room: Callable[[int], None],
) -> None:
    """Refused messages of a backlog go to the dead-letter topic; tombstones are passed over."""
    settings.KAFKA_DEAD_LETTER_TOPIC = dead = broker.topic(name=f"{topic}.dead")
    old = now_ms() - HOUR_MS
    produce_old(broker, topic, "A", range(4000))
    broker.produce(topic, b"not json", None, key=b"A", at=old)  # type: ignore[arg-type]
    produce_old(broker, topic, "A", range(4000, 4010))
    broker.produce(topic, None, b"{}", key=b"A", at=old)  # type: ignore[arg-type]
    room(1000)
    with RunningConsumer(redis) as running:
        await eventually(lambda: has_logged(redis, 4010))
        await eventually(lambda: no_backlog(redis, topic))
        letters = broker.messages(dead, 2)
        assert running.consumer.backlog.bad == 2
    assert [one.value() for one in letters] == [b"not json", b"{}"]
    assert sorted(numbers_logged(redis)) == list(range(4010))


async def test_topic_that_was_created_again_has_no_backlog(
    live: LiveServer, redis: Redis, broker: Broker, topic: str, room: Callable[[int], None]
) -> None:
    """Positions of another topic of the same name are forgotten with its backlogs."""
    produce_old(broker, topic, "A", range(3000))
    with RunningConsumer(redis):
        await eventually(lambda: ranges_of(redis, topic))
    group = f"group.of.{topic}"
    assert forget_recreated_topic(topic, "another id", group=group, client=redis)
    assert not ranges_of(redis, topic)


@pytest.mark.parametrize("end", [700, 10_000])
async def test_deleted_part_of_a_backlog_is_said(
    *,
    live: LiveServer,
    redis: Redis,
    settings: Any,
    room: Callable[[int], None],
    client: Client,
    caplog: pytest.LogCaptureFixture,
    end: int,
) -> None:
    """What the brokers no longer have is counted, and the rest is read."""
    room(1000)
    pad = "x" * 7000
    big = [message("A", "1", MOMENT + n, n=n, pad=pad).encode() for n in range(1000)]
    with MockCluster() as cluster:  # which keeps 5 MB of a partition
        cluster.topic("prices", 1)
        settings.KAFKA_BOOTSTRAP_SERVERS = cluster.servers
        settings.KAFKA_TOPICS, settings.KAFKA_GROUP_ID = "prices", "group.of.prices"
        produce(cluster.servers, "prices", [(b"A", one) for one in big])
        low = lowest(cluster)
        assert 100 < low < 700
        part = BacklogRange(("prices", 0), 0, end, next=100)
        redis.hset(positions_key("group.of.prices"), part.field, part.stored)
        redis.hset(positions_key("group.of.prices"), "prices/0", 1000)
        with RunningConsumer(redis) as running:
            await eventually(lambda: has_logged(redis, min(end, 1000) - low))
            await eventually(lambda: running.consumer.reports.status.lost == low - 100)
            assert numbers_logged(redis) == list(range(low, min(end, 1000)))
            assert no_backlog(redis, "prices") == (end == 700)
            assert [one for one in backlog_warnings(redis) if "were deleted before" in one]


def lowest(cluster: MockCluster) -> int:
    """Return the offset of the oldest message that a cluster has."""
    consumer = Consumer({"bootstrap.servers": cluster.servers, "group.id": "of the test"})
    try:
        ends = consumer.get_watermark_offsets(TopicPartition("prices", 0), timeout=DEADLINE_S)
    finally:
        consumer.close()
    assert ends is not None
    return int(ends[0])


def test_position_is_what_release_0_1_0_reads(
    redis: Redis, broker: Broker, topic: str, room: Callable[[int], None]
) -> None:
    """The position of a partition with a backlog is a plain offset: that of the live price."""
    produce_old(broker, topic, "A", range(3000))
    with RunningConsumer(redis):
        wait_until(lambda: ranges_of(redis, topic))
    ((source, (found,)),) = read_ranges(group=f"group.of.{topic}", client=redis).items()
    positions = read_positions([source], group=f"group.of.{topic}", client=redis)
    assert positions[source] == str(found.end) == "3000"


@pytest.mark.django_db
def test_readyz_tells_of_a_backlog(
    redis: Redis, broker: Broker, topic: str, room: Callable[[int], None], client: Client
) -> None:
    """It says how many messages are left and how far the reading is; prices are ready."""
    produce_old(broker, topic, "A", range(5000))
    with RunningConsumer(redis):
        wait_until(lambda: ranges_of(redis, topic))
        wait_until(lambda: client.get("/readyz").json()["kafka_backlog"]["messages"] > 1000)
        answer = client.get("/readyz").json()
        assert answer["kafka"] == "ok"
        (warning,) = [one for one in answer["warnings"] if one.startswith("kafka: ")]
        assert re.search(r"beside a backlog, of which \d+ messages .* \(0 % done\)", warning)


async def test_backlog_that_cannot_be_searched_is_read_in_order(
    *,
    live: LiveServer,
    redis: Redis,
    broker: Broker,
    topic: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the brokers do not answer in time, nothing is passed and nothing lost."""
    monkeypatch.setattr("quotes.kafka.window_search.TIMEOUT_S", -1.0)
    produce_old(broker, topic, "A", range(3000))
    with RunningConsumer(redis):
        await eventually(lambda: has_logged(redis, 3000))
    assert numbers_logged(redis) == list(range(3000))
