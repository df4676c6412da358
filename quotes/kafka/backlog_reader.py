"""Reading backlogs into history, in a thread beside the one that takes live prices."""

import logging
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence

import redis
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from quotes.errors import InboxFull, KafkaDown, PositionMoved
from quotes.kafka import clients
from quotes.kafka.backlog_ranges import BacklogRange, read_ranges
from quotes.kafka.backlog_room import BacklogRoom
from quotes.kafka.conf import conf
from quotes.kafka.dead_letters import DeadLetters
from quotes.kafka.message_reader import MessageReader
from quotes.kafka.sorting import sort_messages
from quotes.kafka.stored_offsets import Source, positions_key
from quotes.publish.patient_publisher import FIRST_PAUSE_S, TEMPORARY_ERRORS
from quotes.runtime.warnings import RateLimitedWarnings
from quotes.store.inbox import MAX_ENTRY, Advance, put
from quotes.store.redis_clock import redis_clock

logger = logging.getLogger(__name__)

POLL_S = 0.1
ROOM_PAUSE_S = 0.001
LONGEST_ROOM_PAUSE_S = 0.05
# A backlog that waits for bridge or recorder for longer is a problem to report.
PATIENCE_S = 10.0
LONGEST_PAUSE_S = 10.0
# Brokers may shortly know fewer messages, after another of them has become the leader.
LOST_AFTER_S = 60.0
TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 5.0


