"""Noticing that a consumer reads a backlog, and finding where live prices are."""

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from confluent_kafka import Consumer, KafkaException, TopicPartition

from quotes.errors import KafkaDown
from quotes.kafka.sorting import Partition
from quotes.kafka.stored_offsets import Source
from quotes.kafka.window_search import first_recent
from quotes.store.redis_clock import redis_clock

logger = logging.getLogger(__name__)

# Fewer messages are read in order: that takes no longer than a search.
MIN_BACKLOG = 1000
# A partition that was searched is not searched again for this long.
PAUSE_S = 10.0
# Time for other partitions to show that they have a backlog too, to be searched together.
GATHER_S = 0.1


class BacklogSearch:
    """Searches partitions with a backlog for the first message that is recent enough to be shown.

    In a thread of its own, for all partitions that need it together.

    Args:
        window_ms: how old a message may be to be shown.
        stopped: returns whether to give up.
    """

    def __init__(self, consumer: Consumer, *, window_ms: int, stopped: Callable[[], bool]) -> None:
        self._consumer = consumer
        self._window_ms = window_ms
        self._stopped = stopped
        self._again_at: dict[Source, float] = {}  # monotonic time
        self._waiting: dict[Partition, int] = {}  # partition -> its end
        self._waiting_since = 0.0
        self._searched: list[Partition] = []
        self._thread = ThreadPoolExecutor(1, "search")
        self._search: Future[dict[Source, int]] | None = None

    @property
    def is_busy(self) -> bool:
        return bool(self._waiting or self._search)

    def add(self, partitions: Iterable[Partition]) -> list[Partition]:
        """Search those of some partitions in which many messages wait; return these."""
        now = time.monotonic()
        added = []
        for partition in partitions:
            if partition.next < 0 or now < self._again_at.get(partition.source, now):
                continue
            ends = self._consumer.get_watermark_offsets(
                TopicPartition(*partition.source), cached=True
            )
            if ends is None or ends[1] - partition.next < MIN_BACKLOG:
                continue
            self._again_at[partition.source] = now + PAUSE_S
            if not self._waiting:
                self._waiting_since = now
            self._waiting[partition] = ends[1]
            added.append(partition)
        return added

    def found(self) -> dict[Partition, int]:
        """Return partitions that have been searched, and where to continue in them."""
        found: dict[Partition, int] = {}
        if self._search is not None and self._search.done():
            try:
                offsets = self._search.result()
            except (KafkaDown, KafkaException) as error:
                logger.warning("reading in order: %s", error)
                offsets = {}
            found = {one: offsets.get(one.source, one.next) for one in self._searched}
            self._search = None
        gathered = time.monotonic() - self._waiting_since > GATHER_S
        if self._search is None and self._waiting and gathered:
            spans = {one.source: (one.next - 1, end) for one, end in self._waiting.items()}
            self._searched, self._waiting = list(self._waiting), {}
            self._search = self._thread.submit(
                first_recent,
                spans,
                since_ms=redis_clock.now_ms() - self._window_ms,
                stopped=self._stopped,
            )
        return found

    def forget(self, source: Source) -> None:
        """Let a partition be searched again at once: it was read from another offset meanwhile."""
        self._again_at.pop(source, None)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
