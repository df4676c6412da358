"""Consumers of Kafka in threads of a test, as `manage.py consume_kafka` runs them."""

import threading
from types import TracebackType
from typing import Any

from redis import Redis

from quotes.kafka.consumer import PriceConsumer
from quotes.kafka.message_reader import MessageReader
from quotes.store.tick_log import LoggedTick, decode_entry
from tests.waiting import DEADLINE_S, wait_until


class RunningConsumer:
    """A consumer in a thread; ended with the block, which fails if it failed."""

    def __init__(self, redis: Redis, *, read: MessageReader | None = None) -> None:
        self.client = Redis.from_url(
            "redis://{host}:{port}/0".format(**redis.get_connection_kwargs()),
            socket_timeout=0.5,
            socket_connect_timeout=1,
        )
        self.stopped = threading.Event()
        self.lines: list[str] = []
        self.error: BaseException | None = None
        self.consumer = PriceConsumer(
            client=self.client,
            read=read or MessageReader(),
            stopped=self.stopped.is_set,
            report=self.lines.append,
        )
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self) -> None:
        try:
            self.consumer.run()
        except BaseException as error:
            self.error = error

    @property
    def positioned(self) -> bool:
        """Whether it has partitions and reads them."""
        return bool(self.consumer.partitions) and not self.consumer.unpositioned

    def __enter__(self) -> "RunningConsumer":
        self.thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopped.set()
        self.thread.join(DEADLINE_S)
        self.client.close()
        assert not self.thread.is_alive()
        if self.error is not None:
            raise self.error

    def wait_positioned(self) -> None:
        wait_until(lambda: self.positioned or self.error)


def logged_count(redis: Redis) -> int:
    """Return how many ticks the log has taken, which is quick."""
    return int(redis.get("quotes:log:1:n") or 0)


def logged(redis: Redis) -> list[LoggedTick]:
    """Return all ticks of the log."""
    entries: Any = redis.xrange("quotes:log:1")
    return [one for _, fields in entries for one in decode_entry(fields)]
