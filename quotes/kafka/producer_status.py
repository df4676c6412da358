"""The status of the producer, which it writes to Redis and `/readyz` reads.

quotes:kafka:producers  hash  CLIENT_ID.TOPIC -> JSON of its status, written each second
"""

from typing import Any

import msgspec
import redis

from quotes.kafka.conf import conf
from quotes.runtime.redaction import scrub
from quotes.store.names import own_key
from quotes.store.redis_clock import MACHINE, redis_clock

# A producer that has written no status for this long hangs or has ended.
SILENT_AFTER_MS = 10_000
_MAX_ERROR = 300


class ProducerStatus(msgspec.Struct):
    """The status of one producer.

    Attributes:
        at: when it was written, Unix milliseconds of Redis's clock.
        written: ticks written since its start.
        missed: ticks that left the log before they were written.
        behind: logged ticks that are not written yet.
        position: shard -> the id of the last entry that was written.
        written_at: when it last wrote ticks; 0: not yet.
        error: why it writes nothing now; "" while it does.
        machine, clock_ms: where it runs, and how far that clock is ahead of Redis's.
    """

    at: int = 0
    written: int = 0
    missed: int = 0
    behind: int = 0
    position: dict[int, str] = {}
    written_at: int = 0
    error: str = ""
    machine: str = ""
    clock_ms: int = 0


def producers_key() -> str:
    return own_key("kafka:producers")


def producer_name() -> str:
    """Return the name of the producer that the settings describe."""
    return f"{conf.client_id}.{conf.produce_topic}"


def write_status(status: ProducerStatus, *, client: redis.Redis) -> None:
    """Write the status to Redis; raise redis.RedisError."""
    status.at, status.machine = redis_clock.now_ms(), MACHINE
    status.clock_ms = redis_clock.difference_ms
    status.error = scrub(status.error)[:_MAX_ERROR]
    client.hset(producers_key(), producer_name(), msgspec.json.encode(status))


def remove_status(*, client: redis.Redis) -> None:
    client.hdel(producers_key(), producer_name())


def read_status(client: redis.Redis) -> ProducerStatus | None:
    """Return the status of the producer, None if none works.

    Raises:
        redis.RedisError, msgspec.MsgspecError: it cannot be read.
    """
    text: Any = client.hget(producers_key(), producer_name())
    return None if text is None else msgspec.json.decode(text, type=ProducerStatus)


def producer_problem(status: ProducerStatus | None) -> str:
    """Return what is wrong with the producer and what to do, without its error; "" if nothing."""
    if status is None:
        return "no producer works: start `manage.py produce_kafka`"
    now = redis_clock.now_ms()
    if (silent_ms := now - status.at) > SILENT_AFTER_MS:
        return (
            f"it has not reported for {silent_ms / 1000:.0f} s: check the brokers, and start "
            "`manage.py produce_kafka` if it has ended"
        )
    if status.error:
        return "it writes nothing, and tries again: check the brokers and Redis"
    return ""
