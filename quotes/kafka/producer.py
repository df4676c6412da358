"""The producer: writes the numbered ticks to a topic, with its position in the same transaction.

Kafka keeps the position as the offset of a group: that of shard 1 as the offset of the topic's
partition 0, and so on. So a restart neither skips nor repeats what the log still holds.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import redis
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from quotes.errors import KafkaRefused, QuotesError
from quotes.kafka import clients
from quotes.kafka.conf import conf
from quotes.kafka.log_reader import CountingLogReader, id_of, number_of
from quotes.kafka.producer_status import ProducerStatus, remove_status, write_status
from quotes.publish.patient_publisher import LOGIN_ERRORS, LONGEST_PAUSE_S, TEMPORARY_ERRORS
from quotes.store.redis_clock import redis_clock
from quotes.store.shards import shard_count
from quotes.store.tick_log import LoggedTick

logger = logging.getLogger(__name__)

TIMEOUT_S = 30.0
WAIT_MS = 500
STATUS_EVERY_S = 1.0


class TransactionAborted(QuotesError):
    """A transaction was aborted; its ticks must be written again."""


class TickProducer:
    """Writes the tick log to KAFKA_PRODUCE_TOPIC.

    Exactly once for readers with `isolation.level=read_committed`, within what the log holds; in
    the order of the log. One producer writes at a time: a second one takes over, and the first ends
    with an error.

    Args:
        late: also write ticks that came too late to be shown.

    Attributes:
        written: how many ticks this producer has written.
    """

    def __init__(self, *, client: redis.Redis, late: bool = False) -> None:
        self.client = client
        self.late = late
        self.topic = conf.produce_topic
        name = f"{conf.client_id}.{self.topic}"
        self.producer: Producer = clients.new_producer(**{"transactional.id": name})
        # No consumer joins this group; its offsets are the positions.
        self.group = Consumer({**clients.connection_options(), "group.id": name})
        self.written = 0
        self.shards = shard_count(client)
        self.status = ProducerStatus()
        self.status_at = 0.0  # monotonic time of the next

    def run(self, stopped: Callable[[], bool]) -> None:
        """Write until `stopped()`; the transaction in hand is finished.

        Raises:
            KafkaRefused: the topic has fewer partitions than there are shards.
            KafkaException: the brokers refuse it, or another producer has taken over.
            redis.RedisError: Redis refuses for a reason that does not go away by waiting.
        """
        try:
            self.report()
            self.producer.init_transactions(TIMEOUT_S)
            while not stopped():
                try:
                    self.write_log(stopped)
                except TransactionAborted as error:
                    self.report(str(error))
                    logger.warning(
                        "the transaction was aborted, writing again from the last position: %s",
                        error,
                    )
                except LOGIN_ERRORS:
                    raise
                except TEMPORARY_ERRORS as error:
                    self.report(str(error))
                    logger.warning("Redis does not answer, retrying until it does (%s)", error)
                    time.sleep(LONGEST_PAUSE_S)
            with contextlib.suppress(redis.RedisError):
                remove_status(client=self.client)
        except Exception as error:
            self.report(str(error))  # the last word of this process
            raise
        finally:
            self.group.close()

    def write_log(self, stopped: Callable[[], bool]) -> None:
        reader = CountingLogReader(self.client, self.positions())
        missed = 0
        while not stopped():
            ticks, positions = reader.read_ticks(wait_ms=WAIT_MS)
            if positions:
                self.write(ticks, positions)
                self.status.written_at = redis_clock.now_ms()
            self.status.position = dict(reader.positions)
            self.status.missed += reader.missed - missed
            missed = reader.missed
            if time.monotonic() >= self.status_at:
                self.status.behind = reader.behind()
                self.report()

    def report(self, error: str = "") -> None:
        """Write the status to Redis, with the reason if nothing is written now."""
        self.status_at = time.monotonic() + STATUS_EVERY_S
        self.status.written, self.status.error = self.written, error
        with contextlib.suppress(redis.RedisError):  # it is retried, or reported
            redis_clock.measure_if_due(self.client)
            write_status(self.status, client=self.client)

    def positions(self) -> dict[int, str]:
        """Return the id of the last entry that was written, for each shard."""
        metadata = self.group.list_topics(self.topic, timeout=TIMEOUT_S).topics[self.topic]
        count = len(metadata.partitions or ())
        if metadata.error is not None or count < self.shards:
            raise KafkaRefused(
                f"KAFKA_PRODUCE_TOPIC must be a topic of at least {self.shards} partitions, "
                f"got {self.topic!r} with {count}"
            )
        shards = [TopicPartition(self.topic, shard) for shard in range(self.shards)]
        found = self.group.committed(shards, timeout=TIMEOUT_S)
        # Negative: no offset was committed yet.
        return {one.partition + 1: id_of(max(one.offset, 0)) for one in found}

    def write(self, ticks: Sequence[LoggedTick], positions: Mapping[int, str]) -> None:
        """Write ticks and the positions after them in one transaction.

        Raises:
            TransactionAborted: nothing was written.
            KafkaException: the outcome is unknown, or this producer must end.
        """
        chosen = [tick for tick in ticks if tick.shown or self.late]
        self.producer.begin_transaction()
        try:
            for tick in chosen:
                self.produce(tick)
            offsets = [
                TopicPartition(self.topic, shard - 1, number_of(id))
                for shard, id in positions.items()
            ]
            self.producer.send_offsets_to_transaction(
                offsets, self.group.consumer_group_metadata(), TIMEOUT_S
            )
            self.producer.commit_transaction(TIMEOUT_S)
        except KafkaException as error:
            if not error.args[0].txn_requires_abort():
                raise
            self.producer.abort_transaction(TIMEOUT_S)
            raise TransactionAborted(error.args[0].str()) from error
        self.written += len(chosen)

    def produce(self, tick: LoggedTick) -> None:
        headers: list[tuple[str, Any]] = [
            ("epoch", b"%d" % tick.epoch),
            ("seq", b"%d" % tick.seq),
        ]
        if not tick.shown:
            headers.append(("late", b"1"))
        while True:
            try:
                # A message that is not delivered fails the transaction.
                self.producer.produce(
                    self.topic, tick.frame, tick.key, timestamp=tick.timestamp, headers=headers
                )
                return
            except BufferError:
                self.producer.poll(0.1)
