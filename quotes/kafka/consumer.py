"""The consumer of Kafka: takes messages of its partitions to the inbox, each once.

How messages are sorted is in `sorting.py`. The position of a partition moves in Redis
in the step that takes its ticks. So whatever goes wrong has one remedy: forget what was read, read
the positions again and go on from there; nothing is held meanwhile.
"""

import logging
import time
from collections.abc import Callable, Sequence
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
from quotes.kafka.conf import conf
from quotes.kafka.dead_letters import DeadLetters
from quotes.kafka.reports import Reports
from quotes.kafka.sorting import Batch, Partition, Put, Read, sort
from quotes.kafka.starting_offsets import Places, Start
from quotes.kafka.stored_offsets import Source, positions_key
from quotes.publish.backpressure import LOOK_EVERY, MOST_UNREAD
from quotes.publish.patient_publisher import FATAL, FIRST_PAUSE_S, LONGEST_PAUSE_S, PASSING
from quotes.runtime.clock import now_ms
from quotes.store.inbox import MAX_ENTRY, put, unread

logger = logging.getLogger(__name__)

POLL_S = 0.1
# A quiet topic's message waits so long for others, a busy topic's batch is full before.
GATHER_S = 0.004
# The bridge is given so long to catch up before partitions are paused, which costs more.
PATIENCE_S = 1.0
PAUSE_S = 0.005


