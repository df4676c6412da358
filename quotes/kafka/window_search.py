"""Finding the offset at which a partition's messages are recent enough to be shown."""

import time
from collections.abc import Callable, Mapping

from confluent_kafka import KafkaError, Message, TopicPartition

from quotes.errors import KafkaDown
from quotes.kafka import clients
from quotes.kafka.stored_offsets import Source

TIMEOUT_S = 10.0
# Single messages are fetched at once, one after another.
_OPTIONS = {
    "queued.min.messages": 1,
    "fetch.message.max.bytes": 1,
    "fetch.queue.backoff.ms": 5,
}


def first_recent(
    spans: Mapping[Source, tuple[int, int]], *, since_ms: int, stopped: Callable[[], bool]
) -> dict[Source, int]:
    """Return for each partition the offset of the first message that is not older than a time.

    It is one of several if times go up and down, and the end if all messages are older. All
    partitions are searched together, by reading single messages: not all brokers find offsets by
    time.

    Args:
        spans: partition -> offset of a message that is older, and the partition's end.
        since_ms: that time, Unix milliseconds.
        stopped: returns whether to give up.

    Raises:
        KafkaDown: the brokers do not answer within 10 s, or it was stopped.
    """
    old = {source: begin for source, (begin, _) in spans.items()}
    recent = {source: end for source, (_, end) in spans.items()}
    deadline = time.monotonic() + TIMEOUT_S
    consumer = clients.new_reader(**_OPTIONS)
    try:
        while waiting := {
            source: (old[source] + recent[source]) // 2
            for source in spans
            if recent[source] - old[source] > 1
        }:
            consumer.assign([TopicPartition(*source, at) for source, at in waiting.items()])
            while waiting:
                if time.monotonic() > deadline or stopped():
                    topics = ", ".join(sorted({topic for topic, _ in waiting}))
                    raise KafkaDown(f"{topics} cannot be searched for live prices: timed out")
                for message in consumer.consume(len(waiting), 0.1):
                    source = (str(message.topic()), int(message.partition() or 0))
                    if (at := waiting.pop(source, None)) is None:
                        continue
                    offset = _offset_of_old(message, at, since_ms)
                    if offset is None or offset >= recent[source]:
                        recent[source] = at
                    else:
                        old[source] = offset
    finally:
        consumer.close()
    return {source: offset + 1 for source, offset in old.items()}


def _offset_of_old(message: Message, at: int, since_ms: int) -> int | None:
    """Return the offset of the message found when looking at an offset; None if it is recent.

    Raises:
        KafkaDown: the brokers refuse to answer.
    """
    error = message.error()
    if error is None:
        kind, sent_ms = message.timestamp()
        return message.offset() if kind and sent_ms < since_ms else None
    if error.code() == KafkaError._PARTITION_EOF:
        return None
    if error.code() == KafkaError._AUTO_OFFSET_RESET:
        return at  # deleted, or not there: the consumer will find out
    raise KafkaDown(f"{message.topic()} cannot be searched for live prices: {error.str()}")
