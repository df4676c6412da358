"""Several brokers: those that go and come back, KIP-848, and the fence around transactions."""

from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer
from redis import Redis

from quotes.kafka.log_reading import Entry
from quotes.kafka.producing import TickProducer
from quotes.ticklog import LoggedTick
from tests.kafka.consumers import RunningConsumer, logged
from tests.kafka.mock_cluster import MockCluster
from tests.live import LiveServer
from tests.quotes.factories import MOMENT, message
from tests.waiting import DEADLINE_S, eventually

# Kafka's numbers of a request and of an error.
END_TRANSACTION = 26
PRODUCER_FENCED = 90


@pytest.fixture
def cluster(settings: Any) -> Iterator[MockCluster]:
    """Three brokers with a topic of six partitions that is consumed."""
    with MockCluster() as cluster:
        cluster.topic("prices", 6)
        settings.KAFKA_BOOTSTRAP_SERVERS = cluster.servers
        settings.KAFKA_TOPICS = "prices"
        settings.KAFKA_SESSION_TIMEOUT_MS = 6000
        yield cluster


def producing(cluster: MockCluster, first: int, behind: int) -> Producer:
    """Begin to send ticks of many symbols; flush the producer that is returned."""
    producer = Producer({"bootstrap.servers": cluster.servers, "enable.idempotence": True})
    for n in range(first, behind):
        producer.produce("prices", message(f"S{n % 20}", "1", MOMENT + n).encode(), f"S{n % 20}")
    return producer


def check(redis: Redis, count: int) -> None:
    """Check that the log has each tick once, each symbol's in order."""
    rows = [(row.key, row.timestamp) for row in logged(redis)]
    assert sorted(when - MOMENT for _, when in rows) == list(range(count))
    for symbol in {key for key, _ in rows}:
        times = [when for key, when in rows if key == symbol]
        assert times == sorted(times)


async def test_brokers_that_go_and_come_back_lose_and_repeat_nothing(
    live: LiveServer, redis: Redis, cluster: MockCluster
) -> None:
    """Each broker in turn, then all at once: what is in the topic is logged once, in order."""
    with RunningConsumer(redis) as running:
        await eventually(lambda: running.placed)
        for number, brokers in enumerate(((1,), (2,), (3,), cluster.BROKERS)):
            producer = producing(cluster, number * 2000, (number + 1) * 2000)
            producer.poll(0.02)
            for broker in brokers:
                cluster.take_down(broker)
            await eventually(lambda: not running.consumer.partitions or running.placed)
            for broker in brokers:
                cluster.bring_up(broker)
            assert producer.flush(DEADLINE_S) == 0
        await eventually(lambda: len(logged(redis)) >= 8000)
    check(redis, 8000)


async def test_group_protocol_of_kip_848(
    live: LiveServer, redis: Redis, cluster: MockCluster, settings: Any
) -> None:
    """With KAFKA_GROUP_PROTOCOL=consumer the brokers assign; nothing else is different."""
    settings.KAFKA_GROUP_PROTOCOL = "consumer"
    for first in (0, 1000):
        assert producing(cluster, first, first + 1000).flush(DEADLINE_S) == 0
        with RunningConsumer(redis):
            await eventually(lambda first=first: len(logged(redis)) >= first + 1000)  # type: ignore[misc]
    check(redis, 2000)


def test_producer_that_was_overtaken_ends(
    redis: Redis, cluster: MockCluster, settings: Any
) -> None:
    """When the brokers say that another writes now, the first writes no more."""
    settings.KAFKA_PRODUCE_TOPIC = "ticks"
    cluster.topic("ticks", 1)
    producer = TickProducer(client=redis)
    producer.producer.init_transactions(DEADLINE_S)
    entry = Entry(1, "1-0", 1, [LoggedTick("A", 1, 1, MOMENT, b"{}", True, MOMENT)])
    producer.write([entry])
    cluster.refuse(END_TRANSACTION, PRODUCER_FENCED)
    with pytest.raises(KafkaException, match="fenced"):
        producer.write([entry._replace(id="2-0", n=2)])
