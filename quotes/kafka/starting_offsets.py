"""Where a consumer begins in its partitions: behind what Redis has, else where the group began."""

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
from quotes.kafka.stored_offsets import Source, knows_topic, read_positions, renew_topic

logger = logging.getLogger(__name__)

TIMEOUT_S = 5.0


class Start(NamedTuple):
    """Where to begin in a partition.

    Attributes:
        stored: the position that Redis has, "" for none.
        offset: the first message to read, or a place as OFFSET_BEGINNING.
    """

    stored: str
    offset: int


class Places:
    """Finds where to begin."""

    def __init__(self, consumer: Consumer, *, client: redis.Redis) -> None:
        self.consumer = consumer
        self.client = client
        self.admin = AdminClient(clients.connection())

    def find(self, sources: Sequence[Source]) -> dict[Source, Start]:
        """Return where to begin in each partition.

        Raises:
            KafkaDown: the brokers do not answer.
            redis.RedisError: Redis does not.
        """
        if not sources:
            return {}
        self.renew({topic for topic, _ in sources})
        stored = read_positions(sources, group=conf.group_id, client=self.client)
        new = [source for source in sources if not stored[source]]
        fresh = {
            topic: conf.start == "latest"
            and not knows_topic(topic, group=conf.group_id, client=self.client)
            for topic in {topic for topic, _ in new}
        }
        committed = self.committed(new)
        starts = {}
        for source in sources:
            if stored[source]:
                starts[source] = Start(stored[source], int(stored[source]))
            elif (offset := committed[source]) >= 0:
                # Redis lost its memory; what Kafka remembers is at most a second older.
                starts[source] = Start("", offset)
            else:
                starts[source] = Start("", OFFSET_END if fresh[source[0]] else OFFSET_BEGINNING)
        return starts

    def renew(self, topics: Iterable[str]) -> None:
        """Forget the positions of topics that were deleted and made anew."""
        for topic, future in self.admin.describe_topics(
            TopicCollection(sorted(topics)), request_timeout=TIMEOUT_S
        ).items():
            try:
                id = str(future.result().topic_id)
            except KafkaException as error:
                # Not allowed to ask, or the broker is older than the question.
                logger.debug("%s: %s", topic, error)
                continue
            if renew_topic(topic, id, group=conf.group_id, client=self.client):
                logger.warning("%s was made anew: reading it from its beginning", topic)

    def committed(self, sources: Sequence[Source]) -> dict[Source, int]:
        if not sources:
            return {}
        asked = [TopicPartition(*source) for source in sources]
        try:
            found = self.consumer.committed(asked, timeout=TIMEOUT_S)
        except KafkaException as error:
            raise KafkaDown(f"the group's offsets are not known: {error}") from error
        return {(one.topic, one.partition): one.offset for one in found}

    def oldest(self, source: Source, *, read_to: int) -> int:
        """Return the oldest offset of a partition that does not have the next one to read.

        Raises:
            KafkaDown: the brokers do not say.
        """
        try:
            ends = self.consumer.get_watermark_offsets(TopicPartition(*source), timeout=TIMEOUT_S)
        except KafkaException as error:
            raise KafkaDown(f"the ends of {source[0]} are not known: {error}") from error
        if ends is None:
            raise KafkaDown(f"the ends of {source[0]} are not known")
        low, high = ends
        if read_to < low:
            logger.error(
                "%s/%d: %d messages were deleted before they were read", *source, low - read_to
            )
        else:
            logger.error(
                "%s/%d ends at %d and was read up to %d: the brokers lost messages, or the topic "
                "was made anew; reading all of it",
                *source,
                high,
                read_to,
            )
        return low
