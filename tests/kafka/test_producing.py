"""The numbered ticks as a topic: each once and in order over restarts, gaps are told."""

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from django.test import AsyncClient, Client
from redis import Redis

from quotes.errors import KafkaRefused
from quotes.kafka.log_reader import id_of, number_of
from quotes.kafka.producer import TickProducer
from quotes.kafka.producer_status import (
    ProducerStatus,
    producer_name,
    producers_key,
    read_status,
    write_status,
)
from quotes.publish.publishing import publish_ticks
from tests.kafka.broker import Broker
from tests.kafka.consumers import logged, logged_count
from tests.live import LiveServer
from tests.ticks import MOMENT, tick
from tests.waiting import DEADLINE_S, eventually


def has_written(producer: TickProducer, number: int) -> bool:
    return producer.written == number


@pytest.fixture
def ticks(broker: Broker, settings: Any) -> str:
    """A topic to write the ticks to."""
    settings.KAFKA_BOOTSTRAP_SERVERS = broker.servers
    settings.KAFKA_PRODUCE_TOPIC = name = broker.topic(2)
    return name


@contextmanager
def writing(redis: Redis, **options: Any) -> Iterator[TickProducer]:
    stopped = threading.Event()
    producer = TickProducer(client=redis, **options)
    thread = threading.Thread(target=producer.run, args=(stopped.is_set,), daemon=True)
    thread.start()
    try:
        yield producer
    finally:
        stopped.set()
        thread.join(DEADLINE_S)
    assert not thread.is_alive()


async def publish(redis: Redis, first: int, behind: int) -> None:
    publish_ticks([tick("A", str(n), MOMENT + n) for n in range(first, behind)], client=redis)
    await eventually(lambda: logged_count(redis) >= behind)


async def test_restart_neither_skips_nor_repeats(
    live: LiveServer, redis: Redis, broker: Broker, ticks: str
) -> None:
    """Ticks written by producers one after another are those of the log, numbered, in order."""
    for first in (0, 1500):
        await publish(redis, first, first + 1500)
        with writing(redis) as producer:
            await eventually(partial(has_written, producer, 1500))
    messages = broker.messages(ticks, 3000, partitions=2)
    numbers = [dict(one.headers() or ())["seq"] for one in messages]
    assert numbers == [b"%d" % n for n in range(1, 3001)]
    assert {one.key() for one in messages} == {b"A"}
    assert messages[0].timestamp()[1] == MOMENT
    assert messages[0].value() == logged(redis)[0].frame


