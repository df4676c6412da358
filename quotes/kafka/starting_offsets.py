"""Where a consumer starts in a partition: its position in Redis or Kafka, else KAFKA_START."""

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import redis
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from quotes.errors import KafkaDown
from quotes.kafka import clients
from quotes.kafka.conf import conf
from quotes.kafka.stored_offsets import (
    Source,
    forget_recreated_topic,
    has_positions,
    read_positions,
)

logger = logging.getLogger(__name__)

TIMEOUT_S = 5.0


class StartingOffset(NamedTuple):
    """Where to start in a partition.

    Attributes:
        stored: the position in Redis, "" for none.
        offset: of the first message to read, or OFFSET_BEGINNING or OFFSET_END.
    """

    stored: str
    offset: int


class StartingOffsets:
    """Finds the starting offsets of a consumer; answers of brokers are waited for up to 5 s."""

    def __init__(self, consumer: Consumer, *, client: redis.Redis) -> None:
        self.consumer = consumer
        self.client = client
        self.admin = AdminClient(clients.connection_options())

    def find(self, sources: Sequence[Source]) -> dict[Source, StartingOffset]:
        """Return the starting offset of each partition.

        Raises:
            KafkaDown: the brokers do not answer.
            redis.RedisError: Redis does not.
        """
        if not sources:
            return {}
        self._forget_recreated({topic for topic, _ in sources})
        stored = read_positions(sources, group=conf.group_id, client=self.client)
        new = [source for source in sources if not stored[source]]
        fresh = {
            topic: conf.start == "latest"
            and not has_positions(topic, group=conf.group_id, client=self.client)
            for topic in {topic for topic, _ in new}
        }
        committed = self._committed(new)
        starts = {}
        for source in sources:
            if stored[source]:
                starts[source] = StartingOffset(stored[source], int(stored[source]))
            elif (offset := committed[source]) >= 0:
                # Redis lost its data; the offset in Kafka is at most a second older.
                starts[source] = StartingOffset("", offset)
            else:
                starts[source] = StartingOffset(
                    "", OFFSET_END if fresh[source[0]] else OFFSET_BEGINNING
                )
        return starts

    def _forget_recreated(self, topics: Iterable[str]) -> None:
        """Forget the positions of topics that were deleted and created again."""
        for topic, future in self.admin.describe_topics(
            TopicCollection(sorted(topics)), request_timeout=TIMEOUT_S
        ).items():
            try:
                id = str(future.result().topic_id)
            except KafkaException as error:
                # The user may not describe topics, or the broker is too old to do it.
                logger.debug("%s: %s", topic, error)
                continue
            if forget_recreated_topic(topic, id, group=conf.group_id, client=self.client):
                logger.warning(
                    "topic %s was deleted and created again: reading it from its beginning", topic
                )

    def _committed(self, sources: Sequence[Source]) -> dict[Source, int]:
        if not sources:
            return {}
        partitions = [TopicPartition(*source) for source in sources]
        try:
            found = self.consumer.committed(partitions, timeout=TIMEOUT_S)
        except KafkaException as error:
            raise KafkaDown(f"cannot read the group's offsets: {error}") from error
        return {(one.topic, one.partition): one.offset for one in found}

    def oldest(self, source: Source, *, read_to: int) -> int:
        """Return the oldest offset of a partition that lacks the next offset to read; log the loss.

        Raises:
            KafkaDown: the brokers do not answer.
        """
        try:
            ends = self.consumer.get_watermark_offsets(TopicPartition(*source), timeout=TIMEOUT_S)
        except KafkaException as error:
            raise KafkaDown(f"cannot read the offsets of {source[0]}: {error}") from error
        if ends is None:
            raise KafkaDown(f"cannot read the offsets of {source[0]}")
        low, high = ends
        if read_to < low:
            logger.error(
                "%s/%d: %d messages were deleted before they were read", *source, low - read_to
            )
        else:
            logger.error(
                "%s/%d ends at %d but was read up to %d: the brokers lost messages, or the topic "
                "was created again; reading all of it",
                *source,
                high,
                read_to,
            )
        return low
