"""The consumer of Kafka: takes messages of its partitions to the inbox, each once.

`sorting.py` sorts messages. Redis moves the position of a partition in the same step that takes
its ticks, so every failure has one remedy: drop the messages in hand, read the positions again and
continue from there.

A consumer that reads a backlog moves its position behind it, to messages that are recent enough to
be shown. `backlog_reader.py` reads what was passed.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import redis
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from quotes.errors import InboxFull, KafkaDown, PositionMoved
from quotes.kafka import clients
from quotes.kafka.backlog_ranges import BacklogRange, delete_ranges, read_ranges
from quotes.kafka.backlog_reader import BacklogReader
from quotes.kafka.backlog_search import MIN_BACKLOG, BacklogSearch
from quotes.kafka.conf import conf
from quotes.kafka.dead_letters import DeadLetters
from quotes.kafka.message_reader import MessageReader
from quotes.kafka.reports import ConsumerReports
from quotes.kafka.sorting import InboxPut, Partition, SortedBatch, sort_messages
from quotes.kafka.starting_offsets import StartingOffset, StartingOffsets
from quotes.kafka.stored_offsets import Source, positions_key
from quotes.publish.patient_publisher import (
    CHECK_EVERY_TICKS,
    FIRST_PAUSE_S,
    LOGIN_ERRORS,
    LONGEST_PAUSE_S,
    MAX_UNREAD_TICKS,
    TEMPORARY_ERRORS,
)
from quotes.store.inbox import MAX_ENTRY, Advance, put, unread
from quotes.store.redis_clock import redis_clock

logger = logging.getLogger(__name__)

POLL_S = 0.1
SEARCHING_POLL_S = 0.01
# How long to collect a batch: less than anyone notices; with a busy topic it fills sooner.
GATHER_S = 0.004
# How long to wait for the bridge to catch up before partitions are paused, which costs more.
PATIENCE_S = 1.0
PAUSE_S = 0.005
# A partition with more backlogs is read in order: it has failed too often.
MAX_RANGES = 100


class PriceConsumer:
    """One member of the consumer group, run in one thread.

    Exactly once in effect: each message reaches the inbox once, whichever process dies, as long as
    Redis keeps what it has acknowledged. The order within a partition is kept, except that a
    backlog comes beside what is live, as history.

    Args:
        read: reads a message as a tick.
        stopped: returns whether to end, called between batches.
        report: called with a line of counters.
    """

    def __init__(
        self,
        *,
        client: redis.Redis,
        read: MessageReader,
        stopped: Callable[[], bool],
        report: Callable[[str], object],
    ) -> None:
        self.client = client
        self.read = read
        self.stopped = stopped
        self.dead_letters = DeadLetters()
        self.partitions: dict[Source, Partition] = {}
        self.unpositioned: set[Source] = set()  # to be read from the position in Redis
        self.ticks_since_check = 0
        self.putting = ThreadPoolExecutor(1, "put")
        self.pending: tuple[SortedBatch, Future[None]] | None = None  # on its way to Redis
        self.key = positions_key(conf.group_id)
        self.consumer: Consumer = clients.new_consumer(error_cb=self.on_error)
        self.starting_offsets = StartingOffsets(self.consumer, client=client)
        self.backlog = BacklogReader(client=client, read=read)
        self.reports = ConsumerReports(
            self.consumer, self.partitions, self.backlog, client=client, report=report
        )
        self.search = BacklogSearch(
            self.consumer, window_ms=self.reports.window_ms, stopped=stopped
        )

    def run(self) -> None:
        """Take messages until `stopped()`; the batch in hand is finished.

        Raises:
            KafkaException: the brokers refuse this member for good.
            redis.RedisError: Redis refuses for a reason that does not go away by waiting.
        """
        self.consumer.subscribe(
            conf.topic_list, on_assign=self.assigned, on_revoke=self.revoked, on_lost=self.revoked
        )
        try:
            while not self.stopped():
                self.step()
                if self.reports.update_when_due():
                    self.store_offsets(self.partitions.values())
            self.settle()
        finally:
            self.backlog.close()
            self.search.close()
            self.consumer.close()
            self.putting.shutdown()
            self.reports.close()

    def step(self) -> None:
        """Take one batch, or wait until that is possible."""
        try:
            if self.unpositioned:
                self.resume_from_stored()
            self.pass_backlogs()
            messages = self.consumer.consume(1, SEARCHING_POLL_S if self.search.is_busy else POLL_S)
            if messages:
                messages += self.consumer.consume(MAX_ENTRY - 1, GATHER_S)
                self.take(
                    [one for one in messages if one.error() is None or self.handle_error(one)]
                )
            else:
                self.settle()
        except PositionMoved:
            logger.warning(
                "another consumer has moved the positions in Redis, or Redis lost them: "
                "continuing from those in Redis"
            )
            self.unpositioned.update(self.partitions)
        except LOGIN_ERRORS:
            raise
        except (InboxFull, KafkaDown, redis.OutOfMemoryError, *TEMPORARY_ERRORS) as error:
            self.wait_for_redis(str(error))

    def take(self, messages: Sequence[Message]) -> None:
        """Put the ticks of messages into the inbox; send refused messages to the dead letters."""
        redis_clock.measure_if_due(self.client)
        now = redis_clock.now_ms()
        live_since = now - self.reports.window_ms
        batch = sort_messages(
            messages,
            self.partitions,
            read=self.read,
            now_ms=now,
            ahead_ms=redis_clock.max_ahead_ms(),
            live_since=live_since,
        )
        self.settle()
        if self.unpositioned.issuperset(self.partitions):
            return  # these messages are read again from the positions in Redis
        if batch.refused:
            self.dead_letters.send(batch.refused)
        # The next batch is read while Redis takes this one.
        self.pending = batch, self.putting.submit(self.put, list(batch.puts()))

    def put(self, puts: Sequence[InboxPut]) -> None:
        for ticks, advances, live in puts:
            put(ticks, client=self.client, live=live, positions=self.key, advances=advances)

    def settle(self) -> None:
        """Wait until Redis has the batch in hand; raise the error if it failed."""
        if self.pending is None:
            return
        (batch, future), self.pending = self.pending, None
        future.result()
        batch.mark_stored()
        self.reports.count(batch)
        self.store_offsets(batch.ends)
        if batch.between:
            self.find_backlogs()
        self.ticks_since_check += len(batch.live) + len(batch.history)
        if self.ticks_since_check >= CHECK_EVERY_TICKS:
            self.ticks_since_check = 0
            self.wait_for_bridge()

    def store_offsets(self, partitions: Iterable[Partition]) -> None:
        """Have the positions committed in Kafka too, for other programs to see the lag.

        Of a partition with a backlog, the oldest: if Redis loses everything, it is read again.
        """
        offsets = []
        for one in partitions:
            if one.stored:
                ranges = self.backlog.ranges(one.source)
                oldest = ranges[0].next if ranges else int(one.stored)
                offsets.append(TopicPartition(*one.source, oldest))
        try:
            if offsets:
                self.consumer.store_offsets(offsets=offsets)
        except KafkaException as error:
            logger.debug("not stored: %s", error)  # just revoked; the next owner stores it

    # -- backlogs ---------------------------------------------------------------------------------

    def find_backlogs(self) -> None:
        """Search for where live prices are, since there were messages too old to be shown.

        A consumer that is behind in one partition is so in others.
        """
        found = self.search.add(
            one
            for one in self.partitions.values()
            if len(self.backlog.ranges(one.source)) < MAX_RANGES
        )
        if found:
            self.consumer.pause([TopicPartition(*one.source) for one in found])

    def pass_backlogs(self) -> None:
        """Continue behind the backlogs that have been found; they are read beside.

        Raises:
            PositionMoved: another consumer has moved a position.
            redis.RedisError: Redis does not answer.
        """
        found = self.search.found()
        if not found:
            return
        self.settle()
        for partition, offset in found.items():
            if self.partitions.get(partition.source) is not partition:
                # It was revoked, or is read again from the position in Redis.
                self.search.forget(partition.source)
                continue
            if offset - partition.next >= MIN_BACKLOG:
                self.pass_backlog(partition, offset)
            self.seek_to({partition.source: partition.next})

    def pass_backlog(self, partition: Partition, offset: int) -> None:
        range = BacklogRange(partition.source, partition.next, offset, next=partition.next)
        moved = Advance(partition.field, partition.stored, str(offset))
        put([], client=self.client, positions=self.key, advances=[moved, range.begin()])
        partition.stored, partition.next = str(offset), offset
        self.backlog.add(range)
        logger.warning(
            "%s/%d: live prices go on at offset %d; %d older messages are read into history "
            "beside them",
            *partition.source,
            offset,
            range.remaining,
        )

    def wait_for_bridge(self) -> None:
        """Wait while the bridge is far behind, with partitions paused if that takes long."""
        deadline = time.monotonic() + PATIENCE_S
        while (behind := unread(self.client)) > MAX_UNREAD_TICKS:
            if time.monotonic() > deadline or self.stopped():
                self.wait_for_redis(
                    f"{behind} ticks wait for a bridge: start `manage.py bridge_prices`"
                )
                return
            time.sleep(PAUSE_S)

    def wait_for_redis(self, problem: str) -> None:
        """Take no messages until Redis has room, but stay a member of the group."""
        logger.warning("waiting: %s", problem)
        self.pending = None
        began = time.monotonic()
        pause_s = FIRST_PAUSE_S
        self.reports.problem = problem
        while not self.stopped():
            self.consumer.pause(self.consumer.assignment())
            self.consumer.consume(1, pause_s)  # returns nothing; it keeps this member in the group
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            try:
                if unread(self.client) <= MAX_UNREAD_TICKS // 2:
                    break
            except LOGIN_ERRORS:
                raise
            except TEMPORARY_ERRORS:
                continue
            finally:
                self.reports.update_when_due()
        self.reports.problem = ""
        self.unpositioned.update(self.partitions)
        logger.warning("consuming again after %.1f s", time.monotonic() - began)

    # -- partitions -------------------------------------------------------------------------------

    def assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        sources = [(one.topic, one.partition) for one in partitions]
        try:
            starts = self.find_starts(sources)
        except (KafkaDown, redis.RedisError) as error:
            logger.warning("the starting offsets are not available yet: %s", error)
            starts = {source: StartingOffset("", 0) for source in sources}
            self.unpositioned.update(sources)  # paused until they are
        for source in sources:
            self.partitions[source] = Partition(source, *starts[source])
        consumer.incremental_assign(
            [TopicPartition(*source, starts[source].offset) for source in sources]
        )
        if self.unpositioned.intersection(sources):
            consumer.pause(partitions)
        else:
            consumer.resume(partitions)

    def revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for one in partitions:
            self.partitions.pop((one.topic, one.partition), None)
            self.unpositioned.discard((one.topic, one.partition))
        self.backlog.leave([(one.topic, one.partition) for one in partitions])

    def find_starts(self, sources: Sequence[Source]) -> dict[Source, StartingOffset]:
        """Return the starting offset of each partition, and begin to read their backlogs."""
        starts = self.starting_offsets.find(sources)
        ranges = read_ranges(group=conf.group_id, client=self.client)
        self.backlog.follow({source: ranges.get(source, []) for source in sources})
        return starts

    def resume_from_stored(self) -> None:
        """Continue from the positions in Redis in the partitions that need it."""
        sources = sorted(self.unpositioned)
        starts = self.find_starts(sources)
        for source in sources:
            self.partitions[source] = Partition(source, *starts[source])
        self.seek_to({source: start.offset for source, start in starts.items()})
        self.unpositioned.difference_update(sources)

    def seek_to(self, offsets: dict[Source, int]) -> None:
        positions = [TopicPartition(*source, offset) for source, offset in offsets.items()]
        self.consumer.incremental_unassign([TopicPartition(*source) for source in offsets])
        self.consumer.incremental_assign(positions)
        self.consumer.resume(positions)

    def handle_error(self, message: Message) -> bool:
        """Act on a message that is an error; return False: it holds no tick."""
        error = message.error()
        assert error is not None
        if error.fatal():
            raise KafkaException(error)
        source = (str(message.topic()), int(message.partition() or 0))
        if error.code() == KafkaError._AUTO_OFFSET_RESET and source in self.partitions:
            read_to = self.partitions[source].next
            oldest = self.starting_offsets.oldest(source, read_to=read_to)
            self.reports.lost += max(0, oldest - read_to)
            if oldest < read_to:  # all of it is read again
                delete_ranges([source], group=conf.group_id, client=self.client)
                self.backlog.follow({source: []})
            self.seek_to({source: oldest})
        else:
            self.reports.warn(str(error.name()), error.str())
        return False

    def on_error(self, error: KafkaError) -> None:
        clients.log_error(error)
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.reports.brokers_down = True