async def test_what_was_not_committed_is_written_again(
    live: LiveServer, redis: Redis, ticks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a transaction fails its position stays where it was."""
    await publish(redis, 0, 10)
    producer = TickProducer(client=redis)
    producer.producer.init_transactions(DEADLINE_S)
    before = producer.positions()
    producer.producer.begin_transaction()
    for row in logged(redis):
        producer.produce(row)
    producer.producer.abort_transaction(DEADLINE_S)
    assert producer.positions() == before == {1: "0-0"}


async def test_late_ticks_are_written_if_asked_for(
    live: LiveServer, redis: Redis, broker: Broker, ticks: str
) -> None:
    """Without `late` only shown ticks are written; with it the others are marked."""
    await publish(redis, 0, 5)
    publish_ticks([tick("A", "9", MOMENT + 1)], client=redis)
    await eventually(lambda: logged_count(redis) == 6)
    with writing(redis, late=True) as producer:
        await eventually(lambda: producer.written == 6)
    marks = [
        dict(one.headers() or ()).get("late") for one in broker.messages(ticks, 6, partitions=2)
    ]
    assert marks == [None] * 5 + [b"1"]


async def test_gap_in_the_log_is_told(
    live: LiveServer, redis: Redis, ticks: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Ticks that left the log before they were written are counted and logged."""
    await publish(redis, 0, 10)
    with writing(redis) as producer:
        await eventually(lambda: producer.written == 10)
    for behind in (20, 30):
        await publish(redis, behind - 10, behind)
    entries: Any = redis.xrange("quotes:log:1")
    redis.xdel("quotes:log:1", entries[-2][0])
    with caplog.at_level(logging.ERROR), writing(redis) as producer:
        await eventually(lambda: producer.written == 10)
    assert "10 ticks left the log of shard 1" in caplog.text


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 10, "1": b"\xc1"},
        {"n": 10, "1": b"\x91\x97\x01\x02\x03\x04\x05\xc3\x07"},  # a tick of numbers
        {"n": "x", "1": b"\x90"},
        {"f": "x"},
    ],
)
async def test_odd_entry_of_the_log_is_passed_over(
    live: LiveServer,
    redis: Redis,
    ticks: str,
    fields: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An entry that cannot be decoded costs a warning, and the ticks after it are written."""
    with caplog.at_level(logging.WARNING), writing(redis) as producer:
        await publish(redis, 0, 5)
        await eventually(lambda: producer.written == 5)
        redis.xadd("quotes:log:1", fields)
        await eventually(lambda: "cannot decode entry" in caplog.text)
        publish_ticks([tick("A", "9", MOMENT + 9)], client=redis)
        await eventually(lambda: producer.written == 6)
    redis.xadd("quotes:log:1", fields)
    with writing(redis) as producer:
        publish_ticks([tick("A", "9", MOMENT + 10)], client=redis)
        await eventually(lambda: producer.written == 1)


def test_topic_must_have_a_partition_for_each_shard(redis: Redis, ticks: str) -> None:
    """More shards than partitions are refused, since each has its position at one."""
    redis.set("quotes:shards", 3)
    with pytest.raises(KafkaRefused, match="at least 3 partitions"):
        TickProducer(client=redis).positions()


@pytest.mark.parametrize("id", ["0-0", "1712331900000-0", "1795381813363-1048575"])
def test_ids_of_the_log_fit_an_offset(id: str) -> None:
    """An id becomes one number and the same id again."""
    assert id_of(number_of(id)) == id
    assert number_of(id) < 2**63


@pytest.mark.django_db
async def test_readyz_tells_how_the_producer_is(
    live: LiveServer, redis: Redis, ticks: str, async_client: AsyncClient, settings: Any
) -> None:
    """Its position, the age of its last write and how far it is behind; and when there is none."""
    settings.KAFKA_TOPICS = ""

    async def answer() -> Any:
        return (await async_client.get("/readyz")).json()

    assert (await answer())["kafka_producer"].startswith("no producer works: start")
    await publish(redis, 0, 10)
    with writing(redis) as producer:
        await eventually(partial(has_written, producer, 10))
        await eventually(lambda: producer.status.position and not producer.status.behind)
        await eventually(lambda: producer.status.at >= producer.status.written_at > 0)
        found = await answer()
        assert found["kafka_producer"] == "ok"
        status = found["kafka_producer_status"]
        assert status["position"] == {"1": producer.status.position[1]}
        assert status["behind"] == 0 and status["last_write_s"] < DEADLINE_S
    assert read_status(redis) is None


@pytest.mark.django_db
def test_readyz_names_a_producer_that_writes_nothing(
    redis: Redis, settings: Any, client: Client
) -> None:
    """With its last error, and what to do; prices are ready."""
    settings.KAFKA_BOOTSTRAP_SERVERS, settings.KAFKA_PRODUCE_TOPIC = "localhost:9", "ticks"
    status = ProducerStatus(error="no broker answers", missed=7, written_at=1)
    write_status(status, client=redis)
    answer = client.get("/readyz").json()
    assert re.search("check the brokers and Redis .no broker answers", answer["kafka_producer"])
    assert any("7 ticks left the log" in one for one in answer["warnings"])
    redis.hset(producers_key(), producer_name(), b'{"at":1,"error":"it was fenced"}')
    text = client.get("/readyz").json()["kafka_producer"]
    assert text.startswith("it has not reported for ") and "it was fenced" in text
    redis.hset(producers_key(), producer_name(), b"[]")
    assert "malformed" in client.get("/readyz").json()["kafka_producer"]


def test_producer_that_ends_with_an_error_says_so(
    redis: Redis, broker: Broker, ticks: str, settings: Any
) -> None:
    """Its last status holds the error."""
    settings.KAFKA_PRODUCE_TOPIC = "no.such.topic"
    with pytest.raises(KafkaRefused):
        TickProducer(client=redis).run(lambda: False)
    status = read_status(redis)
    assert status is not None and "at least 1 partitions" in status.error
