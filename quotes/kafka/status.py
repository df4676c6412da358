"""The status of Kafka's consumers, which they write to Redis and `/readyz` reads.

quotes:kafka:consumers  hash  consumer -> JSON of its counters, written each second
"""

import re
from typing import Any

import msgspec
import redis

from quotes.kafka.backlog_ranges import read_ranges
from quotes.kafka.conf import conf
from quotes.store.names import own_key
from quotes.store.redis_clock import MACHINE, redis_clock

# A consumer counts as ended when its status is older.
SILENT_AFTER_MS = 10_000


class ConsumerStatus(msgspec.Struct):
    """The status of one consumer.

    Attributes:
        at: when it was written, Unix milliseconds of Redis's clock.
        live, history, bad: messages taken since its start; `bad` were not ticks.
        lag: messages of its partitions that it has yet to read, without the backlog.
        lag_s: the age in seconds of the last message that it read; 0 when there are no more.
        partitions: how many it has.
        topics: topic -> how many partitions of it the consumer has; None: not known.
        problem: why it takes no messages now; "" while it does.
        backlog: older messages that live prices have passed, still to be read into history.
        backlog_done: messages of these backlogs that have been read.
        backlog_problem: why it reads none of these now; "" while it does.
        lost: messages that were deleted before they were read, since its start.
        machine, clock_ms: where it runs, and how far that clock is ahead of Redis's.
    """

    at: int = 0
    live: int = 0
    history: int = 0
    bad: int = 0
    lag: int = 0
    lag_s: float = 0.0
    partitions: int = 0
    problem: str = ""
    topics: dict[str, int] | None = None
    backlog: int = 0
    backlog_done: int = 0
    backlog_problem: str = ""
    lost: int = 0
    machine: str = ""
    clock_ms: int = 0

    @property
    def line(self) -> str:
        """The line of counters for operators."""
        text = (
            f"live={self.live} history={self.history} bad={self.bad} lag={self.lag} "
            f"lag_s={self.lag_s:.1f} partitions={self.partitions}"
        )
        if self.backlog:
            text += f" backlog={self.backlog} ({percent(self.backlog_done, self.backlog)} done)"
        if self.problem:
            return f"{text} waiting: {self.problem}"
        return f"{text} backlog waits: {self.backlog_problem}" if self.backlog_problem else text


def consumers_key() -> str:
    return own_key("kafka:consumers")


def write_status(name: str, status: ConsumerStatus, *, client: redis.Redis) -> None:
    """Write a consumer's status to Redis; raise redis.RedisError."""
    status.at, status.machine = redis_clock.now_ms(), MACHINE
    status.clock_ms = redis_clock.difference_ms
    client.hset(consumers_key(), name, msgspec.json.encode(status))


def remove_status(name: str, *, client: redis.Redis) -> None:
    client.hdel(consumers_key(), name)


def consumer_statuses(client: redis.Redis) -> dict[str, ConsumerStatus]:
    """Return the status of each running consumer; raise redis.RedisError.

    Consumers that have written nothing for a minute are removed.
    """
    now = redis_clock.now_ms()
    texts: Any = client.hgetall(consumers_key())
    found = {}
    for name, text in texts.items():
        status = msgspec.json.decode(text, type=ConsumerStatus)
        if now - status.at < SILENT_AFTER_MS:
            found[name.decode()] = status
        elif now - status.at > 6 * SILENT_AFTER_MS:
            client.hdel(consumers_key(), name)
    return found


def kafka_state(client: redis.Redis) -> str:
    """Return "ok" when prices can flow from Kafka, else the problem; raise redis.RedisError."""
    statuses = consumer_statuses(client)
    if not statuses:
        return "no consumer works: start `manage.py consume_kafka`"
    problem = next((one.problem for one in statuses.values() if one.problem), "")
    return problem or _unread_topics(list(statuses.values())) or "ok"


def _unread_topics(statuses: list[ConsumerStatus]) -> str:
    """Return what to do about topics of which no consumer has a partition; "" for none."""
    if any(one.topics is None for one in statuses):
        return ""  # of release 0.1.0
    read = {topic for one in statuses for topic in one.topics or ()}
    missing = [
        topic
        for topic in conf.topic_list
        if not (
            any(re.match(topic, one) for one in read) if topic.startswith("^") else topic in read
        )
    ]
    if not missing:
        return ""
    names = ", ".join(missing)
    return f"no consumer has partitions of {names}: create the topic or correct KAFKA_TOPICS"


def kafka_backlog(client: redis.Redis) -> dict[str, int]:
    """Return how many older messages are still to be read into history, and how many have been.

    The first is that of the whole group, the second of running consumers. Raises redis.RedisError.
    """
    ranges = read_ranges(group=conf.group_id, client=client).values()
    return {
        "messages": sum(range.remaining for found in ranges for range in found),
        "read": sum(one.backlog_done for one in consumer_statuses(client).values()),
    }


def percent(done: int, remaining: int) -> str:
    return f"{100 * done // max(1, done + remaining)} %"


def backlog_warnings(client: redis.Redis) -> list[str]:
    """Return what to know of backlogs that are read beside live prices; raise redis.RedisError."""
    statuses = consumer_statuses(client).values()
    warnings = []
    backlog = kafka_backlog(client)
    if remaining := backlog["messages"]:
        done = percent(backlog["read"], remaining)
        problem = next((one.backlog_problem for one in statuses if one.backlog_problem), "")
        cure = f"it waits: {problem}" if problem else "if that takes too long, add consumers"
        warnings.append(
            f"live prices flow beside a backlog, of which {remaining} messages are still to be "
            f"read into history ({done} done): {cure}"
        )
    if lost := sum(one.lost for one in statuses):
        warnings.append(
            f"{lost} messages were deleted before they were read: let the topic keep them longer"
        )
    return warnings


def kafka_lag(client: redis.Redis) -> dict[str, float]:
    """Return how far all consumers are behind, in messages and seconds; raise redis.RedisError."""
    statuses = consumer_statuses(client).values()
    return {
        "messages": sum(one.lag for one in statuses),
        "seconds": max((round(one.lag_s, 1) for one in statuses), default=0),
    }
