"""What dies in mid-flow: consumers, brokers, members of the group; the log has each tick once."""

import asyncio
import os
import random
import re
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from subprocess import PIPE, Popen
from typing import Any

import pytest
from confluent_kafka import Producer
from django.conf import settings as django_settings
from redis import Redis

from quotes.store.tick_log import LoggedTick
from tests.kafka.broker import Broker
from tests.kafka.consumers import RunningConsumer, logged, logged_count
from tests.kafka.mock_cluster import MockCluster
from tests.kafka.recorded import recorded_ticks
from tests.live import LiveServer
from tests.programs import ROOT
from tests.ticks import MOMENT, message
from tests.waiting import eventually

NUMBER = re.compile(rb'"n":([0-9]+)')

EACH = 3000  # messages that are produced before the next consumer is killed


def check(rows: Iterable[LoggedTick], messages: Iterable[tuple[bytes, bytes]]) -> None:
    """Check that the log has each message once, in its symbol's order, and none shown too late."""
    expected, found = defaultdict(list), defaultdict(list)
    shown: dict[str, int] = {}
    for symbol, text in messages:
        expected[symbol].append(NUMBER.findall(text)[0])
    for row in rows:
        found[row.key.encode()].append(NUMBER.findall(row.frame)[0])
        if row.shown:
            assert row.timestamp >= shown.get(row.key, 0)
            shown[row.key] = row.timestamp
    assert found == expected


def produce(servers: str, topic: str, messages: Iterable[tuple[bytes, bytes]]) -> None:
    producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True})
    for key, text in messages:
        producer.produce(topic, text, key=key)
    assert producer.flush(15) == 0


def reached(taken: Callable[[], int], aim: int) -> bool:
    return taken() >= aim


@contextmanager
def killable_consumers() -> Iterator["Popen[bytes]"]:
    names = [name for name in dir(django_settings) if name.startswith("KAFKA_")]
    environment = {name: str(getattr(django_settings, name)) for name in names}
    assert environment
    with Popen(
        [sys.executable, "-m", "tests.kafka.killable"],
        stdin=PIPE,
        stdout=PIPE,
        cwd=ROOT,
        env={**os.environ, **environment, "DJANGO_SETTINGS_MODULE": "config.settings"},
    ) as nursery:
        try:
            yield nursery
        finally:
            assert nursery.stdin
            nursery.stdin.close()
            nursery.wait(15)


@pytest.fixture(params=[pytest.param(2, id="broker"), pytest.param(20, id="mock")])
def kills(request: pytest.FixtureRequest, topic: str, settings: Any) -> Iterator[int]:
    """How often to kill: less with the broker, whose group waits a second for each of the dead."""
    if request.param == 2:
        yield request.param
        return
    with MockCluster() as cluster:
        cluster.topic(topic, 2)
        settings.KAFKA_BOOTSTRAP_SERVERS = cluster.servers
        settings.KAFKA_GROUP_PROTOCOL = "consumer"
        yield request.param


@pytest.mark.slow
async def test_killed_consumers_lose_and_repeat_nothing(
    live: LiveServer, redis: Redis, topic: str, kills: int, settings: Any
) -> None:
    """Consumers killed at random moments of a recorded day: each tick is logged once, in order."""
    messages = recorded_ticks(EACH * (kills + 1))
    servers = str(settings.KAFKA_BOOTSTRAP_SERVERS)
    dice = random.Random(20)

    def taken() -> int:
        return int(redis.get("quotes:inbox:n") or 0)

    with killable_consumers() as nursery:
        assert nursery.stdin and nursery.stdout
        for round in range(kills + 1):
            nursery.stdin.write(b"start\n")
            nursery.stdin.flush()
            pid = int(await asyncio.to_thread(nursery.stdout.readline))
            behind = (round + 1) * EACH
            part = messages[behind - EACH : behind]
            aim = dice.randrange(taken(), behind) + 1
            producing = asyncio.create_task(asyncio.to_thread(produce, servers, topic, part))
            if round < kills:
                if round % 2:
                    await eventually(partial(reached, taken, aim))
                else:
                    await asyncio.sleep(dice.uniform(0.02, 0.3))  # while it joins, or reads
                os.kill(pid, signal.SIGKILL)
            await producing
        await eventually(lambda: logged_count(redis) >= len(messages), timeout_s=30)
    check(logged(redis), messages)


async def test_three_consumers_keep_the_order_of_each_symbol(
    live: LiveServer, redis: Redis, broker: Broker, topic: str, settings: Any
) -> None:
    """Members that come and go during load share the partitions; no order is broken."""
    settings.KAFKA_TOPICS = topic = broker.topic(6)
    messages = [
        (b"S%d" % (n % 24), message(f"S{n % 24}", "1", MOMENT + n, n=n).encode())
        for n in range(24_000)
    ]
    parts = iter([messages[at : at + 4000] for at in range(0, len(messages), 4000)])
    produce(broker.servers, topic, next(parts))
    with RunningConsumer(redis) as first:
        await eventually(lambda: first.positioned)
        produce(broker.servers, topic, next(parts))
        with RunningConsumer(redis) as second:
            produce(broker.servers, topic, next(parts))
            with RunningConsumer(redis) as third:
                members = (first, second, third)
                await eventually(
                    lambda: [len(one.consumer.partitions) for one in members] == [2] * 3
                )
                produce(broker.servers, topic, next(parts))
                await eventually(lambda: third.consumer.reports.status.live)
            produce(broker.servers, topic, next(parts))
        produce(broker.servers, topic, next(parts))
        await eventually(lambda: logged_count(redis) >= len(messages))
    check(logged(redis), messages)


async def test_broker_that_forgot_everything_is_read_from_its_beginning(
    live: LiveServer, redis: Redis, topic: str, settings: Any
) -> None:
    """A broker that comes back empty in mid-flow: the new topic of the old name is read whole."""
    with Broker() as broker:
        settings.KAFKA_BOOTSTRAP_SERVERS = broker.servers
        broker.topic(2, name=topic)
        messages = [(b"A", message("A", "1", MOMENT + n, n=n).encode()) for n in range(2000)]
        produce(broker.servers, topic, messages[:1000])
        with RunningConsumer(redis):
            await eventually(lambda: logged_count(redis) == 1000)
            broker.kill()
            broker.start()
            broker.topic(2, name=topic)
            produce(broker.servers, topic, messages[1000:])
            await eventually(lambda: logged_count(redis) >= 2000)
        check(logged(redis), messages)
