"""Several brokers: those that go and come back, KIP-848, and the fence around transactions."""

from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaException, Producer
from redis import Redis

from quotes.kafka.producer import TickProducer
from quotes.kafka.reports import lag
from quotes.store.inbox import unread
from quotes.store.tick_log import LoggedTick
from tests.kafka.consumers import RunningConsumer, logged, logged_count
from tests.kafka.mock_cluster import MockCluster
from tests.live import LiveServer
from tests.ticks import MOMENT, message
from tests.waiting import DEADLINE_S, eventually, wait_until

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
        await eventually(lambda: running.positioned)
        for number, brokers in enumerate(((1,), (2,), (3,), cluster.BROKERS)):
            producer = producing(cluster, number * 2000, (number + 1) * 2000)
            producer.poll(0.02)
            for broker in brokers:
                cluster.take_down(broker)
            await eventually(lambda: not running.consumer.partitions or running.positioned)
            for broker in brokers:
                cluster.bring_up(broker)
            assert producer.flush(DEADLINE_S) == 0
        await eventually(lambda: logged_count(redis) >= 8000)
    check(redis, 8000)


async def test_group_protocol_of_kip_848(
    live: LiveServer, redis: Redis, cluster: MockCluster, settings: Any
) -> None:
    """With KAFKA_GROUP_PROTOCOL=consumer the brokers assign; nothing else is different."""
    settings.KAFKA_GROUP_PROTOCOL = "consumer"
    for first in (0, 1000):
        assert producing(cluster, first, first + 1000).flush(DEADLINE_S) == 0
        with RunningConsumer(redis):
            await eventually(lambda first=first: logged_count(redis) >= first + 1000)  # type: ignore[misc]
    check(redis, 2000)


def test_lag_is_told_in_messages_and_seconds(
    redis: Redis, cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consumer that waits for a bridge says how many messages, and for how long, it is behind."""
    for name, value in (("MAX_UNREAD_TICKS", 500), ("CHECK_EVERY_TICKS", 500), ("PATIENCE_S", 0.1)):
        monkeypatch.setattr(f"quotes.kafka.consumer.{name}", value)
    assert producing(cluster, 0, 3000).flush(DEADLINE_S) == 0
    with RunningConsumer(redis) as running:
        status = running.consumer.reports.status
        wait_until(lambda: status.problem and status.lag_s > 0.5)
        assert status.lag == 3000 - unread(redis)
    assert "lag=" in running.lines[-1]


@pytest.mark.parametrize(
    ("next", "ends", "expected"),
    [
        (5, (0, 8), 3),
        (8, (0, 8), 0),
        (9, (0, 8), 0),
        (OFFSET_BEGINNING, (3, 8), 5),
        (OFFSET_END, (3, 8), 0),
        (OFFSET_BEGINNING, (-1001, -1001), 0),
    ],
)
def test_lag_of_a_partition(next: int, ends: tuple[int, int], expected: int) -> None:
    """What is behind the next message, also before the first was read."""
    assert lag(next, *ends) == expected


def test_producer_that_was_overtaken_ends(
    redis: Redis, cluster: MockCluster, settings: Any
) -> None:
    """When the brokers say that another writes now, the first writes no more."""
    settings.KAFKA_PRODUCE_TOPIC = "ticks"
    cluster.topic("ticks", 1)
    producer = TickProducer(client=redis)
    producer.producer.init_transactions(DEADLINE_S)
    ticks = [LoggedTick("A", 1, 1, MOMENT, b"{}", True, MOMENT)]
    producer.write(ticks, {1: "1-0"})
    cluster.refuse(END_TRANSACTION, PRODUCER_FENCED)
    with pytest.raises(KafkaException, match="fenced"):
        producer.write(ticks, {1: "2-0"})
