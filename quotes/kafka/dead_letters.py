"""Dead letters: messages that are not ticks, sent to a topic of their own."""

import logging
from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from quotes.errors import KafkaDown
from quotes.kafka.clients import new_producer
from quotes.kafka.conf import conf
from quotes.kafka.sorting import RefusedMessage
from quotes.runtime.warnings import RateLimitedWarnings

logger = logging.getLogger(__name__)

TIMEOUT_S = 10.0
MAX_REASON = 500


class DeadLetters:
    """Sends refused messages, unchanged, to KAFKA_DEAD_LETTER_TOPIC; logs a few of them.

    At least once: a consumer that dies after a letter sends it again.

    Attributes:
        sent: how many messages the brokers have taken.
    """

    def __init__(self) -> None:
        self.topic = conf.dead_letter_topic
        self.producer: Producer | None = new_producer() if self.topic else None
        self.warn = RateLimitedWarnings(logger)
        self.sent = 0
        self.failed = ""

    def send(self, letters: Sequence[RefusedMessage]) -> None:
        """Return when the brokers have all letters; raise KafkaDown if they do not take them."""
        for message, reason in letters:
            where = f"{message.topic()}/{message.partition()} at {message.offset()}"
            self.warn("message refused", f"{where}: {reason}")
        if self.producer is None:
            return
        self.failed = ""
        try:
            for message, reason in letters:
                self.producer.produce(
                    self.topic,
                    key=message.key(),
                    value=message.value(),
                    headers=[*(message.headers() or ()), *headers(message, reason)],
                    on_delivery=self.delivered,
                )
            left = self.producer.flush(TIMEOUT_S)
        except (BufferError, KafkaException) as error:
            self.producer.purge()
            self.producer.flush(0)
            raise KafkaDown(f"cannot write dead letters to {self.topic}: {error}") from error
        if left:
            self.producer.purge()
            self.producer.flush(0)
        if self.failed or left:
            raise KafkaDown(
                f"cannot write dead letters to {self.topic}: {self.failed or 'timed out'}"
            )
        self.sent += len(letters)

    def delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.failed = error.str()


def headers(message: Message, reason: str) -> list[tuple[str, bytes]]:
    """Return headers with the origin of a message and why it was refused."""
    return [
        ("dead-letter.reason", reason[:MAX_REASON].encode()),
        ("dead-letter.topic", str(message.topic()).encode()),
        ("dead-letter.partition", b"%d" % (message.partition() or 0)),
        ("dead-letter.offset", b"%d" % (message.offset() or 0)),
        ("dead-letter.timestamp", b"%d" % message.timestamp()[1]),
    ]
