"""Publishing ticks to a topic instead of Redis, for the option `--kafka`."""

import time
from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from quotes.errors import KafkaDown
from quotes.kafka.clients import new_producer
from quotes.publish.publishing import tick_name
from quotes.ticks import Tick, encode_tick

TIMEOUT_S = 30.0


class KafkaPublisher:
    """Publishes batches of ticks to a topic, keyed by name; the order of a name is kept.

    A batch that fails may have been written in part.

    Args:
        stopped: returns whether to give up the batch in hand, called while brokers are away.
    """

    def __init__(self, topic: str, *, stopped: Callable[[], bool] = lambda: False) -> None:
        self.topic = topic
        self.stopped = stopped
        self.producer: Producer = new_producer()
        self.failed = ""

    def __call__(self, ticks: Sequence[Tick]) -> int:
        """Return how many ticks the brokers have taken: all, or 0 when stopped.

        Raises:
            KafkaDown: they did not take all of them within 30 s.
        """
        self.failed = ""
        deadline = time.monotonic() + TIMEOUT_S
        try:
            for tick in ticks:
                self.producer.produce(
                    self.topic, encode_tick(tick), tick_name(tick), on_delivery=self.delivered
                )
        except (BufferError, KafkaException) as error:
            raise KafkaDown(f"cannot publish to {self.topic}: {error}") from error
        while (left := self.producer.flush(0.5)) and not self.failed:
            if self.stopped() or time.monotonic() > deadline:
                self.producer.purge()
                self.producer.flush(0)
                if self.stopped():
                    return 0
                raise KafkaDown(f"{self.topic} did not take {left} ticks within {TIMEOUT_S:g} s")
        if self.failed:
            raise KafkaDown(f"cannot publish to {self.topic}: {self.failed}")
        return len(ticks)

    def delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.failed = error.str()
