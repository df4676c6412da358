"""A consumer's counters and lag, and how it reports them to operators."""

import contextlib
import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping

import redis
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from quotes.conf import conf as quotes_conf
from quotes.kafka.backlog_reader import BacklogReader
from quotes.kafka.conf import conf
from quotes.kafka.sorting import Partition, SortedBatch
from quotes.kafka.status import ConsumerStatus, remove_status, write_status
from quotes.kafka.stored_offsets import Source
from quotes.runtime.warnings import RateLimitedWarnings
from quotes.store.redis_clock import redis_clock

STATUS_EVERY_S = 1.0
ASK_TIMEOUT_S = 0.5


class ConsumerReports:
    """Counts what a consumer does; writes a status to Redis each second and a line every 10 s.

    Attributes:
        problem: why it takes no messages now; "" while it does.
        brokers_down: whether no broker has answered since the last error.
        window_ms: how old a message may be to be shown.
    """

    def __init__(
        self,
        consumer: Consumer,
        partitions: Mapping[Source, Partition],
        backlog: BacklogReader,
        *,
        client: redis.Redis,
        report: Callable[[str], object],
    ) -> None:
        self.consumer = consumer
        self.partitions = partitions
        self.backlog = backlog
        self.client = client
        self.report = report
        self.name = f"{conf.client_id}@{socket.gethostname()}:{os.getpid()}"
        self.warn = RateLimitedWarnings(logging.getLogger(__name__))
        self.status = ConsumerStatus()
        self.history = self.bad = self.lost = 0  # without the backlog's
        self.problem = ""
        self.brokers_down = False
        self.window_ms = round(conf.live_window_s * 1000)
        self.status_at = 0.0
        self.report_at = time.monotonic() + quotes_conf.report_interval_s

    def count(self, batch: SortedBatch) -> None:
        self.status.live += len(batch.live)
        self.history += len(batch.history)
        self.bad += len(batch.refused)

    def update_when_due(self) -> bool:
        """Write the status and the line of counters if they are due; return whether they were."""
        now = time.monotonic()
        if now < self.status_at:
            return False
        self.status_at = now + STATUS_EVERY_S
        self._refresh()
        with contextlib.suppress(redis.RedisError):  # the consumer itself reports it
            write_status(self.name, self.status, client=self.client)
        if now >= self.report_at:
            self.report_at = now + quotes_conf.report_interval_s
            self.report(self.status.line)
        return True

    def _refresh(self) -> None:
        """Update the status."""
        if self.brokers_down:
            with contextlib.suppress(KafkaException):
                self.consumer.list_topics(timeout=ASK_TIMEOUT_S)
                self.brokers_down = False
        status = self.status
        status.problem = self.problem or ("no broker answers" if self.brokers_down else "")
        status.partitions = len(self.partitions)
        status.topics = dict(Counter(topic for topic, _ in self.partitions))
        self._refresh_counters()
        status.lag, status.lag_s = 0, 0.0
        now = redis_clock.now_ms()
        for source, partition in self.partitions.items():
            ends = self.consumer.get_watermark_offsets(TopicPartition(*source), cached=True)
            behind = 0 if ends is None else lag(partition.next, *ends)
            if behind > 0:
                status.lag += behind
                if partition.newest_ms:
                    status.lag_s = max(status.lag_s, (now - partition.newest_ms) / 1000)

    def _refresh_counters(self) -> None:
        status, backlog = self.status, self.backlog
        status.history = self.history + backlog.history
        status.bad = self.bad + backlog.bad
        status.lost = self.lost + backlog.lost
        status.backlog_done, status.backlog = backlog.progress()
        status.backlog_problem = backlog.problem

    def close(self) -> None:
        """Report the last counters and remove the status."""
        self._refresh_counters()
        self.report(self.status.line)
        with contextlib.suppress(redis.RedisError):
            remove_status(self.name, client=self.client)


def lag(next: int, low: int, high: int) -> int:
    """Return how many messages a partition has from the next one on.

    Args:
        next: its offset, or OFFSET_BEGINNING or OFFSET_END.
        low, high: the ends of the partition, -1001 while unknown.
    """
    if next == OFFSET_BEGINNING:
        next = low
    return max(0, high - next) if next >= 0 else 0