class PriceConsumer:
    """One member of the group.

    Exactly once in effect: each message is put once, whatever dies, as long as Redis keeps what it
    has acknowledged; the order of a partition is kept.

    Args:
        read: reads a message as a tick.
        stopped: asked between batches.
        report: called with a line of counters.
    """

    def __init__(
        self,
        *,
        client: redis.Redis,
        read: Read,
        stopped: Callable[[], bool],
        report: Callable[[str], object],
    ) -> None:
        self.client = client
        self.read = read
        self.stopped = stopped
        self.letters = DeadLetters()
        self.partitions: dict[Source, Partition] = {}
        self.unplaced: set[Source] = set()  # what is to be read from where Redis says
        self.since_look = 0
        self.putting = ThreadPoolExecutor(1, "put")
        self.pending: tuple[Batch, Future[None]] | None = None  # what Redis is taking
        self.key = positions_key(conf.group_id)
        self.consumer: Consumer = clients.consumer(error_cb=self.failed)
        self.places = Places(self.consumer, client=client)
        self.reports = Reports(self.consumer, self.partitions, client=client, report=report)

    def run(self) -> None:
        """Take messages until asked to stop.

        Raises:
            KafkaException: the brokers refuse this member for good.
            redis.RedisError: Redis refuses it for a reason that waiting does not mend.
        """
        self.consumer.subscribe(
            conf.topic_list, on_assign=self.assigned, on_revoke=self.revoked, on_lost=self.revoked
        )
        try:
            while not self.stopped():
                self.step()
                self.reports.regularly()
            self.settle()
        finally:
            self.consumer.close()
            self.putting.shutdown()
            self.reports.close()

    def step(self) -> None:
        """Take one batch, or wait until one can be taken."""
        try:
            if self.unplaced:
                self.place()
            messages = self.consumer.consume(1, POLL_S)
            if messages:
                messages += self.consumer.consume(MAX_ENTRY - 1, GATHER_S)
                self.take([one for one in messages if one.error() is None or self.mend(one)])
            else:
                self.settle()
        except PositionMoved:
            logger.warning("positions in Redis are not those of this consumer: reading them anew")
            self.unplaced.update(self.partitions)
        except FATAL:
            raise
        except (InboxFull, KafkaDown, redis.OutOfMemoryError, *PASSING) as error:
            self.wait(str(error))

    def take(self, messages: Sequence[Message]) -> None:
        """Have ticks put into the inbox, and what is none among the dead letters."""
        now = now_ms()
        live_since = now - self.reports.window_ms
        batch = sort(messages, self.partitions, read=self.read, now_ms=now, live_since=live_since)
        self.settle()
        if self.unplaced.issuperset(self.partitions):
            return  # it had to wait: all is read again from where Redis says
        if batch.poison:
            self.letters.send(batch.poison)
        # The next batch is read while Redis takes this one.
        self.pending = batch, self.putting.submit(self.put, list(batch.puts()))

    def put(self, puts: Sequence[Put]) -> None:
        for ticks, advances, live in puts:
            put(ticks, client=self.client, live=live, positions=self.key, advances=advances)

    def settle(self) -> None:
        """Wait until Redis has the batch before; raise what kept it from that."""
        if self.pending is None:
            return
        (batch, future), self.pending = self.pending, None
        future.result()
        batch.done()
        self.reports.count(batch)
        self.store(batch)
        self.since_look += len(batch.live) + len(batch.history)
        if self.since_look >= LOOK_EVERY:
            self.since_look = 0
            self.let_catch_up()

    def store(self, batch: Batch) -> None:
        """Have the positions committed in Kafka too, some time."""
        offsets = [TopicPartition(*one.source, offset) for one, offset in batch.ends.items()]
        try:
            if offsets:
                self.consumer.store_offsets(offsets=offsets)
        except KafkaException as error:
            logger.debug("not stored: %s", error)  # taken away just now; its next owner will

    def let_catch_up(self) -> None:
        """Wait while the bridge is far behind, with partitions paused if that takes long."""
        deadline = time.monotonic() + PATIENCE_S
        while (behind := unread(self.client)) > MOST_UNREAD:
            if time.monotonic() > deadline or self.stopped():
                self.wait(f"{behind} ticks wait for a bridge: is `manage.py bridge_prices` there?")
                return
            time.sleep(PAUSE_S)

    def wait(self, problem: str) -> None:
        """Take nothing until Redis has room; stay a member of the group."""
        logger.warning("waiting: %s", problem)
        self.pending = None
        began = time.monotonic()
        pause_s = FIRST_PAUSE_S
        self.reports.problem = problem
        while not self.stopped():
            self.consumer.pause(self.consumer.assignment())
            self.consumer.consume(1, pause_s)  # nothing, but the group sees that this one lives
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            try:
                if unread(self.client) <= MOST_UNREAD // 2:
                    break
            except FATAL:
                raise
            except PASSING:
                continue
            finally:
                self.reports.regularly()
        self.reports.problem = ""
        self.unplaced.update(self.partitions)
        logger.warning("going on after %.1f s", time.monotonic() - began)

    # -- partitions -------------------------------------------------------------------------------

    def assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        sources = [(one.topic, one.partition) for one in partitions]
        try:
            starts = self.places.find(sources)
        except (KafkaDown, redis.RedisError) as error:
            logger.warning("not known where to begin: %s", error)
            starts = {source: Start("", 0) for source in sources}
            self.unplaced.update(sources)  # found out as soon as can be; nothing is read before
        for source in sources:
            self.partitions[source] = Partition(source, *starts[source])
        consumer.incremental_assign(
            [TopicPartition(*source, starts[source].offset) for source in sources]
        )
        if self.unplaced.intersection(sources):
            consumer.pause(partitions)

    def revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for one in partitions:
            self.partitions.pop((one.topic, one.partition), None)
            self.unplaced.discard((one.topic, one.partition))

    def place(self) -> None:
        """Go on, in the partitions that are not placed, from where Redis says."""
        sources = sorted(self.unplaced)
        starts = self.places.find(sources)
        for source in sources:
            self.partitions[source] = Partition(source, *starts[source])
        self.go_to({source: start.offset for source, start in starts.items()})
        self.unplaced.difference_update(sources)

    def go_to(self, offsets: dict[Source, int]) -> None:
        places = [TopicPartition(*source, offset) for source, offset in offsets.items()]
        self.consumer.incremental_unassign([TopicPartition(*source) for source in offsets])
        self.consumer.incremental_assign(places)
        self.consumer.resume(places)

    def mend(self, message: Message) -> bool:
        """Do what an error asks for; never is it a message to take."""
        error = message.error()
        assert error is not None
        if error.fatal():
            raise KafkaException(error)
        source = (str(message.topic()), int(message.partition() or 0))
        if error.code() == KafkaError._AUTO_OFFSET_RESET and source in self.partitions:
            self.go_to({source: self.places.oldest(source, read_to=self.partitions[source].next)})
        else:
            self.reports.complain(str(error.name()), error.str())
        return False

    def failed(self, error: KafkaError) -> None:
        clients.tell_error(error)
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.reports.brokers_down = True