class BacklogReader:
    """Takes the backlogs of a consumer's partitions to history, the oldest of each first.

    Exactly once in effect, as the consumer itself: what was read moves in the step that takes the
    ticks, and only if it is what this reader expects. Its methods may be called from any thread.

    Args:
        read: reads a message as a tick.

    Attributes:
        history, bad, lost: messages taken, refused, and deleted before they were read.
        problem: why it takes no messages now; "" while it does.
    """

    def __init__(self, *, client: redis.Redis, read: MessageReader) -> None:
        self._client = client
        self._read = read
        self._key = positions_key(conf.group_id)
        self._ranges: dict[Source, list[BacklogRange]] = {}
        self._version = 0  # of the ranges; a change of it means to assign them
        self._finished = 0  # messages of ranges that were finished since there were none
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.history = self.bad = self.lost = 0
        self.problem = ""
        # Of the thread alone:
        self._consumer: Consumer | None = None
        self._dead_letters: DeadLetters | None = None
        self._room = BacklogRoom(client)
        self._assigned: dict[Source, BacklogRange] = {}
        self._assigned_version = -1
        self._short_since: dict[BacklogRange, float] = {}  # since when their end is missing
        self._warn = RateLimitedWarnings(logger)

    # -- from the consumer ------------------------------------------------------------------------

    def follow(self, ranges: Mapping[Source, Sequence[BacklogRange]]) -> None:
        """Read these ranges, instead of those that these partitions had."""
        with self._lock:
            if not any(ranges.values()) and not any(map(self._ranges.get, ranges)):
                return
            self._ranges |= {source: list(found) for source, found in ranges.items()}
            self._version += 1
        self._changed.set()
        self._start()

    def leave(self, sources: Iterable[Source]) -> None:
        """Read no more of partitions that another consumer has now."""
        with self._lock:
            left = [self._ranges.pop(source, None) for source in sources]
            self._version += any(left)
        self._changed.set()

    def add(self, range: BacklogRange) -> None:
        """Read another range, the newest of its partition."""
        with self._lock:
            self._ranges.setdefault(range.source, []).append(range)
            self._version += 1
        self._changed.set()
        self._start()

    def ranges(self, source: Source) -> list[BacklogRange]:
        """Return what is to be read of a partition, the oldest first."""
        with self._lock:
            return list(self._ranges.get(source, ()))

    def progress(self) -> tuple[int, int]:
        """Return how many messages have been read, and how many are to be read."""
        with self._lock:
            ranges = [one for found in self._ranges.values() for one in found]
            if not ranges:
                self._finished = 0
            done = self._finished + sum(one.next - one.first for one in ranges)
        return done, sum(one.remaining for one in ranges)

    def close(self) -> None:
        """Stop after the batch in hand."""
        self._stopped.set()
        self._changed.set()
        if self._thread is not None:
            self._thread.join(CLOSE_TIMEOUT_S)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="backlog", daemon=True)
            self._thread.start()

    # -- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopped.is_set():
            try:
                self._step()
            except PositionMoved:
                self._fail("another consumer has moved its position", FIRST_PAUSE_S)
            except (InboxFull, KafkaDown, redis.OutOfMemoryError, *TEMPORARY_ERRORS) as error:
                self._fail(str(error), pause_s)
            except Exception as error:  # the next attempt may succeed, and live prices go on
                self._warn("the backlog", "cannot be read, trying again", error=error)
                self._fail(f"it cannot be read ({type(error).__name__})", pause_s)
            else:
                pause_s, self.problem = FIRST_PAUSE_S, ""
                continue
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        self._close_consumer()

    def _fail(self, problem: str, pause_s: float) -> None:
        """Read the ranges from Redis again, after a pause; what is in hand is dropped."""
        if problem != self.problem:
            logger.warning("the backlog waits: %s", problem)
        self.problem = problem
        self._stopped.wait(pause_s)
        version = self._version
        try:
            found = read_ranges(group=conf.group_id, client=self._client)
        except redis.RedisError:
            self._assigned_version = -1
            return  # tried again; until then nothing that is out of date can be stored
        with self._lock:
            if version == self._version:
                self._ranges = {source: found.get(source, []) for source in self._ranges}
                self._version += 1

    def _step(self) -> None:
        """Take one batch, or wait for ranges."""
        if self._assigned_version != self._version:
            self._assign()
        if not self._assigned or self._consumer is None:
            self._close_consumer()
            self._changed.wait()
            self._changed.clear()
            return
        if done := [one for one in self._assigned.values() if one.next >= one.end]:
            self._finish(done)
            return
        if not self._wait_for_room():
            return
        taken: list[Message] = []
        ended: set[BacklogRange] = set()
        errors: list[tuple[BacklogRange, Message]] = []
        for message in self._consumer.consume(MAX_ENTRY, POLL_S):
            source = (str(message.topic()), int(message.partition() or 0))
            range = self._assigned.get(source)
            if range is None:
                continue
            if message.error() is not None:
                errors.append((range, message))
            elif (message.offset() or 0) < range.end:
                taken.append(message)
            else:
                ended.add(range)
        if taken:
            self._take(taken)
        for range, message in errors:
            if self._is_end(range, message):
                ended.add(range)
        self._finish(ended)
        self._skip_missing_ends()

    def _assign(self) -> None:
        with self._lock:
            version = self._version
            self._assigned = {source: found[0] for source, found in self._ranges.items() if found}
        if self._assigned:
            if self._consumer is None:
                self._consumer = clients.new_reader()
            self._consumer.assign(
                [TopicPartition(*source, one.next) for source, one in self._assigned.items()]
            )
        self._assigned_version = version

    def _wait_for_room(self) -> bool:
        """Wait until bridge and recorder have room; return False if there is other work first."""
        began = time.monotonic()
        pause_s = ROOM_PAUSE_S
        while problem := self._room.problem():
            pause_s = min(2 * pause_s, LONGEST_ROOM_PAUSE_S)
            if self._stopped.wait(pause_s) or self._assigned_version != self._version:
                return False
            if time.monotonic() - began > PATIENCE_S:
                self.problem = problem
        return True

    def _take(self, messages: Sequence[Message]) -> None:
        """Put ticks into the inbox as history; send refused messages to the dead letters."""
        batch = sort_messages(
            messages,
            self._assigned,
            read=self._read,
            now_ms=redis_clock.now_ms(),
            ahead_ms=redis_clock.max_ahead_ms(),
            live_since=sys.maxsize,
        )
        if batch.refused:
            if self._dead_letters is None:
                self._dead_letters = DeadLetters()
            self._dead_letters.send(batch.refused)
        for ticks, advances, _ in batch.puts():
            put(ticks, client=self._client, live=False, positions=self._key, advances=advances)
        batch.mark_stored()
        self.history += len(batch.history)
        self._room.taken(len(batch.history))
        self.bad += len(batch.refused)
        for range in list(self._short_since):
            if range in batch.ends:
                del self._short_since[range]

    def _finish(self, ranges: Iterable[BacklogRange]) -> None:
        """Delete ranges that have been read."""
        for range in ranges:
            self._store(range.finish())
            with self._lock:
                found = self._ranges.get(range.source, [])
                if range in found:
                    found.remove(range)
                    self._finished += range.end - range.first
                self._version += 1
            self._short_since.pop(range, None)
            logger.warning(
                "%s/%d: the backlog from %d to %d has been read into history",
                *range.source,
                range.first,
                range.end,
            )

    def _store(self, advance: Advance) -> None:
        put([], client=self._client, live=False, positions=self._key, advances=[advance])

    def _is_end(self, range: BacklogRange, message: Message) -> bool:
        """Act on a message that is an error; return whether the range ends there."""
        error = message.error()
        assert error is not None
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._skip_deleted(range)
        elif error.code() != KafkaError._PARTITION_EOF:
            self._warn(str(error.name()), error.str())
        elif (message.offset() or 0) >= range.end:
            return True
        else:
            self._short_since.setdefault(range, time.monotonic())
        return False

    def _skip_missing_ends(self) -> None:
        """Give up the end of ranges that the brokers have not had for a minute."""
        for range, since in list(self._short_since.items()):
            if time.monotonic() - since > LOST_AFTER_S:
                del self._short_since[range]
                if range in self._assigned.values():
                    self._skip_lost(range, range.end)

    def _skip_deleted(self, range: BacklogRange) -> None:
        """Continue behind messages that were deleted before they were read; log the loss."""
        assert self._consumer is not None
        try:
            ends = self._consumer.get_watermark_offsets(
                TopicPartition(*range.source), timeout=TIMEOUT_S
            )
        except KafkaException as error:
            raise KafkaDown(f"cannot read the offsets of {range.source[0]}: {error}") from error
        if ends is None:
            raise KafkaDown(f"cannot read the offsets of {range.source[0]}")
        self._skip_lost(range, ends[0] if ends[0] > range.next else range.end)

    def _skip_lost(self, range: BacklogRange, offset: int) -> None:
        """Move a range behind messages that are gone."""
        offset = min(offset, range.end)
        lost = offset - range.next
        self._store(range.skip_to(offset))
        self.lost += lost
        logger.error(
            "%s/%d: %d messages of the backlog were deleted before they were read",
            *range.source,
            lost,
        )
        range.stored, range.next = str(offset), offset
        self._assigned_version = -1

    def _close_consumer(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
